"""What chance decides: the same for the same seed, inside what the settings say, for every form of every operation."""

import math
import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.draw import Around, change
from augment.errors import AugmentError
from augment.operation import Operation
from augment.settings import Concat, Crop, Freeze, Jitter, Loop, Reconnect, Reverse, Skip, Speed
from augment.view import View
from datasets_build.core.clock import Span
from tests.augment.views import clocks
from tests.builders.made import steady
from tests.laws import examples

S = 1_000_000_000
LONG = View.whole("a", steady(20.0))
SEEDS = st.integers(0, 999)


def around(*, busy=(), motion=None, others=()):
    return Around(busy=lambda view: busy, motion=lambda view: motion, others=[lambda view=v: view for v in others])


def drawn(operation, seed, view=LONG, beside=None):
    return change(view, operation, random.Random(seed), beside or around())


OPERATIONS = (
    Speed(),
    Speed(form="ramp", low=0.25, high=4.0),
    Speed(form="pieces", changes=4),
    Skip(form="every", n=3),
    Skip(form="random", share=0.4),
    Skip(form="bursts", share=0.3),
    Skip(form="motion"),
    Jitter(),
    Crop(),
    Concat(others=2),
    Loop(times=3),
    Freeze(stalls=3),
    Reverse(),
    Reconnect(gaps=2),
)


def beside(view):
    return around(motion=np.full(len(view.clock), 0.01), others=[View.whole("b", steady(2.0))])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.kind} {getattr(each, 'form', '')}")
def test_the_same_seed_gives_the_same(operation):
    one, two = (drawn(operation, 7, beside=beside(LONG)) for _ in range(2))
    assert [piece.time_map for piece in one.pieces] == [piece.time_map for piece in two.pieces]
    assert np.array_equal(one.frame_of, two.frame_of)
    assert np.array_equal(one.clock.t_ns, two.clock.t_ns)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.kind} {getattr(each, 'form', '')}")
@settings(max_examples=examples(25), deadline=None)
@given(clocks(), SEEDS)
def test_every_operation_can_be_done_to_a_video_however_short(operation, clock, seed):
    view = View.whole("a", clock)
    made = drawn(operation, seed, view, beside(view))
    assert made.clock.t_ns[0] == 0
    assert len(made.clock) >= 1


def factors_of(view):
    return [(s1 - s0) / (t1 - t0) for (s0, t0), (s1, t1) in pairwise(view.pieces[0].time_map.knots)]


@settings(max_examples=examples(60), deadline=None)
@given(st.floats(0.25, 4), st.floats(0.25, 4), st.sampled_from(["constant", "ramp", "pieces"]), SEEDS)
def test_speeds_lie_between_low_and_high(one, other, form, seed):
    low, high = sorted((one, other))
    found = factors_of(drawn(Speed(form=form, low=low, high=high, changes=3), seed))
    # Factors are whole thousandths.
    assert all(low - 0.001 <= factor <= high + 0.001 for factor in found)
    assert len(found) <= {"constant": 1, "ramp": 16, "pieces": 4}[form]


@settings(max_examples=examples(30), deadline=None)
@given(SEEDS)
def test_a_ramp_goes_steadily_one_way(seed):
    found = factors_of(drawn(Speed(form="ramp", low=0.25, high=4.0), seed))
    steps = {math.copysign(1, b - a) for a, b in pairwise(found)}
    assert len(steps) == 1
    gaps = [b - a for a, b in pairwise(found)]
    assert max(gaps) - min(gaps) < Fraction(1, 10**6)


def test_speeds_are_even_on_a_logarithmic_scale():
    found = [factors_of(drawn(Speed(low=0.25, high=4.0), seed))[0] for seed in range(300)]
    slower = sum(factor < 1 for factor in found)
    assert 110 < slower < 190
    assert sum(factor < 0.5 for factor in found) > 40


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(2, 9), SEEDS)
def test_every_nth_frame_stays(n, seed):
    assert drawn(Skip(form="every", n=n), seed).frame_of.tolist() == list(range(0, len(LONG.clock), n))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_random_share_of_the_frames_is_lost(share):
    left = [len(drawn(Skip(form="random", share=share), seed).clock) / len(LONG.clock) for seed in range(20)]
    assert abs(np.mean(left) - (1 - share)) < 0.03
    assert all(abs(part - (1 - share)) < 0.12 for part in left)


def test_bursts_take_about_their_share_in_runs():
    operation = Skip(form="bursts", share=0.3, length_s=1.0)
    views = [drawn(operation, seed) for seed in range(40)]
    lost = np.mean([1 - len(view.clock) / len(LONG.clock) for view in views])
    # Bursts may overlap, and end with the video.
    assert 0.12 < lost < 0.3
    runs = [int(gap) - 1 for view in views for gap in np.diff(view.frame_of) if gap > 1]
    assert 10 < np.mean(runs) < 60
    assert all(view.frame_of[0] == 0 for view in views)


def test_frames_stay_where_the_picture_changes():
    motion = np.zeros(len(LONG.clock))
    motion[[150, 151, 330]] = (0.03, 0.03, 0.5)
    view = drawn(Skip(form="motion", change=0.05, longest_s=4.0), 0, beside=around(motion=motion))
    assert {151, 330} <= set(view.frame_of.tolist())
    assert 150 not in view.frame_of
    gaps = np.diff(view.clock.t_ns)
    assert gaps.max() <= 4 * S + 40_000_000
    assert len(view.clock) < 12


def test_motion_that_is_not_measured_is_told():
    with pytest.raises(
        AugmentError, match="skip by motion: the videos have no measured signals; build them with perce"
    ):
        drawn(Skip(form="motion"), 0)


@settings(max_examples=examples(40), deadline=None)
@given(clocks(), st.floats(0.1, 500), SEEDS)
def test_jitter_keeps_the_order_and_stays_near(clock, sd_ms, seed):
    view = View.whole("a", clock)
    made = drawn(Jitter(sd_ms=sd_ms), seed, view)
    gaps = np.diff(np.append(clock.t_ns, clock.end_ns))
    moved = np.abs(made.clock.t_ns - clock.t_ns)[1:]
    assert np.all(moved <= np.maximum(gaps[:-1], gaps[1:]) // 2 + 1)
    assert made.end_ns == clock.end_ns


def test_jitter_is_as_wide_as_it_is_told():
    view = View.whole("a", steady(60.0))
    moved = np.concatenate([drawn(Jitter(sd_ms=5.0), seed, view).clock.t_ns - view.clock.t_ns for seed in range(3)])
    assert 4.5e6 < moved.std() < 5.5e6


@settings(max_examples=examples(50), deadline=None)
@given(st.floats(0.1, 1), st.floats(0.1, 1), SEEDS)
def test_a_crop_is_as_long_as_it_is_told(one, other, seed):
    least, most = sorted((one, other))
    view = drawn(Crop(least=least, most=most), seed)
    # Cuts are at frames, 40 ms apart.
    assert least * LONG.end_ns - 0.09 * S <= view.end_ns <= most * LONG.end_ns + 0.09 * S


@settings(max_examples=examples(50), deadline=None)
@given(SEEDS)
def test_a_crop_cuts_nothing_in_two_where_that_can_be(seed):
    busy = [Span(start_ns=k * 2 * S, end_ns=k * 2 * S + S) for k in range(10)]
    low, high = drawn(Crop(least=0.3, most=0.6), seed, beside=around(busy=busy)).pieces[0].span
    assert not [span for span in busy for cut in (low, high) if span.start_ns < cut < span.end_ns]


def test_a_crop_of_what_is_busy_throughout_is_made_all_the_same():
    view = drawn(Crop(), 1, beside=around(busy=[Span(start_ns=0, end_ns=LONG.end_ns)]))
    assert 0 < view.end_ns <= LONG.end_ns


def test_others_stand_behind_and_are_needed():
    others = [View.whole(name, steady(2.0)) for name in "bc"]
    view = drawn(Concat(others=3), 3, beside=around(others=others))
    assert view.pieces[0].source == "a"
    assert len(view.pieces) == 4
    assert {piece.source for piece in view.pieces[1:]} <= {"b", "c"}
    with pytest.raises(AugmentError, match="concat: there is no other video of this split and size"):
        drawn(Concat(), 3)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 4), st.floats(0.01, 2), st.floats(0.01, 2), SEEDS)
def test_stalls_are_as_many_and_as_long_as_they_are_told(stalls, one, other, seed):
    least, most = sorted((one, other))
    view = drawn(Freeze(stalls=stalls, least_s=least, most_s=most), seed)
    longer = np.diff(np.append(view.clock.t_ns, view.end_ns)) - np.diff(np.append(LONG.clock.t_ns, LONG.end_ns))
    there = longer[longer > 0]
    assert len(there) == stalls
    assert np.all(there >= least * S - 10**6)
    assert np.all(there <= most * S + 10**6)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 3), SEEDS)
def test_a_stream_is_gone_for_as_long_as_it_is_told(gaps, seed):
    view = drawn(Reconnect(gaps=gaps, least_s=1.0, most_s=2.0), seed)
    assert {0, len(LONG.clock) - 1} <= set(view.frame_of.tolist())
    lost = np.diff(view.clock.t_ns)
    runs = lost[lost > 50_000_000]
    assert len(runs) <= gaps
    assert np.all(runs <= gaps * (2 * S + 80_000_000))
    assert view.end_ns == LONG.end_ns


def test_loops_are_as_many_as_they_are_told():
    assert drawn(Loop(times=3), 0).end_ns == 3 * LONG.end_ns


def test_what_is_no_change_of_time_is_refused():
    with pytest.raises(AugmentError, match="Operation: is no change of time"):
        drawn(Operation(), 0)
