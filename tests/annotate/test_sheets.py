"""What a person is asked about: every record by somebody, and none by two where that would make two truths of one."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from annotate.sheets import is_asked, is_empty, is_seen, marks_in, questions_in, turns_in
from annotate.tasks import Sheet
from datasets_build.core.clock import Span
from datasets_build.core.records import Answer, Dialogue, Event, Provenance, StreamingQA, Turn
from datasets_build.core.topics import PICTURE_SET

END = 60
BY = Provenance(kind="rule", agent="test")


def event(name, start, end=None, *, label="jump", label_set="drawn"):
    end = start if end is None else end
    return Event(
        id=f"e{name}", video_id="v", start_ns=start, end_ns=end, label=label, label_set=label_set,
        caption=f"says {name}", is_point=start == end, known_from_ns=start, confidence=1.0, source="annotation",
        provenance=BY,
    )  # fmt: skip


def question(name, ask, *given_at):
    answers = [Answer(text=f"a{at}", t_ns=at, window_start_ns=at, window_end_ns=at + 1) for at in given_at]
    return StreamingQA(
        id=f"q{name}", video_id="v", mode="forward", task="t", question="What?", ask_ns=ask, evidence=(),
        answerable_from_ns=ask, answers=tuple(answers), provenance=BY,
    )  # fmt: skip


def turn(name, start, end, role="user"):
    return Turn(id=f"t{name}", role=role, start_ns=start, end_ns=end, text=f"says {name}")


def dialogue(name, *turns):
    return Dialogue(
        id=f"d{name}", video_id="v", start_ns=0, end_ns=END, system="", language="en", turns=turns, decisions=(),
        provenance=BY,
    )  # fmt: skip


moments = st.integers(0, END - 1)
cuts = st.sets(st.integers(1, END - 1), max_size=5).map(
    lambda found: [Span(start_ns=a, end_ns=b) for a, b in pairwise([0, *sorted(found), END])]
)
spans = st.tuples(moments, st.integers(0, END)).map(lambda pair: (pair[0], min(END, pair[0] + pair[1] // 3)))


@trying(max_examples=50)
@given(cuts, st.lists(spans, max_size=12))
def test_an_event_is_on_the_sheets_of_those_windows_that_show_an_instant_of_it(windows, times):
    events = [event(number, *pair) for number, pair in enumerate(times)]
    for window in windows:
        shown = set(range(window.start_ns, window.end_ns))
        expected = {one.id for one in events if shown & set(range(one.start_ns, max(one.end_ns, one.start_ns + 1)))}
        assert {mark.id for mark in marks_in(events, window).marks} == expected
        assert {one.id for one in events if is_seen(one, window)} == expected


@trying(max_examples=50)
@given(cuts, st.lists(spans, max_size=12), st.randoms(use_true_random=False))
def test_marks_are_the_events_whole_in_order_of_time_whatever_order_they_came_in(windows, times, rng):
    events = [event(number, *pair) for number, pair in enumerate(times)]
    by_id = {one.id: one for one in events}
    mixed = rng.sample(events, len(events))
    for window in windows:
        sheet = marks_in(mixed, window)
        assert sheet == marks_in(events, window)
        assert [mark.start_ns for mark in sheet.marks] == sorted(mark.start_ns for mark in sheet.marks)
        for mark in sheet.marks:
            own = by_id[mark.id]
            assert (mark.label, mark.start_ns, mark.end_ns) == (own.label, own.start_ns, own.end_ns)
            assert (mark.is_point, mark.note) == (own.is_point, own.caption)


def test_every_event_is_on_some_sheet():
    rng = random.Random(1)
    for _ in range(20):
        at = sorted(rng.sample(range(1, END), 3))
        windows = [Span(start_ns=a, end_ns=b) for a, b in pairwise([0, *at, END])]
        events = [event(number, start, min(END, start + rng.randrange(20))) for number, start in enumerate(range(END))]
        found = {mark.id for window in windows for mark in marks_in(events, window).marks}
        assert found == {one.id for one in events}


def test_an_event_that_ends_where_a_window_begins_is_not_in_it_and_an_instant_there_is():
    window = Span(start_ns=10, end_ns=20)
    assert not marks_in([event("before", 5, 10)], window).marks
    assert not marks_in([event("after", 20, 25), event("instant after", 20)], window).marks
    assert [mark.id for mark in marks_in([event("at", 10), event("in", 9, 11)], window).marks] == ["ein", "eat"]


def test_the_beginning_of_a_video_is_not_asked_about_unless_a_dataset_has_a_label_of_that_name():
    ours = event("a", 0, label="video_start", label_set=PICTURE_SET)
    theirs = event("b", 0, label="video_start", label_set="theirs")
    assert not is_asked(ours)
    assert is_asked(theirs)
    assert is_asked(event("c", 0, label="cut", label_set=PICTURE_SET))
    assert [mark.id for mark in marks_in([ours, theirs], Span(start_ns=0, end_ns=END)).marks] == ["eb"]


@trying(max_examples=50)
@given(cuts, st.lists(spans, max_size=12))
def test_a_question_is_on_one_sheet_or_its_answer_is_cut_from_it_and_then_on_none(windows, times):
    rows = [question(number, *pair) for number, pair in enumerate(times)]
    sheets = [questions_in(rows, window) for window in windows]
    for row in rows:
        home = next(window for window in windows if window.contains(row.ask_ns))
        places = [window for window, sheet in zip(windows, sheets, strict=True) if row.id in ids(sheet)]
        assert places == ([home] if row.answers[0].t_ns <= home.end_ns else [])
    for sheet in sheets:
        assert [one.ask_ns for one in sheet.questions] == sorted(one.ask_ns for one in sheet.questions)


def ids(sheet):
    return [one.id for one in (*sheet.marks, *sheet.questions, *sheet.turns)]


def test_of_a_question_the_first_answer_is_asked_about_and_without_one_nothing():
    whole = Span(start_ns=0, end_ns=END)
    sheet = questions_in([question("none", 3), question("two", 5, 8, 40)], whole)
    assert ids(sheet) == ["qtwo"]
    assert (sheet.questions[0].answer, sheet.questions[0].answer_ns) == ("a8", 8)
    # What comes later does not keep the first from being judged.
    assert ids(questions_in([question("two", 5, 8, 40)], Span(start_ns=0, end_ns=10))) == ["qtwo"]


def test_an_answer_at_the_very_end_of_a_window_is_still_seen_in_it():
    assert ids(questions_in([question("a", 5, 10)], Span(start_ns=0, end_ns=10))) == ["qa"]
    assert not ids(questions_in([question("a", 5, 11)], Span(start_ns=0, end_ns=10)))
    assert not ids(questions_in([question("a", 5, 11)], Span(start_ns=10, end_ns=20)))


@trying(max_examples=50)
@given(cuts, st.lists(spans, max_size=12))
def test_every_turn_is_on_the_sheet_of_the_one_window_in_which_it_begins(windows, times):
    roles = ("user", "assistant")
    turns = [turn(number, *pair, role=roles[number % 2]) for number, pair in enumerate(times)]
    sheets = [turns_in([dialogue("d", *turns)], window) for window in windows]
    assert sorted(name for sheet in sheets for name in ids(sheet)) == sorted(one.id for one in turns)
    for window, sheet in zip(windows, sheets, strict=True):
        assert all(window.contains(said.start_ns) for said in sheet.turns)
        assert [said.start_ns for said in sheet.turns] == sorted(said.start_ns for said in sheet.turns)


def test_a_users_turn_stands_before_what_is_said_at_the_same_time_and_a_systems_turn_nowhere():
    turns = [turn("answer", 5, 9, "assistant"), turn("rule", 0, 0, "system"), turn("ask", 5, 9, "user")]
    assert ids(turns_in([dialogue("d", *turns)], Span(start_ns=0, end_ns=END))) == ["task", "tanswer"]


def test_one_conversation_follows_the_other_and_is_not_mixed_with_it():
    first = dialogue("1", turn("a", 1, 2), turn("c", 30, 31))
    other = dialogue("2", turn("b", 5, 6), turn("d", 40, 41))
    assert ids(turns_in([first, other], Span(start_ns=0, end_ns=END))) == ["ta", "tc", "tb", "td"]


@pytest.mark.parametrize(("kind", "empty"), [("events", False), ("qa", True), ("dialogue", True)])
def test_a_window_without_events_may_miss_some_and_one_without_questions_asks_nothing(kind, empty):
    assert is_empty(Sheet(kind=kind)) is empty


def test_a_sheet_with_something_on_it_is_not_empty():
    whole = Span(start_ns=0, end_ns=END)
    assert not is_empty(questions_in([question("a", 1, 2)], whole))
    assert not is_empty(turns_in([dialogue("d", turn("a", 1, 2))], whole))


def test_who_judges_a_question_reads_its_options():
    row = question("a", 1, 2).model_copy(update={"options": ("one", "two"), "correct_option": 1})
    (shown,) = questions_in([row], Span(start_ns=0, end_ns=END)).questions
    assert shown.question == "What?\nA. one\nB. two"
