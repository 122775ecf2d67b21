"""Words that speak of time: found, worked out anew where that can be, and never left false."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.temporal import Pace as Change
from augment.temporal import Stall, concat, crop, freeze, loop, reverse, skip, speed
from augment.view import View
from augment.wording import Pace, is_plain, pace_of, retold, timely
from datasets_build.core.clock import NS_PER_S, Span
from tests.builders.made import clock_from

S = NS_PER_S
SAME = Pace(scale=Fraction(1), from_start=True, whole=True)


def view(seconds=10):
    return View.whole("v", clock_from([100] * (seconds * 10 - 1), last_ms=100))


def span(start_s, end_s):
    return Span(start_ns=round(start_s * S), end_ns=round(end_s * S))


def at_speed(factor):
    return pace_of(speed(view(), [Change(0, Fraction(factor))]), 0, span(2, 7))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("It waits for 5 seconds.", {"length"}),
        ("A 5-second pause", {"length"}),
        ("It takes half a minute.", {"length"}),
        ("Three seconds later it leaves.", {"length"}),
        ("1.5s", {"length"}),
        ("It moves twice as fast.", {"count", "speed"}),
        ("The man walks quickly away.", {"speed"}),
        ("shown in slow motion", {"speed"}),
        ("It stops for a moment.", {"speed"}),
        ("She waves three times.", {"count"}),
        ("The second time it falls.", {"count"}),
        ("It opens again.", {"count"}),
        ("At the end of the video it is dark.", {"place"}),
        ("Finally the door shuts.", {"place"}),
        ("The red circle moves left.", set()),
        ("A man with a second hat enters.", set()),
        ("Two dogs and three cats", set()),
        ("The circle stops.", set()),
    ],
)
def test_words_of_time_are_found(text, kinds):
    assert timely(text) == kinds


@pytest.mark.parametrize(
    ("text", "factor", "told"),
    [
        ("It waits for 5 seconds.", 2, "It waits for 2.5 seconds."),
        ("It waits for five seconds.", Fraction(1, 2), "It waits for 10 seconds."),
        ("A 5-second pause", 2, "A 2.5-second pause"),
        ("It takes half a minute.", Fraction(1, 4), "It takes 2 minutes."),
        ("one second", 2, "0.5 seconds"),
        ("It moves.", 3, "It moves."),
        ("2,5 s", 2, "1.25 s"),
        ("for 6 seconds, then 3 seconds", 3, "for 2 seconds, then 1 seconds"),
    ],
)
def test_lengths_are_worked_out_anew(text, factor, told):
    assert retold(text, at_speed(factor)) == told


@given(st.fractions(Fraction(1, 4), Fraction(4), max_denominator=50), st.integers(1, 90))
def test_a_length_is_as_many_times_as_long_as_the_stretch(factor, seconds):
    told = retold(f"for {seconds} seconds", at_speed(factor))
    found = Fraction(told.split()[1])
    assert abs(found - Fraction(seconds) / factor) <= max(Fraction(1, 100), Fraction(seconds, 50))


def test_speeds_stay_at_the_same_speed_alone():
    assert retold("It moves quickly.", at_speed(1)) == "It moves quickly."
    assert retold("It moves quickly.", at_speed(Fraction(101, 100))) == "It moves quickly."
    assert retold("It moves quickly.", at_speed(2)) is None
    assert retold("It moves quickly.", at_speed(Fraction(1, 2))) is None


def test_a_length_of_what_is_cut_or_runs_unevenly_is_not_told():
    uneven = speed(view(), [Change(0, Fraction(1)), Change(4 * S, Fraction(3))])
    assert pace_of(uneven, 0, span(2, 7)).scale is None
    assert pace_of(uneven, 0, span(0, 3)).scale == 1
    assert pace_of(uneven, 0, span(5, 8)).scale == Fraction(1, 3)
    assert retold("for 5 seconds", pace_of(uneven, 0, span(2, 7))) is None
    cut = crop(view(), 40, 100)
    assert retold("for 5 seconds", pace_of(cut, 0, span(2, 7))) is None
    assert retold("for 5 seconds", pace_of(cut, 0, span(4, 9))) == "for 5 seconds"
    stalled = freeze(view(), [Stall(50, 2 * S)])
    assert retold("for 5 seconds", pace_of(stalled, 0, span(2, 7))) is None
    assert retold("for 3 seconds", pace_of(stalled, 0, span(1, 4))) == "for 3 seconds"
    assert pace_of(reverse(view()), 0, span(2, 7)).scale is None


def test_counts_and_places_need_what_came_before_and_the_whole():
    twice, cut = loop(view(), 2), crop(view(), 20, 100)
    assert retold("once more again", SAME) == "once more again"
    assert retold("It opens again.", pace_of(twice, 0, span(2, 7))) == "It opens again."
    assert retold("It opens for the first time.", pace_of(twice, 1, span(2, 7))) is None
    assert retold("It opens again.", pace_of(cut, 0, span(3, 7))) is None
    assert retold("At the end of the video it stops.", SAME) is not None
    assert retold("At the end of the video it stops.", pace_of(twice, 0, span(2, 7))) is None
    assert retold("Finally it stops.", pace_of(crop(view(), 0, 90), 0, span(2, 7))) is None


def test_a_view_is_plain_where_it_runs_as_its_source_does():
    assert is_plain(view())
    assert is_plain(skip(view(), np.array([0, 5, 50], np.int64)))
    assert not is_plain(speed(view(), [Change(0, Fraction(2))]))
    assert not is_plain(crop(view(), 0, 50))
    assert not is_plain(loop(view(), 2))
    assert not is_plain(reverse(view()))
    assert not is_plain(concat([view(), view()]))
    assert not is_plain(freeze(view(), [Stall(5, S)]))
