"""How building grows with the number of videos: `python -m tests.bench.scaling [--videos 1000 10000 100000]`.

Records of many short videos are drawn, without a film, and `python -m datasets_build build` makes the three datasets of
them. Each stage has a process of its own: the command is killed where a stage is there, and repeated, which goes on
behind it. Peak memory and processor time of a stage are those that the system counted for its process; other programs
slow the wall clock, not these.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("events", "streaming_qa", "frame_events", "dialogue")
SETTINGS = ("streaming_qa.least=1", "dialogue.least=1")
"""As many questions as a minute has, however short a video is."""
MOST = 1.3
"""Peak memory over that of the fewest videos."""
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one stage took of so many videos: rows that it wrote, processor and wall seconds, peak resident bytes."""

    stage: str
    videos: int
    records: int
    cpu_s: float
    wall_s: float
    peak: int

    @property
    def per_s(self) -> float:
        """Records per second of the processor."""
        return self.records / self.cpu_s


def build_stage(out: Path, stage: str, *, videos: int, settings: Sequence[str] = SETTINGS) -> Cost:
    """Run the command until a stage is there.

    Raises:
        RuntimeError: it ended without.
    """
    command = [sys.executable, "-m", "datasets_build", "build", str(out), *settings]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        pid, status, used = 0, 0, None
        while not pid:
            time.sleep(_LOOK_S)
            if (out / stage).exists():
                os.kill(process.pid, signal.SIGKILL)
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        if not (out / stage / "manifest.json").exists():
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} made no {stage}: {said.read()[-2000:].decode(errors='replace')}")
    assert used is not None
    counts = Stage.finished(out, stage).counts()
    return Cost(
        stage=stage,
        videos=videos,
        records=sum(number for what, number in counts.items() if what != "videos"),
        cpu_s=used.ru_utime + used.ru_stime,
        wall_s=time.monotonic() - begun,
        peak=used.ru_maxrss * 1024,
    )
