"""How building grows with the number of videos: `python -m tests.bench.scaling [--videos 1000 10000 100000]`.

Records of many short videos are drawn, without a film, and `python -m datasets_build build` makes the datasets of them.
Each stage has a process of its own: the command is killed where a stage is there, and repeated, which goes on behind
it. Memory and processor time are those that the system counted for the process; other programs slow the wall clock,
not these. What the command takes where everything is there already is no part of a stage.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.stage import Stage
from tests.bench.ratios import Line, show

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("events", "streaming_qa", "frame_events", "dialogue")
SETTINGS = ("streaming_qa.least=1", "dialogue.least=1")
"""As many questions as a minute has, however short a video is."""
MOST = 1.3
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds and peak resident bytes of a process."""

    cpu_s: float
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one stage takes of so many videos, and the records that it writes."""

    stage: str
    videos: int
    records: int
    cpu_s: float
    peak: int

    @property
    def per_s(self) -> float:
        """Records per second of the processor."""
        return self.records / self.cpu_s


def used_by(command: Sequence[str], *, until: Path | None = None) -> Used:
    """Run a command, killed where a file is there.

    Raises:
        RuntimeError: it failed, or ended without the file.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        pid = 0
        while not pid:
            time.sleep(_LOOK_S)
            if until is not None and until.exists():
                os.kill(process.pid, signal.SIGKILL)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        if not until.exists() if until is not None else process.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read()[-2000:].decode(errors='replace')}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def measure(folder: Path, videos: int) -> Iterator[Cost]:
    """Draw the records of so many videos, and build what comes of them stage by stage."""
    out = folder / f"{videos}"
    # In a process of its own: a child's peak is at least what its parent holds.
    used_by([sys.executable, "-m", "tests.bench.scaling_records", str(out), str(videos)])
    build = [sys.executable, "-m", "datasets_build", "build", str(out), *SETTINGS]
    spent = [used_by(build, until=out / stage / "manifest.json") for stage in STAGES]
    start_s = used_by(build).cpu_s
    for stage, used in zip(STAGES, spent, strict=True):
        counts = Stage.finished(out, stage).counts()
        yield Cost(
            stage=stage,
            videos=videos,
            records=sum(number for what, number in counts.items() if what != "videos"),
            cpu_s=max(_LOOK_S, used.cpu_s - start_s),
            peak=used.peak,
        )
    shutil.rmtree(out)


def lines_of(fewest: Cost, cost: Cost) -> Iterator[Line]:
    """The same stage of more videos against the fewest: its memory, which is bounded, and its speed."""
    where = f"{cost.stage}, {cost.videos:,} videos"
    yield Line(
        what=f"{where}: peak memory",
        ours=f"{cost.peak / 1e6:.0f} MB",
        baseline=f"{fewest.peak / 1e6:.0f} MB",
        value=cost.peak / fewest.peak,
        most=MOST,
    )
    yield Line(
        what=f"{where}: records per second",
        ours=f"{cost.per_s:,.0f}, {1000 * cost.cpu_s / cost.videos:.1f} ms a video",
        baseline=f"{fewest.per_s:,.0f}, {1000 * fewest.cpu_s / fewest.videos:.1f} ms a video",
        value=cost.per_s / fewest.per_s,
    )


def run(folder: Path, videos: Sequence[int]) -> list[Line]:
    """All stages of each number of videos against the fewest."""
    first, *more = (list(measure(folder, number)) for number in sorted(videos))
    return [line for costs in more for pair in zip(first, costs, strict=True) for line in lines_of(*pair)]


def main() -> int:
    """Measures and prints; exit code 1 where memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[1_000, 10_000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines = run(Path(scratch), given.videos)
    return 0 if show(f"building, against {min(given.videos):,} videos: processor time", lines) else 1


if __name__ == "__main__":
    sys.exit(main())
