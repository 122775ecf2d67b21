"""Runs in measured signals: hysteresis, least durations, breaks at cuts, and no look-ahead."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.builders.curves import (
    Above,
    Below,
    Change,
    above,
    below,
    dark,
    drift,
    fade_span,
    hysteresis,
    join_signals,
)
from datasets_build.core.clock import Span
from datasets_build.core.files import DataError
from tests.builders.made import MS, clock_from, signals_of, video_of

CLOCK = clock_from([40] * 99)
VIDEO = video_of("v", CLOCK)
FRAMES = range(0, 100, 2)
RULE = Above(on=0.1, off=0.05, min_ns=200 * MS)


def curves(breaks=(), frames=FRAMES, clock=CLOCK, **values):
    whole = {name: [*column, *([column[-1]] * (len(frames) - len(column)))] for name, column in values.items()}
    return join_signals([signals_of(VIDEO, clock, frames, **whole)], clock, breaks)


def spans(runs):
    """Runs as frame indices of a 25-fps clock."""
    return [(run.start_ns // (40 * MS), run.end_ns // (40 * MS)) for run in runs]


def pans(values, breaks=(), rule=RULE, delay_ns=0):
    made = curves(breaks, pan_x=values)
    return above(made, CLOCK, made.pan_x, label="pan_right", rule=rule, delay_ns=delay_ns)


def bools(text):
    return np.array([letter == "x" for letter in text], np.bool_)


@pytest.mark.parametrize(
    ("begin", "keep", "found"),
    [
        ("..x..x..", "..xxx.x.", [(2, 4)]),
        ("..x..xx.", "..xxxxx.", [(2, 6)]),
        ("x......x", "xx.....x", [(0, 1), (7, 7)]),
        ("........", "xxxxxxxx", []),
        ("xxx", "...", []),
        ("", "", []),
    ],
)
def test_a_run_begins_high_and_lasts_while_it_is_not_low(begin, keep, found):
    assert hysteresis(bools(begin), bools(keep)) == found


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_runs_are_maximal_and_apart(samples):
    begin = np.array([b for b, _ in samples], np.bool_)
    keep = np.array([k or b for b, k in samples], np.bool_)
    runs = hysteresis(begin, keep)
    for first, last in runs:
        assert begin[first]
        assert keep[first : last + 1].all()
        assert last == len(keep) - 1 or not keep[last + 1]
    assert all(a[1] < b[0] for a, b in pairwise(runs))
    covered = {k for first, last in runs for k in range(first, last + 1)}
    assert covered >= set(np.flatnonzero(begin).tolist())


def test_a_pan_is_found_from_its_first_sample_to_the_first_that_is_over():
    assert spans(pans([0, 0, 0.2, 0.08, 0.06, 0.2, 0.01])) == [(4, 12)]


def test_the_other_way_is_another_event():
    assert pans([0, 0, -0.2, -0.2, -0.2, -0.2, 0]) == []


def test_what_lasts_too_short_is_none():
    assert pans([0, 0.2, 0.2, 0]) == []
    assert spans(pans([0, 0.2, 0.2, 0.2, 0])) == [(2, 8)]


def test_a_run_at_the_end_lasts_to_the_end_of_the_video():
    (run,) = pans([0] * 46 + [0.2] * 4)
    assert run.end_ns == CLOCK.end_ns
    assert run.known_ns <= run.end_ns


def test_a_cut_ends_a_run_and_what_is_measured_across_it_is_ignored():
    # The cut lies between samples 4 and 5 (frames 8 and 10).
    at = CLOCK.time_of(9)
    runs = pans([0, 0.2, 0.2, 0.2, 0.2, 0.9, 0.2, 0.2, 0.2, 0.2, 0], breaks=[at])
    assert spans(runs) == [(2, 9), (12, 20)]


def test_a_run_is_known_when_it_has_lasted_long_enough_and_been_looked_at():
    values = [0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0]
    (quick,) = pans(values)
    assert quick.known_ns == CLOCK.snap_up(quick.start_ns + RULE.min_ns)
    (slow,) = pans(values, delay_ns=400 * MS)
    assert slow.known_ns == quick.start_ns + 400 * MS
    (never,) = pans(values, delay_ns=9_000 * MS)
    assert never.known_ns == never.end_ns


def test_gaps_bound_what_happened_between_samples():
    (run,) = pans([0, 0.2, 0.2, 0.2, 0])
    assert run.onset_gap_ns == 80 * MS
    assert run.offset_gap_ns == 80 * MS
    (first,) = pans([0.2, 0.2, 0.2, 0])
    assert (first.start_ns, first.onset_gap_ns) == (0, 0)


def test_stillness_is_a_run_of_low_change_within_one_shot():
    made = curves([CLOCK.time_of(20)], motion=[0.05] * 3 + [0.001] * 20 + [0.05])
    runs = below(made, CLOCK, made.motion, label="still", rule=Below(on=0.002, off=0.004, min_ns=0), delay_ns=0)
    assert spans(runs) == [(6, 20), (22, 46)]


def test_black_is_a_state_that_a_cut_does_not_end():
    made = curves([CLOCK.time_of(20)], luma=[0.5] * 3 + [0.02] * 20 + [0.5], contrast=[0.01] * 50)
    runs = dark(made, CLOCK, rule=Below(on=0.06, off=0.09, min_ns=0), max_contrast=0.05, delay_ns=0)
    assert spans(runs) == [(6, 46)]
    dim = curves(luma=[0.02] * 50, contrast=[0.3] * 50)
    assert dark(dim, CLOCK, rule=Below(on=0.06, off=0.09, min_ns=0), max_contrast=0.05, delay_ns=0) == []


LIGHT = Change(on=0.1, off=0.05, min_ns=0, min_change=0.2)


def test_light_must_change_far_enough_and_is_known_only_then():
    ramp = [0.2] * 5 + [0.2 + 0.04 * k for k in range(1, 11)] + [0.6]
    made = curves(luma=ramp)
    (run,) = drift(made, CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0)
    assert spans([run]) == [(10, 30)]
    # Five samples of 0.04 make the change of 0.2.
    assert run.known_ns == CLOCK.time_of(18)
    assert drift(made, CLOCK, label="light_down", sign=-1, rule=LIGHT, delay_ns=0) == []
    down = curves(luma=ramp[::-1])
    assert len(drift(down, CLOCK, label="light_down", sign=-1, rule=LIGHT, delay_ns=0)) == 1
    small = curves(luma=[0.2] * 5 + [0.2 + 0.04 * k for k in range(1, 4)])
    assert drift(small, CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0) == []


def test_a_jump_of_light_at_a_cut_is_no_light_event():
    made = curves([CLOCK.time_of(10)], luma=[0.2] * 5 + [0.8] * 45)
    assert drift(made, CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0) == []
    assert len(drift(curves(luma=[0.2] * 5 + [0.8] * 45), CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0)) == 1


def test_differences_inside_a_veiled_span_belong_to_it():
    made = curves(luma=[0.2] * 5 + [0.2 + 0.04 * k for k in range(1, 11)] + [0.6])
    veil = Span(start_ns=CLOCK.time_of(10), end_ns=CLOCK.time_of(30))
    assert drift(replace(made, veiled=(veil,)), CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0) == []


def test_a_fade_reaches_from_where_it_darkens_to_where_it_is_back():
    luma = [0.5] * 5 + [0.4, 0.3, 0.2, 0.1, 0.02, 0.02, 0.02, 0.1, 0.3, 0.5] + [0.5] * 5
    everything = Span(start_ns=0, end_ns=CLOCK.end_ns)
    found = fade_span(curves(luma=luma), CLOCK, CLOCK.time_of(21), within=everything, dark_level=0.06)
    assert (found.start_ns, found.end_ns) == (CLOCK.time_of(10), CLOCK.time_of(28))
    near = Span(start_ns=CLOCK.time_of(14), end_ns=CLOCK.time_of(26))
    assert fade_span(curves(luma=luma), CLOCK, CLOCK.time_of(21), within=near, dark_level=0.06) == near


def test_what_never_comes_back_is_no_fade():
    luma = [0.5] * 5 + [0.4, 0.3, 0.2, 0.1, 0.02]
    everything = Span(start_ns=0, end_ns=CLOCK.end_ns)
    made = curves(luma=luma, frames=range(0, 20, 2))
    assert fade_span(made, CLOCK, CLOCK.time_of(19), within=everything, dark_level=0.01) is None
    assert fade_span(join_signals([], CLOCK, []), CLOCK, 0, within=everything, dark_level=0.06) is None


def test_stretches_are_joined_in_order():
    first = signals_of(VIDEO, CLOCK, range(10), luma=[0.1] * 10)
    second = signals_of(VIDEO, CLOCK, range(10, 30), luma=[0.2] * 20)
    made = join_signals([first, second], CLOCK, [5, 3])
    assert len(made) == 30
    assert made.ids == (first.id, second.id)
    assert made.breaks.tolist() == [3, 5]
    with pytest.raises(DataError, match="not those of frames in order"):
        join_signals([second, first], CLOCK, [])


def test_signals_off_the_grid_or_torn_are_refused():
    good = signals_of(VIDEO, CLOCK, range(3))
    with pytest.raises(DataError, match="not those of frames in order"):
        join_signals([good.model_copy(update={"t_ns": (0, 1, 2)})], CLOCK, [])
    with pytest.raises(DataError, match="luma has 2 values, expected 3"):
        join_signals([good.model_copy(update={"luma": (0.1, 0.2)})], CLOCK, [])


def test_no_signals_make_no_runs():
    made = join_signals([], CLOCK, [])
    assert len(made) == 0
    assert above(made, CLOCK, made.pan_x, label="pan_right", rule=RULE, delay_ns=0) == []
    assert drift(made, CLOCK, label="light_up", sign=1, rule=LIGHT, delay_ns=0) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Above(on=0.1, off=0.2, min_ns=0),
        lambda: Below(on=0.2, off=0.1, min_ns=0),
        lambda: Change(on=0.1, off=0.2, min_ns=0, min_change=0.1),
        lambda: Above(on=-1.0, off=-2.0, min_ns=0),
    ],
)
def test_thresholds_the_wrong_way_round_are_refused(make):
    with pytest.raises(ValidationError):
        make()


@given(
    st.lists(st.floats(0, 0.3), min_size=2, max_size=50), st.lists(st.integers(1, 99), max_size=4), st.integers(0, 900)
)
def test_runs_stay_on_the_grid_inside_one_shot_and_apart(values, cuts, delay_ms):
    breaks = sorted({CLOCK.time_of(cut) for cut in cuts})
    made = join_signals([signals_of(VIDEO, CLOCK, range(len(values)), pan_x=values)], CLOCK, breaks)
    runs = above(made, CLOCK, made.pan_x, label="pan_right", rule=RULE, delay_ns=delay_ms * MS)
    for run in runs:
        assert all(CLOCK.on_grid(t) for t in (run.start_ns, run.end_ns, run.known_ns))
        assert run.start_ns < run.end_ns
        assert run.start_ns <= run.known_ns <= run.end_ns
        assert run.end_ns - run.start_ns >= RULE.min_ns
        assert not any(run.start_ns < at < run.end_ns for at in breaks)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(runs))


@given(st.lists(st.floats(0, 0.3), min_size=10, max_size=50), st.integers(1, 49))
def test_what_is_known_at_an_instant_does_not_depend_on_what_comes_later(values, cut):
    cut = min(cut, len(values) - 1)
    now = CLOCK.time_of(cut)

    def known_by_now(column):
        made = join_signals([signals_of(VIDEO, CLOCK, range(len(column)), pan_x=column)], CLOCK, [])
        runs = above(made, CLOCK, made.pan_x, label="pan_right", rule=RULE, delay_ns=0)
        return [(run.start_ns, run.known_ns) for run in runs if run.known_ns <= now]

    assert known_by_now(values) == known_by_now(values[: cut + 1])
