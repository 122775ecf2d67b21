"""Marks in several windows: what is said of one event fits together or changes nothing; laws hold in any case."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.tasks import Mark
from tests.annotate.merging import broken, edit, film_of, item_of, judged, laid, untouched_work, with_marks
from tests.annotate.test_edited_events import (
    CLOCK,
    FILM,
    START,
    VIDEO,
    F,
    changed,
    drawing,
    event,
    film,
    mark,
    only,
    removing,
)
from tests.builders.made import Scene, shots_at
from tests.builders.worlds import clocks
from tests.laws import examples

FEW = settings(max_examples=examples(40), deadline=None)
LEFT, RIGHT = (0, 100 * F), (100 * F, 500 * F)
"""Two windows that cut the movement."""


def cut(where, mark):
    """A mark as a window shows it."""
    start, end = max(where[0], mark.start_ns), min(where[1], mark.end_ns)
    return mark.model_copy(update={"start_ns": start, "end_ns": max(start, end)})


def two(left, right, where=FILM):
    """The edits of two people on the two windows; each changes marks as their window shows them."""
    pieces = []
    for span, change, who in ((LEFT, left, "a1"), (RIGHT, right, "a2")):
        item = item_of(where, "events", span)

        def shown(marks, span=span, change=change):
            marks.update({name: cut(span, mark) for name, mark in marks.items()})
            change(marks)

        pieces.append(judged(item, with_marks(item, shown), (who,)))
    return edit(where, *pieces)


def setting(name, **update):
    def change(marks):
        marks[name] = marks[name].model_copy(update=update)

    return change


def nothing(marks):
    assert "move" in marks


def test_what_a_window_cuts_keeps_the_end_outside():
    assert two(nothing, nothing).corrections == []
    row = only(two(setting("move", start_ns=40 * F), nothing))
    assert (row.event.start_ns, row.event.end_ns, row.annotators) == (40 * F, 150 * F, ("a1",))
    row = only(two(nothing, setting("move", end_ns=160 * F)))
    assert (row.event.start_ns, row.event.end_ns, row.annotators) == (50 * F, 160 * F, ("a2",))


def test_an_event_in_two_windows_is_edited_once():
    row = only(two(setting("move", start_ns=40 * F), setting("move", end_ns=160 * F, label="stop")))
    assert (row.event.start_ns, row.event.end_ns, row.event.label) == (40 * F, 160 * F, "stop")
    assert row.annotators == ("a1", "a2")
    assert row.event.provenance.agent == "a1+a2"


def test_one_window_alone_may_move_the_end_that_it_shows():
    row = only(changed("move", span=RIGHT, start_ns=100 * F, end_ns=120 * F))
    assert (row.event.start_ns, row.event.end_ns) == (50 * F, 120 * F)


def test_what_a_window_cuts_may_begin_or_end_in_it_after_all():
    row = only(changed("move", span=RIGHT, start_ns=110 * F))
    assert (row.event.start_ns, row.event.end_ns) == (110 * F, 150 * F)
    row = only(changed("move", span=LEFT, end_ns=80 * F))
    assert (row.event.start_ns, row.event.end_ns) == (50 * F, 80 * F)


def test_both_windows_may_take_it_away():
    row = only(two(removing("move"), removing("move")))
    assert (row.action, row.annotators) == ("remove", ("a1", "a2"))


def test_it_may_end_in_one_window_and_be_gone_from_the_other():
    row = only(two(setting("move", end_ns=90 * F), removing("move")))
    assert (row.event.start_ns, row.event.end_ns) == (50 * F, 90 * F)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (removing("move"), nothing),
        (nothing, removing("move")),
        (setting("move", end_ns=90 * F), nothing),
        (setting("move", label="stop"), setting("move", label="fade")),
        (setting("move", note="One."), setting("move", note="Two.")),
    ],
)
def test_windows_that_contradict_each_other_change_nothing(left, right):
    edits = two(left, right)
    assert edits.corrections == []
    (trouble,) = edits.troubles
    assert (trouble.kind, trouble.record, trouble.video_id, len(trouble.keys)) == ("conflict", "move", VIDEO.id, 2)


def test_a_mark_that_is_drawn_across_windows_is_one_event():
    where = film(START)
    row = only(_across(where, mark("x", 80, 100, note="It goes."), mark("y", 100, 130, note="It goes.")))
    assert (row.event.start_ns, row.event.end_ns, row.event.caption) == (80 * F, 130 * F, "It goes.")
    assert row.annotators == ("a1", "a2")
    assert len(_across(where, mark("x", 80, 100), mark("y", 100, 130, "stop")).corrections) == 2
    assert len(_across(where, mark("x", 80, 99), mark("y", 100, 130)).corrections) == 2
    assert len(_across(where, mark("x", 80, 100), mark("y", 101, 130)).corrections) == 2


def _across(where, left, right):
    pieces = []
    for span, new, who in ((LEFT, left, "a1"), (RIGHT, right, "a2")):
        item = item_of(where, "events", span)
        pieces.append(judged(item, with_marks(item, drawing(new)), (who,)))
    return edit(where, *pieces)


@st.composite
def edited(draw):
    """A film on any clock, its windows, and what somebody made of the marks."""
    clock = draw(clocks())
    count = len(clock)
    frames = st.integers(0, count)
    events = [START]
    for k in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, count - 1))
        end = draw(st.sampled_from([start, min(count, start + 1), count, draw(st.integers(start, count))]))
        label = draw(st.sampled_from(["move", "stop", "fade"]))
        events.append(event(f"e{k}", start, end, label, clock=clock, known=draw(st.integers(0, 30))))
    where = film(*events, clock=clock)
    at = sorted({0, count, *draw(st.lists(frames, max_size=2))})
    pieces = []
    for k, (first, last) in enumerate(pairwise(at)):
        item = item_of(where, "events", (clock.time_of(first), clock.time_of(last)))
        marks = {mark.id: mark for mark in item.sheet.marks}
        for name in list(marks):
            update = draw(st.sampled_from(["keep", "keep", "move", "label", "note", "remove"]))
            if update == "remove":
                del marks[name]
            elif update != "keep":
                ends = sorted([clock.time_of(draw(frames)), clock.time_of(draw(frames))])
                new = {"label": {"label": "stop"}, "note": {"note": draw(st.sampled_from(["", "Ha!"]))}}
                moved = {"start_ns": ends[0], "end_ns": ends[1], "is_point": ends[0] == ends[1]}
                marks[name] = marks[name].model_copy(update=new.get(update, moved))
        for n in range(draw(st.integers(0, 2))):
            ends = sorted([clock.time_of(draw(frames)), clock.time_of(draw(frames))])
            marks[f"x{n}"] = Mark(
                id=f"x{n}", label="move", start_ns=ends[0], end_ns=ends[1], is_point=ends[0] == ends[1]
            )
        work = untouched_work(item).model_copy(update={"marks": tuple(marks.values())})
        pieces.append(judged(item, work, (f"a{k}",)))
    return where, pieces


@FEW
@given(edited())
def test_whatever_people_do_events_obey_every_law_and_others_stay(tmp_path_factory, case):
    where, pieces = case
    edits = edit(where, *pieces)
    after = laid(tmp_path_factory.mktemp("e"), where, edits.corrections)
    scene = Scene(VIDEO, where.clock, shots_at(VIDEO, where.clock, []))
    assert broken(scene, after) == []
    named = {row.parent_id for row in edits.corrections}
    kept = [one for one in where.events if one.id not in named]
    assert [one for one in after.events if one.source != "human"] == sorted(kept, key=after.events.index)
    for row in edits.corrections:
        assert row.event is None or (row.event.source, row.event.provenance.kind) == ("human", "person")
        assert row.action == "remove" or row.event.parent_event_id == row.parent_id


@FEW
@given(edited(), st.randoms())
def test_the_order_of_windows_does_not_matter(case, chance):
    where, pieces = case
    mixed = list(pieces)
    chance.shuffle(mixed)
    assert edit(where, *mixed) == edit(where, *pieces)


@FEW
@given(edited())
def test_an_untouched_round_after_it_changes_nothing(tmp_path_factory, case):
    where, pieces = case
    after = laid(tmp_path_factory.mktemp("e"), where, edit(where, *pieces).corrections)
    again = [judged(item_of(after, "events", (one.span.start_ns, one.span.end_ns))) for one in pieces]
    edits = edit(after, *again)
    assert (edits.corrections, edits.troubles) == ([], [])


def test_what_is_asked_of_the_corrected_film_is_lawful(tmp_path):
    scene = Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, []))
    after = laid(tmp_path, FILM, [only(changed("move", start_ns=60 * F, note="The red circle hops."))])
    asked = film_of(scene, events=after.events)
    assert broken(scene, asked) == []
    assert len(asked.questions) > 3
