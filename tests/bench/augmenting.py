"""What on-the-fly augmentation adds to reading the same frames: `python -m tests.bench.augmenting [--rounds 9]`.

Each round makes a copy of a drawn video, records and all, and reads its frames on a grid through the map; against that
it reads the very frames of the source that the map names, by the same decoder. Both are timed in turn, in processor
seconds of this process and of the workers that decode, and the least of each counts: other programs only add to it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import psutil

from augment.clip import Augmented, Clip
from augment.maker import Maker
from augment.settings import (
    Concat,
    Crop,
    Delay,
    Freeze,
    Jitter,
    Loop,
    Operation,
    Pipeline,
    Reconnect,
    Reverse,
    Skip,
    Speed,
)
from augment.showing import Reel, Showing
from augment.source import DATASETS, Source, by_size
from datasets_build.core.layout import video_path
from datasets_build.video import decoder_for, read
from tests.bench.ratios import Line, show

ROOT = Path(__file__).resolve().parents[2]
MOST = 1.05
CASES: dict[str, tuple[Operation, ...]] = {
    "speed, constant": (Speed(),),
    "speed, ramp": (Speed(form="ramp"),),
    "speed, pieces": (Speed(form="pieces"),),
    "skip, every": (Skip(form="every"),),
    "skip, random": (Skip(form="random"),),
    "skip, bursts": (Skip(form="bursts"),),
    "skip, motion": (Skip(form="motion"),),
    "jitter": (Jitter(),),
    "crop": (Crop(),),
    "concat": (Concat(),),
    "loop": (Loop(),),
    "freeze": (Freeze(stalls=2),),
    "reverse": (Reverse(),),
    "reconnect": (Reconnect(),),
    "delay": (Delay.model_validate({"network": {"form": "lognormal", "median_ms": 80.0}}),),
    "speed + skip + freeze": (Speed(form="pieces"), Skip(form="bursts"), Freeze()),
    "crop + concat + jitter": (Crop(), Concat(), Jitter()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A finished folder, ready to be augmented and read."""

    clips: Sequence[Clip]
    source: Source
    reels: dict[str, Reel]
    fps: Fraction
    decoder: str

    @classmethod
    def of(cls, folder: Path, *, fps: Fraction, decoder: str, datasets: Sequence[str] | None = None) -> Stand:
        """Opens a folder."""
        source = Source.open(folder)
        clips = [clip for clip in source.clips(datasets) if clip.video.split == "train"]
        reels = {
            clip.video.id: Reel(video=clip.video, path=video_path(folder, clip.video), clock=clip.clock)
            for clip in clips
        }
        return cls(clips=clips, source=source, reels=reels, fps=fps, decoder=decoder)

    def maker(self, operations: tuple[Operation, ...]) -> Maker:
        """What makes the copies."""
        return Maker(
            pipeline=Pipeline(operations=operations),
            rules=self.source.rules("streaming_qa"),
            talk_rules=self.source.rules("dialogue"),
            others=by_size(self.clips),
        )

    def times(self, made: Augmented) -> list[int]:
        """The grid of an augmented video, ns."""
        clock = made.view.clock
        return [int(t) for t in clock.t_ns[clock.grid(self.fps)]]

    def ours(self, maker: Maker, copy: int) -> None:
        """Makes a copy, and reads its frames."""
        made = maker.make(self.clips[0], copy)
        assert made is not None
        Showing(view=made.view, reels=self.reels, looks=made.looks).frames(self.times(made), decoder=self.decoder)

    def baseline(self, made: Augmented) -> Callable[[], None]:
        """Reads the frames that the map names, and nothing else."""
        asked: defaultdict[str, list[int]] = defaultdict(list)
        for name, t_ns in made.view.source_times(self.times(made)):
            asked[name].append(t_ns)

        def run() -> None:
            found = []
            for name, times in asked.items():
                reel = self.reels[name]
                found.append(read(reel.path, reel.clock, times, decoder=decoder_for(reel.video, self.decoder)))

        return run


def spent() -> float:
    """Processor seconds of this process and of its children until now."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(child.cpu_times().user + child.cpu_times().system for child in children)


def seconds(work: Callable[[], None]) -> float:
    """What some work costs."""
    begun = spent()
    work()
    return spent() - begun


def measure(stand: Stand, what: str, operations: tuple[Operation, ...], *, rounds: int) -> Line:
    """One case: least against least over the rounds, all of one copy, and what making its records alone costs."""
    maker = stand.maker(operations)
    made = maker.make(stand.clips[0], 0)
    assert made is not None
    works = {
        "ours": lambda: stand.ours(maker, 0),
        "baseline": stand.baseline(made),
        "records": lambda: maker.make(stand.clips[0], 0) and None,
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    # The first round warms up; another one begins each round.
    for k in range(rounds + 1):
        for name in (*names[k % 3 :], *names[: k % 3]):
            spent_on = 1000 * seconds(works[name])
            taken[name] += [spent_on] if k else []
    least = {name: min(found) for name, found in taken.items()}
    median = {name: statistics.median(found) for name, found in taken.items()}
    return Line(
        what=what,
        ours=f"{least['ours']:.0f} ms, median {median['ours']:.0f}, records {least['records']:.1f}",
        baseline=f"{least['baseline']:.0f} ms, median {median['baseline']:.0f}",
        value=least["ours"] / least["baseline"],
        most=MOST,
    )


def draw(folder: Path, *, seconds_long: int, size: tuple[int, int]) -> Path:
    """Two drawn videos with all datasets, by the commands that a user has."""
    world = (
        "index.source=world", "index.world.videos=2", f"index.world.seconds={seconds_long}",
        f"index.world.width={size[0]}", f"index.world.height={size[1]}", "index.world.vfr_share=0.0",
        "index.split.train=1.0", "index.split.validation=0.0", "index.split.test=0.0",
    )  # fmt: skip
    for verb in (
        ("index", "--out", str(folder), "--workers", "1", "--", str(folder / "videos"), *world),
        ("perceive", str(folder), "--workers", "1"),
        ("build", str(folder)),
    ):
        command = [sys.executable, "-m", "datasets_build", *verb]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return folder


def run(stand: Stand, *, rounds: int, cases: Sequence[str] = tuple(CASES)) -> list[Line]:
    """All cases over a folder."""
    return [measure(stand, what, CASES[what], rounds=rounds) for what in cases]


def main() -> int:
    """Draws, measures, and prints; exit code 1 where a case takes more than its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", default="2")
    parser.add_argument("--decoder", default="pyav", choices=("pyav", "decord", "torchcodec"))
    parser.add_argument("--datasets", nargs="*", choices=DATASETS, help="whose records are made; all without")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = draw(Path(scratch) / "out", seconds_long=given.seconds, size=(width, height))
        stand = Stand.of(folder, fps=Fraction(given.fps), decoder=given.decoder, datasets=given.datasets)
        lines = run(stand, rounds=given.rounds, cases=given.only)
    title = f"augmenting {given.size}, {given.seconds} s, {given.fps} frames a second, {given.decoder}: processor time"
    return 0 if show(title, lines) else 1


if __name__ == "__main__":
    sys.exit(main())
