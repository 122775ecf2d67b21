"""The Makefile as a user types it; the environment is the one that runs the tests, so nothing is installed here."""

import shutil
import subprocess
import sys

import pytest

from datasets_build.sources.world import WorldConfig, draw_world
from tests.readme_tree import ROOT

TARGETS = (
    *("setup", "demo", "data", "lessons", "augment", "train", "train-all", "package", "evaluate", "watch", "compare"),
    *("label-studio", "annotate-push", "annotate-status", "annotate-pull", "annotate-close", "annotate-merge"),
    *("test", "test-rounds", "test-all", "check", "bench", "clean"),
)


@pytest.fixture
def project(tmp_path):
    """The Makefile and packages in a folder of their own, with the present Python where make expects its own."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "datasets_build").symlink_to(ROOT / "datasets_build")
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "python").chmod(0o755)
    # Newer than what it is made from, so make installs nothing.
    (tmp_path / ".venv/ready").touch()
    return tmp_path


def make(project, *words):
    return subprocess.run(["make", *words], cwd=project, capture_output=True, text=True)


def test_help_comes_first_and_names_every_target(project):
    shown = make(project)
    assert shown.returncode == 0
    for target in TARGETS:
        assert f"make {target} " in shown.stdout


def test_data_without_a_folder_says_what_to_type(project):
    done = make(project, "data")
    assert done.returncode != 0
    assert "make data VIDEOS=dir" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "d$y",
        "it's",
        *(pytest.param(odd, marks=pytest.mark.slow) for odd in ("plain", "two words", 'q"x', "-dash", "ünï")),
    ],
)
def test_any_folder_name_reaches_the_program(project, name):
    folder = project / name
    folder.mkdir()
    (folder / "notes.txt").write_text("no video")
    done = make(project, "data", f"VIDEOS={name}", "OUT=out")
    assert done.returncode != 0
    # The program saw the folder under its own name: what it misses is a video.
    assert "no video" in done.stderr.lower()
    assert folder.name in done.stderr


@pytest.mark.parametrize(
    ("words", "how", "installs"),
    [
        (["WORKERS=3"], "--engine local --workers 3 ", False),
        (["ENGINE=ray"], "--engine ray  ", True),
        (["ENGINE=ray", "WORKERS=3"], "--engine ray --workers 3 ", True),
    ],
)
def test_the_engine_and_its_workers_reach_both_stages(project, words, how, installs):
    planned = make(project, "-n", "data", "VIDEOS=clips", *words).stdout.splitlines()
    assert [line.split()[3] for line in planned if how in line] == ["index", "perceive"]
    # A cluster needs its package, which has as many workers as it has processors where nobody says otherwise.
    assert any("'.[ray]'" in line for line in planned) == installs


def test_an_empty_output_is_refused(project):
    (project / "clips").mkdir()
    done = make(project, "data", "VIDEOS=clips", "OUT=")
    assert done.returncode != 0
    assert not (project / "index").exists()


@pytest.mark.slow
def test_data_runs_from_video_to_report(project):
    draw_world(project / "my clips", WorldConfig(videos=3, seconds=6))
    done = make(project, "data", "VIDEOS=my clips", "OUT=my out", "ARGS=streaming_qa.least=5")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (project / "my out/report.html").exists()
    assert "3 videos" in done.stdout


def test_clean_leaves_other_output_alone(project):
    for name in ("out/demo", "out/mine"):
        (project / name).mkdir(parents=True)
    assert make(project, "clean").returncode == 0
    assert (project / "out/mine").exists()
    assert not (project / "out/demo").exists()
    assert not (project / ".venv").exists()
