"""How fast a scan is, as ratios in one run: against decoding alone, and against PySceneDetect's own AdaptiveDetector.

Run by `make bench`. The videos are drawn at 1080p, 720p and 360p; with STREAMVL_DATA set, real films are added. Each
figure is the median over paired rounds, so that a machine that slows down slows both sides. Two ratios are given: of
wall-clock time, which is what one waits for on an idle machine, and of processor time over all threads, which is what
counts where every core has work. A second table says where the time goes, a third what a second worker brings. Writes
no file: paste the tables into docs/performance.md.
"""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from datasets_build.core.worker import Worker
from datasets_build.engines.local import Local
from datasets_build.engines.outcome import ENVIRONMENT
from datasets_build.perception.perceive import PerceiveConfig
from datasets_build.perception.perceive import perceive as perceive_stage
from datasets_build.run import open_engine
from datasets_build.sources.index import IndexConfig, build_index
from tests.bench.perceive_costs import Cost, Profile, decode_on_one_core, draw, measure, profile

ROUNDS = 5
LIMIT_S = 1800.0
SIZES = {"drawn 1080p": (1920, 1080), "drawn 720p": (1280, 720), "drawn 360p": (640, 360)}
REAL = {
    "real 1080p h264": "mcpm_demo_video.mp4",
    "real 1080p hevc": "mb_video-h265.mp4",
    "real 720p h264": "los_sintel_trailer-720p.mp4",
    "real 360p h264": "derived_known_edit.mp4",
}
# Of equal videos for workers, and how often.
COPIES, WORKER_ROUNDS = 10, 3


def films(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths: drawn ones first, then real ones where there are any."""
    for name, size in SIZES.items():
        path = folder / f"{size[1]}.mp4"
        draw(path, size)
        yield name, path
    data = os.environ.get("STREAMVL_DATA")
    for name, file in REAL.items() if data else ():
        yield name, Path(str(data)) / "videos" / file


def spread(ratios: Sequence[float]) -> str:
    """Median with the least and the greatest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def cells(ratios: Sequence[Cost]) -> str:
    """Two cells: wall-clock and processor time."""
    return f"{spread([ratio.wall for ratio in ratios])} | {spread([ratio.cpu for ratio in ratios])}"


def profile_rows(profiles: Mapping[str, Profile]) -> list[str]:
    """The table of stages: a row for each, a column for each video, and what it all comes to."""
    stages = next(iter(profiles.values())).stages
    columns = list(profiles.values())
    rows = ["| ms of processor time a frame | " + " | ".join(profiles) + " |", "| - |" + " - |" * len(columns)]
    rows.append(_row("decoding alone", [each.alone for each in columns]))
    rows += [_row(name, [each.stages[name] for each in columns]) for name in stages]
    return [*rows, _row("all stages", [sum(each.stages.values()) for each in columns])]


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def perceive_all(out: Path, workers: int) -> float:
    """Seconds that the perceive stage takes with so many workers, from nothing; its folder is taken away again."""
    begun = time.perf_counter()
    with open_engine("local", out, workers) as engine:
        perceive_stage(out, PerceiveConfig(), engine=engine)
    took = time.perf_counter() - begun
    shutil.rmtree(out / "perceive")
    return took


def decode_all(videos: Sequence[Path], workers: int) -> float:
    """Seconds that so many workers take to decode the same videos and no more: what the machine gives to a second."""
    begun = time.perf_counter()
    with open_engine("local", videos[0], workers) as engine:
        for outcome in engine.run_each(decode_on_one_core, videos, deadline_s=LIMIT_S):
            if outcome.error is not None:
                raise outcome.error
    return time.perf_counter() - begun


def equal_videos(folder: Path, size: tuple[int, int], *, copies: int, frames: int) -> Path:
    """An indexed folder with so many equal videos; they differ in a byte behind their end, as the index wants."""
    videos = folder / "videos"
    videos.mkdir(parents=True)
    draw(videos / "0.mp4", size, frames)
    for k in range(1, copies):
        # A box of the kind that readers skip.
        (videos / f"{k}.mp4").write_bytes((videos / "0.mp4").read_bytes() + b"\0\0\0\x0cfree" + k.to_bytes(4, "big"))
    build_index(videos, folder / "out", IndexConfig(check_decoders=()), engine=Local(2), force=False)
    return folder / "out"


def workers_rows(out: Path, rounds: int) -> list[str]:
    """The table of one worker against two, who take turns; a worker keeps one core busy."""
    videos = sorted((out.parent / "videos").iterdir())
    works = {"perceive": partial(perceive_all, out), "decoding alone": partial(decode_all, videos)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append((work(1), work(2)))
    return ["| | one worker | two workers | two do so much more |", "| - | - | - | - |"] + [
        f"| {name} | {statistics.median(one for one, _ in times):.1f} s "
        f"| {statistics.median(two for _, two in times):.1f} s | {spread([one / two for one, two in times])} |"
        for name, times in taken.items()
    ]


def main() -> None:
    """Print the tables."""
    logging.disable(logging.WARNING)
    print(f"{os.cpu_count()} cores, {ROUNDS} rounds, medians (least to greatest); decoding alone with PyAV is 1.00\n")
    print("| video | frames | perceive, wall | perceive, CPU | PySceneDetect, wall | PySceneDetect, CPU |")
    print("| - | - | - | - | - | - |")
    profiles = {}
    with tempfile.TemporaryDirectory() as name, Worker(environment=ENVIRONMENT) as worker:
        folder = Path(name)
        for label, path in films(folder):
            frames, ours, theirs = worker.call(LIMIT_S, measure, path, folder, ROUNDS)
            print(f"| {label} | {frames} | {cells(ours)} | {cells(theirs)} |", flush=True)
            profiles[label] = worker.call(LIMIT_S, profile, path, folder)
        print("\nWhere the time goes:\n", *profile_rows(profiles), sep="\n", flush=True)
        out = equal_videos(folder / "equal", SIZES["drawn 720p"], copies=COPIES, frames=900)
        print(f"\n{COPIES} equal videos of 720p:\n", *workers_rows(out, WORKER_ROUNDS), sep="\n")


if __name__ == "__main__":
    main()
