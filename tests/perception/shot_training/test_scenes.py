import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.perception.shot_training.material import Material, texture
from datasets_build.perception.shot_training.scenes import Pace, shot, write

PHOTOS = tuple(texture(np.random.default_rng(seed)) for seed in range(3))
CLIP = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None, None], 3, axis=3)
CLIP = np.broadcast_to(CLIP, (20, 54, 96, 3)).copy()
MATERIAL = Material(PHOTOS, (CLIP,))


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(0, 10**6), st.floats(1, 14))
def test_a_shot_has_its_length_and_comes_again_with_its_seed(n, seed, step):
    frames, which = shot(n, MATERIAL, Pace(step), np.random.default_rng(seed))
    again, _ = shot(n, MATERIAL, Pace(step), np.random.default_rng(seed))
    assert frames.shape == (n, 54, 96, 3)
    assert frames.dtype == np.uint8
    assert -1 <= which < len(PHOTOS)
    assert np.array_equal(frames, again)


def test_another_view_of_a_photograph_shows_that_photograph():
    for seed in range(10):
        _, which = shot(5, MATERIAL, Pace(1.0), np.random.default_rng(seed), near=2)
        assert which == 2


def test_a_shot_has_no_jump_of_its_own():
    calm = []
    for seed in range(30):
        frames, _ = shot(40, Material(PHOTOS, ()), Pace(1.0), np.random.default_rng(seed))
        change = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        calm.append(np.median(change))
    # Most shots hardly move from one frame to the next.
    assert np.median(calm) < 8


def test_a_piece_of_a_clip_goes_there_and_back():
    found = [shot(60, Material(PHOTOS, (CLIP,)), Pace(1.0), np.random.default_rng(seed)) for seed in range(40)]
    pieces = [frames for frames, which in found if which == -1 and np.ptp(frames[0]) == 0 and np.ptp(frames) > 100]
    assert pieces
    for frames in pieces:
        assert np.abs(np.diff(frames[:, 0, 0, 0].astype(int))).max() <= 10


@pytest.mark.parametrize("seed", range(5))
def test_words_change_the_frames_they_stand_in_alone(seed):
    frames = np.full((30, 54, 96, 3), 90, np.uint8)
    write(frames, 10, 20, np.random.default_rng(seed))
    assert (frames[:10] == 90).all()
    assert (frames[20:] == 90).all()
    assert (frames[14] != 90).any()
