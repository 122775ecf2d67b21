"""The order of events, steps that are followed, and clues that are waited for: what is asked, when, and what is not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders import sequences
from datasets_build.teachers.teacher import Request
from datasets_build.truth.words import happening_of
from tests.builders.asking import act, at, desk
from tests.builders.made import MS
from tests.builders.worlds import TEACHER, desk_for, events_in, scenes

FIRST, SECOND, THIRD = (
    act(1_000, 2_000, "enter"),
    act(3_000, 4_000, "move", text="It moves."),
    act(5_000, 6_000, "leave"),
)


class TestOrder:
    def test_the_last_three_are_told_in_order_with_all_since_the_first(self):
        draft = sequences.order_at(desk(FIRST, SECOND, THIRD), at(7_000))
        assert draft.task == "order"
        assert draft.mode == "backward"
        text = draft.replies[0].text
        assert text.index("does enter") < text.index("It moves") < text.index("does leave")
        assert draft.answerable_from_ns == at(7_000)
        watched = [piece for piece in draft.replies[0].evidence if piece.event_id is None]
        assert [(piece.start_ns, piece.end_ns) for piece in watched] == [(at(2_000), at(7_000))]

    @pytest.mark.parametrize(
        "scene",
        [
            (FIRST, SECOND),
            (FIRST, act(1_500, 4_000, "move"), THIRD),
            (FIRST, SECOND, act(3_500, 6_000, "leave")),
            (act(3_200, 3_400, "stop", "blue square"), FIRST, act(3_000, 4_500, "move"), THIRD),
            (FIRST, SECOND, THIRD, act(6_500, 8_000, "collide")),
        ],
        ids=["two", "first overlaps", "last overlaps", "one inside", "one under way"],
    )
    def test_nothing_is_asked_where_the_order_is_not_plain(self, scene):
        found = desk(*sorted(scene, key=lambda row: row.start_ns))
        assert sequences.order_at(found, at(7_000)) is None

    def test_two_at_the_instant_of_the_first_leave_no_order(self):
        stops = [act(ms, ms, "stop", name) for ms, name in ((1_000, "red a"), (3_000, "blue b"), (5_000, "tan c"))]
        assert sequences.order_at(desk(*stops), at(7_000)) is not None
        tied = act(1_000, 1_000, "stop", "pink d")
        for seed in range(6):
            assert sequences.order_at(desk(tied, *stops, seed=seed), at(7_000)) is None

    def test_a_cut_between_them_happens_too(self):
        assert sequences.order_at(desk(FIRST, SECOND, THIRD, cuts=[60]), at(7_000)) is None
        assert sequences.order_at(desk(FIRST, SECOND, THIRD, cuts=[10]), at(7_000)) is not None

    def test_what_anyone_did_is_ordered_among_what_else_happens(self):
        enters = [act(k * 2_000, k * 2_000 + 500, "enter", name) for k, name in enumerate(("red a", "blue b", "tan c"))]
        moves = act(2_100, 2_900, "move", "blue b")
        draft = sequences.order_at(desk(enters[0], enters[1], moves, enters[2]), at(7_000))
        assert (draft.about.kind, draft.about.label, draft.about.subject) == ("label", "enter", None)

    def test_three_times_the_same_words_have_no_order(self):
        same = [act(k, k + 500, "move", text="It moves.") for k in (1_000, 2_000, 3_000)]
        assert sequences.order_at(desk(*same), at(7_000)) is None


def asked(found, t, *, wanted=False):
    """The step of the only topic that a desk has, asked at an instant."""
    topic = sequences.pick_step(found)
    return sequences.step_at(found, t, topic, wanted=wanted)


def every_change(scene, t, *, wanted=False):
    """The first step of some seeds that is asked to be followed to the end."""
    drafts = (asked(desk(*scene, seed=seed), t, wanted=wanted) for seed in range(20))
    return next(draft for draft in drafts if draft.about.every)


def texts_of_request(intent, about):
    """All that the template may ask with an intent."""
    return TEACHER.phrasings(Request(intent=intent, about=happening_of(about)))


def patterns(draft, scene, **facts):
    """What the test points of a question expect, over many seeds; in order of time."""
    made = (draft(desk(*scene, seed=seed, **facts)) for seed in range(200))
    return ["".join(p.expected[0] for p in found.probes) for found in made]


def share_by_place(found):
    """How often a guess is right that looks at the number of test points and the place of one among them."""
    seen = {}
    for pattern in found:
        for k, said in enumerate(pattern):
            seen.setdefault((len(pattern), k), []).append(said)
    right = sum(max(said.count("y"), said.count("n")) for said in seen.values())
    return right / sum(map(len, seen.values()))


class TestStep:
    SCENE = (act(2_000, 4_000, "move"), act(8_000, 9_000, "move"))

    def test_no_yes_no_in_turn_to_the_end(self):
        draft = every_change(self.SCENE, at(1_000))
        said = [reply.text.split()[0].strip(",.") for reply in draft.replies]
        assert said == ["No", "Yes", "No", "Yes", "No"]
        assert [reply.t_ns for reply in draft.replies] == [at(ms) for ms in (1_000, 2_400, 4_000, 8_400, 9_000)]
        assert [reply.valid_until_ns for reply in draft.replies] == [at(2_000), at(4_000), at(8_000), at(9_000), None]

    def test_asked_while_it_is_carried_out_it_begins_with_yes(self):
        draft = every_change(self.SCENE, at(3_000), wanted=True)
        assert [reply.text.split()[0].strip(",.") for reply in draft.replies] == ["Yes", "No", "Yes", "No"]
        assert [reply.t_ns for reply in draft.replies] == [at(ms) for ms in (3_000, 4_000, 8_400, 9_000)]
        seen = [(piece.role, piece.end_ns) for reply in draft.replies for piece in reply.evidence]
        later = [("sufficient", at(ms)) for ms in (4_000, 8_400, 9_000)]
        assert seen == [("necessary", at(3_000)), *later]

    def test_every_change_or_the_next_one_is_asked_for_and_as_many_are_told(self):
        drafts = [asked(desk(*self.SCENE, seed=seed), at(1_000)) for seed in range(40)]
        assert 8 < sum(draft.about.every for draft in drafts) < 32
        for draft in drafts:
            assert len(draft.replies) == (5 if draft.about.every else 2)
            once = texts_of_request("ask_step_once", draft.about)
            assert (draft.question in once) != draft.about.every

    @pytest.mark.parametrize("max_probes", [4, 8])
    def test_its_test_points_are_right_and_even_over_all(self, max_probes):
        def is_right(p):
            on = at(2_400) <= p.t_ns < at(4_000) or at(8_400) <= p.t_ns < at(9_000)
            return (p.expected == "yes") == on

        drafts = [asked(desk(*self.SCENE, max_probes=max_probes, seed=seed), at(1_000)) for seed in range(40)]
        assert all(is_right(p) for draft in drafts for p in draft.probes)
        found = patterns(lambda made: asked(made, at(1_000)), self.SCENE, max_probes=max_probes)
        assert {len(pattern) for pattern in found} == set(range(1, max_probes + 1))
        assert 0.4 < "".join(found).count("y") / len("".join(found)) < 0.6
        assert share_by_place(found) < 0.75

    def test_it_is_followed_only_as_long_as_it_is_certain(self):
        # The second comes while the first is still under way.
        overlapping = (act(2_000, 4_000, "move"), act(3_000, 5_000, "move"))
        assert asked(desk(*overlapping), at(1_000)) is None
        third = (*self.SCENE, act(8_500, 9_500, "move"))
        for seed in range(10):
            draft = asked(desk(*third, seed=seed), at(1_000))
            assert not draft.about.every
            assert [reply.t_ns for reply in draft.replies] == [at(1_000), at(2_400)]

    def test_what_stands_for_too_short_is_not_said(self):
        scene = (act(2_000, 4_000, "move"), act(4_300, 6_000, "move"))
        for seed in range(10):
            draft = asked(desk(*scene, least_window_ns=500 * MS, seed=seed), at(0))
            assert [reply.t_ns for reply in draft.replies] == [at(0), at(2_400)]
            assert not draft.about.every

    def test_nothing_is_asked_where_it_is_uncertain_or_another_answer_is_wanted_nor_of_instants(self):
        # From its begin on it may be under way, and can be told some time later.
        assert asked(desk(*self.SCENE), at(2_200)) is None
        assert asked(desk(*self.SCENE), at(2_200), wanted=True) is None
        assert asked(desk(*self.SCENE), at(3_000)) is None
        assert asked(desk(*self.SCENE), at(1_000), wanted=True) is None
        assert asked(desk(*self.SCENE, max_wait_ns=500 * MS), at(1_000)) is None
        assert sequences.pick_step(desk(act(2_000, 2_000, "stop"))) is None

    @pytest.mark.parametrize("wanted", [True, False])
    def test_it_is_asked_while_it_lasts_or_soon_before(self, wanted):
        made = desk(*self.SCENE, max_wait_ns=1_500 * MS)
        found = [sequences.step_near(made, sequences.pick_step(made), wanted=wanted) for _ in range(40)]
        asked_at = {draft.ask_ns for draft in found if draft is not None}
        assert len(asked_at) > 5
        spans = [(2_400, 4_000), (8_400, 9_000)] if wanted else [(500, 2_000), (6_500, 8_000)]
        assert all(any(at(low) <= t < at(high) for low, high in spans) for t in asked_at)


class TestClue:
    SCENE = (act(1_000, 2_000, "enter"), act(6_000, 7_000, "leave"))

    def test_it_is_answered_when_it_is_over(self):
        draft = sequences.clue_at(desk(*self.SCENE), at(3_000))
        assert (draft.mode, draft.ask_ns, draft.replies[0].t_ns) == ("forward", at(3_000), at(7_000))
        assert "does leave" in draft.replies[0].text
        assert "leave" not in draft.question

    @pytest.mark.parametrize("max_probes", [4, 6])
    def test_test_points_say_no_before_and_yes_after_as_often_over_all(self, max_probes):
        for seed in range(40):
            draft = sequences.clue_at(desk(*self.SCENE, max_probes=max_probes, seed=seed), at(3_000))
            assert [p.kind for p in draft.probes] == ["known"] * len(draft.probes)
            assert [p.expected for p in draft.probes] == [
                "yes" if p.t_ns >= draft.answerable_from_ns else "no" for p in draft.probes
            ]
        found = patterns(lambda made: sequences.clue_at(made, at(3_000)), self.SCENE, max_probes=max_probes)
        assert {len(pattern) for pattern in found} == set(range(1, max_probes + 1))
        assert 0.4 < "".join(found).count("y") / len("".join(found)) < 0.6

    def test_no_test_point_is_told_by_its_place_among_them(self):
        found = patterns(lambda made: sequences.clue_at(made, at(3_000)), self.SCENE)
        assert share_by_place(found) < 0.75
        assert len(set(found)) > 10
        assert share_by_place(["nnyy"] * 20 + ["ny"]) == 1.0, "what a fixed number of both gives"

    def test_nothing_is_asked_of_what_has_not_been_seen_or_is_busy_or_is_renamed(self):
        assert sequences.clue_at(desk(*self.SCENE), at(500)) is None
        assert sequences.clue_at(desk(*self.SCENE), at(1_500)) is None
        assert sequences.clue_at(desk(*self.SCENE), at(8_000)) is None
        assert sequences.clue_at(desk(*self.SCENE, act(9_000, 9_000, "change_colour")), at(3_000)) is None


@given(scenes(), st.integers(0, 2**32), st.data())
def test_the_order_does_not_change_when_the_future_does(drawn, seed, data):
    events = events_in(drawn)
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    draft = sequences.order_at(desk_for(drawn, random.Random(seed), events=events), t)
    if draft is not None:
        begun = [event for event in events if event.start_ns - event.onset_uncertainty_ns <= t]
        again = sequences.order_at(desk_for(drawn, random.Random(seed), events=begun), t)
        assert again.replies[0].evidence == draft.replies[0].evidence


@given(scenes(), st.integers(0, 2**32), st.data())
def test_a_step_is_on_exactly_where_an_event_is(drawn, seed, data):
    events = {event.id: event for event in events_in(drawn)}
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    made = desk_for(drawn, random.Random(seed), events=list(events.values()))
    topic = sequences.pick_step(made)
    draft = sequences.step_at(made, t, topic, wanted=data.draw(st.booleans())) if topic else None
    for probe in draft.probes if draft else ():
        mine = [events[p.event_id] for reply in draft.replies for p in reply.evidence if p.event_id]
        assert any(e.start_ns <= probe.t_ns < e.end_ns for e in mine) == (probe.expected == "yes")
