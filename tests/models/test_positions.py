import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import TimeError
from models.positions import Clock, Cursor, Grid, GridError, Segment, place
from tests.laws import examples
from tests.models import golden_positions, stock

SECOND = 10**9
QWEN = Clock(tokens_per_second=Fraction(2))
OMNI = Clock(tokens_per_second=Fraction(25))
STILL = Clock(tokens_per_second=Fraction(0))
CASES = json.loads(golden_positions.GOLDEN.read_text(encoding="utf-8"))


def laid_out(runs):
    """A count of tokens and the grids in them, for runs of {"text"} and {"height", "width", "t_ns"}."""
    at, grids = 0, []
    for run in runs:
        at += run.get("text", 0)
        for t_ns in run.get("t_ns", ()):
            grids.append(Grid(start=at, height=run["height"], width=run["width"], t_ns=t_ns))
            at = grids[-1].stop
    return at, grids


def placed(runs, clock, cursor=Cursor()):  # noqa: B008 frozen
    count, grids = laid_out(runs)
    return place(count, grids, cursor=cursor, clock=clock)


@st.composite
def some_runs(draw):
    runs, now = [], 0
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            runs.append({"text": draw(st.integers(1, 4))})
        else:
            steps = draw(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=4))
            times = [now := now + step for step in steps]
            runs.append({"height": draw(st.integers(1, 4)), "width": draw(st.integers(1, 4)), "t_ns": times})
    return runs


clocks = st.builds(Clock, tokens_per_second=st.sampled_from([Fraction(0), Fraction(2), Fraction(25), Fraction(7, 3)]))


def test_the_golden_file_is_what_its_script_makes():
    assert golden_positions.GOLDEN.read_text(encoding="utf-8") == golden_positions.golden()


def test_the_script_of_the_goldens_can_be_told_by_hand():
    runs = [{"text": 2}, {"height": 1, "width": 2, "t_ns": [5 * SECOND, 7 * SECOND]}, {"text": 1}]
    assert golden_positions.positions(runs, 2) == [[0, 1, 2, 2, 6, 6, 7], [0, 1, 2, 2, 2, 2, 7], [0, 1, 2, 3, 2, 3, 7]]
    assert golden_positions.positions(runs, 0) == [[0, 1, 2, 2, 4, 4, 6], [0, 1, 2, 2, 4, 4, 6], [0, 1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['name']}, {case['family']}" for case in CASES])
def test_goldens(case):
    clock = Clock(tokens_per_second=Fraction(case["tokens_per_second"]))
    ids, cursor = placed(case["runs"], clock)
    assert ids.dtype == torch.int64
    assert ids.tolist() == case["positions"]
    assert cursor.next == max(map(max, case["positions"])) + 1


@given(some_runs(), clocks, st.data())
@settings(max_examples=examples(50))
def test_blocks_one_after_the_other_get_the_ids_of_one_block(runs, clock, data):
    whole, end = placed(runs, clock)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(runs)), max_size=3)))
    cursor, parts = Cursor(), []
    for start, stop in zip([0, *cuts], [*cuts, len(runs)], strict=True):
        ids, cursor = placed(runs[start:stop], clock, cursor)
        parts.append(ids)
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert cursor == end


@given(some_runs(), clocks)
@settings(max_examples=examples(50))
def test_text_goes_on_at_the_greatest_id_so_far(runs, clock):
    ids, cursor = placed(runs, clock)
    count, grids = laid_out(runs)
    vision = {at for grid in grids for at in range(grid.start, grid.stop)}
    for at in sorted(set(range(count)) - vision):
        so_far = int(ids[:, :at].max()) if at else -1
        assert ids[:, at].tolist() == [so_far + 1] * 3
    assert cursor.next == int(ids.max()) + 1
    assert (cursor.segment is None) == ("text" in runs[-1])


@given(some_runs(), clocks, st.integers(0, 10**6))
@settings(max_examples=examples(25))
def test_a_later_begin_moves_all_ids_alike(runs, clock, shift):
    at_zero, end = placed(runs, clock)
    moved, moved_end = placed(runs, clock, Cursor(next=shift))
    assert torch.equal(moved, at_zero + shift)
    assert moved_end.next == end.next + shift


@given(st.integers(0, 10**15), st.fractions(0, 100, max_denominator=30))
def test_time_is_exact_however_long_the_stream(elapsed_ns, rate):
    ticks = Clock(tokens_per_second=rate).ticks(elapsed_ns)
    assert ticks <= Fraction(elapsed_ns, SECOND) * rate < ticks + 1


def test_a_segment_spans_blocks_until_text_closes_it():
    frame = [Grid(start=0, height=1, width=1, t_ns=3 * SECOND)]
    later = [replace(frame[0], t_ns=8 * SECOND)]
    _, cursor = place(1, frame, cursor=Cursor(next=4), clock=QWEN)
    assert cursor == Cursor(next=5, segment=Segment(base=4, t0_ns=3 * SECOND, last_ns=3 * SECOND))
    assert place(1, later, cursor=cursor, clock=QWEN)[0].tolist() == [[14], [4], [4]]
    _, after_text = place(1, (), cursor=cursor, clock=QWEN)
    assert after_text == Cursor(next=6)
    assert place(1, later, cursor=after_text, clock=QWEN)[0].tolist() == [[6], [6], [6]]
    assert place(1, later, cursor=cursor, clock=STILL)[0].tolist() == [[5], [5], [5]]


def test_no_tokens_change_nothing():
    cursor = Cursor(next=3, segment=Segment(base=1, t0_ns=0, last_ns=0))
    ids, after = place(0, (), cursor=cursor, clock=QWEN)
    assert ids.shape == (3, 0)
    assert after == cursor


def test_the_stream_clock_runs_ahead_by_the_time_since_its_origin():
    clock = Clock(tokens_per_second=Fraction(2), origin_ns=SECOND)
    ids, cursor = placed([{"text": 3}, {"height": 1, "width": 2, "t_ns": [SECOND, 2 * SECOND, 5 * SECOND]}], clock)
    assert ids[:, 3:].tolist() == [[3, 3, 7, 7, 16, 16], [3, 3, 5, 5, 8, 8], [3, 4, 5, 6, 8, 9]]
    assert cursor.next == 17


def test_time_must_not_run_backwards():
    runs = [{"height": 1, "width": 1, "t_ns": [2 * SECOND, SECOND]}]
    for clock in (QWEN, STILL, replace(QWEN, origin_ns=0)):
        with pytest.raises(TimeError, match="1000000000 ns follows one at 2000000000 ns"):
            placed(runs, clock)
    with pytest.raises(TimeError, match="1 ns follows one at 2 ns"):
        placed([{"height": 1, "width": 1, "t_ns": [0, 2, 1]}], QWEN)
    with pytest.raises(TimeError, match="older than the clock's origin at 3000000000"):
        placed([{"height": 1, "width": 1, "t_ns": [SECOND]}], replace(QWEN, origin_ns=3 * SECOND))
    two_videos = [{"height": 1, "width": 1, "t_ns": [SECOND]}, {"text": 1}, {"height": 1, "width": 1, "t_ns": [0]}]
    assert placed(two_videos, QWEN)[0][0].tolist() == [0, 1, 2]
    assert placed([{"height": 1, "width": 1, "t_ns": [SECOND, SECOND]}], QWEN)[0][0].tolist() == [0, 0]


@pytest.mark.parametrize("t_ns", [1.5, np.int64(3), True, "0"])
def test_times_are_plain_ints(t_ns):
    with pytest.raises(TimeError, match="expected an int of nanoseconds"):
        Grid(start=0, height=1, width=1, t_ns=t_ns)


@pytest.mark.parametrize(("start", "height", "width"), [(-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_a_grid_has_an_area(start, height, width):
    with pytest.raises(GridError, match="expected a start of 0 or more"):
        Grid(start=start, height=height, width=width, t_ns=0)


@pytest.mark.parametrize("starts", [(5,), (0, 3), (4, 0)])
def test_grids_lie_inside_their_tokens_in_order(starts):
    grids = [Grid(start=start, height=2, width=2, t_ns=0) for start in starts]
    with pytest.raises(GridError, match="in order, without overlap"):
        place(8, grids, cursor=Cursor(), clock=QWEN)


def test_a_cursor_and_a_rate_are_not_negative():
    with pytest.raises(GridError, match="next is -1"):
        Cursor(next=-1)
    with pytest.raises(TimeError, match="tokens_per_second is -2"):
        Clock(tokens_per_second=Fraction(-2))


# What transformers computes, where it is right.


def sequence(runs):
    """Token ids (L,) as transformers wants them: a vision start before every video."""
    ids = []
    for run, after in zip(runs, [*runs[1:], {}], strict=True):
        ids += [stock.WORD] * run.get("text", 0)
        ids += [stock.PAD] * run.get("height", 0) * run.get("width", 0) * len(run.get("t_ns", ()))
        if "t_ns" in after:
            ids[-1] = stock.START
    return torch.tensor(ids)


def stock_positions(family, runs, seconds_per_grid):
    grids = [(len(run["t_ns"]), run["height"], run["width"]) for run in runs if "t_ns" in run]
    return stock.positions_of(family)(sequence(runs), grids, [seconds_per_grid] * len(grids))


def regular(height, width, count, seconds_per_grid):
    return {"height": height, "width": width, "t_ns": [round(k * seconds_per_grid * SECOND) for k in range(count)]}


@pytest.mark.parametrize("seconds_per_grid", [1.0, 0.5, 2 / 3, 2 / 24, 2.0])
def test_qwen2_5_omni_in_transformers_agrees(seconds_per_grid):
    for count in (1, 2, 5, 24):
        video = regular(2, 3, count, seconds_per_grid)
        runs = [{"text": 4}, video, {"text": 3}, regular(3, 1, count, seconds_per_grid), {"text": 2}]
        assert torch.equal(placed(runs, OMNI)[0], stock_positions("qwen2_5_omni", runs, seconds_per_grid))


def test_qwen3_vl_in_transformers_agrees():
    runs = [
        {"text": 5},
        regular(2, 3, 1, 1),
        {"text": 4},
        regular(4, 1, 1, 1),
        {"text": 7},
        regular(1, 6, 1, 1),
        {"text": 1},
    ]
    assert torch.equal(placed(runs, STILL)[0], stock_positions("qwen3_vl", runs, 1.0))


@pytest.mark.parametrize("seconds_per_grid", [1.0, 0.5, 2 / 24])
def test_qwen2_5_vl_in_transformers_agrees_where_time_is_short_or_no_text_follows(seconds_per_grid):
    no_text_behind = [{"text": 4}, regular(2, 3, 30, seconds_per_grid)]
    short = [
        {"text": 4},
        regular(3, 2, 2, seconds_per_grid),
        {"text": 6},
        regular(4, 4, 1, seconds_per_grid),
        {"text": 2},
    ]
    for runs in (no_text_behind, short):
        assert torch.equal(placed(runs, QWEN)[0], stock_positions("qwen2_5_vl", runs, seconds_per_grid))


def test_qwen2_5_vl_in_transformers_is_wrong_behind_a_long_video():
    # If this fails, transformers has mended its rule: then let it join the agreement above.
    runs = [{"text": 4}, regular(2, 3, 30, 1.0), {"text": 2}]
    ours, theirs = placed(runs, QWEN)[0], stock_positions("qwen2_5_vl", runs, 1.0)
    assert torch.equal(ours[:, :-2], theirs[:, :-2])
    assert ours[:, -2].tolist() == [4 + 58 + 1] * 3
    assert theirs[:, -2].tolist() == [4 + 3] * 3
    assert int(theirs[0, :-2].max()) > int(theirs[0, -1])
