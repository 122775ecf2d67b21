"""What questions stand on: shots are events too, names change with colours, not everything can be denied."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders import counting, questions
from datasets_build.builders.facts import told_names
from tests.builders.asking import CLOCK, ENTERS, LEAVES, TOPIC, VIDEO, act, at, desk, pan
from tests.builders.made import MS, signals_of
from tests.builders.worlds import desk_for, events_in, scenes


class TestNowEnds:
    def test_with_an_instant_of_the_scene(self):
        draft = questions.now_at(desk(ENTERS, act(3_000, 3_000, "stop", "blue star")), at(2_600))
        assert draft.replies[0].window_end_ns == draft.replies[0].valid_until_ns == at(3_000)
        assert questions.now_at(desk(ENTERS, act(3_000, 3_000, "stop", "blue star")), at(3_000)) is None

    def test_with_a_new_shot(self):
        made = desk(ENTERS, cuts=[75])
        assert questions.now_at(made, at(2_600)).replies[0].valid_until_ns == at(3_000)
        assert questions.now_at(made, at(3_000)) is None
        assert questions.now_at(made, at(3_040)) is not None

    def test_the_camera_does_not_wait_for_the_scene(self):
        made = desk(ENTERS, signals=[pan(25, 100)])
        drafts = [questions.now_at(made, at(1_800)) for _ in range(5)]
        assert all(draft.replies[0].valid_until_ns > at(2_000) for draft in drafts)


class TestShotsAreEventsToo:
    def test_what_just_happened_ends_with_a_new_shot(self):
        assert questions.last_at(desk(ENTERS, cuts=[130]), at(5_000)).replies[0].valid_until_ns == at(5_200)

    @pytest.mark.parametrize("frame", [100, 110, 125])
    def test_nothing_just_happened_where_a_new_shot_came_since(self, frame):
        assert questions.last_at(desk(ENTERS, cuts=[frame]), at(5_000)) is None

    def test_nothing_is_last_during_a_fade(self):
        assert questions.last_at(desk(ENTERS, cuts=[120], kinds=["fade_through"]), at(5_000)) is None

    @pytest.mark.parametrize("frame", [30, 50, 60])
    def test_what_is_next_is_not_asked_where_a_new_shot_comes_first(self, frame):
        assert questions.next_at(desk(ENTERS, cuts=[frame]), at(1_000)) is None

    def test_a_shot_before_the_question_or_after_the_onset_does_not_matter(self):
        assert questions.next_at(desk(ENTERS, cuts=[25, 80]), at(1_000)) is not None

    def test_what_is_next_is_not_asked_during_a_fade(self):
        assert questions.next_at(desk(ENTERS, cuts=[24], kinds=["fade_through"]), at(1_000)) is None

    def test_before_something_a_new_shot_may_not_lie(self):
        for seed in range(10):
            assert questions.before_at(desk(ENTERS, LEAVES, cuts=[150], seed=seed), at(9_500)) is None


class TestWhatCannotBeDenied:
    STILL = "still|the picture"

    def quiet(self, seed=0):
        frames = range(0, 500, 2)
        motion = [0.0 if 200 <= frame < 300 else 0.1 for frame in frames]
        return desk(signals=[signals_of(VIDEO, CLOCK, frames, motion=motion)], seed=seed)

    def test_no_stillness_is_not_movement(self):
        made = self.quiet()
        assert self.STILL in made.timeline.topics
        assert questions.is_on_at(made, at(11_000), self.STILL, wanted=True) is not None
        assert questions.is_on_at(made, at(2_000), self.STILL, wanted=False) is None
        assert questions.yet_at(made, at(2_000), self.STILL, wanted=False) is None
        assert questions.tell_at(made, at(2_000)) is None
        assert questions.vain_at(made, at(15_000)) is None
        assert counting.count_at(made, at(15_000), shots=False) is None

    def test_what_changes_colour_is_neither_denied_nor_counted_nor_asked_after(self):
        turns = act(6_000, 6_000, "change_colour", "red circle", "The red circle turns blue.")
        later = act(12_000, 13_000, "enter", "blue circle")
        made = desk(ENTERS, turns, later)
        for topic in (TOPIC, "enter|the blue circle", "change_colour|the red circle"):
            assert questions.yet_at(made, at(500), topic, wanted=False) is None
            assert questions.is_on_at(made, at(500), topic, wanted=False) is None
        assert questions.yet_at(made, at(5_000), TOPIC, wanted=True) is not None, "that has been seen"
        assert counting.count_at(made, at(15_000), shots=False) is None
        assert questions.vain_at(made, at(15_000)) is None
        assert questions.subject_at(made, at(5_000)) is None
        assert questions.subject_at(made, at(13_500)) is None

    def test_a_subject_is_named_by_what_it_has_done_so_far(self):
        hit = act(1_000, 1_000, "collide", "red circle and blue star", "They collide.")
        alone = act(5_000, 6_000, "move", "blue star")
        assert questions.subject_at(desk(hit, alone), at(2_000)) is None, "not by what it does alone later on"
        assert questions.subject_at(desk(hit, alone), at(7_000)) is not None

    def test_others_are_asked_after_all_the_same(self):
        turns = act(6_000, 6_000, "change_colour", "red circle and pink cross")
        made = desk(act(2_000, 4_000, "enter", "blue star"), turns)
        assert made.timeline.closed.keys() == {"enter|the blue star"}
        assert questions.subject_at(made, at(5_000)) is not None

    def test_a_report_is_promised_while_the_name_lasts(self):
        turns = act(1_500, 1_500, "change_colour", "blue circle")
        assert questions.tell_at(desk(ENTERS, turns), at(1_480)) is not None, "the change itself"
        for seed in range(10):
            draft = questions.tell_at(desk(ENTERS, turns, seed=seed), at(1_000))
            assert "colour" in draft.question, "no circle is red yet"
        assert "red circle" in questions.tell_at(desk(ENTERS, turns), at(1_600)).question

    def test_before_a_marker_that_had_another_colour_nothing_is_asked(self):
        turns = act(5_000, 5_000, "change_colour", "blue circle")
        for seed in range(10):
            draft = questions.before_at(desk(ENTERS, turns, LEAVES, seed=seed), at(9_500))
            assert draft is None or "left" not in draft.question


def test_yet_is_asked_soon_before_and_soon_after():
    for seed in range(20):
        made = desk(ENTERS, seed=seed, least_window_ns=500 * MS)
        yes, no = (questions.yet_near(made, TOPIC, wanted=wanted) for wanted in (True, False))
        assert yes is None or at(4_000) <= yes.ask_ns <= at(5_000)
        assert no is None or at(1_000) <= no.ask_ns < at(2_000)
        assert yes is not None


@given(scenes(), st.integers(0, 2**32), st.data())
def test_no_shot_changes_between_what_is_told_and_the_question(drawn, seed, data):
    events = events_in(drawn)
    made = desk_for(drawn, random.Random(seed), events=events)
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    cuts = [e for e in events if e.label in ("shot_start", "fade", "dissolve")]
    if len(made.timeline.scene):
        if last := questions.last_at(made, t):
            (reply,) = last.replies
            since = max(e.end_ns for e in events if e.id in told_names(reply))
            assert not any(e.start_ns <= t and e.end_ns > since for e in cuts)
            assert not any(t < e.start_ns < reply.window_end_ns for e in cuts)
        if coming := questions.next_at(made, t):
            first = min(e.start_ns for e in events if e.id in told_names(coming.replies[0]))
            assert not any(e.end_ns > t and e.start_ns <= first for e in cuts)
