"""What should happen, from records."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.asked import put_question
from datasets_build.core.records import Answer, Dialogue, Evidence, Probe, Provenance, StreamingQA, Turn
from recipes.data.questions import is_standing
from recipes.errors import RecipeError
from recipes.evaluation.script import (
    Due,
    Heard,
    asks_of,
    dialogue,
    reference,
    seconds_ns,
    standing,
    window,
)
from tests.recipes.evaluation.made import GRIDS, S, due, script

RULE = Provenance(kind="rule", agent="made")


def answer(t_s, text, *, end_s=None):
    t = round(t_s * S)
    return Answer(text=text, t_ns=t, window_start_ns=t, window_end_ns=t + S if end_s is None else round(end_s * S))


def question(*answers, mode="realtime", ask_s=2, **more):
    return StreamingQA(
        id="q", video_id="v", mode=mode, task="now", question="What is on?", ask_ns=round(ask_s * S), evidence=(),
        answerable_from_ns=0, answers=answers, provenance=RULE, **more,
    )  # fmt: skip


def test_a_question_that_is_answered_at_once_is_asked_aside():
    row = question(answer(2, "A"), options=("A", "B"), correct_option=0, unanswerable=True)
    assert not is_standing(row)
    (made,) = asks_of(row)
    assert (made.key, made.t_ns, made.expected, made.option, made.unanswerable) == ("q", 2 * S, "A", 0, True)
    assert made.question == put_question(row) == "What is on?\nA. A\nB. B"


@pytest.mark.parametrize("mode", ["proactive", "forward"])
def test_a_question_whose_answer_comes_is_standing(mode):
    row = question(answer(5, "A"), mode=mode)
    assert is_standing(row)
    assert asks_of(row) == []
    made = standing(row)
    assert made.heard == (Heard(text="What is on?", begins_ns=2 * S, t_ns=2 * S),)
    (found,) = made.dues
    assert (found.heard, found.since_ns, found.evidence_ns) == (-1, 2 * S, 5 * S)
    assert made.acknowledges == (mode == "proactive")
    assert made.waits == (() if mode == "proactive" else ((2 * S, 5 * S),))


def test_a_count_that_goes_on_is_due_at_once_and_again():
    row = question(
        answer(2, "1"), answer(6, "2"), mode="counting", test_points=(Probe(t_ns=7 * S, kind="count", expected="2"),)
    )
    assert is_standing(row)
    (probe,) = asks_of(row)
    assert (probe.key, probe.mode, probe.t_ns, probe.expected) == ("q/0", "probe", 7 * S, "2")
    made = standing(row)
    assert [found.heard for found in made.dues] == [0, -1]
    states = reference(made, GRIDS)
    assert [t for t, state in zip(GRIDS, states, strict=True) if state == "respond"] == [6 * S]
    assert "standby" not in states


def test_a_count_that_stays_is_asked_aside():
    assert not is_standing(question(answer(2, "1"), mode="counting"))
    assert not is_standing(question(mode="proactive"))


def test_an_unknown_answer_is_waited_for_and_a_request_is_not():
    waiting = reference(standing(question(answer(5, "A"), mode="forward")), GRIDS)
    quiet = reference(standing(question(answer(5, "A"), mode="proactive")), GRIDS)
    for t, one, other in zip(GRIDS, waiting, quiet, strict=True):
        assert one == ("respond" if t == 5 * S else "standby" if 2 * S < t < 5 * S else "silence")
        assert other == ("respond" if t == 5 * S else "silence")


def turn(key, role, start_s, end_s, text, **more):
    return Turn(id=key, role=role, start_ns=round(start_s * S), end_ns=round(end_s * S), text=text, **more)


PROOF = (Evidence(start_ns=0, end_ns=S),)
TALK = Dialogue(
    id="d",
    video_id="v",
    start_ns=0,
    end_ns=20 * S,
    system="You watch.",
    language="en",
    decisions=(),
    provenance=RULE,
    turns=(
        turn("u1", "user", 1, 2, "What next?", task="next"),
        turn(
            "a1", "assistant", 4.2, 5, "It mov", state="respond", trigger="user_query", trigger_ref="u1",
            intended_text="It moves left.", truncated_at_char=6, evidence=PROOF, answerable_from_ns=4 * S,
            window_start_ns=4 * S, window_end_ns=6 * S,
        ),
        turn("u2", "user", 5, 6, "How many?", task="count_so_far", interrupts="a1"),
        turn(
            "a2", "assistant", 6.2, 7, "2.", state="respond", trigger="interruption", trigger_ref="u2",
            evidence=PROOF, answerable_from_ns=6 * S, window_start_ns=6 * S, window_end_ns=9 * S,
        ),
        turn("u3", "user", 9, 10, "Tell me.", task="tell_me_when"),
        turn(
            "a3", "assistant", 10.2, 11, "I will.", state="respond", trigger="user_query", trigger_ref="u3",
            answerable_from_ns=10 * S, window_start_ns=10 * S, window_end_ns=12 * S,
        ),
        turn(
            "a4", "assistant", 14.2, 15, "Now.", state="respond", trigger="event", trigger_ref="e",
            evidence=PROOF, answerable_from_ns=14 * S, window_start_ns=14 * S, window_end_ns=15 * S,
        ),
    ),
)  # fmt: skip


def test_a_dialogue_by_hand():
    made = dialogue(TALK)
    assert [heard.begins_ns for heard in made.heard] == [S, 5 * S, 9 * S]
    assert [heard.t_ns for heard in made.heard] == [2 * S, 6 * S, 10 * S]
    assert [(d.text, d.task, d.heard, d.since_ns // S, d.worded) for d in made.dues] == [
        ("It moves left.", "next", -1, 2, True),
        ("2.", "count_so_far", 1, 6, True),
        ("I will.", "tell_me_when", 2, 10, False),
        ("Now.", "report", -1, 10, True),
    ]
    assert made.barges == ((1, "It moves left."),)
    assert made.system == "You watch."


def test_what_is_right_in_a_dialogue():
    states = dict(zip(GRIDS, reference(dialogue(TALK), GRIDS), strict=True))
    assert [t / S for t, state in states.items() if state == "standby"] == [2.5, 3, 3.5, 4]
    assert [t / S for t, state in states.items() if state == "respond"] == [4.5, 14.5]


def test_a_question_that_is_never_answered_is_waited_for_to_the_end():
    row = TALK.model_copy(update={"turns": TALK.turns[:1]})
    states = reference(dialogue(row), GRIDS)
    assert states == ["silence" if t <= 2 * S else "standby" for t in GRIDS]


@settings(max_examples=50)
@given(st.integers(0, 19 * S), st.integers(1, 3 * S), st.integers(0, S), st.integers(0, S))
def test_a_window_always_holds_a_grid_of_its_time(start, width, early, late):
    made = Due(
        text="x", task="t", t_ns=start, evidence_ns=start, start_ns=start, end_ns=start + width, heard=-1, since_ns=0
    )
    low, high = window(made, GRIDS)
    first = min(t for t in GRIDS if t >= start)
    assert low == start
    assert high == max(start + width, first + 1)
    assert window(made, GRIDS, early_ns=early, late_ns=late) == (low - early, high + late)
    at_once = Due(
        text="x", task="t", t_ns=start, evidence_ns=start, start_ns=start, end_ns=start + width, heard=0, since_ns=0
    )
    assert window(at_once, GRIDS) == (start, start + width)


def test_two_things_due_between_the_same_grids_respond_once():
    states = reference(script(due(4.1), due(4.3)), GRIDS)
    assert states.count("respond") == 1


def test_impossible_scripts_are_refused():
    with pytest.raises(RecipeError, match="after its end"):
        Heard(text="x", begins_ns=2, t_ns=1)
    with pytest.raises(RecipeError, match="is empty"):
        due(3, end_s=3)


def test_seconds_as_nanoseconds():
    assert [seconds_ns(t) for t in (0, 0.1, 2.0)] == [0, S // 10, 2 * S]


def test_what_nobody_asked_for_has_no_question():
    plain = due(3)
    assert script(plain).question(plain) == ""
    asked = replace(plain, asked=1)
    one = script(asked, asked_s=(0, 2))
    assert replace(one, heard=(one.heard[0], replace(one.heard[1], text="and then?"))).question(asked) == "and then?"
