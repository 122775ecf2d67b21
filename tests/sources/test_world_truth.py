"""The truth about drawn worlds, held against the pixels that were drawn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock, Span
from datasets_build.sources.world import Plan, WorldConfig, plan
from datasets_build.sources.world_draw import FULL, brightness, draw_frame
from datasets_build.sources.world_script import Actor, Backdrop, Collision, Join, Leg, Recolour, Scene, Script
from datasets_build.sources.world_shapes import COLOURS, contact_distance
from datasets_build.sources.world_truth import WorldAnnotation, boxes, facts, transitions

S = 1_000_000_000
MS = S // 1000
SMALL = {"width": 192, "height": 144, "seconds": 8}
BACKDROP = Backdrop((206, 197, 174), "plain", 1)


def actor(kind: str, colour: str, *, lane: float, home: float, **changes: tuple[object, ...]) -> Actor:
    legs, recolours = changes.get("legs", ()), changes.get("recolours", ())
    return Actor(kind=kind, colour=colour, radius=20.0, lane=lane, home=home, legs=legs, recolours=recolours)


def one_scene(*actors: Actor, collisions: tuple[Collision, ...] = (), axis: str = "x") -> Script:
    scene = Scene(
        start_ns=0, end_ns=6 * S, axis=axis, length=200, backdrop=BACKDROP, actors=actors, collisions=collisions
    )
    return Script(width=200, height=200, end_ns=6 * S, scenes=(scene,), joins=())


def clock_of(rate: int, seconds: int = 6) -> FrameClock:
    return FrameClock.from_pts(range(rate * seconds), time_base=Fraction(1, rate), last_duration=1)


def told(script: Script, clock: FrameClock) -> list[tuple[str, str, int, int]]:
    return [(fact.label, fact.text, fact.start_ns // MS, fact.end_ns // MS) for fact in facts(script, clock)]


def test_coming_in_and_stopping():
    # At 10 frames a second: the right edge reaches a pixel into the picture at place -19, is wholly in at 20.
    circle = actor("circle", "red", lane=50, home=-24, legs=(Leg(S, 2 * S, -24.0, 76.0),))
    assert told(one_scene(circle), clock_of(10)) == [
        ("enter", "The red circle enters from the left.", 1100, 1500),
        ("move", "The red circle moves right.", 1100, 2100),
        ("stop", "The red circle stops.", 2100, 2100),
    ]


def test_going_out_at_the_top():
    square = actor("square", "blue", lane=50, home=100, legs=(Leg(S, 2 * S, 100.0, -20.0),))
    assert told(one_scene(square, axis="y"), clock_of(10)) == [
        ("move", "The blue square moves up.", 1100, 2000),
        ("leave", "The blue square leaves at the top.", 1700, 2000),
    ]


def test_a_collision_is_an_instant_and_both_stop_one_frame_later():
    low = actor("circle", "red", lane=50, home=40, legs=(Leg(S, 2 * S, 40.0, 80.5),))
    high = actor("circle", "green", lane=50, home=160, legs=(Leg(S, 2 * S, 160.0, 119.5),))
    script = one_scene(low, high, collisions=(Collision(2 * S, 0, 1),))
    assert told(script, clock_of(10)) == [
        ("move", "The green circle moves left.", 1100, 2100),
        ("move", "The red circle moves right.", 1100, 2100),
        ("collide", "The red circle and the green circle collide.", 2000, 2000),
        ("stop", "The green circle stops.", 2100, 2100),
        ("stop", "The red circle stops.", 2100, 2100),
    ]
    # A thousand frames a second: seen to touch before the last pixel is closed.
    early = next(fact for fact in facts(script, clock_of(1000)) if fact.label == "collide")
    assert early.subject == "red circle and green circle"
    assert 1980 * MS < early.start_ns < 2 * S
    assert not script.scenes[0].touching(Collision(2 * S, 0, 1), early.start_ns - MS)


def test_a_change_of_colour_is_told_with_the_old_name_and_changes_the_name():
    changes = (Recolour(S + 1, "blue"), Recolour(2 * S, "yellow"), Recolour(3 * S, "blue"))
    triangle = actor("triangle", "yellow", lane=50, home=100, recolours=changes, legs=(Leg(4 * S, 5 * S, 100.0, 60.0),))
    assert told(one_scene(triangle), clock_of(10)) == [
        ("change_colour", "The yellow triangle turns blue.", 1100, 1100),
        ("change_colour", "The blue triangle turns yellow.", 2000, 2000),
        ("change_colour", "The yellow triangle turns blue.", 3000, 3000),
        ("move", "The blue triangle moves left.", 4100, 5100),
        ("stop", "The blue triangle stops.", 5100, 5100),
    ]


def test_cuts_and_fades_on_the_grid():
    scenes = tuple(
        Scene(start_ns=s, end_ns=e, axis="x", length=200, backdrop=BACKDROP, actors=(), collisions=())
        for s, e in ((0, S), (S, 3 * S), (3 * S, 6 * S))
    )
    joins = (Join("cut", S + 1), Join("fade", 3 * S, 400 * MS))
    script = Script(width=200, height=200, end_ns=6 * S, scenes=scenes, joins=joins)
    cut, fade = transitions(script, clock_of(10))
    assert (cut.kind, cut.start_frame, cut.end_frame, cut.start_ns, cut.end_ns) == (
        "cut",
        11,
        11,
        1_100 * MS,
        1_100 * MS,
    )
    # Exactly 400 ms away nothing is darker yet.
    assert (fade.kind, fade.start_frame, fade.end_frame, fade.start_ns, fade.end_ns) == (
        *("fade", 27, 34),
        *(2_700 * MS, 3_400 * MS),
    )


@cache
def small_plan(seed: int, share: float) -> Plan:
    return plan(WorldConfig(seed=seed, vfr_share=share, **SMALL), seed % 3)


def changed_frames(planned: Plan) -> list[bool]:
    """Per frame: whether any pixel differs from the frame before."""
    frames = [draw_frame(planned.script, t) for t in planned.clock.t_ns.tolist()]
    return [False, *(bool((a != b).any()) for a, b in pairwise(frames))]


def busy_frames(planned: Plan) -> set[int]:
    """The frames at which the truth says that something differs from the frame before."""
    clock, busy = planned.clock, set()
    for fact in facts(planned.script, clock):
        if fact.label in {"move", "enter", "leave"}:
            busy |= set(clock.frames_in(Span(start_ns=fact.start_ns, end_ns=fact.end_ns)))
        if fact.label == "change_colour":
            busy.add(clock.index_at(fact.start_ns))
        if fact.label == "leave":
            busy.add(clock.index_at(fact.end_ns))
    for join in transitions(planned.script, clock):
        busy |= set(range(join.start_frame, join.end_frame + 1))
    return busy


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 1.0]))
def test_pixels_change_exactly_when_the_truth_says_so(seed: int, share: float):
    planned = small_plan(seed, share)
    changed = {k for k, differs in enumerate(changed_frames(planned)) if differs}
    # In the middle of a fade the picture stays black for some frames.
    still_black = {k for k in range(1, len(planned.clock)) if all(_light(planned, j) == 0 for j in (k - 1, k))}
    assert changed == busy_frames(planned) - still_black


def _light(planned: Plan, frame: int) -> int:
    return brightness(planned.script.joins, planned.clock.time_of(frame))


def pixels_of(planned: Plan, frame: int, colour: str) -> np.ndarray:
    """`(n, 2)` rows and columns of the pixels in exactly one of the world's colours."""
    picture = draw_frame(planned.script, planned.clock.time_of(frame))
    return np.argwhere((picture == COLOURS[colour]).all(axis=2))


def bright_frames(planned: Plan, scene: Scene) -> list[int]:
    frames = planned.clock.frames_in(Span(start_ns=scene.start_ns, end_ns=scene.end_ns))
    return [k for k in frames if _light(planned, k) == FULL]


def by_subject(found: tuple[WorldAnnotation, ...]) -> dict[str, list[WorldAnnotation]]:
    rows: dict[str, list[WorldAnnotation]] = defaultdict(list)
    for fact in found:
        rows[fact.subject].append(fact)
    return rows


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 1.0]))
def test_a_shape_is_absent_before_it_enters_and_after_it_leaves(seed: int, share: float):
    planned = small_plan(seed, share)
    for subject, rows in by_subject(facts(planned.script, planned.clock)).items():
        colour = subject.split()[0]
        for fact in rows:
            start = planned.clock.index_at(fact.start_ns)
            if fact.label == "enter":
                assert len(pixels_of(planned, start - 1, colour)) == 0
                assert len(pixels_of(planned, planned.clock.index_at(fact.end_ns), colour)) > 50
            if fact.label == "leave":
                end = planned.clock.index_at(fact.end_ns)
                assert len(pixels_of(planned, start - 1, colour)) > 50
                assert len(pixels_of(planned, end, colour)) == 0
                # Crossing the border: less and less of it shows.
                counts = [len(pixels_of(planned, k, colour)) for k in range(start, end)]
                assert counts[-1] <= counts[0]


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_a_shape_goes_where_its_move_says(seed: int):
    planned = small_plan(seed, 0.0)
    ways = {"left.": (1, -1), "right.": (1, 1), "up.": (0, -1), "down.": (0, 1)}
    for fact in facts(planned.script, planned.clock):
        if fact.label == "move":
            axis, sign = ways[fact.text.split()[-1]]
            frames = planned.clock.frames_in(Span(start_ns=fact.start_ns, end_ns=fact.end_ns))
            colour = fact.subject.split()[0]
            found = [pixels_of(planned, k, colour) for k in (frames[0], frames[-1])]
            if all(len(points) for points in found):
                moved = found[1].mean(axis=0) - found[0].mean(axis=0)
                assert moved[axis] * sign > 0
                # A corner that peeps in may lie off the lane; a shape that shows keeps to it.
                assert abs(moved[1 - axis]) < 2 or min(len(points) for points in found) < 100


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_the_colour_on_screen_changes_at_the_frame_of_the_change(seed: int):
    planned = small_plan(seed, 1.0)
    for fact in facts(planned.script, planned.clock):
        if fact.label == "change_colour":
            old, new = fact.subject.split()[0], fact.text.rstrip(".").split()[-1]
            frame = planned.clock.index_at(fact.start_ns)
            counts = [[len(pixels_of(planned, k, colour)) for k in (frame - 1, frame)] for colour in (old, new)]
            assert counts[0][0] == counts[1][1] > 0
            assert counts[0][1] == counts[1][0] == 0


def shapes_apart(script: Script, t_ns: int) -> int:
    """How many separate blobs stand before the background."""
    empty = script.scenes[0]
    bare = Script(
        width=script.width,
        height=script.height,
        end_ns=script.end_ns,
        scenes=(
            Scene(start_ns=0, end_ns=empty.end_ns, axis="x", length=200, backdrop=BACKDROP, actors=(), collisions=()),
        ),
        joins=(),
    )
    differs = np.abs(draw_frame(script, t_ns).astype(int) - draw_frame(bare, t_ns)).sum(axis=2)
    return cv2.connectedComponents((differs > 60).astype(np.uint8))[0] - 1


@pytest.mark.parametrize("kinds", [("circle", "square"), ("star", "diamond"), ("triangle", "cross"), ("cross", "star")])
def test_two_become_one_blob_at_the_collision(kinds: tuple[str, str]):
    touch = contact_distance((kinds[0], 20.0), (kinds[1], 20.0), "x")
    low = actor(kinds[0], "red", lane=50, home=40, legs=(Leg(S, 2 * S, 40.0, 140 - touch + 1),))
    script = one_scene(low, actor(kinds[1], "green", lane=50, home=140), collisions=(Collision(2 * S, 0, 1),))
    (hit,) = [fact for fact in facts(script, clock_of(25)) if fact.label == "collide"]
    assert shapes_apart(script, 2 * S) == 1
    assert shapes_apart(script, hit.start_ns - 3 * S // 25) == 2


def corners(row: WorldAnnotation, script: Script) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box in pixels, which are whole ones."""
    left, top, width, height = map(float, row.text.split())
    exact = [left * script.width, top * script.height, (left + width) * script.width, (top + height) * script.height]
    assert exact == pytest.approx([round(value) for value in exact], abs=0.001)
    found = [round(value) for value in exact]
    return found[0], found[1], found[2], found[3]


def drawn_pixels(script: Script, t_ns: int) -> np.ndarray:
    """`(height, width)`: which pixels are other ones than without any actor."""
    empty = replace(script, scenes=tuple(replace(scene, actors=()) for scene in script.scenes))
    found: np.ndarray = (draw_frame(script, t_ns) != draw_frame(empty, t_ns)).any(axis=2)
    return found


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), style=st.sampled_from(["world", "lesson"]), first=st.integers(0, 10))
def test_boxes_hold_what_is_drawn_and_not_much_more(seed: int, style: str, first: int):
    planned = plan(WorldConfig(style=style, seed=seed, **{**SMALL, "seconds": 10}), seed % 4)
    script, rows = planned.script, boxes(planned.script, planned.clock)
    for t_ns in planned.clock.t_ns.tolist()[first::11]:
        drawn, inside = drawn_pixels(script, t_ns), np.zeros((script.height, script.width), bool)
        for row in (row for row in rows if row.start_ns <= t_ns < row.end_ns):
            left, top, right, bottom = corners(row, script)
            inside[top:bottom, left:right] = True
            whole = min(left, top) > 0 and right < script.width and bottom < script.height
            if whole and brightness(script.joins, t_ns) == FULL:
                y, x = np.nonzero(drawn[top:bottom, left:right])
                assert max(min(x), min(y), right - left - 1 - max(x), bottom - top - 1 - max(y)) <= 2
        assert not (drawn & ~inside).any()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 1.0]))
def test_whoever_takes_part_in_anything_has_a_box_then(seed: int, share: float):
    """At an edge of the picture where it comes in or goes out; and each is in one place at a time."""
    planned = small_plan(seed, share)
    rows = by_subject(boxes(planned.script, planned.clock))
    for fact in facts(planned.script, planned.clock):
        for name in fact.subject.split(" and "):
            there = [row for row in rows[name] if row.start_ns <= fact.end_ns and fact.start_ns <= row.end_ns]
            assert there
            if fact.label in {"enter", "leave"}:
                places = [corners(row, planned.script) for row in there]
                assert any(
                    0 in place[:2] or planned.script.width == place[2] or planned.script.height == place[3]
                    for place in places
                )
    for mine in rows.values():
        assert all(before.end_ns <= after.start_ns for before, after in pairwise(mine))
        assert all((row.kind, row.label, row.is_point) == ("box", None, False) for row in mine)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 1.0]))
def test_laws_of_the_list(seed: int, share: float):
    planned = small_plan(seed, share)
    clock, found = planned.clock, facts(planned.script, planned.clock)
    assert [(f.start_ns, f.end_ns) for f in found] == sorted((f.start_ns, f.end_ns) for f in found)
    for fact in found:
        assert clock.on_grid(fact.start_ns)
        assert clock.on_grid(fact.end_ns)
        assert fact.is_point == (fact.label in {"stop", "collide", "change_colour"}) == (fact.start_ns == fact.end_ns)
        assert fact.end_ns < clock.end_ns
        assert fact.text.startswith("The ")
        assert fact.text.endswith(".")
        assert all(name in fact.text for name in fact.subject.split(" and "))


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 1.0]))
def test_facts_about_one_shape_do_not_contradict_each_other(seed: int, share: float):
    planned = small_plan(seed, share)
    for rows in by_subject(facts(planned.script, planned.clock)).values():
        moves = [fact for fact in rows if fact.label == "move"]
        assert all(before.end_ns < after.start_ns for before, after in pairwise(moves))
        for fact in rows:
            around = [m for m in moves if m.start_ns <= fact.start_ns < m.end_ns]
            if fact.label in {"enter", "leave"}:
                assert len(around) == 1
                assert fact.end_ns <= around[0].end_ns
            if fact.label in {"stop", "change_colour"}:
                assert not around
            if fact.label == "stop":
                assert any(m.end_ns == fact.start_ns for m in moves)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_no_fact_lies_in_a_join(seed: int):
    planned = small_plan(seed, 0.0)
    for join in transitions(planned.script, planned.clock):
        for fact in facts(planned.script, planned.clock):
            assert fact.end_ns < join.start_ns or fact.start_ns > join.end_ns


def test_things_happen_again_with_the_same_label_and_subject():
    labels = set()
    for number in range(12):
        planned = plan(WorldConfig(), number)
        keys = [(fact.label, fact.subject) for fact in facts(planned.script, planned.clock)]
        assert len(keys) > len(set(keys))
        labels |= {label for label, _ in keys}
    assert labels == {"enter", "leave", "move", "stop", "collide", "change_colour"}
