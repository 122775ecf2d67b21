"""Questions at an instant: true by a brute search over the events, never ambiguous, never ahead of the video."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders import counting, questions
from datasets_build.builders.facts import told_names
from datasets_build.core.records import Evidence
from tests.builders.asking import CLOCK, ENTERS, LEAVES, TOPIC, VIDEO, act, at, desk, pan
from tests.builders.made import MS, said
from tests.builders.worlds import desk_for, events_in, scenes


class TestNow:
    def test_everything_that_is_on_is_told(self):
        made = desk(ENTERS, act(3_000, 6_000, "move", "blue star"))
        draft = questions.now_at(made, at(3_600))
        assert draft.replies[0].text.endswith("The red circle does enter. The blue star does move.")
        assert draft.replies[0].valid_until_ns == at(4_000), "then one of them is over"
        assert draft.answerable_from_ns == draft.ask_ns == draft.replies[0].t_ns == at(3_600)
        assert (draft.task, draft.mode) == ("now", "realtime")

    def test_the_answer_ends_when_something_else_begins(self):
        draft = questions.now_at(desk(ENTERS, act(3_000, 6_000, "move", "blue star")), at(2_600))
        assert draft.replies[0].valid_until_ns == at(3_000)

    def test_nothing_is_asked_before_it_can_be_told(self):
        assert questions.now_at(desk(ENTERS), at(2_200)) is None
        assert questions.now_at(desk(ENTERS), at(1_000)) is None
        assert questions.now_at(desk(ENTERS, act(3_000, 6_000, "move", "blue star")), at(3_200)) is None

    def test_a_quoted_sentence_is_not_told_before_it_is_over(self):
        free = said(VIDEO, 2_000 * MS, 8_000 * MS, "A man jumps and falls.")
        assert questions.now_at(desk(free), at(4_000)) is None
        assert questions.now_at(desk(free, ENTERS), at(3_000)) is None

    def test_the_camera_is_asked_after_by_itself(self):
        draft = questions.now_at(desk(signals=[pan(100, 200)]), at(6_000))
        assert "camera" in draft.question
        assert "The camera pans to the right." in draft.replies[0].text

    def test_too_much_at_once_is_not_told(self):
        made = desk(ENTERS, act(2_000, 4_000, "move"), max_told=1)
        assert questions.now_at(made, at(3_000)) is None

    @pytest.mark.parametrize(
        ("ms", "wanted", "text"), [(3_000, True, "Yes"), (1_000, False, "No"), (6_000, False, "No")]
    )
    def test_yes_and_no(self, ms, wanted, text):
        draft = questions.is_on_at(desk(ENTERS), at(ms), TOPIC, wanted=wanted)
        assert draft.replies[0].text.startswith(text)
        assert "entering" in draft.question

    @pytest.mark.parametrize(("ms", "wanted"), [(3_000, False), (1_000, True), (2_200, True), (2_200, False)])
    def test_the_other_answer_is_refused(self, ms, wanted):
        assert questions.is_on_at(desk(ENTERS), at(ms), TOPIC, wanted=wanted) is None

    def test_yes_ends_with_the_event_and_no_with_the_next_one(self):
        yes = questions.is_on_at(desk(ENTERS), at(3_900), TOPIC, wanted=True)
        assert yes.replies[0].valid_until_ns == yes.replies[0].window_end_ns == at(4_000)
        no = questions.is_on_at(desk(ENTERS), at(1_900), TOPIC, wanted=False)
        assert no.replies[0].valid_until_ns == no.replies[0].window_end_ns == at(2_000)


def test_nothing_is_asked_that_is_right_for_a_moment_only():
    made = desk(ENTERS, least_window_ns=500 * MS)
    assert questions.now_at(made, at(3_480)) is not None
    assert questions.now_at(made, at(3_520)) is None
    assert questions.yet_at(made, at(1_520), TOPIC, wanted=False) is None
    assert questions.is_on_at(made, at(3_600), TOPIC, wanted=True) is None


def test_a_count_that_stands_for_a_moment_only_is_passed_over():
    rows = [act(3_000, 3_000, "stop"), act(3_200, 3_200, "stop"), act(5_000, 5_000, "stop")]
    draft = counting.count_at(desk(*rows, least_window_ns=500 * MS), at(1_000), shots=False)
    assert [re.findall(r"\d+", reply.text)[0] for reply in draft.replies] == ["0", "2", "3"]
    assert draft.replies[0].valid_until_ns == at(3_000)
    assert draft.replies[1].t_ns == at(3_200)


def test_a_report_of_something_short_may_come_a_moment_after_it():
    draft = questions.tell_at(desk(act(3_000, 3_600), least_window_ns=500 * MS), at(1_000))
    assert (draft.replies[0].t_ns, draft.replies[0].window_end_ns) == (at(3_400), CLOCK.snap_up(3_900 * MS))


class TestBefore:
    def test_what_just_happened(self):
        draft = questions.last_at(desk(ENTERS, LEAVES), at(5_000))
        assert draft.replies[0].text.endswith("The red circle does enter.")
        first, since = draft.replies[0].evidence
        assert (first.start_ns, first.end_ns) == (at(2_000), at(4_000))
        assert (since.start_ns, since.end_ns) == (at(4_000), at(5_000))
        assert draft.replies[0].valid_until_ns == at(8_000)

    def test_not_while_something_is_going_on_nor_long_after(self):
        made = desk(ENTERS, LEAVES)
        assert questions.last_at(made, at(3_000)) is None
        assert questions.last_at(made, at(1_000)) is None
        assert questions.last_at(desk(ENTERS, recent_ns=1_000 * MS), at(6_000)) is None

    def test_what_ended_at_once_is_told_together(self):
        draft = questions.last_at(desk(act(1_000, 3_000, "move"), act(3_000, 3_000, "stop")), at(3_500))
        assert draft.replies[0].text.endswith("The red circle does move. The red circle does stop.")

    def test_without_a_scene_the_picture_is_asked_after(self):
        draft = questions.last_at(desk(cuts=[100]), at(5_000))
        assert "camera or" in draft.question
        assert draft.replies[0].text.endswith("The scene cuts to a new shot.")

    def test_what_came_before_something(self):
        draft = questions.before_at(desk(ENTERS, LEAVES), at(9_500))
        assert re.search(r"before the red circle left the picture", draft.question, re.IGNORECASE)
        assert draft.replies[0].text.endswith("The red circle does enter.")
        assert draft.answerable_from_ns == at(9_500)

    def test_the_marker_is_the_only_one_so_far(self):
        twice = desk(ENTERS, LEAVES, act(10_000, 11_000, "leave"))
        assert questions.before_at(twice, at(9_500)) is not None
        for seed in range(20):
            later = questions.before_at(desk(ENTERS, LEAVES, act(10_000, 11_000, "leave"), seed=seed), at(11_500))
            assert later is None, "two of the same: before which?"

    def test_nothing_else_may_lie_between(self):
        long = act(3_000, 8_500, "move", "blue star")
        for seed in range(10):
            draft = questions.before_at(desk(ENTERS, LEAVES, long, seed=seed), at(9_500))
            assert draft is None or "left" not in draft.question

    def test_a_marker_is_not_told_as_its_own_past(self):
        for seed in range(10):
            assert questions.before_at(desk(ENTERS, act(5_000, 6_000), seed=seed), at(7_000)) is None

    def test_an_instant_is_not_its_own_past(self):
        stop = act(8_000, 8_000, "stop")
        drafts = [questions.before_at(desk(ENTERS, stop, seed=seed), at(9_500)) for seed in range(10)]
        assert all(draft.replies[0].text.endswith("The red circle does enter.") for draft in filter(None, drafts))
        assert any(draft is not None and "stopped" in draft.question for draft in drafts)

    def test_what_enters_also_moves(self):
        other = act(1_000, 1_500, "leave", "blue star")
        drafts = [
            questions.before_at(desk(other, ENTERS, act(2_000, 4_000, "move"), seed=k), at(5_000)) for k in range(9)
        ]
        assert any(draft is not None and "entered" in draft.question for draft in drafts)
        assert all(draft.replies[0].text.endswith("The blue star does leave.") for draft in filter(None, drafts))

    def test_what_someone_did_last(self):
        hit = act(6_000, 6_000, "collide", "red circle and blue star", "They collide.")
        draft = questions.subject_at(desk(ENTERS, hit), at(7_000))
        assert "red circle" in draft.question
        assert draft.replies[0].text.endswith("They collide.")
        assert questions.subject_at(desk(ENTERS), at(3_000)) is None, "it is still at it"
        assert questions.subject_at(desk(), at(3_000)) is None


class TestOnOfASentence:
    WAVES = said(VIDEO, 3_000 * MS, 6_000 * MS, "A man waves.", origin="captions")
    KEY = next(iter(desk(WAVES).timeline.closed))

    def test_it_is_on_from_when_it_is_known_until_it_ends(self):
        draft = questions.is_on_at(desk(self.WAVES), at(4_000), self.KEY, wanted=True)
        assert (draft.task, draft.about.kind, draft.about.text) == ("now", "caption", "A man waves.")
        assert '"A man waves."' in draft.question
        assert draft.replies[0].text.startswith("Yes")
        assert draft.replies[0].valid_until_ns == at(6_000)
        assert questions.is_on_at(desk(self.WAVES), at(3_200), self.KEY, wanted=True) is None
        assert questions.is_on_at(desk(self.WAVES), at(7_000), self.KEY, wanted=True) is None

    def test_it_is_off_before_and_after(self):
        for ms, until in ((1_000, at(3_000)), (8_000, None)):
            draft = questions.is_on_at(desk(self.WAVES), at(ms), self.KEY, wanted=False)
            assert draft.replies[0].text.startswith("No")
            assert draft.replies[0].valid_until_ns == until
        assert questions.is_on_at(desk(self.WAVES), at(4_000), self.KEY, wanted=False) is None

    def test_a_spoken_line_is_not_asked_for(self):
        line = said(VIDEO, 3_000 * MS, 6_000 * MS, "How are you?", origin="srt")
        made = desk(line)
        key = next(iter(made.timeline.closed))
        assert questions.is_on_at(made, at(4_000), key, wanted=True) is None


class TestYet:
    def test_yes_once_it_is_over(self):
        draft = questions.yet_at(desk(ENTERS), at(4_000), TOPIC, wanted=True)
        assert draft.replies[0].text.startswith("Yes")
        assert draft.replies[0].evidence[0].end_ns == at(4_000)
        assert draft.replies[0].valid_until_ns is None

    def test_no_until_it_begins(self):
        draft = questions.yet_at(desk(ENTERS), at(1_000), TOPIC, wanted=False)
        assert draft.replies[0].text.startswith(("No", "Not yet"))
        assert draft.replies[0].evidence == (Evidence(start_ns=0, end_ns=at(1_000)),)
        assert draft.replies[0].valid_until_ns == draft.replies[0].window_end_ns == at(2_000)

    @pytest.mark.parametrize("wanted", [True, False])
    def test_nothing_while_it_is_going_on(self, wanted):
        assert questions.yet_at(desk(ENTERS), at(3_000), TOPIC, wanted=wanted) is None
        assert questions.yet_at(desk(ENTERS), at(2_000), TOPIC, wanted=wanted) is None

    def test_the_first_time_decides(self):
        made = desk(ENTERS, act(10_000, 11_000))
        assert questions.yet_at(made, at(6_000), TOPIC, wanted=False) is None
        assert questions.yet_at(made, at(6_000), TOPIC, wanted=True) is not None


class TestTell:
    def test_the_report_comes_when_it_can_be_told(self):
        draft = questions.tell_at(desk(ENTERS), at(500))
        (reply,) = draft.replies
        assert (reply.t_ns, draft.answerable_from_ns) == (at(2_400), at(2_400))
        assert at(2_400) < reply.window_end_ns <= at(4_000), "not beyond the event"
        assert (draft.mode, draft.standing) == ("proactive", True)
        assert reply.event_id == reply.evidence[0].event_id

    def test_a_line_is_reported_when_its_last_word_is_out(self):
        line = said(VIDEO, 2_000 * MS, 4_000 * MS, "How are you?", origin="subtitles")
        draft = questions.tell_at(desk(line), at(500))
        assert draft.replies[0].t_ns == at(4_000)
        assert '"How are you?"' in draft.question

    def test_an_instant_has_a_window_after_it(self):
        reply = questions.tell_at(desk(cuts=[100], window_ns=1_000 * MS), at(3_000)).replies[0]
        assert (reply.t_ns, reply.window_end_ns) == (at(4_000), at(5_000))

    def test_nothing_is_asked_for_while_it_is_on_or_too_early(self):
        assert questions.tell_at(desk(ENTERS), at(3_000)) is None
        assert questions.tell_at(desk(ENTERS), at(5_000)) is None
        assert questions.tell_at(desk(ENTERS, max_wait_ns=500 * MS), at(1_000)) is None

    def test_each_time_means_every_further_time(self):
        rows = [act(k * 3_000, k * 3_000 + 1_000) for k in range(1, 5)]
        drafts = [questions.tell_at(desk(*rows, seed=seed), at(500)) for seed in range(30)]
        each = [draft for draft in drafts if len(draft.replies) > 1]
        once = [draft for draft in drafts if len(draft.replies) == 1]
        assert each
        assert once
        for draft in each:
            assert re.search("each time|every time|whenever", draft.question)
            assert [reply.t_ns for reply in draft.replies] == [at(k * 3_000 + 400) for k in range(1, 5)]
            roles = [reply.evidence[0].role for reply in draft.replies]
            assert roles == ["necessary", "sufficient", "sufficient", "sufficient"]
        assert not any(re.search("each time|every time|whenever", draft.question) for draft in once)

    def test_too_many_times_are_not_promised(self):
        rows = [act(k * 1_000, k * 1_000 + 500) for k in range(1, 12)]
        drafts = [questions.tell_at(desk(*rows, seed=seed, max_answers=4), at(200)) for seed in range(10)]
        assert all(len(draft.replies) == 1 for draft in drafts)

    def test_what_never_happens_again_is_asked_for_in_vain(self):
        draft = questions.vain_at(desk(ENTERS), at(5_000))
        assert draft.replies == ()
        assert draft.standing
        assert questions.vain_at(desk(ENTERS), at(1_000)) is None
        assert questions.vain_at(desk(ENTERS), at(3_000)) is None


class TestCount:
    def test_every_further_time_supersedes(self):
        made = desk(ENTERS, act(10_000, 11_000), seed=3)
        draft = counting.count_at(made, at(5_000), shots=False)
        numbers = [re.findall(r"\d+", reply.text) for reply in draft.replies]
        assert numbers == [["1"], ["2"]]
        assert [reply.t_ns for reply in draft.replies] == [at(5_000), at(11_000)]
        assert draft.replies[0].valid_until_ns == at(10_000)
        assert draft.replies[1].evidence[0].role == "sufficient"
        assert draft.answerable_from_ns == at(5_000)

    def test_nothing_so_far_is_none(self):
        draft = counting.count_at(desk(ENTERS), at(1_000), shots=False)
        assert re.findall(r"\d+", draft.replies[0].text) == ["0"]

    def test_what_overlaps_is_counted_together_when_both_are_over(self):
        draft = counting.count_at(desk(act(3_000, 6_000), act(5_000, 8_000)), at(1_000), shots=False)
        assert [re.findall(r"\d+", r.text) for r in draft.replies] == [["0"], ["2"]]
        assert draft.replies[1].t_ns == at(8_000)

    def test_shots_are_counted_from_one(self):
        made = desk(cuts=[100, 200], kinds=["cut", "fade_through"])
        draft = counting.count_at(made, at(1_000), shots=True)
        assert [re.findall(r"\d+", r.text) for r in draft.replies] == [["1"], ["2"], ["3"]]
        assert draft.replies[1].t_ns == CLOCK.time_of(100)
        assert draft.replies[2].t_ns > CLOCK.time_of(200), "a fade is over when the new shot can be seen"

    def test_not_while_it_is_going_on(self):
        assert counting.count_at(desk(ENTERS), at(3_000), shots=False) is None

    def test_answers_are_limited_and_the_last_one_ends(self):
        rows = [act(k * 1_000, k * 1_000 + 500) for k in range(1, 12)]
        draft = counting.count_at(desk(*rows, max_answers=3), at(200), shots=False)
        assert len(draft.replies) == 3
        assert draft.replies[-1].valid_until_ns == at(3_000)

    def test_test_points_are_right_and_spread(self):
        rows = [act(k * 2_000, k * 2_000 + 500) for k in range(1, 8)]
        draft = counting.count_at(desk(*rows, max_probes=6), at(200), shots=False)
        assert 3 <= len(draft.probes) <= 6
        assert len({probe.expected for probe in draft.probes}) >= 3
        for probe in draft.probes:
            done = sum(k * 2_000 + 500 <= probe.t_ns // MS for k in range(1, 8))
            assert probe.expected == str(done)

    def test_every_video_bears_the_opening_question(self):
        draft = counting.opening(desk(cuts=[1], kinds=["fade_through"]))
        assert draft.ask_ns == draft.answerable_from_ns == 0
        assert re.findall(r"\d+", draft.replies[0].text) == ["1"]
        assert draft.replies[0].valid_until_ns > 0


class TestNext:
    def test_the_answer_waits_for_its_end(self):
        draft = questions.next_at(desk(ENTERS, LEAVES), at(1_000))
        assert draft.replies[0].text.endswith("The red circle does enter.")
        assert draft.replies[0].t_ns == draft.answerable_from_ns == at(4_000)
        assert draft.mode == "forward"

    def test_what_begins_together_is_told_together(self):
        draft = questions.next_at(desk(ENTERS, act(2_000, 5_000, "move")), at(1_000))
        assert draft.replies[0].t_ns == at(5_000)
        assert "does enter" in draft.replies[0].text
        assert "does move" in draft.replies[0].text

    def test_not_while_something_is_on_nor_for_ever(self):
        assert questions.next_at(desk(ENTERS, LEAVES), at(3_000)) is None
        assert questions.next_at(desk(ENTERS), at(5_000)) is None
        assert questions.next_at(desk(ENTERS, max_wait_ns=1_000 * MS), at(1_000)) is None
        assert questions.next_at(desk(act(15_000, 30_000)), at(14_000)) is None, "it is not over when the video is"


def brute_count(events, names, t):
    """How many events of some ids were over at an instant, and whether one was going on."""
    mine = [e for e in events if e.id in names]
    return sum(e.end_ns <= t for e in mine), any(e.start_ns <= t < e.end_ns for e in mine)


@given(scenes(), st.integers(0, 2**32), st.data())
def test_answers_are_true_by_a_brute_search(drawn, seed, data):
    events = events_in(drawn)
    made = desk_for(drawn, random.Random(seed), events=events)
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    for key, track in made.timeline.topics.items():
        mine = [told.event for told in track.told]
        yes, no = (questions.yet_at(made, t, key, wanted=wanted) for wanted in (True, False))
        assert not (yes and no)
        assert not yes or any(e.end_ns <= t for e in mine)
        assert not no or all(e.start_ns > t for e in mine)
        on, off = (questions.is_on_at(made, t, key, wanted=wanted) for wanted in (True, False))
        assert not (on and off)
        assert not on or any(e.start_ns <= t < e.end_ns for e in mine)
        assert not off or not any(e.start_ns <= t < e.end_ns for e in mine)
    draft = counting.count_at(made, t, shots=True)
    for probe in draft.probes if draft else ():
        over, going = brute_count(events, {told.event.id for told in made.timeline.shots.told}, probe.t_ns)
        assert probe.expected == str(over)
        assert not going


@given(scenes(), st.integers(0, 2**32), st.data())
def test_what_is_told_is_what_happened(drawn, seed, data):
    events = {event.id: event for event in events_in(drawn)}
    made = desk_for(drawn, random.Random(seed), events=list(events.values()))
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    for way in (questions.last_at, questions.before_at, questions.subject_at, questions.next_at, questions.now_at):
        draft = way(made, t)
        for reply in draft.replies if draft else ():
            named = [events[made_id] for made_id in told_names(reply)]
            assert named
            finished = way is not questions.now_at
            assert all((e.end_ns if finished else e.known_from_ns) <= reply.t_ns for e in named)
            assert any(" ".join(e.caption.split()).rstrip(".") in reply.text for e in named)
            scene_ids = {told.event.id for told in made.timeline.scene.told}
            between = [
                e for e in events.values()
                if e.id in scene_ids and e.id not in told_names(reply) and way is questions.last_at
                and e.end_ns > max(n.end_ns for n in named) and e.start_ns <= t
            ]  # fmt: skip
            assert between == [], "something else happened after it"


PAST = (questions.last_at, questions.before_at, questions.subject_at, questions.now_at)


@given(scenes(), st.integers(0, 2**32), st.data(), st.sampled_from([*PAST, counting.count_at]))
def test_an_answer_does_not_change_when_the_future_does(drawn, seed, data, way):
    events = events_in(drawn)
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))

    def asked(known):
        made = desk_for(drawn, random.Random(seed), events=known)
        return way(made, t, shots=True) if way is counting.count_at else way(made, t)

    draft = asked(events)
    if draft is not None:
        begun = [event for event in events if event.start_ns - event.onset_uncertainty_ns <= t]
        again = asked(begun)
        assert again.question == draft.question
        assert again.replies[0].text == draft.replies[0].text
        assert again.replies[0].evidence == draft.replies[0].evidence
        assert (
            again.replies[0].valid_until_ns is None
            or draft.replies[0].valid_until_ns <= again.replies[0].valid_until_ns
        )
