"""Seconds of foreign files on a video's frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S, seconds_to_ns
from datasets_build.core.records import Event
from datasets_build.formats.place import OVERRUN_NS, Bundle, RowError, seconds_of
from tests.builders.made import clock_from
from tests.formats.rowed import CLOCKS, clocks, place_of


@given(st.integers(0, 10**15))
def test_seconds_are_read_back_to_the_nanosecond(t_ns):
    assert seconds_to_ns(repr(seconds_of(t_ns))) == t_ns


def test_whole_seconds_are_whole_numbers():
    assert repr(seconds_of(3 * NS_PER_S)) == "3"
    assert repr(seconds_of(3_500_000_000)) == "3.5"


@given(clocks, st.integers(0, 40 * NS_PER_S))
def test_what_is_heard_is_never_too_soon_and_what_is_seen_never_too_late(clock, t_ns):
    place = place_of(clock)
    at = repr(seconds_of(t_ns))
    assert place.seen(at, "t") <= t_ns
    assert t_ns <= place.heard(at, "t") or place.heard(at, "t") == place.last_ns
    for found in (place.seen(at, "t"), place.heard(at, "t"), place.until(at, "t")):
        assert clock.on_grid(found)


def test_the_readings_of_an_instant_between_frames():
    place = place_of(clock_from([100, 100, 100]))
    assert place.seen(0.15, "t") == 100_000_000
    assert place.heard(0.15, "t") == 200_000_000
    assert place.until(0.15, "t") == 200_000_000
    assert place.heard(0.31, "t") == 300_000_000
    assert place.until(0.31, "t") == place.clock.end_ns


def test_a_little_over_the_end_is_cut_and_more_is_refused():
    place = place_of(CLOCKS["25"])
    end = place.clock.end_ns
    assert place.ns(seconds_of(end + OVERRUN_NS), "t") == end
    for wrong in (seconds_of(end + OVERRUN_NS + 1), -0.001):
        with pytest.raises(RowError, match=r"start: found .* expected 0 to 1:00.000") as error:
            place.ns(wrong, "start")
        assert error.value.code == "outside_video"


def test_decimals_are_taken_exactly():
    assert place_of().ns("0.1", "t") == 100_000_000
    assert place_of().ns(0.1, "t") == 100_000_000
    assert place_of().ns(12.345678901, "t") == 12_345_678_901


def test_a_window_ends_after_its_instant_and_by_the_limit():
    place = place_of(CLOCKS["25"])
    assert place.window_end(NS_PER_S) == 3 * NS_PER_S
    assert place.window_end(NS_PER_S, 2 * NS_PER_S) == 2 * NS_PER_S
    assert place.window_end(NS_PER_S, NS_PER_S) == NS_PER_S + 40_000_000
    assert place.window_end(place.last_ns) == place.clock.end_ns


def test_ids_tell_rows_and_videos_apart():
    one, row, video = place_of(), place_of(row="1"), place_of(name="other")
    assert len({one.made("event", 0), one.made("event", 1), row.made("event", 0), video.made("event", 0)}) == 4
    assert one.made("event", 0) == place_of().made("event", 0)


def test_a_bundle_lists_its_records():
    assert Bundle().records == ()
    assert all(isinstance(record, Event) for record in Bundle(events=()).records)
