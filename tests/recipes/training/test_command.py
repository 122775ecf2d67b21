"""One run at a time writes a stage's folder."""

import subprocess
import sys

import pytest

from models.whole_folder import whole_folder
from recipes.errors import CheckpointError
from recipes.training.command import HELD, held_folder, read_run
from tests.recipes.test_stages import ROOT, TINY

HOLDER = """
import sys
from recipes.training.command import held_folder, read_run
from pathlib import Path
with held_folder(read_run(Path(sys.argv[1]), [sys.argv[2]], None), "align"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that holds the folder of stage 1."""
    command = [sys.executable, "-c", HOLDER, str(TINY), f"out={tmp_path}/run"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_folder_is_held_by_one_run(tmp_path, elsewhere):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    told = "align: another run is training here; wait for it or stop it"
    with pytest.raises(CheckpointError, match=told), held_folder(run, "align"):
        pytest.fail("two runs write one folder")
    with held_folder(run, "stream"):
        pass
    # One that is killed lets go, whatever it leaves behind.
    elsewhere.kill()
    elsewhere.wait()
    with held_folder(run, "align"):
        pass


def test_processes_of_one_run_share_its_folder(tmp_path, monkeypatch):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    monkeypatch.setenv("RANK", "0")
    with held_folder(run, "align"):
        monkeypatch.setenv("RANK", "1")
        with held_folder(run, "align"):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(CheckpointError), held_folder(run, "align"):
            pytest.fail("it is held until the first process leaves it")


def test_a_file_that_somebody_took_away_is_no_lock(tmp_path):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    with held_folder(run, "align"):
        (tmp_path / "run" / "align" / HELD).unlink()
    with held_folder(run, "align"):
        pass


def test_a_folder_that_stays_empty_is_taken_away(tmp_path):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    with held_folder(run, "align"):
        assert (tmp_path / "run" / "align").is_dir()
    assert not (tmp_path / "run").exists()


def test_who_holds_a_folder_can_publish_a_package_in_it(tmp_path):
    run = read_run(TINY, [f"out={tmp_path}/run"], None)
    package = tmp_path / "run" / "align" / "package"
    with held_folder(run, "align"), whole_folder(package, overwrite=True, marks=["weights"]) as aside:
        (aside / "weights").write_text("w")
    assert (package / "weights").read_text() == "w"
    assert not (package.parent / HELD).exists()
