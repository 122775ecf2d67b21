"""Videos drawn for tests: every frame carries its own number, so that a test can prove which frame it was given.

The picture is a grid of 6 x 6 blocks: 16 hold the frame's number, 16 its complement, and the corners tell which way is
up and which colour channel comes first. It survives lossy compression, limited colour range and scaling down.

    truth = draw_video(folder / "a.mp4", VideoSpec(rate=Fraction(30000, 1001), b_frames=2, rotation=90))
    assert [frame_number(picture) for picture in decoded] == list(truth.numbers)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

FILM, PAL, NTSC, NTSC60 = Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)
GRID = 6
NUMBERS = 1 << 16
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (0, 0), (0, GRID - 1), (GRID - 1, 0), (GRID - 1, GRID - 1)
CORNERS = (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT)
CELLS = [(row, col) for row in range(GRID) for col in range(GRID) if (row, col) not in CORNERS]
RED, BLUE = (200, 0, 0), (0, 0, 200)

ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4", "vp9": "libvpx-vp9"}
AUDIO_CODECS = {".avi": "mp2", ".webm": "libopus"}
SAMPLE_RATE = 48_000
FIXED_TIME_BASE = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".ts": Fraction(1, 90_000)}
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """What to draw; the container follows from the path's suffix (.mp4 .mov .mkv .webm .ts .avi).

    Args:
        codec: `h264`, `hevc`, `mpeg4` or `vp9`.
        rate: frames per second of a constant-rate video; one tick of `time_base` is then one frame.
        frames: how many frames are encoded, hidden ones included.
        durations: how long each frame stays, in ticks of `time_base`: a variable-rate video. Replaces `frames`.
        time_base: seconds per tick; None is `1 / rate`.
        size: width and height of the upright picture.
        b_frames: frames between references that are coded out of order.
        gop: frames from one key frame to the next.
        start: presentation time of the first frame, in ticks.
        hidden: mp4 and mov: the edit list starts this many frames late, so that a player does not show them.
        rotation: clockwise degrees that turn the coded picture upright, told by the display matrix (mp4, mov).
        audio: add a track with a tone, as long as the video.
        pixel_format: `yuv444p` and codec h264 allow odd sizes.
    """

    codec: str = "h264"
    rate: Fraction = PAL
    frames: int = 30
    durations: tuple[int, ...] = ()
    time_base: Fraction | None = None
    size: tuple[int, int] = (160, 120)
    b_frames: int = 0
    gop: int = 12
    start: int = 0
    hidden: int = 0
    rotation: int = 0
    audio: bool = False
    pixel_format: str = "yuv420p"

    @property
    def tick(self) -> Fraction:
        return self.time_base or 1 / self.rate

    @property
    def lengths(self) -> tuple[int, ...]:
        """Each encoded frame's duration in ticks."""
        return self.durations or (1,) * self.frames

    @property
    def coded_size(self) -> tuple[int, int]:
        width, height = self.size
        return (height, width) if self.rotation % 180 else (width, height)


@dataclass(frozen=True, kw_only=True)
class DrawnTruth:
    """What a right decoder finds: the shown frames in presentation order.

    `pts` are ticks of the container's `time_base` on its own timeline, `t_ns` nanoseconds after the first shown frame,
    `end_ns` when the last frame leaves as the spec asks (an mp4 with variable durations and B-frames cannot store that:
    its durations follow the decoding order), `numbers` the number painted on each, `cuts` the first frame of each new
    scene.
    `ordered` is False where the container cannot say the times of reordered frames (AVI with H.264 B-frames): a decoder
    then hands out the right frames in the right order under shuffled pts.
    """

    path: Path
    time_base: Fraction
    pts: tuple[int, ...]
    t_ns: tuple[int, ...]
    end_ns: int
    numbers: tuple[int, ...]
    size: tuple[int, int]
    coded_size: tuple[int, int]
    rotation: int
    cuts: tuple[int, ...] = ()
    ordered: bool = True


def draw_number(number: int, size: tuple[int, int]) -> Picture:
    """The upright RGB picture `(height, width, 3) uint8` of a frame's number."""
    assert 0 <= number < NUMBERS
    cells = np.zeros((GRID, GRID, 3), np.uint8)
    cells[TOP_LEFT], cells[BOTTOM_LEFT], cells[BOTTOM_RIGHT] = (255, 255, 255), RED, BLUE
    half = len(CELLS) // 2
    for k in range(half):
        bit = number >> k & 1
        cells[CELLS[k]] = 255 * bit
        cells[CELLS[half + k]] = 255 * (1 - bit)
    width, height = size
    rows, cols = np.arange(height) * GRID // height, np.arange(width) * GRID // width
    return cells[rows[:, None], cols[None, :]]


def _cell_means(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    # The middle half of each block: its border is blurred by compression and scaling.
    height, width = image.shape[:2]
    means = np.zeros((GRID, GRID, 3))
    for row in range(GRID):
        for col in range(GRID):
            top, left = (row + 0.3) * height / GRID, (col + 0.3) * width / GRID
            bottom, right = top + 0.4 * height / GRID, left + 0.4 * width / GRID
            part = image[int(top) : max(int(top) + 1, round(bottom)), int(left) : max(int(left) + 1, round(right))]
            means[row, col] = part.reshape(-1, 3).mean(axis=0)
    return means


def frame_number(image: npt.NDArray[np.generic]) -> int | None:
    """Read the number from a picture `(height, width, 3)`, RGB or BGR; None when it carries none or is not upright."""
    light = _cell_means(image).mean(axis=2)
    white, black = light[TOP_LEFT], light[TOP_RIGHT]
    if white - black < 100:
        return None
    half, middle = len(CELLS) // 2, (white + black) / 2
    bits = [bool(light[cell] > middle) for cell in CELLS]
    if any(bits[k] == bits[half + k] for k in range(half)) or max(light[BOTTOM_LEFT], light[BOTTOM_RIGHT]) > middle:
        return None
    return sum(bit << k for k, bit in enumerate(bits[:half]))


def channel_order(image: npt.NDArray[np.generic]) -> str | None:
    """`"rgb"` or `"bgr"`, read from the red and the blue corner of a drawn picture; None when they are not there."""
    means = _cell_means(image)
    first, last = means[BOTTOM_LEFT], means[BOTTOM_RIGHT]
    if abs(first[0] - first[2]) < 50 or abs(last[0] - last[2]) < 50:
        return None
    return {(True, False): "rgb", (False, True): "bgr"}.get((first[0] > first[2], last[0] > last[2]))


def _codec_options(spec: VideoSpec) -> dict[str, str]:
    options = {"threads": "1"}
    if spec.codec == "h264":
        options |= {"preset": "ultrafast", "crf": "18", "bf": str(spec.b_frames), "sc_threshold": "0"}
    elif spec.codec == "hevc":
        quiet = f"log-level=none:pools=none:frame-threads=1:bframes={spec.b_frames}:keyint={spec.gop}:scenecut=0"
        options |= {"preset": "ultrafast", "crf": "18", "x265-params": quiet}
    elif spec.codec == "mpeg4":
        options |= {"qscale": "3", "bf": str(spec.b_frames), "sc_threshold": "1000000000"}
    else:
        options |= {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0", "lag-in-frames": "0"}
    return options


def _video_stream(out: OutputContainer, spec: VideoSpec) -> VideoStream:
    stream = out.add_stream(ENCODERS[spec.codec], rate=spec.rate, options=_codec_options(spec))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = spec.coded_size
    stream.pix_fmt = spec.pixel_format
    stream.time_base = stream.codec_context.time_base = spec.tick
    stream.codec_context.gop_size = spec.gop
    if spec.codec == "mpeg4":
        stream.codec_context.qmin = stream.codec_context.qmax = 3
    if spec.rotation:
        stream.set_display_rotation(-spec.rotation)
    return stream


def _ticks(spec: VideoSpec) -> list[int]:
    """Presentation times of all encoded frames, and the end, in ticks; hidden frames stand before `start`."""
    first = spec.start - sum(spec.lengths[: spec.hidden])
    return [first + sum(spec.lengths[:k]) for k in range(len(spec.lengths) + 1)]


def _pictures(spec: VideoSpec) -> Iterator[av.VideoFrame]:
    for number, pts in enumerate(_ticks(spec)[:-1]):
        coded = np.rot90(draw_number(number, spec.size), k=spec.rotation // 90)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(coded), format="rgb24")
        frame.pts, frame.time_base = pts, spec.tick
        yield frame


def _mux_audio(out: OutputContainer, stream: AudioStream, seconds: Fraction) -> None:
    chunk = 1152 if stream.codec_context.name == "mp2" else 960 if stream.codec_context.name == "libopus" else 1024
    pts = 1024  # an encoder's lead-in stands before the first sample; nothing may start below zero
    while pts < seconds * SAMPLE_RATE:
        tone = 0.1 * np.sin(np.arange(pts, pts + chunk) * (2 * np.pi * 440 / SAMPLE_RATE))
        frame = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None, :], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, pts, Fraction(1, SAMPLE_RATE)
        out.mux(stream.encode(frame))
        pts += chunk
    out.mux(stream.encode(None))


def _container_options(path: Path, spec: VideoSpec) -> dict[str, str]:
    options = {"fflags": "+bitexact"}  # no random track ids: the same bytes each time
    if path.suffix == ".ts":
        options["mpegts_copyts"] = "1"  # otherwise moved by the multiplexing delay
    if path.suffix in {".mp4", ".mov"}:
        # A late start is written in movie units; in the usual milliseconds it would be rounded down.
        options["movie_timescale"] = str(_container_time_base(path, spec).denominator)
    return options


def _encode(path: Path, spec: VideoSpec) -> None:
    ticks = _ticks(spec)
    length = dict(zip(ticks, spec.lengths, strict=False))
    with av.open(str(path), "w", options=_container_options(path, spec)) as out:
        video = _video_stream(out, spec)
        sound = None
        if spec.audio:
            sound = out.add_stream(AUDIO_CODECS.get(path.suffix, "aac"), rate=SAMPLE_RATE, layout="mono")
        for frame in chain(_pictures(spec), [None]):
            for packet in video.encode(frame):
                if packet.time_base == spec.tick and packet.pts in length:
                    packet.duration = length[packet.pts]
                out.mux(packet)
        if isinstance(sound, AudioStream):
            _mux_audio(out, sound, ticks[-1] * spec.tick)


def _container_time_base(path: Path, spec: VideoSpec) -> Fraction:
    if path.suffix in FIXED_TIME_BASE:
        return FIXED_TIME_BASE[path.suffix]
    if path.suffix == ".avi":
        return spec.tick
    # The mp4 writer counts in units of the time base's denominator, doubled until there are 10000 in a second.
    scale = spec.tick.denominator
    while scale < 10_000:
        scale *= 2
    return Fraction(1, scale)


def _avi_delay(spec: VideoSpec) -> int:
    # AVI stores no presentation times; the demuxer guesses them one frame late for a codec that may reorder.
    return int(spec.codec == "h264" or spec.b_frames > 0)


def _round(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def draw_video(path: Path, spec: VideoSpec) -> DrawnTruth:
    """Draw a video and say what a right decoder finds in it. The same spec gives the same bytes."""
    _encode(path, spec)
    return expected(path, spec)


def expected(path: Path, spec: VideoSpec) -> DrawnTruth:
    """The truth about a drawn video, worked out from its spec without reading the file."""
    base = _container_time_base(path, spec)
    late = _avi_delay(spec) if path.suffix == ".avi" else 0
    pts = [_round(tick * spec.tick / base) + late for tick in _ticks(spec)][spec.hidden :]
    t_ns = [_round((p - pts[0]) * base * 1_000_000_000) for p in pts]
    return DrawnTruth(
        path=path,
        time_base=base,
        pts=tuple(pts[:-1]),
        t_ns=tuple(t_ns[:-1]),
        end_ns=t_ns[-1],
        numbers=tuple(range(spec.hidden, len(spec.lengths))),
        size=spec.size,
        coded_size=spec.coded_size,
        rotation=spec.rotation,
        ordered=not (path.suffix == ".avi" and spec.codec == "h264" and spec.b_frames),
    )


LONG_SCENE_S = 20
LONG_CODE = 72


@dataclass(frozen=True, kw_only=True)
class LongSpec:
    """A long video that is cheap to encode: scenes of 20 s that stand still but for one moving block.

    The number is drawn in the bottom right corner only, `LONG_CODE` pixels square; `long_number` reads it there.
    """

    minutes: int = 60
    size: tuple[int, int] = (640, 360)
    rate: Fraction = Fraction(10)
    gop: int = 250

    @property
    def frames(self) -> int:
        return int(self.minutes * 60 * self.rate)

    @property
    def scene_frames(self) -> int:
        return int(LONG_SCENE_S * self.rate)


def long_number(image: npt.NDArray[np.generic]) -> int | None:
    """The number of a frame of a long video, from the full-size picture."""
    return frame_number(image[-LONG_CODE:, -LONG_CODE:])


def _long_light(number: int, spec: LongSpec, ramp: Picture) -> Picture:
    """The brightness `(height, width) uint8` of one frame of a long video."""
    width, height = spec.size
    scene, step = divmod(number, spec.scene_frames)
    light = ramp + np.uint8(50 + 37 * scene % 130)
    left, top = 3 * step % (width - 40), height // 3
    light[top : top + 40, left : left + 40] = 235
    code = draw_number(number, (LONG_CODE, LONG_CODE))
    # Grey alone: a bright block is white, everything else black.
    light[-LONG_CODE:, -LONG_CODE:] = np.where(code.min(axis=2) > 127, 235, 16)
    return light


def _long_frames(spec: LongSpec) -> Iterator[av.VideoFrame]:
    # Drawn in yuv420p itself: converting 36000 RGB pictures would take longer than encoding them.
    width, height = spec.size
    ramp = (np.add.outer(np.arange(height), np.arange(width)) // 8 % 48).astype(np.uint8)
    for number in range(spec.frames):
        colour = np.full((height // 2, width), 96 + 29 * (number // spec.scene_frames) % 64, np.uint8)
        planes = np.concatenate([_long_light(number, spec, ramp), colour])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number, 1 / spec.rate
        yield frame


def draw_long(path: Path, spec: LongSpec) -> DrawnTruth:
    """Draw a long video, one frame at a time: neither the drawing nor a right reader holds more than a few frames."""
    as_video = VideoSpec(rate=spec.rate, frames=spec.frames, size=spec.size, gop=spec.gop)
    with av.open(str(path), "w", options=_container_options(path, as_video)) as out:
        stream = _video_stream(out, as_video)
        for frame in _long_frames(spec):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return replace(expected(path, as_video), cuts=tuple(range(spec.scene_frames, spec.frames, spec.scene_frames)))
