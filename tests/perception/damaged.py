"""Films with bytes flipped, zeroed, cut or swapped at random, and the law of what may become of them.

    python -m tests.perception.damaged FOLDER [VARIANTS] [FILM ...]

makes that many variants of each film (of those drawn here where none is named), runs `index` and `perceive` over them
as a user does, and says what became of them.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Video
from datasets_build.core.table import read_table
from datasets_build.video import probe
from tests.drawn import VideoSpec, draw_number, draw_video
from tests.pipeline import run

FRAMES = 40
SIZE = (160, 120)
# Codec and pixel format of each.
DRAWN = {
    "film.mp4": ("h264", "yuv420p"),
    "film.webm": ("vp9", "yuv420p"),
    "film.avi": ("mpeg4", "yuv420p"),
    "film.ts": ("mpeg2video", "yuv420p"),
    "film.gif": ("gif", "rgb8"),
}


def draw(folder: Path) -> list[Path]:
    """Five small films, each in another container and codec."""
    for name, (codec, pixels) in DRAWN.items():
        path = folder / name
        if codec in ("mpeg2video", "gif"):
            _encode(path, codec, pixels)
        else:
            draw_video(path, VideoSpec(codec=codec, frames=FRAMES, size=SIZE, b_frames=2 * (codec == "h264")))
    return [folder / name for name in DRAWN]


def _encode(path: Path, codec: str, pixels: str) -> None:
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream(codec, rate=25, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(draw_number(number, SIZE), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame.reformat(format=pixels)))
        out.mux(stream.encode(None))


def _span(content: bytearray, rng: random.Random, share: float) -> tuple[int, int]:
    """Where some bytes begin and end; every fourth time near the start of the file, where its headers are."""
    length = rng.randint(1, max(1, int(share * len(content))))
    last = max(0, len(content) - length)
    first = rng.randint(0, min(last, 1000) if rng.random() < 0.25 else last)
    return first, first + length


def flip(content: bytearray, rng: random.Random) -> None:
    """Turn up to 64 bits over."""
    first, end = _span(content, rng, 1.0)
    for _ in range(rng.choice((1, 8, 64))):
        content[rng.randrange(first, end)] ^= 1 << rng.randrange(8)


def zero(content: bytearray, rng: random.Random) -> None:
    """Overwrite a run with zeros."""
    first, end = _span(content, rng, 0.2)
    content[first:end] = bytes(end - first)


def cut(content: bytearray, rng: random.Random) -> None:
    """Take the end away, or a piece from the middle."""
    if rng.random() < 0.5:
        del content[rng.randrange(len(content)) :]
    else:
        first, end = _span(content, rng, 0.3)
        del content[first:end]


def swap(content: bytearray, rng: random.Random) -> None:
    """Exchange two runs of one length."""
    length = rng.randint(1, max(1, len(content) // 8))
    here, there = sorted(rng.randrange(len(content) - length + 1) for _ in range(2))
    there = max(there, min(here + length, len(content) - length))
    here = min(here, there - length) if there >= length else 0
    content[here : here + length], content[there : there + length] = (
        content[there : there + length],
        content[here : here + length],
    )


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, zero, cut, swap)


def variant(content: bytes, seed: int) -> tuple[str, bytes]:
    """How a film is damaged, and what is left of it: the same seed does the same."""
    way = WAYS[seed % len(WAYS)]
    damaged = bytearray(content)
    way(damaged, random.Random(f"{way.__name__} {seed} {len(content)}"))
    return way.__name__, bytes(damaged)


def spoil(films: Iterable[Path], to: Path, seeds: Iterable[int]) -> None:
    """Write a variant of each film for each seed, `FILM-SEED-WAY.SUFFIX`."""
    to.mkdir(parents=True)
    seeds = list(seeds)
    for film in films:
        content = film.read_bytes()
        for seed in seeds:
            way, damaged = variant(content, seed)
            (to / f"{film.stem}{film.suffix.replace('.', '_')}-{seed:03}-{way}{film.suffix}").write_bytes(damaged)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a film: frames in the index, or the code of its row in `rejects.jsonl`."""

    uri: str
    frames: int = 0
    status: str = ""
    code: str = ""


def fates(films: Path, out: Path) -> list[Fate]:
    """Hold a folder of films and what `index` and `perceive` made of it against the law, and tell what became of each.

    Each film is in the index or in a row that says why not; each of the index is perceived whole, its shots end to end,
    or in a row; frames decoded and frames left out are those of the index; a decoder neither crashed nor hung.
    """
    rows = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["item"], row
        assert row["reason"], row
        assert row["action"], row
        assert not row["code"].endswith(("_crashed", "_hung")), row
        # Unforeseen errors are told by the names of their classes.
        assert row["code"] != "decoder_failed" or "frames" in row["reason"], row
        # A film that is left out is named, with what was found and what was expected.
        assert row["stage"] != "index" or (row["reason"].startswith(row["item"]) and "expected" in row["reason"]), row
    refused = {row["item"]: row["code"] for row in rows if row["stage"] == "index"}
    left_out = {row["item"] for row in rows if row["stage"] == "perceive" and row["action"].startswith("left out")}
    videos = {video.uri: video for video in read_videos(out)}
    unspoken = {path.name for path in films.iterdir()} ^ (videos.keys() | refused.keys())
    twice = videos.keys() & refused.keys()
    assert not unspoken | twice, sorted(unspoken | twice)
    shots: dict[str, int] = Counter()
    for shot in read_table(table_path(out, Shot), Shot):
        assert shot.start_frame == shots[shot.video_id], shot
        shots[shot.video_id] = shot.end_frame
    for uri, video in videos.items():
        assert shots[video.id] == (0 if uri in left_out else video.n_frames), uri
        assert len(np.load(out / "index" / video.pts_index)) == video.n_frames, uri
    counts = json.loads((out / "perceive" / "manifest.json").read_text())["counts"]
    assert counts["frames"] == sum(shots.values()), counts
    assert counts["frames left out"] == sum(videos[uri].n_frames for uri in left_out), counts
    assert counts["frames"] + counts["frames left out"] == sum(video.n_frames for video in videos.values()), counts
    kept = [Fate(uri, video.n_frames, _status(video)) for uri, video in videos.items()]
    return sorted([*kept, *(Fate(uri, code=code) for uri, code in refused.items())], key=lambda fate: fate.uri)


def _status(video: Video) -> str:
    """What the index says of a video: `ok`, `degraded`, or that it has other frames than its header counts."""
    told = [problem.code for problem in video.problems]
    return "header_count_differs" if video.status == "ok" and told == ["header_count_differs"] else video.status


def shortened(found: Iterable[Fate], whole: Mapping[str, int]) -> list[Fate]:
    """Films that have fewer frames in the index than before they were damaged, and of which the index says nothing."""
    return [fate for fate in found if fate.status == "ok" and fate.frames < whole[origin(fate.uri)]]


def origin(uri: str) -> str:
    """The film that a variant was made from: `film_mp4-007-swap.mp4` is one of `film.mp4`."""
    stem, suffix = uri.split("-")[-3], Path(uri).suffix
    return "-".join([*uri.split("-")[:-3], stem.removesuffix(suffix.replace(".", "_")) + suffix])


def perceived(films: Path, out: Path, *extra: str) -> None:
    """Run `index` and `perceive` over a folder as a user does; neither may fail."""
    for verb in ("index", "perceive"):
        done = run(verb, out, films, "--workers", "2", *extra)
        assert done.returncode == 0, f"{verb}: {done.stderr[-2000:]}"


def plain_frames(path: Path) -> int:
    """How many frames a plain loop of PyAV shows, one thread, past whatever is damaged: pictures of one time once."""
    shown: set[int | None] = set()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        packets = container.demux(stream)
        for _ in range(10_000):
            try:
                shown.update(frame.pts for frame in next(packets).decode())
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, IndexError):
                # Damage, or a stream that begins in the middle, for which PyAV has no place.
                packets = container.demux(stream)
            except StopIteration:
                break
    return len(shown)


def main(folder: Path, variants: int, films: list[Path]) -> None:
    """Make variants, run both stages over them, and say what became of them."""
    folder.mkdir(parents=True)
    if not films:
        (folder / "films").mkdir()
        films = draw(folder / "films")
    whole = {path.name: probe(path).n_frames for path in films}
    spoil(films, folder / "damaged", range(variants))
    begun = time.monotonic()
    perceived(folder / "damaged", folder / "out")
    found = fates(folder / "damaged", folder / "out")
    print(f"{len(found)} films in {time.monotonic() - begun:.0f} s")
    for name, count in sorted(Counter((origin(fate.uri), fate.status or fate.code) for fate in found).items()):
        print(*name, count)
    print("fewer frames without a word:", *shortened(found, whole), sep="\n  ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
