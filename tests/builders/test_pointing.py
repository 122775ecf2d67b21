"""Who does something, where something is, what is written: asked where exactly one answer is certain."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders import pointing
from tests.builders.asking import VIDEO, act, at, desk
from tests.builders.made import MS, said
from tests.builders.worlds import boxes_in, desk_for, events_in, scenes


def box(start_ms, end_ms, text, subject="red circle"):
    return said(VIDEO, start_ms * MS, end_ms * MS, text, kind="box", subject=subject)


def written(start_ms, end_ms, text="EXIT"):
    return said(VIDEO, start_ms * MS, end_ms * MS, text, label="text", origin="signs")


def located(*rows):
    """A desk with boxes, which the events do not tell."""
    from datasets_build.builders.facts import Desk, Timeline

    made = desk(*rows)
    line = Timeline(
        made.clock, [told.event for told in made.timeline.scene.told], made.teacher, made.limits,
        boxes=[row for row in rows if row.kind == "box"],
    )  # fmt: skip
    return Desk(line, made.teacher, made.rng, made.limits)


class TestWho:
    MOVES = act(2_000, 5_000, "move")

    def test_the_only_one_is_named_while_it_lasts(self):
        draft = pointing.who_at(desk(self.MOVES), at(3_000))
        assert "red circle" in draft.replies[0].text
        assert "red circle" not in draft.question
        assert draft.replies[0].valid_until_ns == at(5_000)

    def test_two_at_once_are_not_one_and_a_second_ends_the_answer(self):
        other = act(4_000, 6_000, "move", "blue square")
        assert pointing.who_at(desk(self.MOVES, other), at(3_000)).replies[0].valid_until_ns == at(4_000)
        assert pointing.who_at(desk(self.MOVES, other), at(4_500)) is None

    @pytest.mark.parametrize("ms", [1_000, 2_200, 6_000])
    def test_nobody_is_named_before_it_is_known_or_after(self, ms):
        assert pointing.who_at(desk(self.MOVES), at(ms)) is None

    def test_nobody_is_named_while_a_colour_changes(self):
        assert pointing.who_at(desk(self.MOVES, act(4_000, 4_000, "change_colour")), at(3_000)) is None

    def test_its_colour_is_asked_for_too(self):
        draft = pointing.attribute_at(desk(self.MOVES), at(3_000))
        assert (draft.task, draft.about.label) == ("colour", "move")
        assert "red" in draft.replies[0].text
        assert "red" not in draft.question
        assert pointing.attribute_at(desk(act(2_000, 5_000, "move", "Anna")), at(3_000)) is None


class TestWhere:
    ENTERS = act(1_000, 2_000)

    def test_the_quarter_that_holds_all_of_it_until_it_leaves_it(self):
        rows = [
            box(1_000, 4_000, "0.1 0.1 0.2 0.2"),
            box(4_000, 5_000, "0.2 0.2 0.3 0.2"),
            box(5_000, 9_000, "0.6 0.1 0.2 0.2"),
        ]
        draft = pointing.where_at(located(self.ENTERS, *rows), at(3_000))
        assert "top left" in draft.replies[0].text
        assert draft.replies[0].valid_until_ns == at(5_000)
        assert draft.answerable_from_ns == at(3_000)
        assert [(p.start_ns, p.end_ns) for p in draft.replies[0].evidence] == [(at(1_000), at(3_000))]
        assert draft.inputs == (rows[0].id,), "the box that tells it"

    def test_the_first_frame_of_a_box_is_too_early(self):
        assert pointing.where_at(located(self.ENTERS, box(3_000, 9_000, "0.1 0.1 0.2 0.2")), at(3_000)) is None
        assert pointing.where_at(located(self.ENTERS, box(3_000, 9_000, "0.1 0.1 0.2 0.2")), at(3_040)) is not None

    @pytest.mark.parametrize(
        "rows",
        [
            [],
            [box(1_000, 9_000, "0.4 0.1 0.2 0.2")],
            [box(1_000, 9_000, "0.1 0.1 0.2 0.2", "blue square")],
            [box(1_000, 9_000, "0.1 0.1 0.2 0.2"), box(2_500, 9_000, "0.6 0.6 0.2 0.2")],
            [box(4_000, 9_000, "0.1 0.1 0.2 0.2")],
            [box(1_000, 9_000, "somewhere")],
            [box(1_000, 9_000, "60 10 20 20")],
            [box(1_000, 9_000, "-0.5 0.1 0.2 0.2")],
        ],
        ids=["none", "in two quarters", "of another", "two of one name", "later", "no box", "pixels", "outside"],
    )
    def test_it_is_not_asked_where_nobody_can_tell(self, rows):
        assert pointing.where_at(located(self.ENTERS, *rows), at(3_000)) is None

    def test_nothing_is_asked_of_what_has_not_been_seen(self):
        assert pointing.where_at(located(act(5_000, 6_000), box(0, 9_000, "0.1 0.1 0.2 0.2")), at(3_000)) is None


class TestRead:
    def test_the_only_text_is_read_until_it_goes_or_another_comes(self):
        draft = pointing.read_at(desk(written(2_000, 6_000), written(5_000, 8_000, "STOP")), at(3_000))
        assert "EXIT" in draft.replies[0].text
        assert "EXIT" not in draft.question
        assert draft.replies[0].valid_until_ns == at(5_000)

    def test_two_texts_or_none_are_not_asked_for(self):
        found = desk(written(2_000, 6_000), written(5_000, 8_000, "STOP"))
        assert pointing.read_at(found, at(5_500)) is None
        assert pointing.read_at(found, at(9_000)) is None
        assert pointing.read_at(desk(act(1_000, 5_000)), at(3_000)) is None

    def test_a_text_that_tells_the_time_is_not_read_out(self):
        assert pointing.read_at(desk(written(2_000, 6_000, "Open at 8:00")), at(3_000)) is None


@given(scenes(), st.integers(0, 2**32), st.data())
def test_answers_do_not_change_when_the_future_does(drawn, seed, data):
    events = events_in(drawn)
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    for way in (pointing.who_at, pointing.read_at):
        draft = way(desk_for(drawn, random.Random(seed), events=events), t)
        begun = [event for event in events if event.start_ns - event.onset_uncertainty_ns <= t]
        if draft is not None:
            again = way(desk_for(drawn, random.Random(seed), events=begun), t)
            assert again.replies[0].evidence == draft.replies[0].evidence


@given(scenes(), st.integers(0, 2**32), st.data())
def test_what_is_told_of_a_place_is_what_a_box_says(drawn, seed, data):
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    draft = pointing.where_at(desk_for(drawn, random.Random(seed)), t)
    if draft is not None:
        (here,) = [b for b in boxes_in(drawn) if b.subject == draft.about.subject and b.start_ns <= t < b.end_ns]
        left, top = map(float, here.text.split()[:2])
        assert ("left" in draft.replies[0].text) == (left < 0.5)
        assert ("top" in draft.replies[0].text) == (top < 0.5)
