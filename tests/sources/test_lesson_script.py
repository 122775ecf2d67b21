"""Scripts of lessons: laws that hold for every seed, and what the pictures and the sidecar of a lesson show."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.config import ConfigError, load_config
from datasets_build.sources import world
from datasets_build.sources.lesson_script import (
    COLOURS,
    EMPTY_NS,
    KINDS,
    LABELS,
    REST_NS,
    SHORTEST_S,
    write_lesson,
)
from datasets_build.sources.world import WorldConfig, draw_world, plan, read_truth, sidecar
from datasets_build.sources.world_draw import draw_frame
from datasets_build.sources.world_script import Actor, Scene, Script
from datasets_build.sources.world_shapes import COLOURS as PAINTS
from datasets_build.sources.world_shapes import OUTLINES, reach
from datasets_build.sources.world_truth import transitions

S = 1_000_000_000
APART_NS = S
SEEDS = st.integers(0, 2**32)
SECONDS = st.integers(SHORTEST_S, 40)
SIZES = st.sampled_from([(128, 128), (320, 240), (144, 256)])
LESSON = WorldConfig(style="lesson", videos=2, seconds=10, width=128, height=128)


def lesson_of(seed: int, size: tuple[int, int] = (128, 128), seconds: int = 20) -> Script:
    return write_lesson(Random(seed), width=size[0], height=size[1], seconds=seconds)


def parts(script: Script) -> list[tuple[Scene, Actor]]:
    return [(scene, actor) for scene in script.scenes for actor in scene.actors]


def happenings(script: Script) -> list[tuple[int, int]]:
    """Everything that happens, cuts included, as `(start, end)` in order of time."""
    found = [(join.at_ns, join.at_ns) for join in script.joins]
    for _, actor in parts(script):
        found += [(leg.start_ns, leg.end_ns) for leg in actor.legs]
        found += [(change.at_ns, change.at_ns) for change in actor.recolours]
    return sorted(found)


@settings(max_examples=50)
@given(seed=SEEDS, size=SIZES, seconds=SECONDS)
def test_the_same_seed_writes_the_same_lesson(seed: int, size: tuple[int, int], seconds: int):
    assert lesson_of(seed, size, seconds) == lesson_of(seed, size, seconds)


@settings(max_examples=50)
@given(seed=SEEDS, seconds=SECONDS)
def test_scenes_fill_the_video_and_are_joined_by_hard_cuts_that_change_the_backdrop(seed: int, seconds: int):
    script = lesson_of(seed, seconds=seconds)
    assert script.scenes[0].start_ns == 0
    assert script.scenes[-1].end_ns == script.end_ns == seconds * S
    assert [scene.end_ns for scene in script.scenes[:-1]] == [join.at_ns for join in script.joins]
    assert [scene.start_ns for scene in script.scenes[1:]] == [join.at_ns for join in script.joins]
    assert all((join.kind, join.half_ns) == ("cut", 0) for join in script.joins)
    for before, after in pairwise(script.scenes):
        assert abs(sum(before.backdrop.colour) - sum(after.backdrop.colour)) >= 250


@settings(max_examples=50)
@given(seed=SEEDS, size=SIZES, seconds=SECONDS)
def test_happenings_lie_more_than_a_second_apart(seed: int, size: tuple[int, int], seconds: int):
    script = lesson_of(seed, size, seconds)
    found = happenings(script)
    assert found
    for before, after in pairwise(found):
        assert after[0] - before[1] >= min(REST_NS, EMPTY_NS) > APART_NS
    assert found[0][0] >= EMPTY_NS
    assert script.end_ns - found[-1][1] >= REST_NS


@settings(max_examples=50)
@given(seed=SEEDS, size=SIZES)
def test_one_shape_at_a_time_is_in_the_picture(seed: int, size: tuple[int, int]):
    script = lesson_of(seed, size)
    for scene in script.scenes:
        for before, after in pairwise(scene.actors):
            last = before.legs[-1]
            assert not scene.visible(before, last.end)
            assert after.legs[0].start_ns - last.end_ns >= EMPTY_NS
    for scene, actor in parts(script):
        assert scene.start_ns < actor.legs[0].start_ns
        assert not scene.visible(actor, actor.home)


@settings(max_examples=50)
@given(seed=SEEDS, size=SIZES)
def test_a_shape_comes_wholly_in_rests_and_may_change_once_and_leave_once(seed: int, size: tuple[int, int]):
    for scene, actor in parts(lesson_of(seed, size)):
        across = size[1] if scene.axis == "x" else size[0]
        other = "y" if scene.axis == "x" else "x"
        before, after = reach(actor.kind, actor.radius, other)
        assert scene.inside(actor, actor.legs[0].end)
        assert 0 <= actor.lane - before < actor.lane + after <= across
        assert 0.25 * min(size) <= actor.radius <= min(size) / 3
        assert 1 <= len(actor.legs) <= 2
        assert len(actor.legs) < 2 or not scene.visible(actor, actor.legs[1].end)
        assert len(actor.recolours) <= 1
        assert all(change.colour != actor.colour for change in actor.recolours)


def test_shapes_and_colours_are_drawn_evenly_and_independently():
    drawn = Counter((actor.kind, actor.colour) for seed in range(300) for _, actor in parts(lesson_of(seed)))
    assert set(drawn) == {(kind, colour) for kind in KINDS for colour in COLOURS}
    # 16 kinds at about 62 each: five standard deviations are 39.
    mean = drawn.total() / 16
    assert all(abs(count - mean) < 5 * mean**0.5 for count in drawn.values())
    assert set(KINDS) <= set(OUTLINES)
    assert set(COLOURS) <= set(PAINTS)


def test_how_much_happens_differs_between_videos_of_one_length():
    scripts = [lesson_of(seed) for seed in range(200)]
    shapes = Counter(len(parts(script)) for script in scripts)
    cuts = Counter(len(script.joins) for script in scripts)
    leaves = Counter(sum(len(actor.legs) == 2 for _, actor in parts(script)) for script in scripts)
    assert {3, 4, 5} <= set(shapes)
    assert sum(count for number, count in shapes.items() if 3 <= number <= 5) > 150
    assert {0, 1, 2, 3, 4} <= set(cuts)
    assert {0, 1, 2, 3} <= set(leaves)
    for counts in (shapes, cuts, leaves):
        assert max(counts.values()) < 110


def test_every_pair_of_shapes_and_of_colours_differs_at_56_pixels():
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for seed in range(60):
        script = lesson_of(seed)
        for _, actor in parts(script):
            at = actor.legs[0].end_ns + REST_NS // 2
            small = cv2.resize(draw_frame(script, at), (56, 56), interpolation=cv2.INTER_AREA).astype(int)
            near = np.abs(small - PAINTS[actor.colour]).max(axis=2) < 60
            # Mirrored and moved shapes are alike: what counts is how many pixels of its colour each row has.
            rows = np.sort(near.sum(axis=1))[::-1] / max(1, near.sum())
            assert near.sum() > 150
            pictures.setdefault((actor.kind, actor.colour), rows)
    by_kind = {kind: rows for (kind, _), rows in pictures.items()}
    for one in KINDS:
        for other in KINDS:
            assert one == other or np.abs(by_kind[one] - by_kind[other]).sum() > 0.1


def test_a_lesson_is_up_to_a_fifth_shorter_or_longer_whatever_its_rate():
    config = LESSON.model_copy(update={"seconds": 20, "videos": 60})
    lengths = {plan(config, number).clock.end_ns // S for number in range(60)}
    assert lengths <= set(range(15, 25))
    assert len(lengths) > 6
    constant, variable = (plan(LESSON.model_copy(update={"vfr_share": share}), 0) for share in (0.0, 1.0))
    assert constant.script == variable.script
    assert variable.clock.end_ns == variable.script.end_ns


def test_drawn_lessons_tell_of_shapes_alone_and_are_reproducible(tmp_path: Path):
    paths = draw_world(tmp_path / "one", LESSON)
    again = draw_world(tmp_path / "two", LESSON)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert [sidecar(path, "lesson").read_bytes() for path in paths] == [
        sidecar(path, "lesson").read_bytes() for path in again
    ]
    for number, path in enumerate(paths):
        truth, planned = read_truth(sidecar(path, "lesson")), plan(LESSON, number)
        assert {fact.label for fact in truth.annotations} <= LABELS
        enters = [fact for fact in truth.annotations if fact.label == "enter"]
        assert len(enters) == len(parts(planned.script)) > 0
        assert truth.transitions == transitions(planned.script, planned.clock)
        assert all(0.3 * S < fact.end_ns - fact.start_ns < 1.1 * S for fact in enters)


def test_what_is_told_leaves_nothing_out_but_moves_and_stops():
    planned = plan(LESSON, 0)
    told, all_facts = world._told(planned, LESSON), world.facts(planned.script, planned.clock)
    assert {fact.label for fact in all_facts if fact not in told} == {"move", "stop"}
    assert world._told(planned, WorldConfig()) == all_facts


def test_worlds_are_what_they_were_and_lessons_are_others():
    # The ids of worlds that were drawn before there were lessons.
    assert plan(WorldConfig(), 0).spec == WORLD_SPEC
    same = WorldConfig(seconds=10, width=128, height=128)
    assert plan(same, 0).spec != plan(LESSON, 0).spec
    assert plan(same, 0).script != plan(LESSON, 0).script


WORLD_SPEC = "457d4cf0c73283e8b13b"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["style=lesson", "seconds=9"], "found 9, but a lesson takes 10 or more"), (["style=film"], "style")],
)
def test_impossible_lessons_are_refused(overrides: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(WorldConfig, None, overrides)


def test_a_sidecar_of_a_lesson_has_the_fields_of_a_world(tmp_path: Path):
    (path,) = draw_world(tmp_path, LESSON.model_copy(update={"videos": 1}))
    row = json.loads(sidecar(path, "lesson").read_text())
    assert row["schema"] == "streamvl-world/1"
    assert set(row["annotations"][0]) == {"start_ns", "end_ns", "is_point", "kind", "label", "subject", "text"}
