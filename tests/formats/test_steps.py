from fractions import Fraction
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Answer, Dialogue, Event, Evidence, Provenance, StreamingQA
from datasets_build.formats.steps import NARRATE, of_dialogue, of_events, of_question, steps_of
from tests.builders.made import steady
from tests.formats.made import at, said, talk_of, talks

RULE = Provenance(kind="rule", agent="test")
GRIDS = st.sampled_from([None, Fraction(1), Fraction(2), Fraction(30000, 1001)])


def question(*answers, ask_s=1.0, **more):
    fields = {
        "id": "q", "video_id": "v", "mode": "counting", "task": "count", "question": "How many?", "ask_ns": at(ask_s),
        "evidence": (Evidence(start_ns=0, end_ns=at(1)),), "answerable_from_ns": at(1), "answers": answers,
        "provenance": RULE,
    }  # fmt: skip
    return StreamingQA.model_validate(fields | more)


def answer(text, seconds):
    return Answer(text=text, t_ns=at(seconds), window_start_ns=at(seconds), window_end_ns=at(seconds + 1))


@given(talks(), GRIDS)
def test_every_turn_stands_once_and_never_before_its_time(talk, fps):
    clock = steady(4.0)
    found = steps_of(talk, clock, fps)
    held = [turn.id for step in found.steps for turn in (*step.users, *step.said)]
    assert sorted([*held, *(turn.id for turn in found.late)]) == sorted(turn.id for turn in talk.turns)
    before = -1
    for step in found.steps:
        assert clock.time_of(step.frame_index) == step.t_ns
        for turn in step.users:
            assert before < turn.end_ns <= step.t_ns
        for turn in step.said:
            assert before < turn.start_ns <= step.t_ns
        before = step.t_ns
    assert all((turn.end_ns if turn.role == "user" else turn.start_ns) > before for turn in found.late)


@given(talks(), GRIDS)
def test_states_are_those_of_the_decisions(talk, fps):
    clock = steady(4.0)
    track = decisions_on(talk.turns, clock, fps=fps, span=talk.span)
    derived = list(chain.from_iterable([run.state] * run.steps for run in track.runs))
    assert [step.state for step in steps_of(talk, clock, fps).steps] == derived


@given(talks(kind="question"), GRIDS)
def test_the_steps_of_a_question_end_with_its_last_words(talk, fps):
    steps = steps_of(talk, steady(4.0), fps).steps
    assert not steps or steps[-1].users or steps[-1].said


def test_a_user_is_heard_when_the_last_word_is_out():
    talk = talk_of(said("u", "user", 0.6, "Is it there?", end_s=1.2))
    heard = [step.t_ns for step in steps_of(talk, steady(4.0), Fraction(2)).steps if step.users]
    # The frame on screen at 1.5 s, of 25 in a second.
    assert heard == [at(1.48)]


def test_delegate_and_cut_short_are_kept():
    turn = said("a", "assistant", 1.0, "One mom", truncated_at_char=7, intended_text="One moment", state="delegate")
    (step,) = [step for step in steps_of(talk_of(turn), steady(4.0), Fraction(1)).steps if step.said]
    assert (step.state, step.learn, step.text) == ("delegate", False, "One mom")


def test_words_and_weights_of_several_turns_at_one_step():
    turns = [said("a", "assistant", 0.1, "One.", loss_weight=0.5), said("b", "assistant", 0.3, "Two.", learn=False)]
    step = steps_of(talk_of(*turns), steady(4.0), Fraction(2)).steps[1]
    assert (step.text, step.learn, step.weight) == ("One.\nTwo.", False, 1.0)
    assert steps_of(talk_of(), steady(4.0), Fraction(2)).steps[0].weight == 1.0


def test_a_question_has_its_options_and_its_answers_in_time():
    talk = of_question(question(answer("1", 1.0), answer("2", 2.0), options=("one", "two")), steady(4.0))
    assert [turn.text for turn in talk.turns] == ["How many?\nA. one\nB. two", "1", "2"]
    assert [turn.start_ns for turn in talk.turns] == [at(1.0), at(1.0), at(2.0)]
    assert all(turn.trigger_ref == talk.turns[0].id for turn in talk.turns[1:])
    assert talk.turns[1].evidence == (Evidence(start_ns=0, end_ns=at(1)),)


def test_a_question_names_no_evidence_that_comes_after_an_answer():
    late = Evidence(start_ns=at(1.5), end_ns=at(2))
    talk = of_question(question(answer("1", 1.0), answer("2", 2.0), evidence=(late,)), steady(4.0))
    assert [turn.evidence for turn in talk.turns[1:]] == [(), (late,)]


def test_a_dialogue_is_taken_as_it_is():
    turns = (said("a", "assistant", 1.0, "Yes."), said("u", "user", 1.0, "Now?"))
    row = Dialogue(
        id="d", video_id="v", start_ns=0, end_ns=at(4), system="Watch.", language="en", turns=turns, decisions=(),
        provenance=RULE,
    )  # fmt: skip
    talk = of_dialogue(row)
    assert (talk.id, talk.kind, talk.system) == ("d", "dialogue", "Watch.")
    assert [turn.id for turn in talk.turns] == ["u", "a"]


@pytest.mark.parametrize(("caption", "words"), [("A ball rolls.", "A ball rolls."), ("", "roll")])
def test_events_are_told_when_they_can_be_known(caption, words):
    event = Event(
        id="e", video_id="v", start_ns=at(1), end_ns=at(3), label="roll", label_set="s", caption=caption,
        known_from_ns=at(2), confidence=1.0, source="human", provenance=RULE,
    )  # fmt: skip
    talk = of_events("v", [event], steady(4.0))
    assert [(turn.role, turn.text, turn.start_ns) for turn in talk.turns] == [
        ("user", NARRATE, 0),
        ("assistant", words, at(2)),
    ]
