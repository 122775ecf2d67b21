"""What travels between records and people: strict, and named by its content."""

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate.manifest import Manifest
from annotate.tasks import (
    Done,
    Item,
    Mark,
    Question,
    QuestionVerdict,
    Said,
    Sheet,
    TurnVerdict,
    Window,
    Work,
    key_of,
)
from datasets_build.core.augmentation import Knot
from tests.annotate.rounds_of_items import item, manifest

words = st.text(max_size=8)
times = st.integers(0, 10**12)
verdicts = st.sampled_from(["accept", "fix", "reject"])
marks = st.builds(Mark, id=words, label=words, start_ns=times, end_ns=times, note=words)
questions = st.builds(Question, id=words, question=words, ask_ns=times, answer=words, answer_ns=times)
turns = st.builds(Said, id=words, role=st.sampled_from(["user", "assistant"]), start_ns=times, end_ns=times, text=words)
sheets = st.builds(
    Sheet,
    kind=st.sampled_from(["events", "qa", "dialogue"]),
    marks=st.lists(marks, max_size=3).map(tuple),
    questions=st.lists(questions, max_size=3).map(tuple),
    turns=st.lists(turns, max_size=3).map(tuple),
)


@trying(max_examples=25)
@given(sheets)
def test_an_item_read_back_is_the_item_and_has_its_key(sheet):
    window = item(1).window
    one = Item(key=key_of(window, sheet, "c"), window=window, sheet=sheet, split="train")
    again = Item.model_validate_json(one.model_dump_json())
    assert again == one
    assert key_of(again.window, again.sheet, "c") == one.key
    assert len(one.key) == 20
    assert set(one.key) <= set("0123456789abcdef")


@trying(max_examples=25)
@given(sheets, sheets)
def test_two_sheets_have_one_key_exactly_if_they_are_one(left, right):
    window = item(1).window
    assert (key_of(window, left, "c") == key_of(window, right, "c")) is (left == right)


@pytest.mark.parametrize(
    "change",
    [
        {"video_id": "w"}, {"start_ns": 1}, {"end_ns": 1}, {"proxy_sha256": "0"}, {"width": 2}, {"height": 2},
        {"fps_num": 3}, {"fps_den": 3}, {"frames": 3}, {"knots": ()},
    ],
)  # fmt: skip
def test_whatever_is_another_about_a_window_makes_another_key(change):
    one = item(1)
    assert key_of(one.window.model_copy(update=change), one.sheet, "c") != key_of(one.window, one.sheet, "c")


def test_another_screen_makes_another_key():
    one = item(1)
    assert key_of(one.window, one.sheet, "c") != key_of(one.window, one.sheet, "d")


def test_gold_and_its_truth_are_no_part_of_the_key():
    assert item(1).key == item(1, is_gold=True).key


def test_a_window_maps_its_sources_clock_to_the_proxys():
    knots = (Knot(source="1000", target="0"), Knot(source="3000", target="4000"))
    window = item(1).window.model_copy(update={"start_ns": 1000, "end_ns": 3000, "knots": knots})
    assert [window.time_map.apply(t) for t in (1000, 2000, 3000)] == [0, 2000, 4000]


@trying(max_examples=25)
@given(verdicts, st.none() | words, st.none() | times, st.none() | times)
def test_corrections_of_a_question_count_under_fix_alone(verdict, answer, ask, answered):
    fields = {"id": "q", "verdict": verdict, "answer": answer, "ask_ns": ask, "answer_ns": answered}
    if verdict == "fix" or (answer, ask, answered) == (None, None, None):
        assert QuestionVerdict(**fields).verdict == verdict
    else:
        with pytest.raises(ValidationError, match="q: found corrections under"):
            QuestionVerdict(**fields)


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_a_text_of_a_turn_counts_under_fix_alone_and_a_complaint_always(verdict):
    assert TurnVerdict(id="t", verdict="fix", text="x").text == "x"
    assert TurnVerdict(id="t", verdict=verdict, timing="too_late").timing == "too_late"
    with pytest.raises(ValidationError, match=f"t: found a text under {verdict}, expected it under fix alone"):
        TurnVerdict(id="t", verdict=verdict, text="x")


@pytest.mark.parametrize("quality", [0, 6, 2.5, True])
def test_a_rating_is_one_of_five_stars(quality):
    with pytest.raises(ValidationError, match="quality"):
        QuestionVerdict(id="q", verdict="accept", quality=quality)


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        (Mark, {"id": "m", "label": "l", "start_ns": 1.5, "end_ns": 2}, "start_ns"),
        (Mark, {"id": "m", "label": "l", "start_ns": 1, "end_ns": 2, "confidence": "maybe"}, "confidence"),
        (Said, {"id": "s", "role": "system", "start_ns": 1, "end_ns": 2, "text": ""}, "role"),
        (Sheet, {"kind": "boxes"}, "kind"),
        (Work, {"kind": "qa", "usable": "yes"}, "usable"),
        (Work, {"kind": "qa", "by": "anna"}, "by"),
        (Window, {**item(1).window.model_dump(), "frames": 0}, "frames"),
        (Window, {**item(1).window.model_dump(), "fps_den": 0}, "fps_den"),
        (Manifest, {**manifest([item(1)]).model_dump(), "overlap": 0}, "overlap"),
        (Done, {"key": "k"}, "annotator"),
    ],
)
def test_what_is_not_of_its_shape_is_refused_by_the_name_of_the_field(kind, fields, name):
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(fields)
    assert name in {".".join(map(str, error["loc"])) for error in refused.value.errors()}


def test_nothing_of_it_changes_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        item(1).key = "other"
