"""Starts a stage's script under accelerate's launcher, and passes on the signals that ask it to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from datasets_build.core.config import read_yaml
from recipes.errors import RecipeError
from recipes.held import run_held
from recipes.settings import StageName

ACCELERATE = Path(__file__).with_name("accelerate")
SCRIPTS: dict[StageName, str] = {"align": "stage1_align", "stream": "stage2_stream", "interact": "stage3_interact"}


def launcher_of(accelerate: Path | None, *, rows: int) -> Path:
    """The config of accelerate: the one that was named, or that of one process on the first GPU, or of the CPU.

    On a CPU two processes with half of the cores each are faster than one with all of them, where there are two cores
    and two rows to share.

    Args:
        accelerate: the one that was named.
        rows: of a step, in the stage that has the fewest.

    Raises:
        RecipeError: it is no file.
    """
    both = cores() > 1 and rows > 1
    name = "gpu1.yaml" if torch.cuda.is_available() else "cpu2.yaml" if both else "cpu.yaml"
    chosen = accelerate or ACCELERATE / name
    if not chosen.is_file():
        raise RecipeError(f"{chosen} is no file; expected a config of accelerate, as in {ACCELERATE}")
    return chosen


def processes_of(launcher: Path) -> int:
    """How many a config of accelerate starts, on all machines.

    Raises:
        RecipeError: it says no whole number above 0.
    """
    count = read_yaml(launcher).get("num_processes", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RecipeError(f"{launcher}: num_processes is {count!r}, expected 1 or more")
    return count


def launch(stage: StageName, config: Path, overrides: Sequence[str], *, launcher: Path) -> int:
    """Runs a stage to its end.

    Args:
        stage: which.
        config: the run's YAML file.
        overrides: settings as `key.path=value`.
        launcher: config of accelerate.

    Returns:
        Its exit code; 128 + the signal's number where it was asked to stop.
    """
    command = [sys.executable, "-m", "recipes.launcher", "--config_file", str(launcher)]
    command += ["--num_cpu_threads_per_process", str(_threads(launcher))]
    if launcher.resolve() == ACCELERATE / "cpu2.yaml":
        # Any free port, so that two runs on a machine do not meet.
        command += ["--main_process_port", "0"]
    command += ["-m", f"recipes.{SCRIPTS[stage]}", "--config", str(config), *overrides]
    return run_held(command)


def cores() -> int:
    """How many may be used: OMP_NUM_THREADS says so where it is set."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))


def _threads(launcher: Path) -> int:
    """Threads for each process: the cores of a machine are shared by those that run there."""
    machines = read_yaml(launcher).get("num_machines", 1)
    here = processes_of(launcher) // max(1, machines if isinstance(machines, int) else 1)
    return max(1, cores() // max(1, here))
