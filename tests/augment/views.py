"""Random clocks, views and changes for the laws of augmentation."""

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from augment.temporal import Pace, Stall, concat, crop, freeze, jitter, loop, reverse, skip, speed
from augment.view import View
from tests.builders.made import clock_from

FACTORS = st.fractions(Fraction(1, 4), Fraction(4), max_denominator=40)


@st.composite
def clocks(draw, most=14):
    """A clock of a few frames, uneven on purpose."""
    gaps = draw(st.lists(st.integers(5, 900), min_size=1, max_size=most))
    return clock_from(gaps, last_ms=draw(st.integers(5, 300)))


def changed(view, draw, *, backwards=True):
    """The view after one random change."""
    count = len(view.clock)
    kinds = ["speed", "skip", "jitter", "crop", "loop", "freeze"] + ["reverse"] * backwards
    kind = draw(st.sampled_from(kinds))
    if kind == "speed":
        cut = draw(st.integers(0, count - 1))
        paces = [Pace(0, draw(FACTORS))] + ([Pace(view.clock.time_of(cut), draw(FACTORS))] if cut else [])
        return speed(view, paces)
    if kind == "skip":
        kept = draw(st.sets(st.integers(0, count - 1))) | {0}
        return skip(view, np.array(sorted(kept), np.int64))
    if kind == "jitter":
        rng = random.Random(draw(st.integers(0, 99)))
        borders = [*view.clock.t_ns.tolist(), view.end_ns]
        moved = [(a + rng.randrange(0, max(1, (b - a) // 2))) for a, b in pairwise(borders)]
        return jitter(view, np.array([0, *moved[1:]], np.int64))
    if kind == "crop":
        first = draw(st.integers(0, count - 1))
        return crop(view, first, draw(st.integers(first + 1, count)))
    if kind == "loop":
        return loop(view, 2)
    if kind == "freeze":
        frames = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=2)))
        return freeze(view, [Stall(frame, draw(st.integers(1, 10**9))) for frame in frames])
    return reverse(view)


@st.composite
def views(draw, *, backwards=True, sources=2, changes=3):
    """One or two videos after some changes, and put one behind the other."""
    made = []
    for source in range(draw(st.integers(1, sources))):
        view = View.whole(f"v{source}", draw(clocks()))
        for _ in range(draw(st.integers(0, changes))):
            view = changed(view, draw, backwards=backwards) if len(view.clock) < 60 else view
        made.append(view)
    return concat(made)
