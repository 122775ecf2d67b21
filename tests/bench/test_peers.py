"""What cannot be installed or run is said by name; the table is of medians; the programs run where they are kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import peers
from tests.bench.peers import (
    DATA_JUICER,
    PEERS,
    SCENEDETECT,
    CannotRunError,
    Home,
    cell,
    contenders,
    last_line,
    made,
    measure,
    python_of,
)
from tests.bench.perceive_costs import Cost
from tests.drawn import VideoSpec, draw_video

# A folder with the environments that the bench keeps: without it the programs are not run here.
KEPT = os.environ.get("STREAMVL_TEST_PEERS")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    draw_video(path, VideoSpec(frames=20))
    return path


@pytest.fixture
def package(tmp_path):
    """A package of one module, made here: pip needs no index for it."""
    home = tmp_path / "package"
    home.mkdir()
    (home / "theirs.py").write_text("answer = 42\n")
    lines = ("[build-system]", "requires = []", 'build-backend = "backend"', 'backend-path = ["."]')
    (home / "pyproject.toml").write_text("\n".join(lines) + "\n")
    (home / "backend.py").write_text(BACKEND)
    return home


BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "theirs-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.write("theirs.py")
        about = "theirs-1.0.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: theirs\\nVersion: 1.0\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""


@pytest.mark.slow
@pytest.mark.parametrize("bare", [True, False])
def test_an_environment_is_made_once_and_kept(tmp_path, package, bare):
    home = Home("own", (str(package),), bare=bare)
    python = python_of(tmp_path / "homes", home)
    code = "import theirs, importlib.util as u; print(theirs.answer, u.find_spec('av') is not None)"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env={}).stdout
    # One that brings its own packages does not see ours.
    assert said.split() == ["42", str(bare)]
    shutil.rmtree(package)
    assert python_of(tmp_path / "homes", home) == python


def test_what_cannot_be_installed_is_said_and_not_taken_for_made(tmp_path):
    home = Home("nobody", (str(tmp_path / "nothing.whl"),))
    with pytest.raises(CannotRunError, match="nobody cannot be installed: ERROR"):
        python_of(tmp_path, home)
    # Another time it is tried again.
    with pytest.raises(CannotRunError, match="nobody cannot be installed: took longer than 0 s"):
        python_of(tmp_path, home, bound_s=0.0)


def test_both_homes_are_tried_and_each_failure_is_kept(tmp_path):
    homes = made(tmp_path, bound_s=0.0)
    assert list(homes) == [SCENEDETECT, DATA_JUICER]
    assert all("took longer" in str(found) for found in homes.values())


def test_addresses_are_left_out_of_what_a_program_said():
    assert (
        last_line("one\n\n ERROR: no match at https://example.invalid/simple for x \n\n")
        == "ERROR: no match at … for x"
    )
    assert last_line("") == "it said nothing"


def test_a_cell_is_of_medians_by_the_clock_and_by_the_processor():
    assert cell([Cost(1.0, 9.0), Cost(5.0, 1.0), Cost(2.0, 3.0)]) == "2.00 / 3.00"


def test_the_table_has_ours_and_says_why_the_others_are_not_in_it(film, tmp_path):
    homes = {SCENEDETECT: "scenedetect cannot be installed: no index", DATA_JUICER: Path("/no/such/python")}
    cells = measure(film, contenders(film, homes), tmp_path, 2)
    assert list(cells) == ["perceive", *(peer.name for peer in PEERS)]
    assert float(cells["perceive"].split(" / ")[0]) > 0
    assert cells["scenedetect command"] == "not run: scenedetect cannot be installed: no index"
    assert cells["data-juicer frame extraction"] == "not run: data-juicer, frames: No such file or directory"
    assert not any(tmp_path.iterdir())


def test_a_peer_that_fails_is_asked_once_and_costs_the_others_nothing(film, tmp_path):
    asked = []

    def fails(_to):
        asked.append("fails")
        raise CannotRunError("x: it cannot")

    def writes(to):
        (to / "a").write_text("a")
        return Cost(1.0, 1.0)

    cells = measure(film, {"fails": fails, "writes": writes}, tmp_path, 3)
    assert asked == ["fails"]
    assert cells["fails"] == "not run: x: it cannot"
    assert cells["writes"] != ""
    assert not any(tmp_path.iterdir())


def test_a_program_that_ends_badly_or_makes_nothing_is_no_figure(film, tmp_path, monkeypatch):
    with pytest.raises(CannotRunError, match="it: ZeroDivisionError"):
        peers._done([sys.executable, "-c", "1 / 0"], "it")
    monkeypatch.setattr(peers, "RUN_S", 0.0)
    with pytest.raises(CannotRunError, match="it: took longer than 0 s"):
        peers._done([sys.executable, "-c", "1"], "it")
    monkeypatch.setattr(peers, "RUN_S", 60.0)
    idle = tmp_path / "idle.py"
    idle.write_text('print("noise")\nprint(\'{"wall": 1.0, "cpu": 1.0, "made": 0}\')\n')
    monkeypatch.setattr(peers, "WORK", idle)
    with pytest.raises(CannotRunError, match="data-juicer, frames: made nothing"):
        peers.operator("frames")(Path(sys.executable), film, tmp_path)


def test_the_split_needs_a_program_of_the_system(film, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRunError, match="needs the program ffmpeg"):
        peers.operator("split")(Path(sys.executable), film, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(KEPT is None, reason="STREAMVL_TEST_PEERS names no folder for environments")
def test_the_programs_themselves_run(tmp_path):
    film = tmp_path / "film.mp4"
    peers.draw(film, (640, 360), 120)
    cells = measure(film, contenders(film, made(Path(str(KEPT)).resolve())), tmp_path, 1)
    assert not any("not run" in told for told in cells.values()), json.dumps(cells)
