import json
import os
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.perception.detect import Look, detect_shots, transitions_in
from datasets_build.perception.score_shots import RULES, FilmScore
from datasets_build.perception.shots import ShotsConfig
from datasets_build.perception.transitions import read_films
from tests.perception.test_pyscenedetect import write_film
from tests.perception.test_shots import scene


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for name, lengths in (("a.mp4", (40, 60)), ("b.mp4", (50, 30, 40))):
        write_film(folder / name, [scene(number) for number, length in enumerate(lengths) for _ in range(length)])
    return folder


def look(path, detector="learned"):
    return Look(path, ShotsConfig(detector=detector), 128)


@pytest.mark.parametrize("detector", ["learned", "adaptive", "content"])
def test_transitions_of_a_file_are_those_of_its_frames(films, detector):
    config = ShotsConfig(detector=detector, threshold=27.0 if detector == "content" else 3.0)
    assert [each.first for each in transitions_in(Look(films / "a.mp4", config, 128))] == [40]


def test_all_files_are_written_and_a_broken_one_is_told(films, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    to = tmp_path / "found.json"
    failed = detect_shots([look(films / "b.mp4"), look(broken), look(films / "a.mp4")], to, workers=2)
    found = json.loads(to.read_text())
    assert {name: film["cuts"] for name, film in found.items()} == {"a.mp4": [40], "b.mp4": [50, 80]}
    assert list(failed) == ["broken.mp4"]
    again = tmp_path / "again.json"
    detect_shots([look(films / "a.mp4"), look(films / "b.mp4")], again, workers=1)
    assert again.read_bytes() == to.read_bytes()


def test_names_that_do_not_serve_are_refused(films, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.mp4: two videos have this name"):
        detect_shots([look(films / "a.mp4"), look(tmp_path / "a.mp4")], tmp_path / "x.json", workers=1)
    with pytest.raises(DataError, match="no video was named"):
        detect_shots([], tmp_path / "x.json", workers=1)
    with pytest.raises(DataError, match="not one of 1 videos could be decoded"):
        detect_shots([look(tmp_path / "a.mp4")], tmp_path / "x.json", workers=1)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.slow
@pytest.mark.skipif("STREAMVL_DATA" not in os.environ, reason="needs the real films")
def test_real_films_are_cut_as_people_cut_them(tmp_path):
    data = Path(os.environ["STREAMVL_DATA"])
    truth = read_films(data / "annotations/cuts.json").films
    # A test pattern that cuts on every frame.
    names = sorted(set(truth) - {"los_test1.mp4"})
    detect_shots([look(data / "videos" / name) for name in names], tmp_path / "found.json", workers=2)
    found = read_films(tmp_path / "found.json").films
    score = sum((RULES["transnet2"](truth[name], found[name]) for name in names), FilmScore())
    assert (score.cuts.true, score.gradual.true) == (41, 33)
    assert score.cuts.f1 >= 0.97
    assert score.gradual.hits >= 28
