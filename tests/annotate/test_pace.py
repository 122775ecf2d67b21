"""A proxy's clock: the source's own rate where it has one, each source frame once at least, and the way back."""

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.pace import Pace, pace_of, source_time, to_proxy_frame, unseen
from annotate.tasks import Window
from datasets_build.core.clock import NS_PER_S, FrameClock, Span
from tests.drawn import FILM, NTSC, NTSC60, PAL
from tests.laws import examples

MS = Fraction(1, 1000)
TICKS = [MS, Fraction(1, 12_800), Fraction(1, 90_000), Fraction(1, NS_PER_S)]
RATES = [Fraction(rate) for rate in (2, 10, 15, 24, 30, 50, 60, 90, 120)]
USUAL = [*RATES, PAL, FILM, NTSC, NTSC60, Fraction(25, 2), Fraction(55, 2)]
OWN = [*USUAL, Fraction(1733, 100)]


def clock_of(pts, tick, last=1):
    return FrameClock.from_pts(pts, time_base=tick, last_duration=last)


def steady(rate, frames, tick):
    """A constant rate as a file stores it: each time rounded to a tick."""
    pts = [round(k / rate / tick) for k in range(frames + 1)]
    return clock_of(pts[:-1], tick, pts[-1] - pts[-2])


def whole(clock):
    return Span(start_ns=0, end_ns=clock.end_ns)


def window_of(clock, tick, span=None):
    span = span or whole(clock)
    pace = pace_of(clock, span, tick)
    return Window(
        video_id="v", start_ns=span.start_ns, end_ns=span.end_ns, proxy_sha256="0", width=2, height=2,
        fps_num=pace.rate.numerator, fps_den=pace.rate.denominator, frames=pace.frames, knots=pace.knots,
    )  # fmt: skip


def rate_of(window):
    return Fraction(window.fps_num, window.fps_den)


# In thousandths of a second an odd rate cannot be told from one nearby.
@settings(max_examples=examples(100), deadline=None)
@given(rate=st.sampled_from(USUAL), tick=st.sampled_from(TICKS), frames=st.integers(120, 200), data=st.data())
def test_a_constant_rate_is_found_exactly_and_shown_frame_for_frame(rate, tick, frames, data):
    clock = steady(rate, frames, tick)
    window = window_of(clock, tick)
    assert (rate_of(window), window.frames) == (rate, frames)
    assert np.array_equal(Pace.of(window).shown(clock), np.arange(frames))
    # Of a part, too, whose first frame is off by its own rounding.
    first = data.draw(st.integers(0, 20))
    part = window_of(clock, tick, Span(start_ns=clock.time_of(first), end_ns=clock.time_of(frames - 7)))
    assert (rate_of(part), part.frames) == (rate, frames - 7 - first)
    assert len(part.knots) <= 4


@given(rate=st.sampled_from(OWN), tick=st.sampled_from(TICKS), frames=st.integers(1, 30))
def test_short_ones_show_each_frame_once_at_a_rate_that_could_be_theirs(rate, tick, frames):
    clock = steady(rate, frames, tick)
    window = window_of(clock, tick)
    assert np.array_equal(Pace.of(window).shown(clock), np.arange(frames))
    off = abs(frames / rate_of(window) - frames / rate)
    assert off <= 2 * tick + Fraction(1, 100) / rate


def test_the_header_of_a_clock_of_one_frame_is_how_long_it_stays():
    clock = clock_of([0], Fraction(1, 25_000), 1001)
    assert (rate_of(window_of(clock, Fraction(1, 25_000))), len(clock)) == (Fraction(25_000, 1001), 1)


@pytest.mark.parametrize(("seconds", "rate", "frames"), [(7, 1, 21), (1, 1, 3), (Fraction(5, 2), Fraction(6, 5), 9)])
def test_a_picture_in_seconds_is_shown_a_whole_number_of_times(seconds, rate, frames):
    window = window_of(steady(Fraction(1) / seconds, 3, MS), MS)
    assert (rate_of(window), window.frames) == (rate, frames)


def test_frames_left_out_of_a_constant_rate_leave_the_rate():
    tick = Fraction(1, 30_000)
    places = [0, 1, 2, 4, 7, 8, 11, 12]
    clock = clock_of([1001 * place for place in places], tick, 1001)
    window = window_of(clock, tick)
    assert rate_of(window) == NTSC
    assert Pace.of(window).shown(clock).tolist() == [0, 1, 2, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7]


def test_a_little_jitter_is_nobodys_variable_rate():
    tick = Fraction(1, 90_000)
    pts = [3000 * k + (k * 7919) % 41 - 20 for k in range(1, 300)]
    clock = clock_of([0, *pts], tick, 3000)
    window = window_of(clock, tick)
    assert (rate_of(window), window.frames) == (30, 300)
    assert unseen(window, clock) == []


VARIABLE = st.lists(st.integers(1, 400), min_size=1, max_size=40)


@given(stays=VARIABLE, tick=st.sampled_from(TICKS[:3]), data=st.data())
def test_every_frame_that_is_shown_is_found_again(stays, tick, data):
    pts = [0, *accumulate(stays)]
    clock = clock_of(pts[:-1], tick, stays[-1])
    first = data.draw(st.integers(0, len(clock) - 1))
    last = data.draw(st.integers(first + 1, len(clock)))
    window = window_of(clock, tick, Span(start_ns=clock.time_of(first), end_ns=clock.time_of(last)))
    shown = Pace.of(window).shown(clock)
    assert len(shown) == window.frames
    assert (int(shown[0]), int(shown[-1])) == (first, last - 1)
    assert sorted({*shown.tolist(), *unseen(window, clock)}) == list(range(first, last))
    for index in set(shown.tolist()):
        t_ns = clock.time_of(index)
        assert source_time(window, clock, to_proxy_frame(window, t_ns)) == t_ns
    assert [source_time(window, clock, k) for k in range(window.frames)] == clock.t_ns[shown].tolist()
    assert (to_proxy_frame(window, window.start_ns), to_proxy_frame(window, window.end_ns)) == (0, window.frames)
    assert source_time(window, clock, window.frames) == window.end_ns


@given(stays=VARIABLE, tick=st.sampled_from(TICKS[:3]))
def test_a_proxy_frame_shows_what_is_on_screen_then(stays, tick):
    """Up to the rounding of the file's times where these are a constant rate's."""
    clock = clock_of([0, *accumulate(stays)][:-1], tick, stays[-1])
    window = window_of(clock, tick)
    shown, step = Pace.of(window).shown(clock), NS_PER_S / rate_of(window)
    for k, index in enumerate(shown.tolist()):
        slack = max(tick * NS_PER_S, step / 100) + 1
        assert clock.time_of(index) <= k * step + slack
        assert clock.time_of(index + 1) > k * step - slack or index + 1 == len(clock)


@given(stays=st.lists(st.integers(17, 90), min_size=3, max_size=60))
def test_what_comes_at_most_sixty_times_a_second_is_all_shown(stays):
    clock = clock_of([0, *accumulate(stays)][:-1], MS, stays[-1])
    assume(len(set(stays)) > 1)
    window = window_of(clock, MS)
    assert unseen(window, clock) == []
    assert rate_of(window) <= 60 or np.array_equal(Pace.of(window).shown(clock), np.arange(len(clock)))


@given(stays=st.lists(st.integers(9, 30), min_size=3, max_size=60))
def test_uneven_recordings_of_about_sixty_a_second_are_all_shown(stays):
    """Frames that come 9 ms apart, or 30: none falls between two frames of the proxy, which has 120 at most."""
    clock = clock_of([0, *accumulate(stays)][:-1], MS, stays[-1])
    window = window_of(clock, MS)
    assert unseen(window, clock) == []
    assert rate_of(window) <= 120
    step = NS_PER_S / rate_of(window)
    for index in range(len(clock)):
        frame = to_proxy_frame(window, clock.time_of(index))
        assert source_time(window, clock, frame) == clock.time_of(index)
        assert abs(frame * step - clock.time_of(index)) < step + MS * NS_PER_S


def test_what_comes_faster_is_told():
    clock = clock_of([0, 4, 8, 41, 45, 90], MS, 30)
    window = window_of(clock, MS)
    assert rate_of(window) == 60
    assert unseen(window, clock) == [1, 3]


@settings(max_examples=examples(50))
@given(stays=VARIABLE, data=st.data())
def test_a_later_instant_has_no_earlier_frame(stays, data):
    clock = clock_of([0, *accumulate(stays)][:-1], MS, stays[-1])
    window = window_of(clock, MS)
    instants = sorted(data.draw(st.lists(st.integers(0, clock.end_ns), min_size=2, max_size=9)))
    frames = [to_proxy_frame(window, t_ns) for t_ns in instants]
    assert frames == sorted(frames)
    # At or after: the frame before, if any, is on screen before.
    step = NS_PER_S / rate_of(window)
    for t_ns, frame in zip(instants, frames, strict=True):
        assert (frame - 1) * step < window.time_map.exact(t_ns) <= frame * step


def test_a_rate_of_huge_numbers_is_reckoned_exactly():
    """Days in nanoseconds times a rate of seven digits do not fit 64 bits."""
    rate, frames = Fraction(1_234_567, 100_000), 400
    shift = 2 * 86_400 * NS_PER_S
    times = np.array([0, *(shift + round(k * NS_PER_S / rate) for k in range(1, frames))], np.int64)
    clock = FrameClock(times, int(times[-1]) + 81_000_000, times)
    window = window_of(clock, Fraction(1, NS_PER_S))
    assert source_time(window, clock, to_proxy_frame(window, clock.time_of(399))) == clock.time_of(399)
    part = window_of(clock, Fraction(1, NS_PER_S), Span(start_ns=clock.time_of(1), end_ns=clock.end_ns))
    assert abs(rate_of(part) - rate) < Fraction(1, 10**6)
    assert np.array_equal(Pace.of(part).shown(clock), np.arange(1, 400))


def test_what_lies_outside_a_window_is_refused():
    clock = steady(PAL, 10, MS)
    window = window_of(clock, MS, Span(start_ns=clock.time_of(2), end_ns=clock.time_of(6)))
    for t_ns in (window.start_ns - 1, window.end_ns + 1):
        with pytest.raises(AnnotateError, match=f"v: found {t_ns} ns, expected an instant of the window"):
            to_proxy_frame(window, t_ns)
    for frame in (-1, 5):
        with pytest.raises(AnnotateError, match=f"v: found frame {frame} of a proxy, expected 0 to 4"):
            source_time(window, clock, frame)
