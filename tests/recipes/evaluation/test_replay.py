"""Clips streamed into sessions of tiny random models."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from models.errors import PoolFullError
from models.layouts import LAYOUTS
from recipes.errors import RecipeError
from recipes.evaluation.replay import Conversation, Ear, How, how_to_replay
from recipes.settings import DataConfig, EvaluateConfig, MadeConfig, ModelConfig, RunConfig, ServeConfig
from tests.recipes.evaluation.made import S
from tests.recipes.evaluation.streams import (
    GRIDS,
    SETTINGS,
    TIMES,
    Drawn,
    asks,
    clip_of,
    model_of,
    replay_of,
    script_of,
)


def near(one, other):
    """Equal texts and states at equal times, and probabilities but for rounding."""
    assert [part.t_ns for part in one] == [part.t_ns for part in other]
    for mine, theirs in zip(one, other, strict=True):
        if hasattr(mine, "chances"):
            assert mine.chances == pytest.approx(theirs.chances, abs=1e-4)
        else:
            assert (mine.text, mine.state) == (theirs.text, theirs.state)
            assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-4)


def test_everything_is_asked_once_at_its_time():
    made = clip_of(asks=asks(0.2, 1, 1.6, 4, 9), scripts=(script_of(1.2),), on=True)
    trace = replay_of(events="Which?").trace(made, Drawn())
    assert [reply.key for reply in trace.replies] == [one.key for one in made.asks]
    assert [reply.t_ns for reply in trace.replies] == [one.t_ns for one in made.asks]
    assert [reply.t_ns for reply in trace.on] == list(GRIDS)
    (talk,) = trace.talks
    # What comes before a standing question is none of its business.
    assert [decision.t_ns for decision in talk.decisions] == [t_ns for t_ns in GRIDS if t_ns > 1.2 * S]
    assert (talk.speeches[0].heard, talk.speeches[0].t_ns) == (0, round(1.2 * S))
    assert trace.variant == "seen"


def test_the_same_clip_gives_the_same_trace():
    made = clip_of(asks=asks(1, 2), scripts=(script_of(1.2),), on=True)
    replay = replay_of(events="Which?", threshold=0.0, words=2)
    assert replay.trace(made, Drawn()) == replay.trace(made, Drawn())


@pytest.mark.parametrize("layout", ["branch", "group"])
def test_no_later_frame_is_known(layout):
    made = clip_of(
        asks=asks(0.5, 1.7, 2.5, 3.2), scripts=(script_of(1.2), script_of(0, key="d", system="Watch.")), on=True
    )
    replay, pictures = replay_of(layout=layout, events="Which?"), Drawn()
    for t_ns in (TIMES[3], TIMES[6]):
        one, other = replay.trace(made, pictures), replay.trace(made, pictures.changed_after(t_ns))
        near([r for r in one.replies if r.t_ns <= t_ns], [r for r in other.replies if r.t_ns <= t_ns])
        near([r for r in one.on if r.t_ns <= t_ns], [r for r in other.on if r.t_ns <= t_ns])
        for mine, theirs in zip(one.talks, other.talks, strict=True):
            near([d for d in mine.decisions if d.t_ns <= t_ns], [d for d in theirs.decisions if d.t_ns <= t_ns])
        # What comes after does change, or the test would prove nothing.
        last, changed = one.on[-1], other.on[-1]
        assert abs(last.confidence - changed.confidence) > 1e-6 or last.text != changed.text


def test_questions_know_nothing_of_each_other():
    whole = replay_of(events="Which?").trace(
        clip_of(asks=asks(1, 1.1, 2.6, 4), scripts=(script_of(1.2),), on=True), Drawn()
    )
    for k, one in enumerate(asks(1, 1.1, 2.6, 4)):
        (alone,) = replay_of().trace(clip_of(asks=(one,)), Drawn()).replies
        near([alone], [whole.replies[k]])


@pytest.mark.parametrize(
    "layout",
    [pytest.param(name, marks=() if name in ("branch", "group") else pytest.mark.slow) for name in sorted(LAYOUTS)],
)
def test_a_branch_is_as_good_as_a_session_of_its_own(layout):
    for begin in (0.2, 2.6):
        branched, apart = (
            script_of(begin, begin + 1),
            replace(script_of(begin, begin + 1), system=SETTINGS.system_prompt),
        )
        replay = replay_of(layout=layout)
        one = replay.trace(clip_of(scripts=(branched,)), Drawn()).talks[0]
        other = replay.trace(clip_of(scripts=(apart,)), Drawn()).talks[0]
        near(one.decisions, other.decisions)
        near(one.speeches, other.speeches)


def test_a_branch_leaves_no_trace_in_the_session_that_it_left():
    scripts = (script_of(0.7, key="a"), script_of(1.2, 2.2, key="b"), script_of(5.4, key="c"), script_of(30, key="e"))
    whole = replay_of().trace(clip_of(asks=asks(1, 2.6, 5.6), scripts=scripts), Drawn())
    near(whole.replies, replay_of().trace(clip_of(asks=asks(1, 2.6, 5.6)), Drawn()).replies)
    for k, one in enumerate(scripts):
        (alone,) = replay_of().trace(clip_of(scripts=(one,)), Drawn()).talks
        near(alone.decisions, whole.talks[k].decisions)
        near(alone.speeches, whole.talks[k].speeches)


def test_a_model_that_always_responds_says_something_after_every_grid():
    made = clip_of(scripts=(script_of(1.2),))
    (talk,) = replay_of(threshold=0.0).trace(made, Drawn()).talks
    assert {decision.state for decision in talk.decisions} == {"respond"}
    assert [said.t_ns for said in talk.speeches if said.heard < 0] == [t_ns for t_ns in GRIDS if t_ns > 1.2 * S]
    (mute,) = replay_of(threshold=1.0).trace(made, Drawn()).talks
    assert [said.heard for said in mute.speeches] == [0]


class Typed:
    """An answer that is written letter by letter, as `models.answer.Answer` gives itself out."""

    def __init__(self, text, tokens=(7,)):
        self._left, self.text, self.token_ids = list(text), "", tokens
        self.stats = SimpleNamespace(stopped_by="")
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            self.stats.stopped_by = "end"
            raise StopIteration
        self.text += self._left[0]
        return self._left.pop(0)

    def close(self):
        self.closed = True


def conversation(script, *texts, chars_per_s=10, state=None):
    answers = [Typed(text) for text in texts]
    session = SimpleNamespace(ask=lambda *_, **__: answers[len(made.speeches)])
    how = How(settings=SETTINGS, max_new_tokens=9, chars_per_s=chars_per_s)
    made = Conversation(session, Ear(), script, how=how, state_of=lambda _: state)
    made.hear_before(None)
    assert all(answer.closed for answer in answers)
    return made.speeches


def test_a_user_who_breaks_in_cuts_what_is_being_said():
    first, second = conversation(script_of(1.2, 2.5, begins=(1.2, 1.7)), "It moves left.", "So it does.")
    # Half a second at ten letters a second.
    assert (first.text, first.cut, first.end_ns) == ("It mo", True, round(1.7 * S))
    assert (second.text, second.cut) == ("So it does.", False)
    assert second.end_ns == round(2.5 * S) + len(second.text) * S // 10


def test_what_is_out_before_the_user_speaks_is_whole():
    first, _ = conversation(script_of(1, 5), "It moves.", "Yes.")
    assert (first.text, first.cut) == ("It moves.", False)
    assert (first.heard, first.state, first.tokens) == (0, None, 1)


def test_a_reply_begun_while_the_user_speaks_is_heard_until_the_user_is_done():
    first, _ = conversation(script_of(1, 2, begins=(0.5, 0.8)), "It moves left and right.", "Yes.")
    assert (first.text, first.cut) == ("It moves l", True)


def test_a_user_who_speaks_at_once_hears_nothing():
    first, _ = conversation(script_of(1, 1.05), "It moves.", "Yes.")
    assert (first.text, first.cut) == ("", True)


@pytest.mark.parametrize("state", ["silence", "standby", "respond", None])
def test_the_state_of_a_reply_is_that_of_its_first_token(state):
    (said,) = conversation(script_of(1), "Yes.", state=state)
    assert said.state == state


def test_where_a_branch_does_not_fit_it_takes_a_session_of_its_own():
    made = clip_of(scripts=(script_of(2.6),))
    plain = replay_of().trace(made, Drawn()).talks[0]
    replay = replay_of()
    refused = []

    def full(*_):
        refused.append(1)
        return {}

    replay._branch = full
    talk = replay.trace(made, Drawn()).talks[0]
    assert refused == [1]
    near(talk.decisions, plain.decisions)


def test_a_full_pool_is_no_talk_and_leaves_the_session_as_it_was():
    replay = replay_of()
    session, ear = replay._open()
    with session:
        for picture, t_ns in list(Drawn().since())[:4]:
            session.add_frame(picture, t_ns)
        before = session.metrics().slots_used

        def full(*_):
            raise PoolFullError("no room")

        replay._talk = full
        assert replay._branch(session, ear, script_of(1.6), iter(())) == {}
        assert session.metrics().slots_used == before


def test_the_events_are_asked_only_where_they_are_known():
    assert replay_of(events="Which?").trace(clip_of(on=False), Drawn()).on == ()
    assert replay_of(events="").trace(clip_of(on=True), Drawn()).on == ()


def test_confidence_is_the_mean_probability_of_the_tokens():
    ear = Ear()
    assert ear.confidence(()) == 1
    assert ear.confidence((1,)) == 1
    rows = torch.tensor([[9.0, 9.0, 9.0], [0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    ear._rows += list(rows)
    expected = float((rows[1].softmax(-1)[2] + rows[2].softmax(-1)[0]) / 2)
    assert ear.confidence((2, 0)) == pytest.approx(expected)
    ear.clear()
    assert ear.confidence((2, 0)) == 1


def test_confidence_of_a_greedy_reply_is_that_of_the_likeliest_tokens():
    (found,) = replay_of(words=3).trace(clip_of(asks=asks(1)), Drawn()).replies
    # Of some 270 tokens the likeliest is above the mean.
    assert 1 / 270 < found.confidence < 1


def test_a_reply_that_begins_with_a_decision_token_is_told_as_one():
    replay = replay_of()
    standby = model_of().prompts.single("<|standby|>")
    assert replay._states[standby] == "standby"
    assert len(replay._states) == 3


def config(**evaluate):
    return RunConfig(
        model=ModelConfig(made=MadeConfig()),
        data=DataConfig(folders=("a",), max_gap_s=1.5, max_pixels=5000),
        serve=ServeConfig(memory="window", window_s=9.0, slots=777, history_rounds=3),
        evaluate=EvaluateConfig(**evaluate),
    )


def test_settings_are_the_packages_with_those_of_the_run():
    package = replace(SETTINGS, layout="group", speak_threshold=0.3, min_pixels=99, background=True)
    how = how_to_replay(package, config(max_new_tokens=7), events_question="Which?")
    found = how.settings
    assert (found.layout, found.speak_threshold, found.min_pixels) == ("group", 0.3, 99)
    assert (found.memory, found.window_s, found.slots, found.history_rounds) == ("window", 9.0, 777, 3)
    assert (found.max_gap_s, found.max_pixels, found.background) == (1.5, 5000, False)
    assert (how.max_new_tokens, how.events_question, how.options.stop.max_new_tokens) == (7, "Which?", 7)
    assert how_to_replay(package, config(threshold=0.6), events_question="").settings.speak_threshold == 0.6


def test_impossible_ways_are_refused():
    for words, speed in ((0, 20), (5, 0)):
        with pytest.raises(RecipeError, match="expected 1 or more"):
            How(settings=SETTINGS, max_new_tokens=words, chars_per_s=speed)
