"""Each fault that a result can have, planted; and results of the page and of the screens, which have none."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.screens import screen
from annotate.screens.regions import ScreenError
from annotate.screens.screen import untouched
from annotate.tasks import Work
from annotate.validate import validate
from tests.annotate.screens import captured
from tests.annotate.screens.answers import region
from tests.annotate.screens.captured import CLOCK, DIALOGUE, DRAWN, EVENTS, LABELS, MANY, QA
from tests.laws import examples

PAGES = [
    (captured.EVENTS_UNTOUCHED, EVENTS, LABELS),
    (captured.EVENTS_EDITED, EVENTS, LABELS),
    (captured.EVENTS_DRAWN, DRAWN, MANY),
    (captured.QA_EDITED, QA, ()),
    (captured.QA_NOT_USABLE, QA, ()),
    (captured.DIALOGUE_EDITED, DIALOGUE, ()),
    (captured.DIALOGUE_NOT_USABLE, DIALOGUE, ()),
]


@pytest.mark.parametrize(("result", "item", "labels"), PAGES)
def test_what_the_page_sent_has_no_flaw(result, item, labels):
    assert validate(result, item, labels) == []


@pytest.mark.parametrize(("item", "labels"), [(EVENTS, LABELS), (DRAWN, MANY), (QA, ()), (DIALOGUE, ())])
def test_what_goes_out_has_no_flaw_as_a_prediction(item, labels):
    sent = list(screen.encode(item).result)
    assert validate(sent, item, labels, is_prediction=True) == []
    blocks = len(item.sheet.questions) + len(item.sheet.turns)
    assert [flaw.code for flaw in validate(sent, item, labels)] == ["missing"] * blocks


def changed(result, place, **fields):
    """A copy of a result with fields of one entry replaced; None takes one away."""
    made = copy.deepcopy(result)
    for field, value in fields.items():
        if value is None:
            del made[place][field]
        else:
            made[place][field] = value
    return made


def only(flaws):
    (flaw,) = flaws
    return flaw.code, flaw.where, flaw.found, flaw.expected


@pytest.mark.parametrize("entry", [None, 3, "region", ["region"], True])
def test_an_entry_that_is_no_region(entry):
    flaws = validate([entry, *captured.EVENTS_UNTOUCHED], EVENTS, LABELS)
    assert only(flaws) == ("shape", "entry 0", repr(entry) if entry != "region" else "region", "a region: an object")


@pytest.mark.parametrize("id_", [None, 3, ""])
def test_a_region_without_an_id(id_):
    flaws = validate(changed(captured.EVENTS_UNTOUCHED, 1, id=id_), EVENTS, LABELS)
    assert only(flaws) == ("shape", "entry 1, id", repr(id_), "a text that is not empty")


@pytest.mark.parametrize("name", ["videorectangle", "verdict_0", "", 3, None, ["events"]])
def test_a_region_of_a_foreign_name(name):
    flaws = validate(changed(captured.EVENTS_UNTOUCHED, 0, from_name=name), EVENTS, LABELS)
    assert only(flaws) == ("foreign", "region e0000000000000000000, from_name", repr(name), "a part of this screen")


def test_a_block_that_the_sheet_does_not_have():
    result = [*captured.QA_EDITED, region("z", "verdict_5", "question_5", "choices", {"choices": ["accept"]})]
    assert only(validate(result, QA, ()))[:3] == ("foreign", "region z, from_name", "'verdict_5'")


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [("type", "choices", "timelinelabels"), ("to_name", "dlg", "video"), ("type", None, "timelinelabels")],
)
def test_a_region_of_another_type_or_about_something_else(field, value, wanted):
    flaws = validate(changed(captured.EVENTS_UNTOUCHED, 0, **{field: value}), EVENTS, LABELS)
    assert only(flaws) == ("type", f"region e0000000000000000000, events, {field}", repr(value), wanted)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_a_region_without_a_value(value):
    flaws = validate(changed(captured.EVENTS_UNTOUCHED, 0, value=value), EVENTS, LABELS)
    assert only(flaws) == ("shape", "region e0000000000000000000, events, value", repr(value), "an object")


def with_value(**fields):
    first = captured.EVENTS_UNTOUCHED[0]["value"]
    value = {key: each for key, each in {**first, **fields}.items() if each is not None}
    return changed(captured.EVENTS_UNTOUCHED, 0, value=value)


WHERE = "region e0000000000000000000, events"


@pytest.mark.parametrize("labels", [None, [], ["approach", "put down"], "approach", [3], [""]])
def test_a_bar_without_exactly_one_label(labels):
    assert only(validate(with_value(timelinelabels=labels), EVENTS, LABELS)) == (
        "label",
        WHERE,
        repr(labels),
        "one label",
    )


def test_a_label_that_the_round_does_not_have():
    flaws = validate(with_value(timelinelabels=["jump"]), EVENTS, LABELS)
    assert only(flaws) == ("label", WHERE, "'jump'", "a label of this round")


@pytest.mark.parametrize(
    "ranges", [None, [], [{"start": 1, "end": 2}, {"start": 4, "end": 5}], [3], {"start": 1, "end": 2}]
)
def test_a_bar_without_exactly_one_range(ranges):
    flaws = validate(with_value(ranges=ranges), EVENTS, LABELS)
    assert only(flaws) == ("frames", WHERE, repr(ranges), "one range of frames")


@pytest.mark.parametrize("bad", [0, -3, 1199, 10**12, 2.5, 26.0, "26", None, True, float("nan"), float("inf"), [26]])
@pytest.mark.parametrize("end", ["start", "end"])
def test_a_frame_that_the_proxy_does_not_have_or_that_is_no_whole_number(end, bad):
    flaws = validate(with_value(ranges=[{"start": 26, "end": 100, end: bad}]), EVENTS, LABELS)
    assert only(flaws) == ("frames", f"{WHERE}, {end}", repr(bad), "a whole number from 1 to 1198")


def test_the_first_and_last_frame_are_frames():
    assert validate(with_value(ranges=[{"start": 1, "end": 1198}]), EVENTS, LABELS) == []


def test_a_bar_that_ends_before_it_starts():
    flaws = validate(with_value(ranges=[{"start": 100, "end": 99}]), EVENTS, LABELS)
    assert only(flaws) == ("order", WHERE, "frames 100 to 99", "an end at or after the start")


def test_two_bars_of_one_id():
    result = [*captured.EVENTS_UNTOUCHED, captured.EVENTS_UNTOUCHED[0]]
    assert only(validate(result, EVENTS, LABELS)) == ("duplicate", WHERE, "a second one", "one of an id")


def test_a_note_of_no_bar_and_one_without_text():
    note = region("lost", "note", "video", "textarea", {"ranges": [{"start": 1, "end": 2}], "text": ["x"]})
    flaws = validate([*captured.EVENTS_UNTOUCHED, note], EVENTS, LABELS)
    assert only(flaws)[:3] == ("foreign", "region lost, note", "note of no region")
    note = {**note, "id": "cut000", "value": {"text": [" "]}}
    flaws = validate([*captured.EVENTS_UNTOUCHED, note], EVENTS, LABELS)
    assert only(flaws) == ("text", "region cut000, note", "[' ']", "one text that is not empty")


def test_a_confidence_that_nobody_offers():
    sure = region("cut000", "confidence", "video", "choices", {"choices": ["certain"]})
    flaws = validate([*captured.EVENTS_UNTOUCHED, sure], EVENTS, LABELS)
    assert only(flaws) == ("choice", "region cut000, confidence", "['certain']", "one of sure, unsure")


def test_two_answers_on_the_clip():
    clip = [region(id_, "clip", "video", "choices", {"choices": ["usable"]}) for id_ in ("c1", "c2")]
    assert only(validate([*captured.EVENTS_UNTOUCHED, *clip], EVENTS, LABELS)) == (
        "duplicate",
        "clip",
        "2 answers",
        "one",
    )


def qa_with(name, value):
    """The page's result with another value in the region of a name; a value of None takes the region away."""
    made = [each for each in copy.deepcopy(captured.QA_EDITED) if value is not None or each["from_name"] != name]
    for each in made:
        if each["from_name"] == name:
            each["value"] = value
    return made


def test_a_question_without_a_verdict():
    flaws = validate(qa_with("verdict_2", None), QA, ())
    assert only(flaws) == ("missing", "question q2", "no verdict", "one of accept, fix, reject")
    assert validate(qa_with("verdict_2", None), QA, (), is_prediction=True) == []


@pytest.mark.parametrize("choices", [[], ["perhaps"], ["accept", "fix"], "accept", None, [3]])
def test_a_verdict_that_is_none(choices):
    flaws = validate(qa_with("verdict_2", {"choices": choices}), QA, ())
    assert only(flaws)[::2] == ("choice", repr(choices))


def test_a_verdict_given_twice():
    again = {**next(each for each in captured.QA_EDITED if each["from_name"] == "verdict_2"), "id": "again"}
    assert only(validate([*captured.QA_EDITED, again], QA, ())) == ("duplicate", "verdict_2", "2 answers", "one")


def test_one_id_in_two_fields():
    result = copy.deepcopy(captured.QA_EDITED)
    result[0]["id"] = result[1]["id"]
    flaws = validate(result, QA, ())
    assert only(flaws) == ("duplicate", "region q0-answer_frame", "2 answers of this id", "one")


@pytest.mark.parametrize("bad", [0, -1, 1199, 2.5, "250", None, True, float("nan"), [250]])
@pytest.mark.parametrize("name", ["ask_frame_1", "answer_frame_1"])
def test_a_moment_under_fix_that_is_no_frame(name, bad):
    flaws = validate(qa_with(name, {"number": bad}), QA, ())
    where = "region q1-" + name.removesuffix("_1") + f", {name}"
    assert only(flaws) == ("number", where, repr(bad), "a whole number from 1 to 1198")


@pytest.mark.parametrize("bad", [0, -1, 1199, 2.5, "250", None])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_moment_that_nobody_sees_does_not_count(place, bad):
    result = qa_with(f"ask_frame_{place}", {"number": bad})
    assert validate(result, QA, ()) == []
    assert screen.decode(result, QA, CLOCK) == screen.decode(captured.QA_EDITED, QA, CLOCK)


@pytest.mark.parametrize("bad", [0, 6, 3.5, "4", None, True])
def test_a_rating_that_is_none(bad):
    flaws = validate(qa_with("quality_0", {"rating": bad}), QA, ())
    assert only(flaws) == ("number", "region M6xweIcnZ2, quality_0", repr(bad), "a whole number from 1 to 5")


@pytest.mark.parametrize("bad", [[], [""], ["a", "b"], "a", None, [3]])
def test_a_corrected_text_that_is_none(bad):
    assert only(validate(qa_with("answer_1", {"text": bad}), QA, ())) == (
        "text",
        "region q1-answer, answer_1",
        repr(bad),
        "one text that is not empty",
    )


def test_an_answer_before_its_question():
    flaws = validate(qa_with("answer_frame_1", {"number": 249}), QA, ())
    assert only(flaws) == ("order", "question q1", "frames 250 and 249", "an answer at or after its question")


def test_a_fix_that_fixes_nothing():
    flaws = validate(qa_with("answer_frame_4", {"number": 891}), QA, ())
    assert only(flaws)[:3] == ("unchanged", "question q4", "fix without a change")


def test_a_complaint_that_nobody_offers_and_a_turn_without_a_verdict():
    result = copy.deepcopy(captured.DIALOGUE_EDITED)
    late = next(each for each in result if each["from_name"] == "timing_1")
    late["value"] = {"choices": ["too slow"]}
    gone = [each for each in result if each["from_name"] != "verdict_5"]
    assert [(flaw.code, flaw.where) for flaw in validate(gone, DIALOGUE, ())] == [
        ("choice", f"region {late['id']}, timing_1"),
        ("missing", "turn t5"),
    ]


def test_all_flaws_are_named_at_once_and_long_ones_are_cut():
    result = with_value(timelinelabels=["x" * 1000], ranges=[{"start": 0, "end": 5}])
    flaws = validate([*result, None], EVENTS, LABELS)
    assert sorted(flaw.code for flaw in flaws) == ["frames", "label", "shape"]
    label = next(flaw for flaw in flaws if flaw.code == "label")
    assert len(label.found) == 120
    assert label.found.endswith("…")
    assert label.detail == f"{label.where}: found {label.found}, expected a label of this round"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(PAGES), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_anything_at_all_is_read_and_what_has_no_flaw_decodes(page, data):
    result, item, labels = copy.deepcopy(page[0]), page[1], page[2]
    entry = data.draw(st.sampled_from(result))
    kind = data.draw(st.sampled_from(["entry", "field", "value"]))
    if kind == "entry":
        result[result.index(entry)] = data.draw(JSON)
    elif kind == "field":
        entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(JSON)
    else:
        entry["value"][data.draw(st.sampled_from(sorted(entry["value"])))] = data.draw(JSON)
    flaws = validate(result, item, labels)
    if flaws:
        # A label of no round is the one thing that `decode` cannot know.
        assert all(flaw.code == "label" for flaw in flaws) or _refused(result, item)
    else:
        assert screen.decode(result, item, CLOCK).kind == item.sheet.kind


def _refused(result, item):
    try:
        screen.decode(result, item, CLOCK)
    except ScreenError:
        return True
    return False


def test_untouched_means_that_nothing_differs():
    decode = screen.decode
    assert untouched(decode(captured.EVENTS_UNTOUCHED, EVENTS, CLOCK), EVENTS)
    assert not untouched(decode(captured.EVENTS_EDITED, EVENTS, CLOCK), EVENTS)
    assert not untouched(Work(kind="events", usable=False), EVENTS)
    for result, item in ((captured.QA_EDITED, QA), (captured.DIALOGUE_EDITED, DIALOGUE)):
        accepted = [
            {**each, "value": {"choices": ["accept"]}} for each in result if each["from_name"].startswith("verdict")
        ]
        assert untouched(decode(accepted, item, CLOCK), item)
        assert not untouched(decode(result, item, CLOCK), item)
    rated = [each for each in captured.QA_EDITED if each["from_name"] == "quality_0"]
    accepted = [region(f"v{k}", f"verdict_{k}", f"question_{k}", "choices", {"choices": ["accept"]}) for k in range(5)]
    assert not untouched(decode(accepted + rated, QA, CLOCK), QA)


def test_each_kind_has_its_configuration():
    assert "TimelineLabels" in screen.config("events", LABELS)
    assert screen.config("qa") == screen.config("qa", LABELS)
    assert {kind: "Repeater" in screen.config(kind, LABELS) for kind in screen.SCREENS} == {
        "events": False,
        "qa": True,
        "dialogue": True,
    }
