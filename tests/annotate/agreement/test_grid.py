"""Instants of a window and what holds at them, against a plain walk over every instant."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.grid import instants, stretches
from datasets_build.core.clock import FrameClock
from tests.annotate.agreement.strategies import marks
from tests.annotate.people import MS, S, mark, window


def test_steps_begin_half_a_step_in():
    times = instants(window(2 * S, 3 * S), step_ns=250 * MS, clocks=None)
    assert times.tolist() == [2 * S + 125 * MS, 2 * S + 375 * MS, 2 * S + 625 * MS, 2 * S + 875 * MS]


def test_a_clock_gives_the_video_s_own_frames_inside_the_window():
    clock = FrameClock.from_pts([0, 1, 2, 5, 9], time_base=Fraction(1), last_duration=1)
    times = instants(window(S, 9 * S), step_ns=250 * MS, clocks={"v": clock})
    assert times.tolist() == [S, 2 * S, 5 * S]


def test_a_video_without_a_clock_has_steps():
    clock = FrameClock.from_pts([0, 1], time_base=Fraction(1), last_duration=1)
    assert len(instants(window(0, S), step_ns=100 * MS, clocks={"other": clock})) == 10


@given(st.lists(marks(), min_size=1, max_size=3), st.integers(1, 7))
@settings(max_examples=30)
def test_runs_say_what_a_walk_over_every_instant_says(people, step):
    times = np.arange(0, 10 * S, step * 70 * MS, dtype=np.int64)
    walked = [
        tuple(frozenset(one.label for one in drawn if one.start_ns <= t < one.end_ns) for drawn in people)
        for t in times.tolist()
    ]
    told = [views for often, views in stretches(people, times) for _ in range(often)]
    assert told == walked


def test_nobody_marks_anything():
    times = instants(window(0, S), step_ns=100 * MS, clocks=None)
    assert stretches([(), ()], times) == [(10, (frozenset(), frozenset()))]


def test_instants_hold_nowhere_and_an_empty_grid_has_no_runs():
    point = mark("a", "pour", 150 * MS, 150 * MS, is_point=True)
    times = np.array([150 * MS], dtype=np.int64)
    assert stretches([(point,)], times) == [(1, (frozenset(),))]
    assert stretches([(mark("a", "pour", 0, S),)], times[:0]) == []


def test_marks_of_one_label_that_overlap_hold_once():
    drawn = (mark("a", "pour", 0, S), mark("b", "pour", 500 * MS, 2 * S), mark("c", "stir", 0, 2 * S))
    times = np.array([600 * MS], dtype=np.int64)
    assert stretches([drawn], times) == [(1, (frozenset({"pour", "stir"}),))]
