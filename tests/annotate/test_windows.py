"""Windows cover a video, keep their limits, and leave in one piece what can be left so."""

from itertools import accumulate, combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.windows import LEAST_NS, MOST_NS, windows
from datasets_build.core.clock import NS_PER_S, FrameClock, Span
from tests.laws import examples

MINUTE = 60 * NS_PER_S


def clock_of(stays):
    times = np.array([0, *accumulate(stays)], np.int64)
    return FrameClock(times[:-1], int(times[-1]), times[:-1])


def even(frames, stay_ns=NS_PER_S):
    return clock_of([stay_ns] * frames)


def span(start, end):
    return Span(start_ns=start, end_ns=end)


def breaks(cut, busy):
    return sum(one.start_ns < cut < one.end_ns for one in busy)


def best_by_trying(clock, busy, least, most):
    """The fewest `(broken, windows)` of all cuts there are, None where none keep the limits."""
    places, end = clock.t_ns.tolist()[1:], clock.end_ns
    found = None
    for count in range(len(places) + 1):
        for cuts in combinations(places, count):
            if all(least <= b - a <= most for a, b in pairwise((0, *cuts, end))):
                toll = sum(breaks(cut, busy) for cut in cuts), count + 1
                found = min(found or toll, toll)
    return found


STAYS = st.lists(st.integers(1, 4), min_size=1, max_size=11)
LIMITS = st.integers(1, 5).flatmap(lambda least: st.tuples(st.just(least), st.integers(2 * least, 3 * least)))
BUSY = st.lists(st.tuples(st.integers(-2, 40), st.integers(0, 12)).map(lambda x: (max(0, x[0]), x[1])), max_size=6).map(
    lambda rows: [span(start, start + length) for start, length in rows]
)


def covers(clock, found):
    """Together the whole video in order, ends on frames."""
    assert (found[0].start_ns, found[-1].end_ns) == (0, clock.end_ns)
    assert all(a.end_ns == b.start_ns for a, b in pairwise(found))
    assert all(one.duration_ns > 0 and clock.on_grid(one.start_ns) for one in found)


@settings(max_examples=examples(200))
@given(stays=STAYS, limits=LIMITS, busy=BUSY)
def test_windows_break_as_little_as_any_cuts_do(stays, limits, busy):
    clock, (least, most) = clock_of(stays), limits
    found = windows(clock, busy, least_ns=least, most_ns=most)
    covers(clock, found)
    best = best_by_trying(clock, busy, least, most)
    if clock.end_ns <= most:
        assert found == [span(0, clock.end_ns)]
    elif best is not None:
        assert all(least <= one.duration_ns <= most for one in found)
        assert (sum(breaks(one.start_ns, busy) for one in found), len(found)) == best


@settings(max_examples=examples(100))
@given(stays=st.lists(st.integers(1, 30), min_size=1, max_size=40), limits=LIMITS, busy=BUSY)
def test_only_a_frame_that_stays_makes_a_window_too_long(stays, limits, busy):
    clock, (least, most) = clock_of(stays), limits
    found = windows(clock, busy, least_ns=least, most_ns=most)
    covers(clock, found)
    for one in found:
        assert one.duration_ns <= most or len(clock.frames_in(one)) == 1
    assert windows(clock, busy[::-1], least_ns=least, most_ns=most) == found


@settings(max_examples=examples(50))
@given(frames=st.integers(1, 4000), stay=st.sampled_from([33_366_667, 40_000_000, NS_PER_S]))
def test_nothing_busy_gives_windows_about_equally_long(frames, stay):
    clock = even(frames, stay)
    found = windows(clock, [])
    covers(clock, found)
    assert len(found) == -(-clock.end_ns // MOST_NS)
    lengths = [one.duration_ns for one in found]
    assert max(lengths) - min(lengths) <= 2 * stay


def test_a_cut_goes_round_an_event():
    """The even cut of six minutes would lie at the third."""
    clock = even(360)
    assert windows(clock, []) == [span(0, 3 * MINUTE), span(3 * MINUTE, 6 * MINUTE)]
    event = span(3 * MINUTE - 10 * NS_PER_S, 3 * MINUTE + 5 * NS_PER_S)
    first, second = windows(clock, [event])
    assert first.end_ns == second.start_ns == event.end_ns


def test_an_end_of_an_event_and_an_instant_are_no_hindrance():
    clock, cut = even(360), 3 * MINUTE
    for busy in ([span(cut - 9, cut)], [span(cut, cut + 9)], [span(cut, cut)]):
        assert windows(clock, busy)[0].end_ns == cut


def test_what_cannot_be_spared_is_broken_once():
    """One event fills the place where every cut must be; of two the one that is alone is broken."""
    clock = even(360)
    whole = span(0, 6 * MINUTE)
    assert len(windows(clock, [whole])) == 2
    found = windows(clock, [whole, span(LEAST_NS, 4 * MINUTE - NS_PER_S)])
    assert found[0].end_ns in {LEAST_NS, 4 * MINUTE, 4 * MINUTE - NS_PER_S}


def test_a_picture_that_stays_for_ten_minutes_is_a_window():
    stays = [NS_PER_S] * 30 + [10 * MINUTE] + [NS_PER_S] * 400
    found = windows(clock_of(stays), [])
    assert [one.duration_ns // NS_PER_S for one in found] == [30, 600, 200, 200]


def test_a_long_video_is_quick():
    """Three hours: the work grows with the frames alone."""
    clock = even(200_000, 60_000_000)
    busy = [span(k * 7 * NS_PER_S, k * 7 * NS_PER_S + 6 * NS_PER_S) for k in range(1700)]
    found = windows(clock, busy)
    covers(clock, found)
    assert not any(breaks(one.start_ns, busy) for one in found)


@pytest.mark.parametrize(("least", "most"), [(0, 5), (-1, 5), (3, 5)])
def test_limits_that_do_not_divide_every_length_are_refused(least, most):
    with pytest.raises(AnnotateError, match=f"found {least} to {most} ns, expected a least above 0"):
        windows(even(9), [], least_ns=least, most_ns=most)
