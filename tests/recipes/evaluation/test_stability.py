"""Steadiness of decisions, and what thresholds would bring about."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.speaking import Decider
from recipes.evaluation.matching import match
from recipes.evaluation.script import reference
from recipes.evaluation.stability import Point, Steady, at_reference, choose, rethreshold, segments, steady, sweep
from recipes.evaluation.trace import Decision, Talk
from tests.recipes.evaluation.made import GRIDS, S, due, perfect, script, speech, talk
from tests.recipes.evaluation.test_matching import DUES, made_of

CHANCES = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda row: tuple(part / sum(row) for part in row))
BORDERS = st.lists(st.integers(0, 20 * S), max_size=6).map(sorted)


def random_talk(rows):
    decisions = [
        Decision(t_ns=t, state=choose(chances), chances=chances) for t, chances in zip(GRIDS, rows, strict=False)
    ]
    return Talk(key="q", decisions=tuple(decisions), speeches=())


@settings(max_examples=50)
@given(DUES, st.lists(CHANCES, min_size=2, max_size=40), BORDERS)
def test_flips_by_brute_force(rows, chances, borders):
    made, said = made_of(rows), random_talk(chances)
    found = steady(match(made, said), borders)
    grids = [one.t_ns for one in said.decisions]
    right = reference(made, grids)
    turns = [heard.t_ns for heard in made.heard]
    pairs = flips = 0
    for k in range(len(grids) - 1):
        between = any(grids[k] < border <= grids[k + 1] for border in borders)
        between |= any(grids[k] <= turn < grids[k + 1] for turn in turns)
        if not between and right[k] == right[k + 1]:
            pairs += 1
            flips += said.decisions[k].state != said.decisions[k + 1].state
    assert (found.pairs, found.flips) == (pairs, flips)
    assert found.accuracy == sum(a.state == b for a, b in zip(said.decisions, right, strict=True)) / len(grids)


@settings(max_examples=30)
@given(DUES, BORDERS)
def test_a_perfect_talk_never_flips_and_never_lags(rows, borders):
    made = made_of(rows)
    found = steady(match(made, perfect(made)), borders)
    assert (found.flip_rate, found.accuracy) == (0, 1)
    assert set(found.lags_ns) <= {0}
    assert len(found.lags_ns) == len(rows)


def test_flips_by_hand():
    made = script(due(18))
    states = ["silence", "standby", "standby", "silence", *["silence"] * 36]
    said = talk(states=states)
    assert steady(match(made, said), []).flips == 2
    # A border between two grids forgives one; one at a grid belongs to that grid.
    assert steady(match(made, said), [GRIDS[0] + 1]).flips == 1
    assert steady(match(made, said), [GRIDS[1]]).flips == 1
    assert steady(match(made, said), [GRIDS[0]]).flips == 2


def test_lag_by_hand():
    made = script(due(4, end_s=6), due(10, end_s=11))
    found = steady(match(made, talk(speech(5.5), speech(10))), [])
    assert found.lags_ns == (round(1.5 * S), 0)
    assert found.lag_ns(50) == 0.75 * S
    # A response belongs to the thing that came due last.
    assert steady(match(made, talk(speech(10.5))), []).lags_ns == (S // 2,)
    assert Steady().lag_ns(50) is None


TIMES = st.lists(st.integers(0, 50), max_size=5).map(sorted)


@given(TIMES, TIMES, st.integers(0, 50), st.integers(0, 50))
def test_segments_part_at_borders_alone(borders, turns, one, other):
    low, high = sorted((one, other))
    first, second = segments([low, high], borders, turns)
    begun = any(low < border <= high for border in borders)
    heard = any(low <= turn < high for turn in turns)
    assert (first == second) == (not begun and not heard)


def test_a_question_at_the_time_of_a_grid_is_heard_behind_its_decision():
    made = script(due(18))
    (heard,) = made.heard
    made = replace(made, heard=(replace(heard, begins_ns=GRIDS[4], t_ns=GRIDS[4]),))
    said = talk(states=[*["silence"] * 5, *["standby"] * 35])
    # The decision changes from the grid at whose time it is asked to the one behind it: there it may.
    assert steady(match(made, said), []).flips == 0
    early = talk(states=[*["silence"] * 4, *["standby"] * 36])
    assert steady(match(made, early), []).flips == 1


@settings(max_examples=50)
@given(CHANCES, st.one_of(st.none(), st.floats(0, 1)))
def test_choosing_is_the_rule_that_serves(chances, threshold):
    import torch

    logits = torch.tensor(chances, dtype=torch.float64).log()
    state, served = Decider(tokens=(0, 1, 2), threshold=threshold).decide(logits)
    assert choose(served, threshold) == state


@settings(max_examples=25)
@given(DUES, st.lists(CHANCES, min_size=5, max_size=40))
def test_a_higher_threshold_never_responds_more(rows, chances):
    made, said = made_of(rows), random_talk(chances)
    found = match(made, said)
    thresholds = [0.1, 0.3, 0.5, 0.7, 0.9]
    responses = [len(rethreshold(said, threshold).speeches) for threshold in thresholds]
    assert responses == sorted(responses, reverse=True)
    points = sweep([(found, [])], [None, *thresholds])
    assert [point.threshold for point in points] == [None, *thresholds]
    recalls = [point.recall for point in points[1:]]
    assert recalls == sorted(recalls, reverse=True)
    assert points[0].accuracy == steady(found, []).accuracy


def test_no_threshold_leaves_the_talk_as_it_was():
    made = script(due(4), due(9))
    said = perfect(made)
    again = rethreshold(said, None)
    assert again.decisions == said.decisions
    assert [one.t_ns for one in again.speeches] == [one.t_ns for one in said.speeches]


def point(accuracy, lag_s, flips, answered=3, threshold=0.5):
    return Point(
        threshold=threshold, accuracy=accuracy, lag_ns=None if lag_s is None else lag_s * S, flip_rate=flips,
        precision=1.0, recall=1.0, answered=answered,
    )  # fmt: skip


def test_flips_are_compared_only_at_equal_accuracy_and_lag():
    like = point(0.9, 1.0, 0.2)
    mute, slow, rough, calm = (
        point(0.9, None, 0.0, 0),
        point(0.9, 2.0, 0.01),
        point(0.7, 0.5, 0.0),
        point(0.91, 1.0, 0.1),
    )
    assert at_reference([mute, slow, rough, calm, like], like) == calm
    assert at_reference([mute, slow, rough], like) is None
    assert at_reference([slow], like, lag_ns=S) == slow
    assert at_reference([rough], like, accuracy=0.25) == rough
    assert at_reference([mute], point(0.9, None, 0.3, 0)) == mute


def test_counts_add_up():
    one = Steady(pairs=2, flips=1, grids=3, right=2, lags_ns=(5,), due=1)
    both = one + Steady(pairs=2, flips=0, grids=1, right=1, lags_ns=(7,), due=2)
    assert both == Steady(pairs=4, flips=1, grids=4, right=3, lags_ns=(5, 7), due=3)
    assert both.flip_rate == 0.25
    assert Steady().flip_rate == Steady().accuracy == pytest.approx(0)
