"""Pictures and features become the few numbers that policies judge by."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FrameError
from models.memory.signals import (
    THUMBNAIL_SIDE,
    complexity,
    likeness,
    mean_direction,
    motion,
    novelty,
    thumbnail,
    unit,
)
from tests.laws import examples


def drawn(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_thumbnail(frame):
    """Cell by cell, in whole numbers, halves rounded up."""
    height, width = (min(length, THUMBNAIL_SIDE) for length in frame.shape[:2])
    out = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        top, bottom = y * frame.shape[0] // height, (y + 1) * frame.shape[0] // height
        for x in range(width):
            left, right = x * frame.shape[1] // width, (x + 1) * frame.shape[1] // width
            cell = frame[top:bottom, left:right].reshape(-1, 3).astype(int)
            out[y, x] = (cell.sum(0) * 2 + len(cell)) // (2 * len(cell))
    return out


@settings(max_examples=examples(25))
@given(height=st.integers(1, 150), width=st.integers(1, 150), seed=st.integers(0, 9))
def test_a_thumbnail_averages_every_pixel_exactly_once(height, width, seed):
    frame = drawn(height, width, seed)
    small = thumbnail(frame)
    assert small.shape == (min(height, 64), min(width, 64), 3)
    assert small.dtype == np.uint8
    assert (small == slow_thumbnail(frame)).all()
    assert (thumbnail(torch.from_numpy(frame)) == small).all()
    # Strided views, as a cropped or mirrored frame is one.
    assert (thumbnail(frame[:, ::-1]) == thumbnail(np.ascontiguousarray(frame[:, ::-1]))).all()


def test_a_thumbnail_holds_no_memory_of_its_frame_and_white_stays_white():
    frame = np.full((2160, 3840, 3), 255, np.uint8)
    small = thumbnail(frame)
    assert (small == 255).all()
    assert small.nbytes == 64 * 64 * 3
    assert not np.shares_memory(small, frame)
    tiny = np.full((2, 2, 3), 7, np.uint8)
    assert not np.shares_memory(thumbnail(tiny), tiny)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        torch.zeros(4, 4, 3),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
    ],
)
def test_frames_of_another_layout_are_refused(frame):
    with pytest.raises(FrameError, match=r"expected uint8 \(height, width, 3\)"):
        thumbnail(frame)


@settings(max_examples=examples(25))
@given(first=st.integers(0, 99), second=st.integers(0, 99))
def test_motion_is_the_mean_absolute_difference(first, second):
    a, b = drawn(5, 6, first), drawn(5, 6, second)
    expected = sum(abs(int(x) - int(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True)) / a.size / 255
    assert motion(a, b) == pytest.approx(expected, abs=1e-12)
    assert motion(a, b) == motion(b, a)
    assert 0.0 <= motion(a, b) <= 1.0
    assert motion(a, a) == 0.0


def test_motion_and_complexity_reach_their_ends():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert motion(black, white) == 1.0
    assert complexity(black) == 0.0
    assert complexity(white) == pytest.approx(0.0, abs=1e-12)
    half = np.concatenate([black, white])
    assert complexity(half) == pytest.approx(127.5 / 128)
    # Grey is luma: pure green varies more than pure blue.
    green, blue = black.copy(), black.copy()
    green[:2, :, 1] = blue[:2, :, 2] = 255
    assert complexity(green) == pytest.approx(0.587 * 127.5 / 128)
    assert complexity(blue) == pytest.approx(0.114 * 127.5 / 128)


def test_pictures_of_two_sizes_cannot_be_compared():
    with pytest.raises(FrameError, match=r"\(4, 4, 3\) and \(4, 5, 3\)"):
        motion(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))


@settings(max_examples=examples(50))
@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6), share=st.floats(0, 1))
def test_the_published_rule_importance_over_six_tenths_never_fires_first(first, second, share):
    # 0.7 m + 0.3 c > 0.6 with c <= 127.5 / 128 needs m >= 0.430; a scene change is m > 0.3, so it fired before.
    a = (drawn(3, 3, first) > 255 * share).astype(np.uint8) * 255
    b = (drawn(3, 3, second) > 255 * share).astype(np.uint8) * 255
    moved, varied = motion(a, b), complexity(b)
    assert varied <= 127.5 / 128 + 1e-12
    if 0.7 * moved + 0.3 * varied > 0.6:
        assert moved > 0.43
    assert (0.6 - 0.3 * 127.5 / 128) / 0.7 > 0.43 > 0.3


def test_the_published_rule_does_fire_somewhere_so_that_the_law_above_says_something():
    black, half = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    half[:2] = 255
    assert 0.7 * motion(black, half) + 0.3 * complexity(half) > 0.6


def test_unit_vectors_have_length_one_and_zero_stays_zero():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [3e30, 4e30]])
    assert torch.allclose(unit(vectors), torch.tensor([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0], [0.6, 0.8]]))
    zero = torch.zeros(2, requires_grad=True)
    unit(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_a_mean_direction_is_float32_and_detached():
    features = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    direction = mean_direction(features)
    assert direction.dtype == torch.float32
    assert not direction.requires_grad
    assert torch.allclose(direction, torch.full((2,), math.sqrt(0.5)))


def test_novelty_is_the_distance_to_the_nearest_known():
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert novelty(x, []) == 1.0
    assert novelty(x, [x]) == 0.0
    assert novelty(x, [y]) == 1.0
    assert novelty(x, [-x]) == 1.0
    assert novelty(x, [y, unit(x + y)]) == pytest.approx(1 - math.sqrt(0.5))
    assert novelty(torch.zeros(2), [x]) == 1.0
    assert 0.0 <= novelty(torch.full((2,), float("nan")), [x]) <= 1.0
    with pytest.raises(FrameError, match="3 dimensions"):
        novelty(torch.zeros(3), [x])


def test_likeness_is_the_mean_cosine_token_by_token():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert likeness(a, a) == pytest.approx(1.0)
    assert likeness(a, 5 * a) == pytest.approx(1.0)
    assert likeness(a, a.flip(0)) == 0.0
    assert likeness(a, torch.tensor([[1.0, 0.0], [3.0, 0.0]])) == pytest.approx(0.5)
    assert likeness(a, torch.zeros(2, 2)) == 0.0
    assert likeness(a, torch.zeros(3, 2)) == -math.inf
    assert likeness(a, torch.full((2, 2), float("nan"))) == -math.inf
