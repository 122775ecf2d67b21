import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from datasets_build.core.clock import FrameClock
from datasets_build.perception.keyframes import thumbnail
from datasets_build.perception.shots import (
    Boundary,
    QuickAdaptiveDetector,
    QuickContentDetector,
    ShotFinder,
    ShotsConfig,
    merge_boundaries,
    shots_of,
)
from tests.core.test_layout import video

CLOCK = FrameClock.from_pts(range(100), time_base=Fraction(1, 25), last_duration=1)


def scene(number, light=1.0):
    rng = np.random.default_rng(number)
    blocks = rng.integers(40, 255, (6, 8, 3))
    return (np.kron(blocks, np.ones((12, 16, 1))) * light).astype(np.uint8)


def find(pictures, config=None):
    finder = ShotFinder(config or ShotsConfig())
    found = [
        boundary for index, image in enumerate(pictures) for boundary in finder.feed(index, image, thumbnail(image))
    ]
    return found + finder.finish()


@pytest.mark.parametrize(
    ("quick", "slow"), [(QuickContentDetector, ContentDetector), (QuickAdaptiveDetector, AdaptiveDetector)]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.2, 1.0)), min_size=3, max_size=12))
def test_a_quick_detector_finds_what_the_librarys_own_finds_with_the_same_scores(quick, slow, looks):
    detectors = [kind(min_scene_len=2) for kind in (quick, slow)]
    # The score is the detector's own business: asked for here to see that it is ours that it uses.
    for index, look in enumerate(looks):
        at, image = FrameTimecode(index, fps=Fraction(25)), scene(*look)
        one, other = ([cut.frame_num for cut in detector.process_frame(at, image)] for detector in detectors)
        assert one == other
        assert detectors[0]._frame_score == pytest.approx(detectors[1]._frame_score, rel=1e-12)
    assert detectors[0]._before is not None
    assert detectors[0]._last_frame is None


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
