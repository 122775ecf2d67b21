"""Short drawn videos that a decoder can get wrong: each container, late starts, edit lists, open groups of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datasets_build.video import Probe, probe
from tests.drawn import FILM, NTSC, NTSC60, VideoSpec, draw_number, draw_video

SIZE = (160, 120)
LENGTHS = (1, 3, 1, 2, 5, 1, 1, 7, 1, 2) * 2

SPECS: dict[str, VideoSpec] = {
    "plain.mp4": VideoSpec(),
    "film.mp4": VideoSpec(rate=FILM, b_frames=2),
    "ntsc.mov": VideoSpec(rate=NTSC, b_frames=3, gop=7),
    "fast_audio.mp4": VideoSpec(rate=NTSC60, audio=True),
    "film_audio.mkv": VideoSpec(rate=FILM, audio=True),
    "reordered.mkv": VideoSpec(b_frames=2),
    "variable.mp4": VideoSpec(durations=LENGTHS, time_base=Fraction(1, 60), b_frames=2),
    "variable.mkv": VideoSpec(durations=LENGTHS, time_base=Fraction(17, 1000), b_frames=2),
    "variable.webm": VideoSpec(codec="vp9", durations=LENGTHS, time_base=Fraction(17, 1000)),
    "late.mp4": VideoSpec(start=10),
    "late.mkv": VideoSpec(start=10),
    "late.ts": VideoSpec(start=90),
    "late_audio.mov": VideoSpec(start=10, b_frames=2, rate=NTSC, audio=True),
    "hidden.mp4": VideoSpec(hidden=5, b_frames=2),
    "hidden_group.mp4": VideoSpec(hidden=15, b_frames=2, audio=True, rate=NTSC),
    "turned90.mp4": VideoSpec(rotation=90),
    "turned180.mp4": VideoSpec(rotation=180, b_frames=2),
    "turned270.mov": VideoSpec(rotation=270, size=(160, 90)),
    "odd.mp4": VideoSpec(size=(321, 241), pixel_format="yuv444p", frames=12),
    "odd.avi": VideoSpec(size=(321, 241), codec="mpeg4", frames=12),
    "plain.ts": VideoSpec(rate=NTSC),
    "reordered.ts": VideoSpec(rate=NTSC, b_frames=2, start=3, audio=True),
    "plain.avi": VideoSpec(codec="mpeg4", rate=NTSC),
    "reordered.avi": VideoSpec(codec="mpeg4", b_frames=2),
    "h264.avi": VideoSpec(audio=True),
    "h264_reordered.avi": VideoSpec(b_frames=2),
    "plain.webm": VideoSpec(codec="vp9", rate=NTSC, audio=True),
    "hevc.mp4": VideoSpec(codec="hevc", b_frames=2, frames=20),
    "mpeg4.mp4": VideoSpec(codec="mpeg4", b_frames=2),
    "one_frame.mp4": VideoSpec(frames=1),
    "two_frames.mkv": VideoSpec(frames=2),
    "long.mp4": VideoSpec(frames=150, b_frames=2, gop=30),
}


@dataclass(frozen=True)
class Sample:
    """A drawn video: its frames' numbers and times in presentation order, and what probing it said."""

    path: Path
    numbers: tuple[int, ...]
    t_ns: tuple[int, ...]
    probe: Probe


def encode(path: Path, codec: str, options: dict[str, str], *, frames: int = 75) -> tuple[int, ...]:
    """Encode numbered frames at 25 per second with a codec's own options; returns the numbers."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream(codec, rate=25, options={"threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_number(number, SIZE), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return tuple(range(frames))


def film_texture(
    path: Path, options: dict[str, str], *, frames: int = 100, pixel_format: str = "yuv420p", container: str = ""
) -> None:
    """H.264 of a rich texture that moves: each picture is predicted from others all over."""
    width, height = 320, 240
    texture = np.random.default_rng(0).integers(0, 128, (height + frames, width + 2 * frames, 3), np.uint8)
    flags = {"fflags": "+bitexact", **({"movflags": container} if container else {})}
    with av.open(str(path), "w", options=flags) as out:
        stream = out.add_stream("libx264", rate=25, options={"threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for k in range(frames):
            part = np.ascontiguousarray(texture[k : k + height, 2 * k : 2 * k + width])
            frame = av.VideoFrame.from_ndarray(part, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def scratch(path: Path, packets: Sequence[int], *, start: float) -> None:
    """Overwrite forty bytes of some video packets, from a share of their length on: the decoder mends what it can."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in packets:
        place, size = places[number]
        first, length = place + int(size * start), min(40, size // 2)
        content[first : first + length] = bytes((91 * k + 13) % 256 for k in range(length))
    path.write_bytes(content)


def mux_at(path: Path, pts: Sequence[int]) -> None:
    """Numbered key frames (MJPEG) stored in the order given under the presentation times given, in frames."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        packets = []
        for number in range(len(pts)):
            frame = av.VideoFrame.from_ndarray(draw_number(number, SIZE), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for place, packet in enumerate(packets):
            packet.pts, packet.dts, packet.duration = pts[place], place - len(pts), 1
            packet.time_base = Fraction(1, 25)
            out.mux(packet)


def _x264(**parameters: str | int) -> dict[str, str]:
    joined = ":".join(f"{name.replace('_', '-')}={value}" for name, value in parameters.items())
    return {"preset": "veryfast", "crf": "18", "x264-params": f"scenecut=0:{joined}"}


def _open_groups(path: Path) -> tuple[int, ...]:
    return encode(path, "libx264", _x264(open_gop=1, keyint=20, bframes=3, b_adapt=0))


def _no_key_frames(path: Path) -> tuple[int, ...]:
    return encode(path, "libx264", _x264(intra_refresh=1, keyint=20, bframes=0))


def _reordered(path: Path) -> tuple[int, ...]:
    return encode(path, "libx264", _x264(keyint=20, bframes=3, b_adapt=0))


def _windows(path: Path) -> tuple[int, ...]:
    return encode(path, "wmv2", {"g": "12", "qscale": "3", "sc_threshold": "1000000000"})


def _unordered(path: Path) -> tuple[int, ...]:
    pts = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9)
    mux_at(path, pts)
    return tuple(sorted(range(len(pts)), key=lambda number: pts[number]))


def _repeated(path: Path) -> tuple[int, ...]:
    pts = (0, 1, 1, 3, 4, 4, 6, 7, 8, 9)
    mux_at(path, pts)
    return tuple(number for number in range(len(pts)) if pts[number] not in pts[:number])


MADE: dict[str, Callable[[Path], tuple[int, ...]]] = {
    "open_groups.mp4": _open_groups,
    "open_groups.ts": _open_groups,
    "no_key_frames.mp4": _no_key_frames,
    "no_key_frames.ts": _no_key_frames,
    "reordered.asf": _reordered,
    "plain.wmv": _windows,
    "unordered.mp4": _unordered,
    "unordered.mkv": _unordered,
    "repeated.mkv": _repeated,
}

NAMES = (*SPECS, *MADE)


def make_sample(folder: Path, name: str) -> Sample:
    """Draw a sample by name and probe it."""
    path = folder / name
    if name in SPECS:
        truth = draw_video(path, SPECS[name])
        return Sample(path, truth.numbers, truth.t_ns, probe(path))
    numbers = MADE[name](path)
    found = probe(path)
    return Sample(path, numbers, tuple(found.clock.t_ns.tolist()), found)
