import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from datasets_build.perception.shots import Boundary, ShotFinder, ShotsConfig, merge_boundaries, shots_of
from tests.core.test_layout import video

CLOCK = FrameClock.from_pts(range(100), time_base=Fraction(1, 25), last_duration=1)


def scene(number, light=1.0):
    rng = np.random.default_rng(number)
    blocks = rng.integers(40, 255, (6, 8, 3))
    return (np.kron(blocks, np.ones((12, 16, 1))) * light).astype(np.uint8)


def find(pictures, config=None):
    finder = ShotFinder(config or ShotsConfig())
    found = [boundary for index, picture in enumerate(pictures) for boundary in finder.feed(index, picture)]
    return found + finder.finish()


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@given(st.lists(st.integers(6, 20), min_size=2, max_size=5))
def test_hard_cuts_are_found_to_the_frame(detector, lengths):
    config = ShotsConfig(detector=detector, threshold=3.0 if detector == "adaptive" else 27.0)
    pictures = [scene(number) for number, length in enumerate(lengths) for _ in range(length)]
    starts = np.cumsum(lengths)[:-1].tolist()
    assert [boundary.frame for boundary in find(pictures, config) if boundary.transition == "cut"] == starts


def test_a_fade_through_black_is_one_boundary_in_its_dark_middle():
    ramp = [*[1.0] * 20, *np.linspace(1, 0, 15), *[0.0] * 6, *np.linspace(0, 1, 15), *[1.0] * 20]
    pictures = [scene(0 if k < 38 else 1, light) for k, light in enumerate(ramp)]
    fades = [boundary for boundary in find(pictures) if boundary.transition == "fade"]
    assert len(fades) == 1
    assert pictures[fades[0].frame].max() <= 30


def test_a_still_picture_has_no_boundary():
    assert find([scene(0)] * 40) == []


def test_no_frames_are_no_boundaries():
    assert ShotFinder(ShotsConfig()).finish() == []


@given(st.lists(st.tuples(st.integers(-5, 120), st.sampled_from(["cut", "fade"])), max_size=20))
def test_shots_tile_the_video(found):
    record = video(n_frames=100)
    shots = shots_of(record, CLOCK, [Boundary(*item) for item in found], config=ShotsConfig(), decoder="pyav")
    assert shots[0].start_ns == 0
    assert shots[-1].end_ns == CLOCK.end_ns
    assert shots[-1].end_frame == 100
    assert [shot.ordinal for shot in shots] == list(range(len(shots)))
    for one, other in itertools.pairwise(shots):
        assert one.end_ns == other.start_ns
        assert one.end_frame == other.start_frame > one.start_frame
        assert CLOCK.time_of(other.start_frame) == other.start_ns
    assert len({shot.id for shot in shots}) == len(shots)
    assert {frame for frame, kind in found if kind == "cut" and 0 < frame < 100} <= {shot.start_frame for shot in shots}


def test_a_fade_gives_way_to_a_near_cut():
    found = [Boundary(50, "fade"), Boundary(60, "cut"), Boundary(10, "fade")]
    merged = merge_boundaries(found, CLOCK, apart_ns=1_000_000_000)
    assert [(boundary.frame, boundary.transition) for boundary in merged] == [(10, "fade"), (60, "cut")]


def test_the_record_says_what_found_it():
    shots = shots_of(video(), CLOCK, [], config=ShotsConfig(threshold=2.5), decoder="decord")
    assert shots[0].transition == "first"
    assert shots[0].detector.decoder == "decord"
    assert {parameter.name: parameter.value for parameter in shots[0].detector.parameters}["threshold"] == 2.5


def test_a_step_of_light_is_no_cut_but_a_change_of_colour_is():
    def cuts(pictures):
        return [boundary.frame for boundary in find(pictures) if boundary.transition == "cut"]

    bright, dim = scene(0), scene(0, 0.6)
    assert cuts([bright] * 20 + [dim] * 20) == []
    assert cuts([bright] * 20 + [bright[:, :, ::-1]] * 20) == [20]
    black = np.zeros_like(bright)
    # Cut to black is a cut; from one black to another nothing can be seen.
    assert cuts([bright] * 20 + [black] * 20) == [20]
    assert cuts([black] * 20 + [black + 9] * 20) == []
