import json

import pytest
from typer.testing import CliRunner

from datasets_build.core.files import DataError
from datasets_build.perception.verbs import app
from tests.perception.test_pyscenedetect import write_film
from tests.perception.test_shots import scene


def run(*words):
    answer = CliRunner().invoke(app, list(map(str, words)))
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer


def test_found_shots_are_scored(tmp_path):
    write_film(tmp_path / "a.mp4", [scene(k // 40) for k in range(120)])
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"a.mp4": {"cuts": [40, 80], "gradual": [], "minor": [], "frames": 120}}))
    answer = run("detect-shots", tmp_path / "a.mp4", "--to", tmp_path / "found.json", "--workers", 1)
    assert "transitions of 1 videos, 0 could not be decoded" in answer.output
    scored = run("score-shots", truth, tmp_path / "found.json", "--rule", "trecvid0", "--json", tmp_path / "s.json")
    assert scored.exit_code == 0
    assert "1.000" in scored.output
    assert json.loads((tmp_path / "s.json").read_text())


def test_settings_reach_the_detector_and_wrong_ones_are_named(tmp_path):
    write_film(tmp_path / "a.mp4", [scene(k // 20) for k in range(60)])
    run(
        "detect-shots",
        tmp_path / "a.mp4",
        "--to",
        tmp_path / "x.json",
        "--set",
        "detector=adaptive",
        "--set",
        "threshold=1000",
    )
    assert json.loads((tmp_path / "x.json").read_text())["a.mp4"]["cuts"] == []
    with pytest.raises(ValueError, match="detektor"):
        run("detect-shots", tmp_path / "a.mp4", "--to", tmp_path / "x.json", "--set", "detektor=adaptive")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.mp4: no such file"):
        run("detect-shots", tmp_path / "gone.mp4", "--to", tmp_path / "x.json")
