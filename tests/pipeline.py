"""Run the command line as a user does, stage by stage, and compare what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VERBS = ("index", "perceive", "build", "check", "report")


def command(verb: str, out: Path, videos: Path, *extra: str) -> list[str]:
    """The command of one stage; `extra` goes to every stage."""
    target = [str(videos), "--out", str(out)] if verb == "index" else [str(out)]
    return [sys.executable, "-m", "datasets_build", verb, *target, *extra]


def run(verb: str, out: Path, videos: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """Run one stage to its end."""
    return subprocess.run(
        command(verb, out, videos, *extra), capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )


def build_all(out: Path, videos: Path, *, workers: int = 2, extra: tuple[str, ...] = ()) -> None:
    """Every stage in turn; a stage that fails is an assertion with its words."""
    for verb in VERBS:
        more = ("--workers", str(workers)) if verb in ("index", "perceive") else ()
        done = run(verb, out, videos, *more, *extra)
        assert done.returncode == 0, f"{verb}: {done.stderr[-2000:]}"


def tree_bytes(out: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its relative path."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
