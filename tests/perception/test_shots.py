import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from datasets_build.perception.keyframes import thumbnail
from datasets_build.perception.shots import (
    ShotsConfig,
    boundary,
    merge_transitions,
    open_finder,
    shots_of,
)
from datasets_build.perception.transition_finder import LearnedConfig
from datasets_build.perception.transition_net import load_net
from datasets_build.perception.transitions import Transition
from tests.core.test_layout import video

CLOCK = FrameClock.from_pts(range(100), time_base=Fraction(1, 25), last_duration=1)


def scene(number, light=1.0):
    rng = np.random.default_rng(number)
    blocks = rng.integers(40, 255, (6, 8, 3))
    return (np.kron(blocks, np.ones((12, 16, 1))) * light).astype(np.uint8)


def find(pictures, config=None):
    finder = open_finder(config or ShotsConfig())
    found = [each for index, image in enumerate(pictures) for each in finder.feed(index, image, thumbnail(image))]
    return found + finder.finish()


def cuts(pictures, config=None):
    return [each.first for each in find(pictures, config) if each.kind == "cut"]


@pytest.mark.parametrize("detector", ["learned", "adaptive", "content"])
@given(st.lists(st.integers(6, 20), min_size=2, max_size=5))
@settings(max_examples=20)
def test_hard_cuts_are_found_to_the_frame(detector, lengths):
    config = ShotsConfig(detector=detector, threshold=27.0 if detector == "content" else 3.0)
    pictures = [scene(number) for number, length in enumerate(lengths) for _ in range(length)]
    assert cuts(pictures, config) == np.cumsum(lengths)[:-1].tolist()


@pytest.mark.parametrize("detector", ["learned", "adaptive"])
def test_a_fade_through_black_is_one_transition_around_its_dark_middle(detector):
    ramp = [*[1.0] * 40, *np.linspace(1, 0, 12), *[0.0] * 4, *np.linspace(0, 1, 12), *[1.0] * 40]
    pictures = [scene(0 if k < 54 else 1, light) for k, light in enumerate(ramp)]
    fades = [each for each in find(pictures, ShotsConfig(detector=detector)) if each.kind != "cut"]
    assert [each.kind for each in fades] == ["fade_through"]
    assert pictures[boundary(fades[0])].max() <= 30


def test_a_dissolve_is_found_with_its_span():
    shares = np.clip((np.arange(120) - 50) / 20, 0, 1)
    pictures = [(scene(0) * (1 - s) + scene(1) * s).astype(np.uint8) for s in shares]
    (found,) = find(pictures)
    assert found.kind == "dissolve"
    assert abs(found.first - 51) <= 4
    assert abs(found.last - 69) <= 4


def test_a_flash_is_no_transition():
    pictures = [scene(0)] * 100
    pictures[50] = np.clip(scene(0) + 150.0, 0, 255).astype(np.uint8)
    assert find(pictures) == []


def test_a_still_picture_has_no_boundary():
    assert find([scene(0)] * 40) == []


def test_no_frames_are_no_boundaries():
    for detector in ("learned", "adaptive", "content"):
        assert open_finder(ShotsConfig(detector=detector)).finish() == []


KINDS = ("cut", "dissolve", "fade_to_black", "fade_from_black", "fade_through")


def transition(first, length, kind):
    return Transition(max(1, first), max(1, first) + (0 if kind == "cut" else length), kind)


@given(st.lists(st.builds(transition, st.integers(0, 120), st.integers(0, 30), st.sampled_from(KINDS)), max_size=20))
def test_shots_tile_the_video(found):
    record = video(n_frames=100)
    shots = shots_of(record, CLOCK, found, config=ShotsConfig(), decoder="pyav")
    assert shots[0].start_ns == 0
    assert shots[-1].end_ns == CLOCK.end_ns
    assert shots[-1].end_frame == 100
    assert [shot.ordinal for shot in shots] == list(range(len(shots)))
    for one, other in itertools.pairwise(shots):
        assert one.end_ns == other.start_ns
        assert one.end_frame == other.start_frame > one.start_frame
        assert CLOCK.time_of(other.start_frame) == other.start_ns
    assert len({shot.id for shot in shots}) == len(shots)
    assert {t.first for t in found if t.kind == "cut" and t.first < 100} <= {shot.start_frame for shot in shots}
    for shot in shots:
        assert shot.transition_start_ns <= shot.start_ns <= shot.transition_end_ns <= CLOCK.end_ns
        if shot.transition in ("first", "cut"):
            assert shot.transition_start_ns == shot.transition_end_ns


def test_a_fade_of_unknown_span_gives_way_to_a_near_cut():
    found = [Transition(50, 50, "fade_through"), Transition(60, 60, "cut"), Transition(10, 10, "fade_through")]
    merged = merge_transitions(found, CLOCK, apart_ns=1_000_000_000)
    assert [(each.first, each.kind) for each in merged] == [(10, "fade_through"), (60, "cut")]
    known = [Transition(45, 55, "dissolve"), Transition(60, 60, "cut")]
    assert merge_transitions(known, CLOCK, apart_ns=1_000_000_000) == known


def test_the_record_says_what_found_it():
    config = ShotsConfig(detector="adaptive", threshold=2.5)
    shots = shots_of(video(), CLOCK, [], config=config, decoder="decord")
    assert shots[0].transition == "first"
    assert shots[0].detector.decoder == "decord"
    assert {parameter.name: parameter.value for parameter in shots[0].detector.parameters}["threshold"] == 2.5
    (own,) = shots_of(video(), CLOCK, [], config=ShotsConfig(), decoder="pyav")
    assert own.detector.name == "streamvl/learned"
    assert load_net().digest.startswith(own.detector.version)
    assert {parameter.name for parameter in own.detector.parameters} == set(LearnedConfig.model_fields)


@pytest.mark.parametrize("detector", ["learned", "adaptive"])
def test_a_step_of_light_is_no_cut_but_a_change_of_colour_is(detector):
    def cuts(pictures):
        return [each.first for each in find(pictures, ShotsConfig(detector=detector)) if each.kind == "cut"]

    bright, dim = scene(0), scene(0, 0.6)
    assert cuts([bright] * 20 + [dim] * 20) == []
    assert cuts([bright] * 20 + [bright[:, :, ::-1]] * 20) == [20]
    black = np.zeros_like(bright)
    # Cut to black is a cut; from one black to another nothing can be seen.
    assert cuts([bright] * 20 + [black] * 20) == [20]
    assert cuts([black] * 20 + [black + 9] * 20) == []
