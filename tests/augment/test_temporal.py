"""Laws of each change of time, over random clocks, and what each refuses."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.temporal import Pace, Stall, concat, crop, freeze, jitter, loop, reverse, skip, speed
from augment.view import View
from datasets_build.core.clock import Span
from tests.augment.views import FACTORS, clocks, views
from tests.builders.made import clock_from
from tests.laws import examples

MS = 1_000_000
CLOCK = clock_from([100] * 9, last_ms=100)
WHOLE = View.whole("a", CLOCK)


@st.composite
def paces_of(draw, clock):
    borders = sorted(draw(st.sets(st.integers(1, len(clock) - 1), max_size=3))) if len(clock) > 1 else []
    return [Pace(clock.time_of(k), draw(FACTORS)) for k in (0, *borders)]


@settings(max_examples=examples(100), deadline=None)
@given(clocks(), st.data())
def test_speed_shows_all_frames_each_for_its_share_of_the_time(clock, data):
    paces = data.draw(paces_of(clock))
    view = speed(View.whole("a", clock), paces)
    assert view.frame_of.tolist() == list(range(len(clock)))
    borders = [*(pace.from_ns for pace in paces), clock.end_ns]
    piece = view.pieces[0]
    for pace, (begin, end) in zip(paces, pairwise(borders), strict=True):
        assert piece.exact(end) - piece.exact(begin) == (end - begin) / pace.factor
    assert abs(view.end_ns - sum((b - a) / p.factor for p, (a, b) in zip(paces, pairwise(borders), strict=True))) <= 1


@settings(max_examples=examples(60), deadline=None)
@given(clocks(), FACTORS)
def test_a_speed_and_its_inverse_are_the_video_as_it_is(clock, factor):
    view = speed(speed(View.whole("a", clock), [Pace(0, factor)]), [Pace(0, 1 / factor)])
    assert np.abs(view.clock.t_ns - clock.t_ns).max() <= 4
    assert abs(view.end_ns - clock.end_ns) <= 4


@settings(max_examples=examples(100), deadline=None)
@given(views(), st.data())
def test_skip_keeps_the_times_of_the_frames_that_stay(view, data):
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, len(view.clock) - 1))) | {0}), np.int64)
    thin = skip(view, kept)
    firsts = [int(np.flatnonzero(view.piece_of == k)[0]) for k in range(len(view.pieces))]
    there = sorted({*kept.tolist(), *firsts})
    assert [thin.origin(k) for k in range(len(thin.clock))] == [view.origin(k) for k in there]
    assert np.abs(thin.clock.t_ns - view.clock.t_ns[there]).max() <= 1
    assert abs(thin.end_ns - view.end_ns) <= 1


@settings(max_examples=examples(100), deadline=None)
@given(views(), st.data())
def test_crop_is_a_stretch_with_its_frames_as_long_as_they_stay(view, data):
    first = data.draw(st.integers(0, len(view.clock) - 1))
    stop = data.draw(st.integers(first + 1, len(view.clock)))
    part = crop(view, first, stop)
    assert [part.origin(k) for k in range(len(part.clock))] == [view.origin(k) for k in range(first, stop)]
    begin = view.clock.time_of(first)
    assert np.abs(part.clock.t_ns + begin - view.clock.t_ns[first:stop]).max() <= 2
    assert abs(part.end_ns - (view.clock.time_of(stop) - begin)) <= 2


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(views(changes=1), min_size=1, max_size=3))
def test_concat_shows_one_behind_the_other(parts):
    view, at, index = concat(parts), 0, 0
    for part in parts:
        count = len(part.clock)
        assert [view.origin(index + k) for k in range(count)] == [part.origin(k) for k in range(count)]
        # Pieces end at rationals, views at whole nanoseconds.
        assert np.abs(view.clock.t_ns[index : index + count] - at - part.clock.t_ns).max() <= 1
        at, index = at + part.end_ns, index + count
    assert abs(view.end_ns - at) <= 1
    assert all(a.time_map.target[1] <= b.begins + 1 for a, b in pairwise(view.pieces))


@settings(max_examples=examples(40), deadline=None)
@given(views(changes=1), st.integers(1, 3))
def test_loop_is_concat_of_the_same(view, times):
    again, expected = loop(view, times), concat([view] * times)
    assert np.array_equal(again.clock.t_ns, expected.clock.t_ns)
    assert np.array_equal(again.frame_of, expected.frame_of)


@settings(max_examples=examples(100), deadline=None)
@given(clocks(), st.data())
def test_freeze_makes_frames_stay_longer_and_nothing_else(clock, data):
    frames = sorted(data.draw(st.sets(st.integers(0, len(clock) - 1), min_size=1, max_size=3)))
    stalls = [Stall(frame, data.draw(st.integers(1, 10**10))) for frame in frames]
    view = freeze(View.whole("a", clock), stalls)
    longer = dict.fromkeys(range(len(clock)), 0) | {stall.frame: stall.longer_ns for stall in stalls}
    borders, before = [*view.clock.t_ns.tolist(), view.end_ns], [*clock.t_ns.tolist(), clock.end_ns]
    for k in range(len(clock)):
        assert (borders[k + 1] - borders[k]) - (before[k + 1] - before[k]) == longer[k]
    assert view.frame_of.tolist() == list(range(len(clock)))


@settings(max_examples=examples(60), deadline=None)
@given(clocks(), st.data())
def test_jitter_shows_each_frame_when_it_is_told(clock, data):
    inner = data.draw(st.lists(st.integers(1, clock.end_ns - 1), unique=True, min_size=len(clock) - 1,
                               max_size=len(clock) - 1))  # fmt: skip
    times = np.array([0, *sorted(inner)], np.int64)
    view = jitter(View.whole("a", clock), times)
    assert np.array_equal(view.clock.t_ns, times)
    assert view.end_ns == clock.end_ns
    assert view.frame_of.tolist() == list(range(len(clock)))


@settings(max_examples=examples(60), deadline=None)
@given(views(backwards=False, sources=1))
def test_reverse_shows_every_frame_as_long_as_before(view):
    back = reverse(view)
    assert back.frame_of.tolist() == view.frame_of[::-1].tolist()
    borders, before = [*back.clock.t_ns.tolist(), back.end_ns], [*view.clock.t_ns.tolist(), view.end_ns]
    lengths = [b - a for a, b in pairwise(before)][::-1]
    assert all(abs((b - a) - length) <= 2 for (a, b), length in zip(pairwise(borders), lengths, strict=True))


@settings(max_examples=examples(80), deadline=None)
@given(views(), st.data())
def test_maps_rise_and_go_back_within_a_nanosecond(view, data):
    for piece in view.pieces:
        assert all(s0 < s1 and t0 < t1 for (s0, t0), (s1, t1) in pairwise(piece.time_map.knots))
        t = data.draw(st.integers(int(-(-piece.span[0] // 1)), int(piece.span[1])))
        there = round(piece.exact(t))
        low, high = piece.time_map.target
        again = piece.back(min(max(Fraction(there), low), high))
        steepest = max((s1 - s0) / (t1 - t0) for (s0, t0), (s1, t1) in pairwise(piece.time_map.knots))
        # Rounding in the view is half a nanosecond of it.
        assert abs(again - t) <= max(1, steepest / 2)


@settings(max_examples=examples(60), deadline=None)
@given(clocks(), st.data())
def test_a_span_is_as_much_longer_as_its_stretch_is_slower(clock, data):
    factor = data.draw(FACTORS)
    view = speed(View.whole("a", clock), [Pace(0, factor)])
    first = data.draw(st.integers(0, len(clock) - 1))
    stop = data.draw(st.integers(first + 1, len(clock)))
    (moved,) = view.spans("a", Span(start_ns=clock.time_of(first), end_ns=clock.time_of(stop)))
    exact = Fraction(clock.time_of(stop) - clock.time_of(first)) / factor
    assert abs(moved.end_ns - moved.start_ns - exact) <= 1
    assert not moved.cut_start
    assert not moved.cut_end


REFUSED = [
    (lambda: speed(WHOLE, []), r"speed: found paces from \[\]"),
    (lambda: speed(WHOLE, [Pace(MS, Fraction(1))]), "expected rising instants from 0"),
    (lambda: speed(WHOLE, [Pace(0, Fraction(1)), Pace(0, Fraction(2))]), "expected rising instants from 0"),
    (lambda: speed(WHOLE, [Pace(0, Fraction(1)), Pace(10**9, Fraction(2))]), "before the end"),
    (lambda: speed(WHOLE, [Pace(0, Fraction(0))]), "found factor 0, expected one above 0"),
    (lambda: speed(WHOLE, [Pace(0, Fraction(-2))]), "backwards is `reverse`"),
    (lambda: skip(WHOLE, np.array([], np.int64)), "skip: found 0 frames to keep"),
    (lambda: skip(WHOLE, np.array([1, 2])), "expected rising indices from 0"),
    (lambda: skip(WHOLE, np.array([0, 2, 2])), "expected rising indices from 0"),
    (lambda: skip(WHOLE, np.array([0, 10])), "expected rising indices from 0"),
    (lambda: jitter(WHOLE, np.arange(9) * MS), "jitter: found times out of order, expected one for each frame"),
    (lambda: jitter(WHOLE, np.arange(10) * MS + 1), "from 0 to the end"),
    (lambda: jitter(WHOLE, np.arange(10)[::-1] * MS), "rising"),
    (lambda: jitter(WHOLE, np.arange(10) * 200 * MS), "to the end"),
    (lambda: crop(WHOLE, 3, 3), r"crop: found frames \[3, 3\) of 10, expected one at least"),
    (lambda: crop(WHOLE, -1, 3), "crop: found frames"),
    (lambda: crop(WHOLE, 3, 11), "crop: found frames"),
    (lambda: concat([]), "concat: found no view"),
    (lambda: loop(WHOLE, 0), "loop: found 0 times, expected one at least"),
    (lambda: freeze(WHOLE, [Stall(3, 1), Stall(3, 1)]), r"freeze: found stalls at frames \[3, 3\]"),
    (lambda: freeze(WHOLE, [Stall(10, 1)]), "expected rising ones of 10"),
    (lambda: freeze(WHOLE, [Stall(3, 0)]), "freeze: found a stall that takes no time"),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, words):
    with pytest.raises(AugmentError, match=words) as caught:
        wrong()
    assert "\n" not in str(caught.value)
