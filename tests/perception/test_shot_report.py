"""`score-shots` as a user meets it: a row per video, the total, the JSON, and what is told of both files."""

import json
import subprocess
import sys

import pytest
from scenedetect import AdaptiveDetector, ContentDetector, SceneManager, open_video
from typer.testing import CliRunner

from datasets_build.__main__ import app
from datasets_build.core.files import DataError
from datasets_build.perception.pyscenedetect import LearnedDetector
from datasets_build.perception.shot_report import score_files

TRUTH = {
    "one.mp4": {"cuts": [10, 50], "gradual": [[20, 30]], "minor": [40], "frames": 100},
    "take.mp4": {"cuts": [], "gradual": [], "frames": 60},
    "drawn.mp4": {"cuts": [1, 2, 3], "gradual": []},
}
FOUND = {"one.mp4": [10, 25, 40, 52], "take.mp4": [7], "drawn.mp4": []}


@pytest.fixture
def write(tmp_path):
    def to(name, value):
        path = tmp_path / name
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

    return to


@pytest.fixture
def files(write):
    return write("truth.json", TRUTH), write("found.json", FOUND)


def run(*words):
    return CliRunner().invoke(app, ["score-shots", *map(str, words)])


def test_rows_and_total(files):
    done = run(*files, "--rule", "transnet2", "--skip", "drawn.mp4")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "rule transnet2, without drawn.mp4"
    table = [" ".join(line.split()) for line in lines[1:7]]
    assert table[0] == "video cuts hit false P R F1 gradual hit false R all F1"
    assert table[2:4] == [
        "one.mp4 2 2 0 1.000 1.000 1.000 1 1 0 1.000 1.000",
        "take.mp4 0 0 1 0.000 - 0.000 0 0 0 - 0.000",
    ]
    assert table[5] == "total of 2 2 2 1 0.667 1.000 0.800 1 1 0 1.000 0.857"
    assert lines[-1] == "1 predictions at minor or uncertain places count neither way"


def test_columns_stand_below_their_heads(files):
    lines = run(*files, "--rule", "trecvid0").output.splitlines()
    assert len({len(line) for line in lines[1:8]}) == 1
    assert set(lines[2]) == set(lines[6]) == {"-"}


@pytest.mark.parametrize(("rule", "hits"), [("trecvid0", 1), ("transnet2", 2), ("clipshots_overlap", 1)])
def test_the_rule_is_the_one_that_is_named(files, rule, hits):
    report = score_files(*files, rule)
    assert report.rule == rule
    assert report.videos["one.mp4"].cuts.hits == hits
    assert report.total.cuts.true == 5


def test_the_json_says_which_were_missed_and_which_were_wrong(files, tmp_path):
    to = tmp_path / "scores.json"
    assert run(*files, "--rule", "trecvid0", "--json", to).exit_code == 0
    scores = json.loads(to.read_text())
    assert (scores["rule"], scores["skipped"], scores["missing"]) == ("trecvid0", [], [])
    one = scores["videos"]["one.mp4"]
    assert (one["missed_cuts"], one["missed_gradual"]) == ([50], [])
    assert (one["false_cuts"], one["false_gradual"]) == ([52], [])
    assert one["ignored"] == 1
    assert one["cuts"] == {
        "true": 2,
        "hits": 1,
        "missed": 1,
        "predicted": 2,
        "false_alarms": 1,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
    }
    assert scores["videos"]["take.mp4"]["cuts"]["recall"] is None
    assert scores["total"]["cuts"]["missed"] == 4
    assert scores["total"]["together"]["hits"] == 2
    again = to.read_bytes()
    assert run(*files, "--rule", "trecvid0", "--json", to).exit_code == 0
    assert to.read_bytes() == again


def test_spans_of_gradual_transitions_stand_in_the_json(write):
    truth = write("truth.json", {"a.mp4": {"cuts": [5], "gradual": [[20, 30]]}})
    found = write("found.json", {"a.mp4": {"gradual": [[60, 70]]}})
    film = score_files(truth, found, "transnet2").as_json()["videos"]["a.mp4"]
    assert (film["missed_cuts"], film["missed_gradual"]) == ([5], [[20, 30]])
    assert (film["false_cuts"], film["false_gradual"]) == ([], [[60, 70]])


def test_a_video_without_prediction_is_missed_and_told(files, write):
    found = write("few.json", {"take.mp4": []})
    done = run(files[0], found, "--rule", "transnet2", "--skip", "drawn.mp4")
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "1 videos have no prediction, all missed: one.mp4"
    report = score_files(files[0], found, "transnet2")
    assert report.missing == ("one.mp4", "drawn.mp4")
    assert (report.total.cuts.true, report.total.cuts.hits) == (5, 0)


def test_what_is_told_of_the_files_stands_below_the_table(files, write):
    found = write("odd.json", {**FOUND, "one.mp4": {"cuts": [10, 120, 130], "zoom": 1}})
    lines = run(files[0], found, "--rule", "transnet2").output.splitlines()
    assert lines[-2].endswith("odd.json: 'one.mp4': not read: zoom")
    assert lines[-1].endswith("odd.json: 'one.mp4': 2 predictions lie past its 100 frames, from 120 on")


def test_truth_is_a_perfect_prediction(write):
    truth = write(
        "truth.json", {"a.mp4": {"transitions": [[3, 4], [10, 20]], "frame_num": 50.0}, "b.mp4": {"cuts": [6]}}
    )
    for rule in ("trecvid0", "transnet2", "clipshots_overlap"):
        total = score_files(truth, truth, rule).total
        assert (total.cuts.f1, total.gradual.f1, total.together.f1) == (1.0, 1.0, 1.0)


# --- planted faults ---


def test_a_prediction_of_an_unknown_video_is_refused(files, write):
    found = write("strange.json", {"One.mp4": [3]})
    told = r"strange.json: 'One.mp4' has no truth; expected videos of .*truth.json: 'one.mp4', 'take.mp4', 'drawn.mp4'$"
    with pytest.raises(DataError, match=told):
        score_files(files[0], found, "transnet2")


def test_skipping_an_unknown_video_is_refused(files):
    with pytest.raises(DataError, match=r"truth.json: no video 'x.mp4', which --skip names; expected one of 'one.mp4'"):
        score_files(*files, "transnet2", skip=["x.mp4"])


def test_skipping_all_is_refused(files):
    with pytest.raises(DataError, match="no video is left to score"):
        score_files(*files, "transnet2", skip=list(TRUTH))


def test_of_many_videos_some_are_named(write):
    truth = write("truth.json", {f"{at}.mp4": [] for at in range(9)})
    with pytest.raises(DataError, match=r"'4.mp4' and 4 more$"):
        score_files(truth, write("found.json", {"x": []}), "transnet2")


def test_an_unknown_rule_is_refused(files):
    done = run(*files, "--rule", "mine")
    assert done.exit_code == 2
    assert "trecvid0" in done.output


def test_the_rule_must_be_named(files):
    assert run(*files).exit_code == 2


@pytest.mark.slow
def test_a_bad_file_is_one_sentence(files, write):
    found = write("bad.json", {"one.mp4": {"cuts": [0]}})
    words = [sys.executable, "-m", "datasets_build", "score-shots", str(files[0]), str(found), "--rule", "transnet2"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "bad.json: 'one.mp4', field cuts.0: found 0" in done.stderr
    assert done.stderr.count("\n") == 1


# --- real films ---


STRIPED = "los_test1.mp4"
"""A test pattern that cuts on every frame."""


def boundaries(path, detector):
    """What PySceneDetect's own decoding and detector find in a film."""
    manager = SceneManager()
    manager.add_detector(detector)
    manager.detect_scenes(open_video(str(path)))
    return [cut.frame_num for cut in manager.get_cut_list(show_warning=False)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("detector", "min_frames", "hits", "false_alarms", "f1", "gradual"),
    [
        (AdaptiveDetector, 15, 34, 1, 0.895, 8),
        (AdaptiveDetector, 2, 37, 2, 0.925, 8),
        (ContentDetector, 15, 30, 1, 0.833, 6),
        (ContentDetector, 2, 34, 1, 0.895, 9),
    ],
)
def test_pyscenedetect_has_its_known_figures(real_data, write, detector, min_frames, hits, false_alarms, f1, gradual):
    truth = real_data / "annotations" / "cuts.json"
    videos = [name for name in json.loads(truth.read_text()) if name != STRIPED]
    found = {name: boundaries(real_data / "videos" / name, detector(min_scene_len=min_frames)) for name in videos}
    total = score_files(truth, write("found.json", found), "transnet2", skip=[STRIPED]).total
    assert (total.cuts.true, total.gradual.true) == (41, 33)
    assert (total.cuts.hits, total.cuts.false_alarms, total.gradual.hits) == (hits, false_alarms, gradual)
    assert round(total.cuts.f1, 3) == f1


@pytest.mark.slow
def test_the_learned_detector_among_pyscenedetects_own_programs_is_better_by_their_rules(real_data, write):
    # Its false dissolves are bare boundaries here, and count as cuts.
    truth = real_data / "annotations" / "cuts.json"
    videos = [name for name in json.loads(truth.read_text()) if name != STRIPED]
    found = {name: boundaries(real_data / "videos" / name, LearnedDetector()) for name in videos}
    total = score_files(truth, write("found.json", found), "transnet2", skip=[STRIPED]).total
    assert total.cuts.f1 >= 0.97
    assert total.gradual.hits >= 28
