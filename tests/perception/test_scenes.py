"""Scenes: which shots are joined, that scenes tile the video, and what the pictures near a transition are."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.checks.tables import scene_breaches
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Parameter
from datasets_build.decoders.frames import ScanFrame
from datasets_build.perception.batches import Batches
from datasets_build.perception.clip import SIGNATURE, SignatureEncoder
from datasets_build.perception.scenes import (
    STITCHING,
    ScenesConfig,
    Sides,
    SidesFinder,
    distance,
    is_flat,
    scenes_of,
    stitch,
)
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition
from tests.builders.made import clock_from, shots_at, video_of

FRAME_NS = NS_PER_S // 25
CONFIG = ScenesConfig()


def unit(*numbers):
    vector = np.array(numbers, np.float32)
    return vector / np.linalg.norm(vector)


def angle(turn):
    """A unit vector; the distance of two is 1 minus the cosine of the angle between them."""
    return unit(np.cos(turn), np.sin(turn))


def sides_of(*shots):
    """Sides of transitions between shots, each given as `(start, end)` in angles; None where there is no picture."""
    made = [[None if turn is None else angle(turn) for turn in ends] for ends in shots]
    return [Sides(before[1], behind[0]) for before, behind in pairwise(made)]


def joined(*shots, threshold=0.1, memory=3):
    return [list(scene) for scene in stitch(sides_of(*shots), threshold=threshold, memory=memory)]


A, B, C, D = (0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)


def test_shots_whose_ends_meet_are_one_scene():
    assert joined(A, A, B, B, C) == [[0, 1], [2, 3], [4]]


def test_the_end_of_one_shot_is_held_against_the_start_of_the_next():
    assert joined((0.0, 1.0), (1.0, 2.0), (2.0, 0.0)) == [[0, 1, 2]]
    assert joined((1.0, 0.0), (2.0, 1.0), (0.5, 2.0), memory=1) == [[0], [1], [2]]


def test_shot_and_reverse_shot_are_one_scene():
    assert joined(A, B, A, B, C, C) == [[0, 1, 2, 3], [4, 5]]
    assert joined(A, B, A, B, C, C, memory=1) == [[0], [1], [2], [3], [4, 5]]


def test_a_shot_is_held_against_no_more_shots_than_remembered():
    assert joined(A, B, C, A, memory=3) == [[0, 1, 2, 3]]
    assert joined(A, B, C, A, memory=2) == [[0], [1], [2], [3]]
    assert joined(A, B, C, D, A, memory=3) == [[0], [1], [2], [3], [4]]


def test_scenes_that_reach_into_each_other_are_one():
    assert joined(A, B, A, C, B, D, C, memory=3) == [[0, 1, 2, 3, 4, 5, 6]]


def test_a_picture_that_is_not_there_is_like_none():
    nothing = (None, None)
    assert joined(A, nothing, B) == [[0], [1], [2]]
    assert joined(A, nothing, A) == [[0, 1, 2]]
    assert joined(nothing, nothing) == [[0], [1]]
    assert joined((0.0, None), (None, 0.0), A) == [[0], [1, 2]]


def test_one_shot_is_one_scene():
    assert stitch([], threshold=0.1, memory=3) == [range(1)]


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 3), (1e-9, 2), (0.4, 2), (0.46, 1), (2.0, 1)])
def test_the_threshold_is_the_largest_distance_that_joins(threshold, count):
    """Two shots of one picture, and one that is 1 - cos(1) = 0.4597 away."""
    assert len(joined(A, A, B, threshold=threshold)) == count


def test_distances():
    assert distance(angle(0), angle(0)) == pytest.approx(0, abs=1e-6)
    assert distance(angle(0), angle(np.pi / 2)) == pytest.approx(1)
    assert distance(angle(0), angle(np.pi)) == pytest.approx(2)
    assert distance(None, angle(0)) == distance(angle(0), None) == distance(None, None) == 2.0
    longer = np.array([1.0000001, 0], np.float32)
    assert distance(longer, longer) == 0.0, "what rounding makes longer than 1 is no nearer than near"


turns = st.one_of(st.none(), st.floats(0, 6.3), st.sampled_from([0.0, 0.1, 3.0]))
films = st.lists(st.tuples(turns, turns), min_size=1, max_size=12)
thresholds = st.floats(0, 2)


@given(films, thresholds, st.integers(1, 6))
def test_every_shot_is_in_exactly_one_scene(shots, threshold, memory):
    scenes = joined(*shots, threshold=threshold, memory=memory)
    assert [number for scene in scenes for number in scene] == list(range(len(shots)))
    assert all(scenes)


@given(films, st.integers(1, 6))
def test_nothing_joins_at_0_and_everything_at_2(shots, memory):
    assert joined(*shots, threshold=0.0, memory=memory) == [[k] for k in range(len(shots))]
    assert joined(*shots, threshold=2.0, memory=memory) == [list(range(len(shots)))]


@given(films, thresholds, thresholds, st.integers(1, 6), st.integers(1, 6))
def test_more_is_joined_at_a_larger_threshold_and_with_a_longer_memory(shots, one, other, few, many):
    strict = joined(*shots, threshold=min(one, other), memory=min(few, many))
    loose = joined(*shots, threshold=max(one, other), memory=max(few, many))
    assert {scene[0] for scene in loose} <= {scene[0] for scene in strict}


@given(films, thresholds, st.integers(1, 6))
def test_two_shots_next_to_each_other_are_joined_exactly_when_a_link_spans_them(shots, threshold, memory):
    """The definition, link by link."""
    sides = sides_of(*shots)
    links = [
        (j, k)
        for k in range(1, len(shots))
        for j in range(max(0, k - memory), k)
        if threshold > 0 and distance(sides[j].before, sides[k - 1].behind) <= threshold
    ]
    starts = {scene[0] for scene in joined(*shots, threshold=threshold, memory=memory)}
    for k in range(1, len(shots)):
        assert (k in starts) != any(j < k <= i for j, i in links)


CLOCK = clock_from([40] * 99)
VIDEO = video_of("v", CLOCK)
SHOTS = shots_at(VIDEO, CLOCK, [20, 50, 80])


def told(*shots, config=CONFIG, embedder=SIGNATURE):
    sides = dict(zip((20, 50, 80), sides_of(*shots), strict=True))
    return scenes_of(SHOTS, sides, config=config, embedder=embedder)


def test_a_scene_is_made_of_its_shots():
    first, second = told(A, A, B, B)
    assert (first.start_frame, first.end_frame, second.end_frame) == (0, 50, 100)
    assert (first.start_ns, first.end_ns) == (0, CLOCK.time_of(50))
    assert first.shot_ids == (SHOTS[0].id, SHOTS[1].id)
    assert (first.ordinal, second.ordinal, second.video_id) == (0, 1, VIDEO.id)
    assert first.id != second.id
    assert list(scene_breaches([first, second], SHOTS)) == [(first.id, []), (second.id, [])]


def test_a_scene_says_by_what_it_was_joined():
    (scene, *_) = told(A, A, B, B, config=ScenesConfig(signature=0.25, memory=5, inset_s=0.5))
    assert scene.embedder == SIGNATURE
    assert (scene.detector.name, scene.detector.decoder) == (STITCHING, "none")
    assert scene.detector.parameters == (
        Parameter(name="threshold", value=0.25),
        Parameter(name="memory", value=5.0),
        Parameter(name="inset_s", value=0.5),
    )


def test_each_kind_of_embedder_has_a_threshold_of_its_own():
    clip = SIGNATURE.model_copy(update={"name": "ViT-B-32", "is_semantic": True})
    config = ScenesConfig(signature=0.0, clip=2.0)
    assert len(told(A, A, A, A, config=config)) == 4
    assert len(told(A, B, C, D, config=config, embedder=clip)) == 1


def test_a_shot_of_which_nothing_was_kept_is_a_scene_of_its_own():
    assert len(scenes_of(SHOTS, {}, config=CONFIG, embedder=SIGNATURE)) == 4
    assert len(scenes_of(SHOTS[:1], {}, config=CONFIG, embedder=SIGNATURE)) == 1


@given(st.lists(st.tuples(turns, turns), min_size=4, max_size=4), thresholds)
def test_scenes_tile_the_video_and_name_each_shot_once(shots, threshold):
    scenes = told(*shots, config=ScenesConfig(signature=threshold))
    assert [breaches for _, breaches in scene_breaches(scenes, SHOTS)] == [[]] * len(scenes)
    assert [(a.end_ns, a.end_frame) for a in scenes[:-1]] == [(b.start_ns, b.start_frame) for b in scenes[1:]]
    assert (scenes[0].start_ns, scenes[-1].end_ns) == (0, CLOCK.end_ns)
    assert sorted(name for scene in scenes for name in scene.shot_ids) == sorted(shot.id for shot in SHOTS)


def picture(number):
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 255, (5, 8, 3)).astype(np.uint8), (64, 36), interpolation=cv2.INTER_NEAREST)


def embedded(finder, batches):
    finder.finish()
    batches.flush()
    return finder.sides()


def looked(pictures, transitions, *, late=30, inset=6, per_s=8, seconds=6):
    """The sides of transitions that are told `late` frames after they end."""
    kept = StandbyPictures(per_s=per_s, seconds=seconds, side=64)
    batches = Batches(SignatureEncoder())
    finder = SidesFinder(kept, batches, inset=inset)
    for index, image in enumerate(pictures):
        kept.feed(ScanFrame(index, index * FRAME_NS, image, lambda image=image: image[:, :, ::-1]))
        finder.add([each for each in transitions if each.last + late == index])
    finder.add([each for each in transitions if each.last + late >= len(pictures)])
    return embedded(finder, batches)


def near(vector, image):
    return distance(vector, SignatureEncoder().encode([image[:, :, ::-1]])[0]) < 1e-6


def film(*parts):
    return [image for image, count in parts for _ in range(count)]


def test_the_pictures_lie_on_both_sides_of_a_cut():
    one, two = picture(1), picture(2)
    sides = looked(film((one, 40), (two, 60)), [Transition(40, 40, "cut")])
    assert list(sides) == [40]
    assert near(sides[40].before, one)
    assert near(sides[40].behind, two)


def test_no_picture_of_the_transition_itself_is_taken():
    one, two, mixed = picture(1), picture(2), picture(3)
    sides = looked(film((one, 40), (mixed, 20), (two, 60)), [Transition(40, 59, "dissolve")], inset=0)
    assert near(sides[50].before, one)
    assert near(sides[50].behind, two)


def test_no_picture_of_another_shot_is_taken():
    one, two, three = picture(1), picture(2), picture(3)
    cuts = [Transition(40, 40, "cut"), Transition(46, 46, "cut")]
    sides = looked(film((one, 40), (two, 6), (three, 60)), cuts, late=2, inset=25)
    assert near(sides[40].behind, two)
    assert near(sides[46].before, two)
    assert near(sides[46].behind, three)


def test_a_transition_that_is_told_before_an_earlier_one_changes_nothing():
    one, two, three = picture(1), picture(2), picture(3)
    pictures = film((one, 40), (two, 20), (three, 60))
    kept = StandbyPictures(per_s=8, seconds=60, side=64)
    batches = Batches(SignatureEncoder())
    finder = SidesFinder(kept, batches, inset=3)
    for index, image in enumerate(pictures):
        kept.feed(ScanFrame(index, index * FRAME_NS, image, lambda: None))
    finder.add([Transition(60, 60, "cut")])
    finder.add([Transition(40, 40, "cut")])
    sides = embedded(finder, batches)
    assert near(sides[60].before, two)
    assert near(sides[40].behind, two)


def test_a_shot_without_a_picture_has_no_side():
    one, two, three = picture(1), picture(2), picture(3)
    cuts = [Transition(41, 41, "cut"), Transition(42, 42, "cut")]
    sides = looked(film((one, 41), (two, 1), (three, 60)), cuts, late=2)
    assert sides[41].behind is None
    assert near(sides[41].before, one)
    assert sides[42].before is None
    assert near(sides[42].behind, three)


def test_a_cut_that_is_told_at_once_waits_for_the_picture_behind_it():
    one, two, three = picture(1), picture(2), picture(3)
    pictures = film((one, 40), (two, 4), (three, 60))
    # The picture of a cut's first frames may still be in motion, so that of `inset` frames later is wanted.
    assert near(looked(pictures, [Transition(40, 40, "cut")], late=1, inset=6)[40].behind, three)
    assert near(looked(pictures[:44], [Transition(40, 40, "cut")], late=1, inset=6)[40].behind, two), (
        "nothing else came"
    )


def test_what_is_told_too_late_to_be_seen_is_unknown():
    cut, pictures = [Transition(10, 10, "cut")], film((picture(1), 10), (picture(2), 200))
    assert looked(pictures, cut, late=100, seconds=1)[10].before is None
    assert near(looked(pictures, cut, late=100, seconds=8)[10].before, picture(1))


def test_black_and_titles_on_it_are_known_by_nothing():
    black = np.zeros((36, 64, 3), np.uint8)
    title = cv2.putText(np.zeros((72, 128, 3), np.uint8), "by", (56, 40), cv2.FONT_HERSHEY_PLAIN, 0.6, (255, 255, 255))
    assert is_flat(black)
    assert is_flat(title)
    assert is_flat(black + 200)
    assert not is_flat(picture(1))
    dark = np.clip(picture(1).astype(int) // 4, 0, 255).astype(np.uint8)
    assert not is_flat(dark), "a dark picture is not a black one"
    sides = looked(
        film((black, 40), (picture(2), 20), (black, 40)), [Transition(40, 40, "cut"), Transition(60, 60, "cut")]
    )
    assert sides[40].before is None
    assert sides[60].behind is None
    assert near(sides[60].before, picture(2))


def test_pictures_are_embedded_in_batches():
    sizes = []

    class Counting(SignatureEncoder):
        def encode(self, pictures):
            sizes.append(len(pictures))
            return super().encode(pictures)

    kept = StandbyPictures(per_s=25, seconds=100, side=64)
    batches = Batches(Counting())
    finder = SidesFinder(kept, batches, inset=1)
    for index in range(400):
        image = picture(index // 10)
        kept.feed(ScanFrame(index, index * FRAME_NS, image, lambda: None))
        if index and index % 10 == 0:
            finder.add([Transition(index, index, "cut")])
    assert len(embedded(finder, batches)) == 39
    assert sum(sizes) == 78
    assert sizes[:-1] == [Counting.batch] * (len(sizes) - 1)
    assert SidesFinder(kept, batches, inset=1).sides() == {}


@pytest.mark.parametrize(
    "update", [{"signature": -0.1}, {"signature": 2.1}, {"clip": 3}, {"memory": 0}, {"inset_s": -1}]
)
def test_settings_that_make_no_sense_are_refused(update):
    with pytest.raises(ValueError, match=next(iter(update))):
        ScenesConfig.model_validate(update)
