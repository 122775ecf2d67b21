"""Grids of a video equal those of a session, and stretches learn every grid once."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from models.pairs import Pairer
from recipes.data.footage import Footage, Stretch, pair_times
from recipes.errors import RecipeError
from tests.builders.made import steady, video_of
from tests.recipes.data.lessons import SECOND, frame_format

TIMES = st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True).map(sorted)


def footage_of(clock, *, fps="2", max_gap_s=2.0):
    return Footage.of(
        video_of("one", clock), Path("one.mp4"), clock, fps=fps, max_gap_s=max_gap_s, frames=frame_format()
    )


def clock_at(times):
    times = np.array(times, np.int64) - times[0]
    return FrameClock(times, int(times[-1]) + 1, times)


@given(TIMES, st.integers(1, 20))
@settings(max_examples=25)
def test_grids_are_those_that_a_session_makes(times, gap):
    pairer = Pairer(gap)
    frame = torch.zeros(2, 2, 3, dtype=torch.uint8)
    pairs = [(pair.t0_ns, pair.t1_ns) for t_ns in times for pair in pairer.add(frame, t_ns)]
    lone = pairer.peek()
    assert pair_times(times, gap) == (pairs, None if lone is None else lone.t0_ns)


@given(TIMES, st.integers(1, 20), st.integers(0, 80))
@settings(max_examples=25)
def test_the_frame_that_waits_is_the_one_that_a_session_would_show(times, gap, at):
    footage = footage_of(clock_at(times), fps="1000000000", max_gap_s=gap / SECOND)
    pairer = Pairer(gap)
    frame = torch.zeros(2, 2, 3, dtype=torch.uint8)
    known = []
    for t_ns in footage.times:
        if t_ns <= at:
            known += pairer.add(frame, t_ns)
    lone, waiting = pairer.peek(), footage.waiting_at(at)
    if lone is None:
        assert waiting is None
        assert footage.known_at(at) == len(known)
    elif waiting is not None:
        assert (waiting.t0_ns, waiting.t1_ns) == (lone.t0_ns, lone.t0_ns)
        assert footage.known_at(at) == len(known)
    else:
        # One that will be doubled is told as the grid that it becomes.
        assert footage.grids[footage.known_at(at) - 1].t1_ns == lone.t0_ns
        assert footage.known_at(at) == len(known) + 1


def test_frames_are_seen_at_the_rate_of_the_settings():
    footage = footage_of(steady(4.0))
    assert [t_ns / SECOND for t_ns in footage.times] == [0.0, 0.48, 1.0, 1.48, 2.0, 2.48, 3.0, 3.48]
    assert len(footage.grids) == 4
    assert footage.newest_at(SECOND - 1) == footage.times[1]
    assert footage.newest_at(-1) is None


def test_the_last_of_an_odd_number_of_frames_waits_for_ever():
    footage = footage_of(steady(2.4))
    assert len(footage.times) == 5
    assert len(footage.grids) == 2
    waiting = footage.waiting_at(footage.end_ns)
    assert waiting is not None
    assert waiting.t0_ns == footage.times[-1]


@given(st.floats(1, 40), st.floats(0.5, 20), st.floats(0, 10))
@settings(max_examples=25)
def test_every_grid_is_learned_in_one_stretch(seconds, length, overlap):
    footage = footage_of(steady(max(1.0, seconds)))
    found = footage.stretches(round(length * SECOND), overlap_ns=round(min(overlap, length / 2) * SECOND))
    learned = [place for stretch in found for place in range(stretch.learn, stretch.stop)]
    assert learned == list(range(len(footage.grids)))
    spans = [footage.span(stretch) for stretch in found]
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[0][0] == 0
    assert spans[-1][1] == footage.end_ns
    for stretch in found:
        assert footage.grids[stretch.learn].t0_ns - footage.grids[stretch.first].t0_ns <= overlap * SECOND + 1
        if stretch.stop > stretch.learn + 1:
            assert footage.grids[stretch.stop - 1].t1_ns - footage.grids[stretch.first].t0_ns < length * SECOND + 1


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))
def test_halves_learn_what_the_whole_learns(first, before, count):
    whole = Stretch(first=first, learn=first + before, stop=first + before + count)
    halves = whole.halves()
    if count == 1:
        assert halves is None
        return
    one, two = halves
    assert [*range(one.learn, one.stop), *range(two.learn, two.stop)] == list(range(whole.learn, whole.stop))
    assert one.learn - one.first == two.learn - two.first == before


@pytest.mark.parametrize(("first", "learn", "stop"), [(-1, 0, 1), (2, 1, 3), (0, 1, 1)])
def test_a_stretch_that_runs_backwards_is_refused(first, learn, stop):
    with pytest.raises(RecipeError, match="expected rising grids"):
        Stretch(first=first, learn=learn, stop=stop)


def test_what_began_before_a_stretch_is_not_covered():
    footage = footage_of(steady(10.0))
    stretch = Stretch(first=2, learn=3, stop=6)
    begin = footage.grids[2].t0_ns
    assert footage.covers(stretch, begin, at_ns=begin)
    assert not footage.covers(stretch, begin - 1, at_ns=5 * SECOND)
    # It has begun, but no frame has shown it.
    assert not footage.covers(stretch, begin + 1, at_ns=begin + 2)
    whole = Stretch(first=0, learn=0, stop=6)
    assert footage.covers(whole, 0, at_ns=0)
