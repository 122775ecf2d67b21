from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.coverage import covered, least_pictures, most_covered, shown, uniform

TIMES = st.lists(st.integers(0, 100), max_size=12)
EVENTS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)).map(lambda e: (e[0], e[0] + e[1])), max_size=12)


@given(EVENTS, TIMES, st.integers(0, 20))
def test_coverage_is_its_definition(events, times, tolerance):
    expected = [any(start - tolerance <= t <= end + tolerance for t in times) for start, end in events]
    assert covered(events, np.array(times, np.int64), tolerance_ns=tolerance).tolist() == expected


@given(EVENTS, TIMES, TIMES, st.integers(0, 20), st.integers(0, 20))
def test_more_pictures_or_tolerance_never_cover_less(events, times, more, tolerance, further):
    few = covered(events, np.array(times, np.int64), tolerance_ns=tolerance)
    assert (few <= covered(events, np.array(times + more, np.int64), tolerance_ns=tolerance)).all()
    assert (few <= covered(events, np.array(times, np.int64), tolerance_ns=tolerance + further)).all()


@given(EVENTS, TIMES, st.integers(0, 20))
def test_nothing_covers_all_with_fewer_than_the_least(events, times, tolerance):
    if covered(events, np.array(times, np.int64), tolerance_ns=tolerance).all():
        assert least_pictures(events, tolerance_ns=tolerance) <= len(set(times)) or not events


@given(EVENTS, st.integers(0, 20))
def test_the_least_are_enough(events, tolerance):
    # Each event's end in turn, as the proof of the count has it.
    times, last = [], None
    for start, end in sorted(events, key=lambda event: event[1]):
        if last is None or start - tolerance > last:
            last = end + tolerance
            times.append(last)
    assert covered(events, np.array(times, np.int64), tolerance_ns=tolerance).all()
    assert len(times) == least_pictures(events, tolerance_ns=tolerance)


@pytest.mark.parametrize(
    ("fps", "seconds", "expected"), [(2, 3, 6), (1, 3, 3), (0.5, 3, 2), (0.5, 0.1, 1), (2, 3.01, 7)]
)
def test_uniform_sampling_begins_at_zero(fps, seconds, expected):
    times = uniform(int(seconds * NS_PER_S), fps=fps)
    assert len(times) == expected
    assert times[0] == 0
    assert np.allclose(np.diff(times), NS_PER_S / fps)


def test_two_frames_a_second_cover_everything_within_a_quarter():
    events = [(t, t) for t in range(0, 10 * NS_PER_S - NS_PER_S // 2, 33_333_333)]
    assert covered(events, uniform(10 * NS_PER_S, fps=2), tolerance_ns=NS_PER_S // 4).all()
    assert not covered(events, uniform(10 * NS_PER_S, fps=2), tolerance_ns=NS_PER_S // 5).all()


def test_the_frame_on_screen_came_before():
    assert shown(np.array([0, 40, 80]), np.array([0, 39, 40, 200])).tolist() == [0, 0, 40, 80]


FEW = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda e: (e[0], e[0] + e[1])), max_size=7)


@given(FEW, st.integers(0, 4), st.integers(0, 5))
def test_the_most_covered_is_what_trying_all_choices_finds(events, pictures, tolerance):
    ends = sorted({end + tolerance for _, end in events})
    tried = [
        covered(events, np.array(times, np.int64), tolerance_ns=tolerance).sum()
        for times in combinations(ends, min(pictures, len(ends)))
    ]
    assert most_covered([events], pictures=pictures, tolerance_ns=tolerance) == max(tried, default=0)


@given(EVENTS, TIMES, st.integers(0, 20))
def test_no_choice_covers_more_than_the_most(events, times, tolerance):
    hits = int(covered(events, np.array(times, np.int64), tolerance_ns=tolerance).sum())
    assert hits <= most_covered([events], pictures=len(times), tolerance_ns=tolerance)


@given(EVENTS, st.integers(0, 20))
def test_the_least_that_cover_all_are_the_fewest_with_which_the_most_is_all(events, tolerance):
    least = least_pictures(events, tolerance_ns=tolerance)
    assert most_covered([events], pictures=least, tolerance_ns=tolerance) == len(events)
    if least:
        assert most_covered([events], pictures=least - 1, tolerance_ns=tolerance) < len(events)


@given(st.lists(FEW, max_size=4), st.integers(0, 6), st.integers(0, 5))
def test_no_picture_serves_two_films(films, pictures, tolerance):
    shared = [0] + [0] * pictures
    for film in films:
        alone = [most_covered([film], pictures=k, tolerance_ns=tolerance) for k in range(pictures + 1)]
        shared = [max(shared[k - own] + alone[own] for own in range(k + 1)) for k in range(pictures + 1)]
    assert most_covered(films, pictures=pictures, tolerance_ns=tolerance) == shared[pictures]
