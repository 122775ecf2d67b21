"""What can be had without the video."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.baselines import PRIOR, TRIED, Clock, fit_clock, fit_majority
from recipes.evaluation.decisions import decided
from recipes.evaluation.matching import match
from recipes.evaluation.script import reference
from tests.recipes.evaluation.made import GRIDS, S, ask, clip, due, script

GROUP = ("tell_me_when", "proactive")


def f1_of(clock, made):
    return decided(match(made, clock.talk(made, GRIDS))).f1


def test_what_always_comes_after_the_same_time_needs_no_video():
    timed = [(script(due(t + 3, end_s=t + 4), asked_s=(t,)), GRIDS) for t in (1, 4, 7.5)]
    clock = fit_clock(timed)
    assert [f1_of(clock, made) for made, _ in timed] == [1, 1, 1]


def test_chances_by_hand():
    # Asked at 0 s; in its window are the grids at 1 and 1.5 s of two, at 2 and 2.5 s of the third.
    timed = [(script(due(t, end_s=t + 1), asked_s=(0,)), GRIDS[:6]) for t in (1, 1, 2)]
    chances = fit_clock(timed).chances[GROUP]
    mean = 6 / 18
    drawn = {steps: (hits + PRIOR * mean) / (3 + PRIOR) for steps, hits in {1: 0, 2: 2, 3: 2}.items()}
    assert {steps: chances[0, steps] for steps in drawn} == pytest.approx(drawn)
    # What has been answered counts from its response, one second ago: twice at 2 s, once at 3 s.
    assert chances[0, 4] == pytest.approx((1 + PRIOR * mean) / (1 + PRIOR))
    assert chances[1, 2] == pytest.approx(PRIOR * mean / (3 + PRIOR))
    assert (1, 0) not in chances


def test_nothing_is_said_where_nothing_ever_was():
    clock = fit_clock([(script(), GRIDS)])
    assert clock.talk(script(), GRIDS).speeches == ()
    assert fit_clock([]).talk(script(due(3)), GRIDS).speeches == ()


def clock_of(chances, threshold):
    return Clock(chances={GROUP: chances}, thresholds={GROUP: threshold})


def test_before_anybody_speaks_the_clock_is_silent():
    clock = clock_of({(0, k): 1.0 for k in range(61)}, 0.5)
    said = clock.talk(script(asked_s=(5,)), GRIDS).speeches
    assert [one.t_ns for one in said] == [round(5.5 * S)]
    assert clock.talk(script(asked_s=()), GRIDS).speeches == ()


def test_after_a_response_the_clock_begins_anew():
    clock = clock_of({(0, 2): 0.9, (1, 4): 0.9, (2, 6): 0.9}, 0.9)
    assert [one.t_ns / S for one in clock.talk(script(asked_s=(0,)), GRIDS).speeches] == [1, 3, 6]
    # A user who speaks again is answered again.
    assert [one.t_ns / S for one in clock.talk(script(asked_s=(0, 10)), GRIDS).speeches] == [1, 3, 6, 11, 13, 16]


def test_tasks_and_modes_have_clocks_of_their_own():
    soon = [(script(due(1, end_s=1.5), asked_s=(0,), mode="forward"), GRIDS)]
    late = [(script(due(6, end_s=6.5), asked_s=(0,), mode="proactive"), GRIDS)]
    clock = fit_clock([*soon, *late])
    assert [f1_of(clock, made) for made, _ in (*soon, *late)] == [1, 1]
    assert clock.talk(script(due(1), mode="counting"), GRIDS).speeches == ()


def test_what_comes_thrice_is_said_thrice():
    dues = [due(t, end_s=t + 1) for t in (3, 8, 14)]
    made = script(*dues, asked_s=(0,))
    assert f1_of(fit_clock([(made, GRIDS)]), made) == 1


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 15)), min_size=1, max_size=4))
def test_no_threshold_is_better_on_what_it_was_fitted_on(rows):
    timed = [(script(due(a + b, end_s=a + b + 1), asked_s=(a,)), GRIDS) for a, b in rows]
    best = fit_clock(timed)

    def score(threshold):
        clock = Clock(chances=best.chances, thresholds={GROUP: threshold})
        counts = [decided(match(made, clock.talk(made, grids))) for made, grids in timed]
        return sum(counts[1:], counts[0]).f1

    tried = sorted({*best.chances[GROUP].values()})[-TRIED:]
    assert len({*best.chances[GROUP].values()}) <= TRIED
    assert score(best.thresholds.get(GROUP, 2.0)) >= max(score(chance) for chance in [*tried, 2.0])


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
    # As in a replay, nothing is decided before the question.
    assert [one.t_ns for one in found.decisions] == [t_ns for t_ns in GRIDS if t_ns > 2 * S]
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
    assert found.answer("now", "realtime", "what?") == "yes"
    assert found.answer("count_so_far", "counting", "what?") == "So far, 2."
    assert found.answer("now", "choice", "what?") == "blue"
    assert found.answer("tell_me_when", "proactive", "what?") == "Now it stops."
    marks = found.marks(train)
    assert [mark.right for mark in marks] == [True, True, False, True, True, False, True, True, True, False]


def test_each_question_has_its_own_commonest_answer():
    def asked(key, question, text):
        return replace(ask(key, text), question=question)

    train = clip(
        asks=[asked("a", "Has it cut?", "Yes."), asked("b", "Has it left?", "no"), asked("c", "Has it left?", "No.")],
        scripts=[
            script(replace(due(3, text="scene cuts"), asked=0)),
            script(due(5, text="It goes."), due(7, text="It goes.")),
        ],
    )
    found = fit_majority([train])
    assert found.answer("now", "realtime", "Has it cut?") == "yes"
    assert found.answer("now", "realtime", "Has it left?") == "no"
    # One that was never asked is answered as most of its task are.
    assert found.answer("now", "realtime", "Has it moved?") == "no"
    assert found.answer("tell_me_when", "proactive", "tell me") == "scene cuts"
    assert found.answer("tell_me_when", "proactive", "") == "It goes."
    assert found.answer("new", "realtime", "What?") == ""
    assert all(mark.right for mark in found.marks(train))


def test_a_task_that_was_never_seen_has_no_answer():
    made = clip(asks=[ask("a", "It moves.", task="new")], scripts=[script(due(3, worded=False))])
    (mark,) = fit_majority([]).marks(made)
    assert not mark.right
