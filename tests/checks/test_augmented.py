"""Laws of augmented videos, in memory: silent on whatever a pipeline makes, and each clause finds its fault."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Concat, Crop, Freeze, Jitter, Loop, Pipeline, Reconnect, Reverse, Skip, Speed
from augment.source import by_size
from datasets_build.checks.augmented import (
    Strip,
    backwards_breaches,
    clock_breaches,
    dropped_breaches,
    exact,
    expected_of,
    follow_breaches,
    map_breaches,
    moved_breaches,
    pieces_of,
)
from datasets_build.core.augmentation import Augmentation, Knot
from datasets_build.core.clock import TimeError, TimeMap
from tests.augment.clips import backwards_once, clip
from tests.builders.made import clock_from
from tests.laws import examples

MS = 1_000_000
OPERATIONS = (
    Speed(form="pieces", low=0.25, high=4.0),
    Speed(form="ramp"),
    Skip(form="random", share=0.5),
    Skip(form="bursts", share=0.4),
    Reconnect(gaps=2),
    Jitter(sd_ms=15.0),
    Crop(least=0.3),
    Concat(),
    Loop(),
    Freeze(stalls=2),
    Reverse(),
)


def made(operations, seed=0):
    clips = [clip(name, seconds=12.0) for name in "ab"]
    maker = Maker(pipeline=Pipeline(seed=seed, operations=operations), others=by_size(clips))
    # Only what the laws here look at.
    bare = replace(clips[0], questions=(), dialogues=(), annotations=(), keyframes=())
    return maker.make(bare, 0), {each.video.id: each for each in clips}


def strips_of(found, parents):
    return [Strip.of(row, parents[row.parent_id].clock) for row in found.maps]


def misplaced(events, found, parents):
    """What is wrong with some events."""
    strips, told = strips_of(found, parents), {name: parent.events for name, parent in parents.items()}
    pieces = pieces_of(strips, found.view.clock)
    there = moved_breaches(events, expected_of(strips, pieces, told), pieces)
    return [breach for _, breaches in there for breach in breaches]


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4).filter(backwards_once), st.integers(0, 99))
def test_what_pipelines_make_breaks_nothing(operations, seed):
    try:
        found, parents = made(tuple(operations), seed)
    except AugmentError:
        # Frames that would meet are refused; test_clip.py holds that nothing else is.
        return
    strips, clock = strips_of(found, parents), found.view.clock
    for row, strip in zip(found.maps, strips, strict=True):
        assert list(map_breaches(row, parents[row.parent_id].clock)) == []
        assert list(dropped_breaches(strip)) == []
        assert list(backwards_breaches(strip)) == []
    assert list(clock_breaches(strips, clock)) == []
    assert [breaches for _, breaches in follow_breaches(found.maps, clock) if breaches] == []
    assert misplaced(found.clip.events, found, parents) == []


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_an_event_that_is_shifted_is_found(data):
    """By a frame or more, at either end or at both."""
    found, parents = made((Speed(form="pieces"), Skip(form="random"), Freeze()), data.draw(st.integers(0, 3)))
    clock = found.view.clock
    event = data.draw(st.sampled_from([e for e in found.clip.events if e.provenance.agent != "augment"]))
    ends = data.draw(st.sampled_from([("start_ns",), ("end_ns",), ("start_ns", "end_ns")]))
    by = data.draw(st.sampled_from((-2, -1, 1, 2)))
    moved = {name: clock.index_at(min(getattr(event, name), clock.end_ns - 1)) + by for name in ends}
    if not all(0 <= frame < len(clock) for frame in moved.values()):
        return
    wrong = event.model_copy(update={name: clock.time_of(frame) for name, frame in moved.items()})
    if wrong == event:
        return
    # The same label may stand there by another piece; here there is one.
    assert misplaced([wrong], found, parents), (event, wrong)


CLOCK = clock_from([100] * 9, last_ms=100)


def row(*, knots=((0, 0), (1000, 1000)), **more):
    pairs = tuple(Knot(source=str(s * MS), target=str(t * MS)) for s, t in knots)
    fields = {"id": "row", "video_id": "v", "parent_id": "a", "operation": "any", "seed": 0, "knots": pairs}
    return Augmentation(**fields | more)


def strip(**more):
    return Strip.of(row(**more), CLOCK)


def words(breaches):
    return " ".join(f"{breach.found} / {breach.expected}" for breach in breaches)


def test_a_row_that_changes_nothing_is_right():
    assert list(map_breaches(row(), CLOCK)) == []
    assert list(clock_breaches([strip()], CLOCK)) == []
    assert [found for _, found in follow_breaches([row()], CLOCK)] == [[]]
    assert list(dropped_breaches(strip())) == list(backwards_breaches(strip())) == []


@pytest.mark.parametrize(
    ("knots", "told"),
    [
        (((0, 0), (1000, 0)), "increases strictly"),
        (((0, 0), (500, 600), (400, 900)), "increases strictly"),
        (((0, 0),), "at least two knots"),
        (((0, 0), (1001, 1000)), "a stretch of the parent's"),
        (((-1, 0), (1000, 1000)), "a stretch of the parent's"),
    ],
)
def test_maps_that_are_none(knots, told):
    assert told in words(map_breaches(row(knots=knots), CLOCK))


def test_frames_that_come_at_another_time():
    late = strip(knots=((0, 0), (500, 501), (1000, 1000)))
    assert "frame 1 to 100200000 ns / 100000000 ns" in words(clock_breaches([late], CLOCK))
    assert "leave 9 frames / 10" in words(clock_breaches([strip(dropped_frames=(4,))], CLOCK))
    assert "frames from" in words(clock_breaches([strip(is_reversed=True, on_ns=(10**12,) * 10)], CLOCK))


def test_pieces_out_of_place():
    first, second = row(knots=((0, 0), (500, 500))), row(knots=((500, 500), (1000, 1000)))
    assert [found for _, found in follow_breaches([first, second], CLOCK)] == [[], []]
    # Half a nanosecond is what rounding leaves; a microsecond and more is a gap.
    for early, is_gap in ((Fraction(1, 2), False), (Fraction(1001), True)):
        short = (Knot(source="0", target="0"), Knot(source=str(500 * MS), target=str(500 * MS - early)))
        _, (_, breaches) = follow_breaches([first.model_copy(update={"knots": short}), second], CLOCK)
        assert ("where the one before ends" in words(breaches)) == is_gap
    assert "a piece from 500000000 ns / 0 ns" in words(next(follow_breaches([second], CLOCK))[1])
    assert "a last piece to 500000000 ns / 1000000000 ns" in words(next(follow_breaches([first], CLOCK))[1])


def test_frames_that_are_dropped_wrongly():
    assert "each frame once, in order" in words(dropped_breaches(strip(dropped_frames=(5, 4))))
    assert "frame 10 / a frame of [0, 10)" in words(dropped_breaches(strip(dropped_frames=(10,))))
    half = {"knots": ((500, 0), (1000, 500))}
    assert "frame 4 / a frame of [5, 10)" in words(dropped_breaches(strip(dropped_frames=(4,), **half)))


def test_frames_that_come_on_wrongly():
    ends = tuple(CLOCK.time_of(k + 1) for k in reversed(range(10)))
    assert list(backwards_breaches(strip(is_reversed=True, on_ns=ends))) == []
    assert "on_ns.3" in words(backwards_breaches(strip(is_reversed=True, on_ns=(*ends[:3], 1, *ends[4:]))))
    assert "on_ns of 0 frames / 10" in words(backwards_breaches(strip(is_reversed=True)))
    # A reversed stall, turned round: each frame from before its time, and never from before the one before it.
    thin = {"dropped_frames": (1, 2, 4, 5, 6, 7, 8, 9)}
    assert list(backwards_breaches(strip(on_ns=(0, 100 * MS), **thin))) == []
    assert "on_ns.1" in words(backwards_breaches(strip(on_ns=(0, 0), **thin)))
    assert "on_ns.1" in words(backwards_breaches(strip(on_ns=(0, 400 * MS), **thin)))


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=5), st.data())
def test_many_instants_go_where_single_ones_do(steps, data):
    knots = [(Fraction(0), Fraction(0))]
    for run, rise in steps:
        knots.append((knots[-1][0] + run, knots[-1][1] + Fraction(rise, 7)))
    time_map = TimeMap(tuple(knots))
    times = sorted(data.draw(st.lists(st.integers(0, int(time_map.source[1])), max_size=12)))
    assert exact(time_map, times) == [time_map.apply(t) for t in times]
    with pytest.raises(TimeError):
        exact(time_map, [*times, int(time_map.source[1]) + 1])
