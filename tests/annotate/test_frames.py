"""Nanoseconds to Label Studio's frames and back, against the picture that each proxy frame shows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.frames import first_frame, frames_to_span, span_to_frames
from annotate.pace import Pace, source_time, to_proxy_frame
from datasets_build.core.clock import NS_PER_S, Span
from tests.annotate.screens.windows import FILM, NTSC, constant, inside, variable, watched, window_of
from tests.annotate.test_pace import window_of as proxied
from tests.laws import examples


def pictures(clock, window):
    """The source frame that each proxy frame shows, by the definition: the last that has come on."""
    step = Fraction(NS_PER_S * window.fps_den, window.fps_num)
    on = [(window.time_map.exact(t), clock.index_at(t)) for t in inside(clock, window)[:-1]]
    return [max(place for target, place in on if target <= k * step) for k in range(window.frames)]


@given(watched())
@settings(max_examples=examples(100), deadline=None)
def test_a_source_frame_comes_on_where_the_proxy_first_shows_it(pair):
    clock, window = pair
    shown = pictures(clock, window)
    for t in inside(clock, window)[:-1]:
        assert first_frame(window, t) == shown.index(clock.index_at(t)) + 1


@given(watched(), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_spans_on_source_frames_come_back_to_the_nanosecond(pair, data):
    clock, window = pair
    times = inside(clock, window)
    first = data.draw(st.integers(0, len(times) - 2))
    last = data.draw(st.integers(first + 1, len(times) - 1))
    span = Span(start_ns=times[first], end_ns=times[last])
    assert frames_to_span(window, clock, *span_to_frames(window, span)) == span


@given(watched(), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_a_region_holds_the_pictures_that_it_shows_and_no_other(pair, data):
    clock, window = pair
    start = data.draw(st.integers(1, window.frames))
    end = data.draw(st.integers(start, window.frames))
    span = frames_to_span(window, clock, start, end)
    shown = pictures(clock, window)[start - 1 : end]
    held = list(clock.frames_in(span))
    assert held[: len(set(shown))] == sorted(set(shown))
    # The proxy's last frame ends with the window, which may hold frames that came on later.
    assert end == window.frames or held == sorted(set(shown))
    assert window.start_ns <= span.start_ns < span.end_ns <= window.end_ns


@given(watched(), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_any_span_that_meets_the_window_is_at_least_one_frame_of_it(pair, data):
    _, window = pair
    start = data.draw(st.integers(max(0, window.start_ns - 10**9), window.end_ns))
    end = data.draw(st.integers(max(start, window.start_ns), window.end_ns + 10**9))
    first, last = span_to_frames(window, Span(start_ns=start, end_ns=end))
    assert 1 <= first <= last <= window.frames
    assert (first == 1) or start > window.start_ns
    assert (last == window.frames) or end < window.end_ns


@st.composite
def made(draw):
    """A source of 23.976, 29.97, 60 or 25 frames a second or of none that is constant, and a window that was made."""
    rate, tick = draw(st.sampled_from([FILM, NTSC, Fraction(60), Fraction(25), None])), Fraction(1, 90_000)
    if rate is None:
        clock, tick = variable(draw(st.lists(st.integers(17, 250), min_size=2, max_size=40))), Fraction(1, 1000)
    else:
        clock = constant(rate, draw(st.integers(2, 90)), tick)
    first = draw(st.integers(0, len(clock) - 1))
    stop = draw(st.integers(first + 1, len(clock)))
    return clock, proxied(clock, tick, Span(start_ns=clock.time_of(first), end_ns=clock.time_of(stop)))


@given(made(), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_the_frames_of_a_screen_are_those_of_the_proxy_that_was_made_counted_from_one(pair, data):
    """Who makes proxies and who reads people's frames mean the same picture."""
    clock, window = pair
    shown = Pace.of(window).shown(clock).tolist()
    assert shown == pictures(clock, window)
    for t in inside(clock, window)[:-1]:
        assert first_frame(window, t) == to_proxy_frame(window, t) + 1 == shown.index(clock.index_at(t)) + 1
    for frame, place in enumerate(shown, start=1):
        span = frames_to_span(window, clock, frame, frame)
        assert span.start_ns == source_time(window, clock, frame - 1) == clock.time_of(place)
        assert span.end_ns == clock.time_of(place + 1)
    some = data.draw(st.lists(st.integers(0, window.frames - 1), max_size=9))
    assert Pace.of(window).shown(clock, some).tolist() == [shown[frame] for frame in some]


@pytest.mark.parametrize("rate", [FILM, NTSC, Fraction(25), Fraction(60), Fraction(120)])
def test_rounded_timestamps_shift_no_frame(rate):
    clock = constant(rate, 1001)
    window = window_of(clock, rate)
    assert window.frames == 1001
    assert [first_frame(window, int(t)) for t in clock.t_ns] == list(range(1, 1002))
    assert frames_to_span(window, clock, 1, 1001) == Span(start_ns=0, end_ns=clock.end_ns)


def test_frames_are_counted_from_one_and_both_ends_belong():
    clock = constant(Fraction(25), 50)
    window = window_of(clock, Fraction(25), 10, 40)
    span = Span(start_ns=clock.time_of(12), end_ns=clock.time_of(20))
    assert span_to_frames(window, span) == (3, 10)
    assert frames_to_span(window, clock, 3, 10) == span
    assert frames_to_span(window, clock, 3, 3) == Span(start_ns=clock.time_of(12), end_ns=clock.time_of(13))


def test_half_a_picture_at_the_end_counts_as_the_picture():
    clock = variable([100, 100, 100, 100])
    window = window_of(clock, Fraction(60))
    assert pictures(clock, window)[:13] == [0] * 6 + [1] * 6 + [2]
    # Frames 3 to 8: the picture 0 from its middle, picture 1 to its middle.
    assert frames_to_span(window, clock, 3, 8) == Span(start_ns=0, end_ns=200_000_000)
    assert frames_to_span(window, clock, 8, 8) == Span(start_ns=100_000_000, end_ns=200_000_000)


@pytest.mark.parametrize(("start", "end"), [(0, 3), (-1, 3), (4, 3), (1, 31), (31, 31)])
def test_frames_that_the_proxy_does_not_have_are_refused(start, end):
    clock = constant(Fraction(25), 30)
    with pytest.raises(AnnotateError, match=rf"found frames {start} to {end}, expected 1 <= start <= end <= 30"):
        frames_to_span(window_of(clock, Fraction(25)), clock, start, end)


def test_what_lies_outside_is_cut_to_the_window():
    clock = constant(Fraction(25), 100)
    window = window_of(clock, Fraction(25), 25, 75)
    assert span_to_frames(window, Span(start_ns=0, end_ns=clock.end_ns)) == (1, 50)
    assert first_frame(window, 0) == 1
    assert first_frame(window, window.end_ns) == 50
    assert first_frame(window, clock.end_ns) == 50
