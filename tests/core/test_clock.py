from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.core.clock import (
    NS_PER_S,
    FrameClock,
    Span,
    TimeError,
    TimeMap,
    format_ns,
    pts_to_ns,
    round_half_up,
    seconds_to_ns,
)

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(10)]


@st.composite
def clocks(draw):
    steps = draw(st.lists(st.integers(1, 500), min_size=0, max_size=60))
    start = draw(st.integers(-(10**6), 10**9))
    base = draw(st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 12_800)]))
    pts = [start, *(start + int(total) for total in np.cumsum(steps))] if steps else [start]
    return FrameClock.from_pts(pts, time_base=base, last_duration=draw(st.integers(1, 500)))


@st.composite
def spans_in(draw, clock):
    a, b = sorted((draw(st.integers(0, clock.end_ns)), draw(st.integers(0, clock.end_ns))))
    return Span(start_ns=a, end_ns=b)


@st.composite
def time_maps(draw, low=0):
    n = draw(st.integers(2, 7))
    source = np.cumsum([low, *draw(st.lists(st.integers(1, 10**9), min_size=n, max_size=n))])
    target = np.cumsum(draw(st.lists(st.integers(1, 10**9), min_size=n + 1, max_size=n + 1)))
    return TimeMap.through(zip(map(int, source), map(int, target), strict=True))


@pytest.mark.parametrize(("value", "expected"), [(Fraction(1, 2), 1), (Fraction(-1, 2), 0), (Fraction(7, 3), 2)])
def test_halves_round_up(value, expected):
    assert round_half_up(value) == expected


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_is_within_half(numerator, denominator):
    value = Fraction(numerator, denominator)
    assert abs(round_half_up(value) - value) <= Fraction(1, 2)


@pytest.mark.parametrize("rate", RATES)
def test_frame_times_never_drift(rate):
    # An hour of frames: the last time is exact to half a nanosecond, where index / rounded rate is off by seconds.
    n = int(3600 * rate)
    clock = FrameClock.from_pts(range(n), time_base=1 / rate, last_duration=1)
    assert abs(Fraction(clock.time_of(n - 1)) - Fraction(n - 1) / rate * NS_PER_S) <= Fraction(1, 2)
    assert len(clock) == n


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.sampled_from([Fraction(1, 90_000), 1 / RATES[0]]))
def test_clock_and_single_conversion_agree(first, second, base):
    low, high = sorted((first, second + (first == second)))
    if low == high:
        high += 1
    clock = FrameClock.from_pts([low, high], time_base=base, last_duration=1)
    assert clock.time_of(1) == pts_to_ns(high, low, base)


@given(clocks())
def test_frame_and_time_are_inverse(clock):
    for index in range(len(clock)):
        assert clock.index_at(clock.time_of(index)) == index
        assert clock.index_at(clock.time_of(index + 1) - 1) == index


@given(clocks(), st.data())
def test_snapping_keeps_the_frames_of_a_span(clock, data):
    span = data.draw(spans_in(clock))
    snapped = clock.snap_span(span)
    assert clock.frames_in(snapped) == clock.frames_in(span)
    assert clock.frames_between(span.start_ns, span.end_ns) == clock.frames_in(span)
    assert clock.on_grid(snapped.start_ns)
    assert clock.on_grid(snapped.end_ns)
    assert clock.snap_span(snapped) == snapped


@given(clocks(), st.data())
def test_many_lookups_equal_single_ones(clock, data):
    times = data.draw(st.lists(st.integers(0, clock.end_ns - 1), max_size=20))
    assert clock.indices_at(times).tolist() == [clock.index_at(t) for t in times]


@given(clocks(), st.fractions(Fraction(1, 4), 120, max_denominator=1001))
def test_a_grid_is_increasing_and_causal(clock, fps):
    grid = clock.grid(fps)
    assert grid[0] == 0
    assert bool(np.all(np.diff(grid) > 0))
    # Each step shows the frame on screen then, so its time is never after the step.
    steps = [int(k * NS_PER_S / fps) for k in range(int(clock.end_ns * fps / NS_PER_S) + 1)]
    assert set(grid.tolist()) == {clock.index_at(t) for t in steps if t < clock.end_ns}


def test_the_native_grid_is_every_frame():
    clock = FrameClock.from_pts([5, 6, 9], time_base=Fraction(1, 10), last_duration=1)
    assert clock.grid(None).tolist() == [0, 1, 2]
    with pytest.raises(TimeError, match="positive rate"):
        clock.grid(Fraction(0))


@pytest.mark.parametrize(
    ("times", "end", "pts"),
    [([], 5, []), ([1], 5, [0]), ([0, 0], 5, [0, 1]), ([0, 5], 5, [0, 1]), ([0, 1], 5, [0]), ([0, 2, 1], 5, [0, 1, 2])],
)
def test_a_broken_clock_is_refused(times, end, pts):
    with pytest.raises(TimeError):
        FrameClock(np.array(times, np.int64), end, np.array(pts, np.int64))


def test_instants_outside_the_video_are_refused():
    clock = FrameClock.from_pts([0, 1], time_base=Fraction(1), last_duration=1)
    for t_ns in (-1, clock.end_ns):
        with pytest.raises(TimeError, match="outside"):
            clock.index_at(t_ns)
        with pytest.raises(TimeError, match="outside"):
            clock.indices_at([0, t_ns])
    with pytest.raises(TimeError, match="frame 3"):
        clock.time_of(3)
    with pytest.raises(TimeError, match="at least one"):
        FrameClock.from_pts([], time_base=Fraction(1), last_duration=1)


def test_spans_are_half_open():
    span = Span(start_ns=2, end_ns=5)
    assert [span.contains(t) for t in (1, 2, 4, 5)] == [False, True, True, False]
    assert span.duration_ns == 3
    assert span.intersection(Span(start_ns=4, end_ns=9)) == Span(start_ns=4, end_ns=5)
    assert span.intersection(Span(start_ns=5, end_ns=9)) is None
    with pytest.raises(ValidationError, match="ends at or after"):
        Span(start_ns=5, end_ns=4)
    with pytest.raises(ValidationError):
        Span(start_ns=1.5, end_ns=4)


@pytest.mark.parametrize(("text", "ns"), [("12.345", 12_345_000_000), ("0.0000000005", 1), (3, 3 * NS_PER_S)])
def test_seconds_from_outside_are_exact(text, ns):
    assert seconds_to_ns(text) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0:00.000"), (1_999_999_999, "0:01.999"), (3_723_456_000_000, "1:02:03.456"), (-1_500_000_000, "-0:01.500")],
)
def test_times_for_people(ns, text):
    assert format_ns(ns) == text


@given(time_maps(), st.data())
def test_a_map_is_monotone_and_invertible(m, data):
    low, high = (int(bound) for bound in m.source)
    a, b = sorted((data.draw(st.integers(low, high)), data.draw(st.integers(low, high))))
    assert m.exact(a) <= m.exact(b)
    assert a == b or m.exact(a) < m.exact(b)
    assert m.inverse().exact(m.exact(a)) == a
    assert m.inverse().inverse() == m
    assert abs(m.apply(a) - m.exact(a)) <= Fraction(1, 2)


@given(time_maps(), st.data())
def test_whole_nanoseconds_are_the_exact_ones_rounded(m, data):
    low, high = m.source
    t = low + (high - low) * data.draw(st.fractions(0, 1))
    for at in (t, *(n for n in (int(t), int(t) + 1) if low <= n <= high)):
        s0, t0 = max(knot for knot in m.knots if knot[0] <= at)
        s1, t1 = min((knot for knot in m.knots if knot[0] > at), default=(s0 + 1, t0 + 1))
        line = t0 + (at - s0) * (t1 - t0) / (s1 - s0)
        assert m.exact(at) == line
        assert m.apply(at) == round_half_up(line)
    for beyond in (-int(-low // 1) - 1, int(high) + 1, low - Fraction(1, 3), high + Fraction(1, 3)):
        if low <= beyond <= high:
            continue
        for way in (m.exact, m.apply):
            with pytest.raises(TimeError, match="outside the map's source"):
                way(beyond)


@given(time_maps(), st.data())
def test_composing_keeps_every_knot_of_both_and_no_other(m, data):
    n = data.draw(time_maps(low=int(m.target[0])))
    composed = m.then(n)
    back, (low, high) = m.inverse(), (max(m.target[0], n.source[0]), min(m.target[1], n.source[1]))
    middles = sorted({low, high, *(t for _, t in m.knots), *(s for s, _ in n.knots)})
    assert composed.knots == tuple((back.exact(at), n.exact(at)) for at in middles if low <= at <= high)


@given(time_maps(), st.data())
def test_composing_equals_applying_in_turn(m, data):
    n = data.draw(time_maps(low=int(m.target[0])))
    composed = m.then(n)
    low, high = composed.source
    t = low + (high - low) * data.draw(st.fractions(0, 1))
    assert composed.exact(t) == n.exact(m.exact(t))
    assert composed.inverse().exact(composed.exact(t)) == t


@given(time_maps())
def test_identity_changes_nothing(m):
    low, high = (int(bound) for bound in m.source)
    same = TimeMap.identity(Span(start_ns=low, end_ns=high))
    composed = same.then(m)
    assert composed.knots == m.knots
    assert same.exact(low) == low


@given(time_maps(), st.data())
def test_spans_move_with_the_map(m, data):
    low, high = (int(bound) for bound in m.source)
    a, b = sorted((data.draw(st.integers(low - 50, high + 50)), data.draw(st.integers(low - 50, high + 50))))
    moved = m.apply_span(Span(start_ns=a, end_ns=b))
    if b < low or a > high or (a < b and (b == low or a == high)):
        assert moved is None
    else:
        assert moved is not None
        assert moved.start_ns == m.apply(max(a, low))
        assert moved.end_ns == m.apply(min(b, high))


@pytest.mark.parametrize("knots", [[(0, 0)], [(0, 0), (0, 5)], [(0, 5), (5, 5)], [(5, 0), (0, 5)]])
def test_a_map_that_does_not_increase_is_refused(knots):
    with pytest.raises(TimeError):
        TimeMap.through(knots)


def test_maps_refuse_what_is_outside():
    m = TimeMap.through([(0, "1/3"), (10, 20)])
    with pytest.raises(TimeError, match="outside the map"):
        m.exact(11)
    with pytest.raises(TimeError, match="do not meet"):
        m.then(TimeMap.through([(20, 0), (30, 10)]))
