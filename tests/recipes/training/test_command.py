"""One run at a time writes a stage's folder."""

import subprocess
import sys

import pytest

from datasets_build.core.stage import StageError, output_folder
from recipes.training.command import held_folder, read_run
from tests.recipes.test_stages import ROOT, TINY

HOLDER = """
import sys
from pathlib import Path
from datasets_build.core.stage import output_folder
with output_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that holds the folder of stage 1."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run" / "align")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_folder_is_held_by_one_run(tmp_path, elsewhere):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    with (
        pytest.raises(StageError, match="another run is writing here; wait for it or stop it"),
        held_folder(run, "align"),
    ):
        pytest.fail("two runs write one folder")
    with held_folder(run, "stream"):
        pass
    elsewhere.kill()
    elsewhere.wait()
    with held_folder(run, "align"):
        pass


def test_processes_of_one_run_share_its_folder(tmp_path, monkeypatch):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with held_folder(run, "align"):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with held_folder(run, "align"):
            pass
        with pytest.raises(StageError), output_folder(tmp_path / "run" / "align"):
            pytest.fail("it is held until the first process leaves it")


def test_a_folder_that_stays_empty_is_taken_away(tmp_path):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    with held_folder(run, "align"):
        assert (tmp_path / "run" / "align").is_dir()
    assert not (tmp_path / "run" / "align").exists()
