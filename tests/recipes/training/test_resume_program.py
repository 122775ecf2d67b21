"""SIGTERM at any moment to the program itself; the same command again makes the package of a run that never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
import yaml

from recipes.training.checkpoint import checkpoints
from tests.recipes.training.feeds import curves_of
from tests.recipes.training.staged import config_of, left_by, make_lessons

ROOT = Path(__file__).resolve().parents[3]
STEPS = 40


class Program:
    """`python -m recipes train --stage 2` on a folder of lessons."""

    def __init__(self, folder):
        self.folder = folder
        run = config_of(folder / "none", make_lessons(folder / "lessons"), steps=STEPS)
        self.file = folder / "run.yaml"
        self.file.write_text(yaml.safe_dump(run.model_dump(mode="json")))
        self.run = run

    def config(self, name):
        return self.run.model_copy(update={"out": str(self.folder / name)})

    def start(self, name):
        words = ["train", "--stage", "2", "--config", str(self.file), f"out={self.folder / name}"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "recipes", *words]
        return subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def finish(self, name):
        started = self.start(name)
        _, told = started.communicate(timeout=400)
        assert started.returncode == 0, told[-3000:]

    def stop(self, name, *, behind, delay_s):
        """Asks it to stop so long after it has saved a step behind a given one; what it told, and the step it ended."""
        started = self.start(name)
        while started.poll() is None and self.saved(name) <= behind:
            time.sleep(0.02)
        time.sleep(delay_s)
        started.send_signal(signal.SIGTERM)
        _, told = started.communicate(timeout=400)
        assert started.returncode == 143, told[-3000:]
        return told, self.saved(name)

    def saved(self, name):
        found = checkpoints(self.folder / name / "stream")
        return int(found[-1].name.removeprefix("checkpoint-")) if found else 0

    def package(self, name):
        """All files of its package."""
        folder = self.folder / name / "stream" / "package"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("program"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_program_that_is_stopped_at_random_moments_makes_the_same_package(program):
    day = date.today()
    program.finish("once")
    chance, step = random.Random(11), 0
    for _ in range(3):
        behind = step + chance.randrange(4)
        told, step = program.stop("late", behind=behind, delay_s=chance.uniform(0.0, 0.5))
        assert behind < step < STEPS
        assert f"stopped after step {step}, which is saved; repeat the command to go on" in told
    program.finish("late")
    assert left_by(program.config("late"), "stream") == left_by(program.config("once"), "stream")
    assert [line["step"] for line in curves_of(program.config("late"), "stream")] == list(range(1, STEPS + 1))
    if date.today() != day:
        # The card bears the day on which it was written; a finished stage is packaged anew, and not trained.
        program.finish("once")
    assert program.package("late") == program.package("once")
    assert "model.safetensors" in program.package("late")
