"""What can be had without the video."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.baselines import Clock, fit_clock, fit_majority
from recipes.evaluation.decisions import decided
from recipes.evaluation.matching import match
from recipes.evaluation.script import reference
from tests.recipes.evaluation.made import GRIDS, S, ask, clip, due, script


def f1_of(clock, made):
    return decided(match(made, clock.talk(made, GRIDS))).f1


def test_what_always_comes_after_the_same_time_needs_no_video():
    timed = [(script(due(t + 3, end_s=t + 4), asked_s=(t,)), GRIDS) for t in (1, 4, 7.5)]
    clock = fit_clock(timed)
    assert [f1_of(clock, made) for made, _ in timed] == [1, 1, 1]


def test_hazards_by_hand():
    # Asked at 0 s; grids at 0.5 s are less than a second after, those at 1 and 1.5 s one second, and so on.
    timed = [(script(due(t, end_s=t + 1), asked_s=(0,)), GRIDS[:6]) for t in (1, 1, 2)]
    clock = fit_clock(timed)
    assert clock.hazards[True, 0] == 0
    assert clock.hazards[True, 1] == pytest.approx(2 / 4)
    # Behind a response, the time since it counts.
    assert clock.hazards[True, 2] == 1
    assert clock.hazards[False, 0] == 0


def test_nothing_is_said_where_nothing_ever_was():
    clock = fit_clock([(script(), GRIDS)])
    assert clock.talk(script(), GRIDS).speeches == ()
    assert fit_clock([]).talk(script(due(3)), GRIDS).speeches == ()


def test_before_anybody_speaks_the_clock_is_silent():
    clock = Clock(hazards={(True, k): 1.0 for k in range(61)} | {(False, k): 0.0 for k in range(61)}, threshold=0.5)
    said = clock.talk(script(asked_s=(5,)), GRIDS).speeches
    assert [one.t_ns for one in said] == [round(5.5 * S)]
    assert clock.talk(script(asked_s=()), GRIDS).speeches == ()


def test_after_a_response_the_clock_begins_anew():
    clock = Clock(hazards={(True, 1): 0.9, (False, 2): 0.9}, threshold=0.9)
    said = clock.talk(script(asked_s=(0,)), GRIDS).speeches
    assert [one.t_ns / S for one in said][:3] == [1, 3, 5]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 15)), min_size=1, max_size=4))
def test_no_threshold_is_better_on_what_it_was_fitted_on(rows):
    timed = [(script(due(a + b, end_s=a + b + 1), asked_s=(a,)), GRIDS) for a, b in rows]
    best = fit_clock(timed)

    def score(threshold):
        clock = Clock(hazards=best.hazards, threshold=threshold)
        counts = [decided(match(made, clock.talk(made, grids))) for made, grids in timed]
        return sum(counts[1:], counts[0]).f1

    assert score(best.threshold) >= max(score(hazard) for hazard in {*best.hazards.values(), 2.0} if hazard > 0)


@settings(max_examples=25)
@given(st.integers(0, 16), st.integers(0, 8))
def test_the_clock_knows_no_event(asked, later):
    timed = [(script(due(asked + 2, end_s=asked + 3), asked_s=(asked,)), GRIDS)]
    clock = fit_clock(timed)
    one = clock.talk(script(due(asked + 1), asked_s=(asked,)), GRIDS)
    other = clock.talk(script(due(asked + 1 + later), asked_s=(asked,)), GRIDS)
    assert one == other


def test_decisions_of_the_clock_are_silence_or_response():
    made = script(due(5), asked_s=(2,))
    found = fit_clock([(made, GRIDS)]).talk(made, GRIDS)
    assert {one.state for one in found.decisions} == {"silence", "respond"}
    assert [one.t_ns for one in found.decisions] == list(GRIDS)
    assert reference(made, GRIDS).count("respond") == len(found.speeches) == 1


def test_the_commonest_answer_of_each_task():
    train = clip(
        asks=[
            ask("a", "Yes, it has moved."), ask("b", "Yes. It has moved."), ask("c", "No, it has not."),
            ask("d", "So far, 2.", task="count_so_far", mode="counting"),
            ask("e", "2 so far.", task="count_so_far", mode="counting"),
            ask("f", "So far, 3.", task="count_so_far", mode="counting"),
            ask("g", "red", mode="choice", options=("red", "blue"), option=1),
        ],
        scripts=[script(due(3, text="Now it stops."), due(6, text="It stops now."), due(9, text="It goes."))],
    )  # fmt: skip
    found = fit_majority([train])
    assert found.answers["now", "realtime"] == "Yes, it has moved."
    assert found.answers["count_so_far", "counting"] == "So far, 2."
    assert found.answers["now", "choice"] == "blue"
    assert found.answers["tell_me_when", "proactive"] == "Now it stops."
    marks = found.marks(train)
    assert [mark.right for mark in marks] == [True, True, False, True, True, False, True, True, True, False]


def test_a_task_that_was_never_seen_has_no_answer():
    made = clip(asks=[ask("a", "It moves.", task="new")], scripts=[script(due(3, worded=False))])
    (mark,) = fit_majority([]).marks(made)
    assert not mark.right
