"""Transitions and their files: every form of the field is read, what is wrong is refused by name, nothing is lost."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.files import DataError
from datasets_build.perception.transitions import (
    Film,
    Mark,
    Transition,
    film_of,
    read_films,
    write_predictions,
)

GRADUAL = ("dissolve", "fade_to_black", "fade_from_black", "fade_through")


@pytest.fixture
def file(tmp_path):
    def write(value):
        path = tmp_path / "films.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


@pytest.fixture
def read_one(file):
    """The one film of a file, which has nothing to tell of it."""

    def read(entry):
        films = read_films(file({"a.mp4": entry}))
        assert films.notes == ()
        return films.films["a.mp4"]

    return read


@pytest.fixture
def refused(file):
    def read(entry):
        with pytest.raises(DataError) as caught:
            read_films(file({"good.mp4": [3], "bad film.mp4": entry}))
        message = str(caught.value)
        assert "films.json: 'bad film.mp4'" in message
        assert "\n" not in message
        return message

    return read


# --- what a detector finds ---


@pytest.mark.parametrize("kind", GRADUAL)
def test_a_gradual_transition_has_a_span(kind):
    found = Transition(0, 12, kind, 0.5)
    assert (found.first, found.last, found.kind, found.score) == (0, 12, kind, 0.5)


def test_a_cut_is_one_frame():
    assert Transition(7, 7, "cut").score == 1.0


@pytest.mark.parametrize(
    ("first", "last", "kind", "score", "told"),
    [
        (7, 8, "cut", 1.0, "found frames 7 to 8, expected one frame from 1 on"),
        (0, 0, "cut", 1.0, "found frames 0 to 0, expected one frame from 1 on"),
        (9, 8, "fade_through", 1.0, "found frames 9 to 8, expected 0 ≤ first ≤ last"),
        (-1, 8, "dissolve", 1.0, "found frames -1 to 8"),
        (1, 8, "flash", 1.0, "found 'flash', expected one of cut, dissolve"),
        (1, 1, "cut", math.nan, "found nan, expected a finite number"),
    ],
)
def test_a_transition_that_cannot_be_is_refused(first, last, kind, score, told):
    with pytest.raises(ValueError, match=told):
        Transition(first, last, kind, score)


def test_the_shots_on_both_sides():
    assert Mark.cut(10) == Mark(before=9, after=10, first=10, last=10)
    assert Mark.gradual(10, 12) == Mark(before=9, after=13, first=10, last=12)
    assert Mark.pair(9, 10) == Mark.cut(10)
    assert Mark.pair(9, 13) == Mark(before=9, after=13, first=9, last=13)
    assert [mark.is_cut for mark in (Mark.cut(1), Mark.gradual(5, 5), Mark.pair(0, 2))] == [True, False, False]


def test_what_a_detector_found_is_put_in_order():
    found = [Transition(30, 40, "fade_through"), Transition(5, 5, "cut"), Transition(0, 3, "fade_from_black")]
    assert film_of(found) == Film(marks=(Mark.gradual(0, 3), Mark.cut(5), Mark.gradual(30, 40)))


# --- files ---


@st.composite
def transitions(draw):
    frames = sorted(draw(st.sets(st.integers(1, 500), max_size=12)))
    found = []
    while frames:
        kind = draw(st.sampled_from(("cut", *GRADUAL)))
        first = frames.pop(0)
        last = frames.pop(0) if kind != "cut" and frames else first
        found.append(Transition(first, last, kind, draw(st.floats(0, 1))))
    return draw(st.permutations(found))


@given(st.dictionaries(st.text("ab_.é", min_size=1), transitions(), max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("written") / "found.json"
    write_predictions(path, found)
    films = read_films(path)
    assert films.films == {video: film_of(each) for video, each in found.items()}
    assert films.notes == ()
    first = path.read_bytes()
    write_predictions(path, {video: each[::-1] for video, each in found.items()})
    assert path.read_bytes() == first


def test_kinds_and_scores_stand_in_the_file(tmp_path):
    path = tmp_path / "found.json"
    write_predictions(path, {"a.mp4": [Transition(9, 20, "fade_through", 0.25), Transition(3, 3, "cut", 0.75)]})
    assert json.loads(path.read_text()) == {
        "a.mp4": {
            "cuts": [3],
            "cut_scores": [0.75],
            "gradual": [[9, 20]],
            "gradual_kinds": ["fade_through"],
            "gradual_scores": [0.25],
        }
    }


def test_the_form_of_cuts_json(read_one):
    film = read_one(
        {
            "cuts": [20, 5],
            "gradual": [[30, 40]],
            "minor": [8],
            "uncertain": [[50, 52], 60],
            "jump_cuts": [5, 70],
            "frames": 100,
            "checked": "by eye",
            "notes": "none",
            "cut_times_s": [0.2, 0.8],
        }
    )
    assert film.marks == (Mark.cut(5), Mark.cut(20), Mark.gradual(30, 40))
    # A jump cut that is listed among the cuts is one.
    assert film.ignored == (Mark.cut(8), Mark.gradual(50, 52), Mark.cut(60), Mark.cut(70))
    assert (film.frames, film.typed) == (100, True)


@pytest.mark.parametrize("entry", [{"cuts": []}, {"gradual": []}, {"transitions": []}])
def test_a_film_without_transitions(read_one, entry):
    assert read_one(entry) == Film()


def test_the_form_of_clipshots(read_one):
    film = read_one({"transitions": [[311, 334], [0, 1], [1335, 1337]], "frame_num": 3561.0})
    assert film.marks == (Mark.cut(1), Mark.pair(311, 334), Mark.pair(1335, 1337))
    assert film.frames == 3561


@pytest.mark.parametrize("frames", [None, 40])
def test_the_form_of_autoshot(read_one, frames):
    assert read_one({"frames": frames, "transitions": [[30, 31]]}) == Film(marks=(Mark.cut(31),), frames=frames)


def test_bare_boundaries_claim_no_kind(read_one):
    assert read_one([9, 4]) == Film(marks=(Mark.cut(4), Mark.cut(9)), typed=False)


@pytest.mark.parametrize("row", [[3482, 3482], [466, 460]])
def test_a_transition_that_goes_backwards_is_left_out_and_told(file, row):
    films = read_films(file({"a.mp4": {"transitions": [row, [5, 6]]}}))
    assert films.films["a.mp4"].marks == (Mark.cut(6),)
    assert len(films.notes) == 1
    assert films.notes[0].endswith(f"'a.mp4': {row} does not end behind its begin and was left out")


def test_a_transition_that_stands_twice_counts_once_and_is_told(file):
    films = read_films(file({"a.mp4": {"transitions": [[8, 9], [5, 6], [8, 9], [8, 9]]}}))
    assert films.films["a.mp4"].marks == (Mark.cut(6), Mark.cut(9))
    assert films.notes[0].endswith("2 transitions stand there twice and count once")


def test_a_transition_past_the_end_is_kept_and_told(file):
    films = read_films(file({"a.mp4": {"frames": 10, "transitions": [[8, 9], [9, 10], [11, 14]]}}))
    assert len(films.films["a.mp4"].marks) == 3
    assert films.notes[0].endswith("'a.mp4': 2 transitions lie past its 10 frames, from 10 on")


def test_a_field_that_is_not_read_is_told(file):
    films = read_films(file({"a.mp4": {"cuts": [4], "graduals": [[8, 9]], "zoom": 1}}))
    assert films.notes[0].endswith("'a.mp4': not read: graduals, zoom")


def test_remarks_are_no_video_but_names_may_begin_alike(file):
    films = read_films(
        file(
            {
                "_unparsed": [["a.mp4", "722,57"]],
                "_7tDlVM0Xrg.mp4": {"transitions": [[5, 6]]},
                "_WMFhNlfVfk.mp4": [8],
                "_empty.mp4": [],
            }
        )
    )
    assert list(films.films) == ["_7tDlVM0Xrg.mp4", "_WMFhNlfVfk.mp4", "_empty.mp4"]
    assert len(films.notes) == 1
    assert films.notes[0].endswith("'_unparsed' is no video and was not read")


# --- planted faults ---


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"cuts": [4, 0]}, ", field cuts.1: found 0: Input should be greater than or equal to 1"),
        ({"cuts": ["4"]}, ', field cuts.0: found "4": Input should be a valid integer'),
        ({"cuts": [4.5]}, ", field cuts.0: found 4.5"),
        ({"cuts": [True]}, ", field cuts.0: found true"),
        ({"cuts": 4}, ", field cuts: found 4: Input should be a valid array"),
        ({"cuts": [], "frames": -1}, ", field frames: found -1"),
        ({"cuts": [], "minor": ["x"]}, ', field minor.0: found "x"'),
        ({"gradual": [[4, 9], [12]]}, ", field gradual.1"),
        ({"gradual": [[-4, 9]]}, ", field gradual.0.0: found -4"),
        ({"gradual": [[9, 4]]}, ", field gradual: found [9, 4], expected the first frame before the last"),
        ({"transitions": [[1, 2, 3]]}, ", field transitions.0"),
        ({"transitions": [[-1, 2]]}, ", field transitions.0.0: found -1"),
        ({"transitions": [], "cuts": []}, ": found `transitions` beside `cuts`, expected one of both forms"),
        ([4, -1], ", field 1: found -1"),
        ([[4, 5]], ", field 0: found [4, 5]: Input should be a valid integer"),
        ({}, ": found {}, expected an object with `cuts` and `gradual`, one with `transitions`, or a list of frames"),
        ({"cut": [4]}, ': found {"cut": [4]}, expected an object'),
        ("4", ': found "4", expected an object'),
        (None, ": found null, expected an object"),
    ],
)
def test_a_bad_film_is_refused_by_name(refused, entry, told):
    assert told in refused(entry)


def test_what_was_found_is_shown_in_short(refused):
    assert len(refused({"film": list(range(10_000))})) < 400


@pytest.mark.parametrize(
    ("text", "told"),
    [("[1, 2]", "found [1, 2], expected an object with a key per video"), ("{", "not valid JSON"), ("7", "found 7")],
)
def test_a_bad_file_is_refused(file, text, told):
    with pytest.raises(DataError, match=r"films\.json: ") as caught:
        read_films(file(text))
    assert told in str(caught.value)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_films(tmp_path / "none.json")


# --- the field's own files ---


@pytest.mark.parametrize(
    ("name", "videos", "cuts", "gradual"),
    [
        ("cuts.json", 24, 61, 33),
        ("clipshots/test.json", 500, 4903, 2301),
        ("autoshot/kuaishou_v2.json", 647, 6576, 1255),
    ],
)
def test_truth_of_the_field_is_read(real_data, name, videos, cuts, gradual):
    films = read_films(real_data / "annotations" / name).films
    marks = [mark for film in films.values() for mark in film.marks]
    assert len(films) == videos
    assert sum(mark.is_cut for mark in marks) == cuts
    assert sum(not mark.is_cut for mark in marks) == gradual
