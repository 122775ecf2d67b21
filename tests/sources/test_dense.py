import json
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.dense import DatabaseForm, known_label, label_lines, names_of, parse_dense
from datasets_build.sources.entries import Reading
from datasets_build.sources.exact import CaptionError
from tests.sources.corpora import S, codes, reasons, rows, spans

PATH = Path("val.json")
GOOD = {"duration": 10.5, "timestamps": [[0, 1.25], [3, 11]], "sentences": [" One. ", "Two."]}


def read(content: object, form: DatabaseForm | None = None) -> Reading:
    return parse_dense(json.dumps(content), PATH, form or DatabaseForm())


def test_captions_are_read_with_exact_seconds():
    reading = read({"v_a": GOOD})
    (entry,) = reading.entries
    assert (entry.names, entry.sheet.duration_ns) == (("v_a", "a"), 10_500_000_000)
    assert spans(reading) == [(0, 1.25), (3, 11)]
    assert [(row.text, row.kind, row.label, row.where) for row in rows(reading)] == [
        ("One.", "caption", None, "v_a, caption 1"),
        ("Two.", "caption", None, "v_a, caption 2"),
    ]


@pytest.mark.parametrize(
    ("pair", "sentence", "code"),
    [
        ([5, 2], "x", "bad_span"),
        ([5, 5], "x", "bad_span"),
        ([-1, 2], "x", "bad_time"),
        ([11, 12], "x", "beyond_duration"),
        ([1], "x", "bad_time"),
        (["1", "2"], "x", "bad_type"),
        ([1, 2], "  ", "no_text"),
        ([1, 2], None, "bad_type"),
        ([0, 1.25], "One.", "duplicate"),
    ],
)
def test_a_wrong_row_costs_itself(pair, sentence, code):
    content = {**GOOD, "timestamps": [*GOOD["timestamps"], pair], "sentences": [*GOOD["sentences"], sentence]}
    reading = read({"v_a": content, "v_b": GOOD})
    assert codes(reading) == {code: 1}
    assert "v_a, caption 3" in reasons(reading)[0]
    assert (len(rows(reading)), reading.n_rows) == (4, 5)


@pytest.mark.parametrize(
    "value", [3, {"timestamps": [[1, 2], [3, 4]]}, {**GOOD, "sentences": ["x"]}, {**GOOD, "duration": "long"}]
)
def test_a_wrong_video_costs_its_rows_and_no_other(value):
    reading = read({"v_a": value, "v_b": GOOD})
    wanted = 2 if isinstance(value, dict) else 1
    assert (sum(codes(reading).values()), len(rows(reading))) == (wanted, 2)


DATABASE = {
    "version": "1",
    "database": {
        "a": {"duration": 9, "subset": "training", "annotations": [{"segment": [1, 2.5], "label": "Surfing", "id": 0}]},
        "b": {"duration": 9, "subset": "testing", "annotations": []},
        "c": {"duration": 9, "subset": "testing"},
    },
}


def test_a_database_gives_labels_and_the_split_that_it_states():
    reading = read(DATABASE)
    assert [(entry.names[0], entry.split, entry.n_rows) for entry in reading.entries] == [
        ("a", "train", 1),
        ("b", "test", 0),
        ("c", "test", 0),
    ]
    (row,) = rows(reading)
    assert (row.kind, row.text, row.label, row.start_ns, row.end_ns) == ("label", "Surfing", "Surfing", S, 5 * S // 2)


def test_a_database_may_keep_captions_under_other_keys():
    content = {"database": {"a": {"annotation": [{"segment": [1, 2], "sentence": "stir"}]}}}
    (row,) = rows(read(content, DatabaseForm(rows="annotation", text="sentence", is_label=False)))
    assert (row.kind, row.text, row.label) == ("caption", "stir", None)


def test_rows_of_a_database_are_refused_one_by_one():
    listed = [{"segment": [1, 2], "label": "Surfing"}, {"segment": [2, 1], "label": "Surfing"}, {"label": "x"}, 7]
    content = {"database": {"a": {"annotations": listed}, "b": {"annotations": 3}, "c": 4}}
    reading = read(content, DatabaseForm(labels=frozenset({"Surfing"})))
    assert codes(reading) == {"bad_span": 1, "bad_time": 1, "bad_type": 3}
    assert (len(rows(reading)), reading.n_rows) == (1, 6)


def test_a_label_that_the_list_does_not_have_is_refused():
    content = {"database": {"a": {"annotations": [{"segment": [1, 2], "label": "Flying"}]}}}
    assert codes(read(content, DatabaseForm(labels=frozenset({"Surfing"})))) == {"unknown_label": 1}
    assert known_label("Flying", None) == "Flying"
    with pytest.raises(CaptionError, match="one of 1 labels"):
        known_label("Flying", frozenset({"Surfing"}))


@pytest.mark.parametrize("text", ["[]", "{", '{"database": []}', "3"])
def test_what_is_no_such_file_is_an_error(text):
    with pytest.raises(DataError, match=r"val\.json: "):
        parse_dense(text, PATH, DatabaseForm())


def test_names_with_and_without_their_prefix():
    assert names_of("v_x") == ("v_x", "x")
    assert names_of("x") == ("x", "v_x")


def test_a_label_list_is_numbered_by_its_lines():
    assert list(label_lines("a b\n c\n\n")) == ["a b", "c"]


@pytest.mark.parametrize(("times", "sentences"), [(1, 3), (3, 1)])
def test_every_row_of_a_video_that_does_not_add_up_is_told(times, sentences):
    wrong = {**GOOD, "timestamps": [[1, 2]] * times, "sentences": ["x"] * sentences}
    assert codes(read({"v_a": wrong})) == {"not_captions": 3}


def test_a_list_under_another_key_does_not_vanish():
    reading = read({"v_a": {**GOOD, "timestamps2": [[0, 1]]}, "v_b": GOOD})
    assert len(rows(reading)) == 4
    (note,) = reading.notes
    assert (note.code, 'val.json holds lists that are not read: "timestamps2" of 1 videos' in note.reason) == (
        "not_kept",
        True,
    )
    assert read({"v_b": GOOD}).notes == ()
    listed = [{"segment": [1, 2], "label": "Surfing"}] * 2
    reading = read({"database": {"a": {"annotation_": listed}, "b": {"annotations": listed[:1], "more": []}}})
    assert codes(reading) == {"unknown_key": 2}
    assert '"annotation_" of 1 videos, "more" of 1 videos' in reading.notes[0].reason
