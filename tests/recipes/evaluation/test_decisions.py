"""Counts of decisions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.example import STATES
from recipes.evaluation.decisions import Decided, decided, first_chance, total
from recipes.evaluation.matching import Tolerance, match
from recipes.evaluation.script import reference
from tests.recipes.evaluation.made import GRIDS, S, due, perfect, script, shifted, silent, speech, talk
from tests.recipes.evaluation.test_matching import DUES, SECONDS, made_of


def counts(made, said, **how):
    return decided(match(made, said, **how), **how)


@settings(max_examples=40)
@given(DUES)
def test_a_perfect_talk_scores_one(rows):
    made = made_of(rows)
    found = counts(made, perfect(made))
    # Two things due between the same grids can only be said at one of them.
    if rows and len({math.ceil(start * 2) for start, _ in rows}) == len(rows):
        assert found.precision == found.recall == found.f1 == found.utility == 1
    assert found.silence_accuracy == found.state_accuracy == found.state_f1 == 1
    assert found.false == found.early == found.late == found.missed == found.duplicate == 0


@settings(max_examples=30)
@given(DUES)
def test_a_silent_talk_recalls_nothing(rows):
    made = made_of(rows)
    found = counts(made, silent(made))
    assert found.recall == found.f1 == found.utility == 0
    assert (found.precision, found.missed, found.responses) == (1, len(rows), 0)
    assert found.delay_ns(50) is None
    assert found.silent_right == found.quiet


@settings(max_examples=40)
@given(st.integers(0, 4 * S), st.integers(1, 16))
def test_a_shift_in_time_moves_the_delay_by_exactly_that(by_ns, start):
    made = script(due(start, end_s=start + 10))
    found = counts(made, perfect(made))
    later = counts(made, shifted(perfect(made), by_ns))
    assert later.hit == found.hit == 1
    for percent in (50, 95):
        assert later.delay_ns(percent) - found.delay_ns(percent) == by_ns


@settings(max_examples=40)
@given(DUES, st.lists(SECONDS, max_size=6, unique=True))
def test_counts_add_up(rows, times):
    made = made_of(rows)
    found = counts(made, talk(*(speech(t) for t in times)))
    assert found.due == len(rows) == found.hit + found.early + found.late + found.missed
    assert found.responses == len(times) == found.hit + found.early + found.late + found.false
    assert len(found.delays_ns) == found.hit
    assert sum(found.confusion) == len(GRIDS)
    assert 0 <= found.earned <= found.hit
    assert found.silent_right <= found.silent <= found.quiet
    assert found.f1 == pytest.approx(
        2 * found.precision * found.recall / (found.precision + found.recall) if found.hit else 0
    )


@settings(max_examples=30)
@given(DUES, st.lists(SECONDS, max_size=6, unique=True))
def test_three_ways_are_counted_as_they_stand(rows, times):
    made = made_of(rows)
    said = talk(*(speech(t) for t in times))
    right, mine = reference(made, GRIDS), [one.state for one in said.decisions]
    found = counts(made, said)
    table = [[sum(r == a and m == b for r, m in zip(right, mine, strict=True)) for b in STATES] for a in STATES]
    assert np.array(found.confusion).reshape(3, 3).tolist() == table
    assert found.state_accuracy == sum(r == m for r, m in zip(right, mine, strict=True)) / len(GRIDS)
    scores = []
    for state in STATES:
        both = sum(r == m == state for r, m in zip(right, mine, strict=True))
        either = right.count(state) + mine.count(state)
        scores += [2 * both / either] if either else []
    assert found.state_f1 == pytest.approx(sum(scores) / len(scores))


@settings(max_examples=25)
@given(st.permutations(range(4)))
def test_order_of_conversations_changes_nothing(order):
    made = [script(due(2 + k)) for k in range(4)]
    said = [talk(speech(2.5 + k), speech(9)) for k in range(4)]
    plain = total(counts(one, other) for one, other in zip(made, said, strict=True))
    mixed = total(counts(made[k], said[k]) for k in order)
    assert (mixed.f1, mixed.recall, mixed.delay_ns(50), mixed.confusion) == (
        plain.f1, plain.recall, plain.delay_ns(50), plain.confusion,
    )  # fmt: skip
    assert plain == sum((counts(a, b) for a, b in zip(made, said, strict=True)), Decided())


def test_what_is_due_at_once_is_told_apart():
    made = script(due(3, heard=0, end_s=5), due(8), asked_s=(3,))
    found = counts(made, talk(speech(3, heard=0)))
    assert (found.asked, found.asked_hit, found.due, found.responses, found.missed) == (1, 1, 1, 0, 1)


def test_silence_counts_only_where_nothing_is_due():
    made = script(due(2, end_s=4), asked_s=(0,))
    found = counts(made, talk(speech(3.5), speech(10)))
    # Grids at 2, 2.5, 3 and 3.5 s are inside the window.
    assert (found.quiet, found.silent) == (len(GRIDS) - 4, len(GRIDS) - 5)
    wide = counts(made, talk(speech(3.5), speech(10)), tolerance=Tolerance(late_ns=S))
    assert wide.quiet == len(GRIDS) - 6


def test_standing_by_is_quiet_but_not_silent():
    made = script(due(10))
    states = ["standby" if k == 3 else "silence" for k in range(len(GRIDS))]
    found = counts(made, talk(states=states))
    assert found.silent - found.silent_right == 1


def test_utility_is_the_share_of_the_window_that_is_left():
    made = script(due(4, end_s=8))
    assert counts(made, talk(speech(4))).utility == 1
    assert counts(made, talk(speech(6))).utility == pytest.approx(0.5)
    assert counts(made, talk(speech(6, "It stops."))).utility == 0
    assert counts(made, talk(speech(9))).utility == 0


def test_first_chance_is_a_grid_or_the_question():
    assert first_chance(due(4.1), GRIDS) == 4.5 * S
    assert first_chance(due(4.1, heard=0), GRIDS) == round(4.1 * S)
    assert first_chance(due(400), GRIDS) == 400 * S


def test_a_hit_that_the_user_cut_too_short_is_not_asked_for():
    made = script(due(4, text="red circle moves left", end_s=8), due(10, end_s=12))
    found = counts(made, talk(speech(4, "r", cut=True), speech(10)))
    assert (found.hit, found.left_out, found.utility) == (2, 1, 1)
    wrong = counts(made, talk(speech(4, "blue", cut=True), speech(10)))
    assert (wrong.left_out, wrong.utility) == (0, 0.5)


@settings(max_examples=25)
@given(st.lists(SECONDS, max_size=6, unique=True))
def test_false_starts_per_minute(times):
    # Twenty seconds are watched, and nothing is due.
    found = counts(script(), talk(*(speech(t) for t in times)))
    assert found.watched_ns == 20 * S
    assert found.false_per_minute == pytest.approx(3 * len(times))


def test_without_grids_nothing_is_watched():
    assert Decided(false=3).false_per_minute == 0
    assert counts(script(), talk(grids=())).watched_ns == 0
    assert counts(script(), talk(grids=GRIDS[:1])).watched_ns == 0


def test_mean_delay_by_hand():
    made = script(due(4, end_s=8), due(10, end_s=12))
    assert counts(made, talk(speech(5), speech(10))).delay_mean_ns == S / 2
    assert counts(made, silent(made)).delay_mean_ns is None
