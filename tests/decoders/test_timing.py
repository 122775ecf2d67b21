import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.decoders.timing import is_variable, off_grid, reorder_depth, typical_gap


def ticks(*values):
    return np.array(values, np.int64)


@given(
    st.integers(2, 400),
    st.fractions(Fraction(5), Fraction(240), max_denominator=1001),
    st.sampled_from([1_000, 12_800, 90_000]),
    st.integers(-(10**12), 10**12),
)
def test_a_constant_rate_rounded_to_ticks_is_not_variable(frames, rate, per_second, start):
    pts = ticks(*(start + round(k * per_second / rate) for k in range(frames)))
    assert not is_variable(pts)
    assert off_grid(pts) <= 1.0 + 1e-6


@given(st.integers(5, 200), st.integers(20, 5000), st.data())
def test_one_frame_that_is_late_by_a_tenth_makes_a_rate_variable(frames, gap, data):
    late = data.draw(st.integers(1, frames - 2))
    pts = np.arange(frames, dtype=np.int64) * gap
    pts[late] += max(2, gap // 10)
    assert is_variable(pts)


@given(st.integers(4, 200), st.data())
def test_a_missing_frame_makes_a_rate_variable_even_where_a_tick_is_a_frame(frames, data):
    gone = data.draw(st.integers(1, frames - 2))
    assert is_variable(np.delete(np.arange(frames, dtype=np.int64), gone))


@pytest.mark.parametrize("pts", [(7,), (7, 90)])
def test_one_or_two_frames_have_no_rhythm_to_break(pts):
    assert not is_variable(ticks(*pts))
    assert off_grid(ticks(*pts)) == 0


def test_the_deviation_is_measured_from_the_straight_line():
    assert off_grid(ticks(0, 10, 25, 30)) == pytest.approx(5)
    assert off_grid(ticks(100, 200, 300)) == 0


def test_the_typical_gap_is_the_median():
    assert typical_gap(ticks(0, 10, 20, 30, 500)) == 10
    assert typical_gap(ticks(3)) == 0


@given(st.lists(st.integers(-1000, 1000), max_size=40), st.randoms())
def test_reorder_depth_is_zero_exactly_in_order(values, rng):
    assert reorder_depth(sorted(values)) == 0
    shuffled = sorted(set(values))
    rng.shuffle(shuffled)
    assert (reorder_depth(shuffled) == 0) == (shuffled == sorted(shuffled))


def test_reorder_depth_of_the_usual_pattern():
    # I P B B P B B in decoding order
    assert reorder_depth([0, 3, 1, 2, 6, 4, 5]) == 2
    assert reorder_depth([]) == 0


def test_repeated_times_do_not_confuse_it():
    order = [5] * 10
    random.Random(0).shuffle(order)
    assert reorder_depth(order) == 0
