import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.perception.likeness import (
    AHEAD,
    HALVES,
    LAGS,
    LIGHT,
    NUMBERS,
    REACH,
    Descriptions,
    describe,
    measure,
    miniature,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (200, 27, 48, 3)).astype(np.uint8)
WHOLE = measure(describe(FRAMES), 0, 200)
ALIKE = slice(0, 4)


def view(number, n=1):
    blocks = np.random.default_rng(number).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return np.repeat(cv2.resize(blocks, (48, 27), interpolation=cv2.INTER_CUBIC)[None], n, axis=0)


def numbers(frames):
    return measure(describe(frames), 0, len(frames))


def of_lag(row, lag):
    """Colour, place, layout and layout at the best shift, of one lag."""
    k = LAGS.index(lag)
    at = 4 * k + 2 * min(k, 5)
    return row[at : at + 4]


def between(row, half):
    """How far two frames around are apart, where the frame lies between them, and how far from their line."""
    at = LIGHT - 3 * len(HALVES) + 3 * HALVES.index(half)
    return row[at : at + 3]


def test_a_miniature_is_small_whatever_comes():
    for size in ((1080, 1920), (90, 160), (27, 48), (10, 10), (300, 20)):
        assert miniature(np.zeros((*size, 3), np.uint8)).shape == (27, 48, 3)


def test_there_are_as_many_numbers_as_it_says_and_none_is_lost():
    assert WHOLE.shape == (200, NUMBERS)
    assert WHOLE.dtype == np.float32
    assert np.isfinite(WHOLE).all()


@given(st.lists(st.integers(0, 200), min_size=2, max_size=4))
def test_frames_taken_in_parts_have_the_numbers_of_the_whole(cuts):
    edges = [0, *sorted(cuts), 200]
    held = Descriptions.none()
    for start, end in zip(edges, edges[1:], strict=False):
        held = held.then(describe(FRAMES[start:end])) if end > start else held
    assert np.array_equal(measure(held, 0, 200), WHOLE)


@given(st.integers(REACH, 150), st.integers(1, 40))
def test_a_frame_depends_on_no_more_than_its_reach(start, length):
    end = min(start + length, 200 - AHEAD)
    part = describe(FRAMES[start - REACH : end + AHEAD])
    assert np.allclose(measure(part, REACH, REACH + end - start), WHOLE[start:end], atol=1e-6)
    assert len(part.last(5)) == 5
    assert len(part.last(0)) == 0


def test_a_still_picture_is_itself():
    row = numbers(view(1, 80))[70]
    for lag in LAGS:
        colour, place, layout, shifted = of_lag(row, lag)
        assert colour == pytest.approx(1, abs=1e-4)
        assert place == 0
        assert layout == pytest.approx(shifted, abs=0.1)
        assert layout > 0.9


def test_a_cut_is_seen_at_every_lag_and_forgotten_behind_it():
    rows = numbers(np.concatenate([view(1, 100), view(2, 100)]))
    for lag in LAGS:
        assert of_lag(rows[100], lag)[1] > 0.1
        assert of_lag(rows[99 + lag], lag)[1] > 0.1
        assert of_lag(rows[100 + lag], lag)[1] == 0


def test_a_moved_camera_keeps_its_layout_at_a_shift_and_a_cut_does_not():
    wide = cv2.resize(np.random.default_rng(3).integers(0, 256, (6, 10, 3)).astype(np.uint8), (96, 27))
    moved = numbers(np.stack([wide[:, 20:68], wide[:, 23:71]]))[1]
    cut = numbers(np.concatenate([view(1), view(2)]))[1]
    assert of_lag(moved, 1)[3] > 0.9 > of_lag(moved, 1)[2] + 0.03
    assert of_lag(cut, 1)[3] < 0.8


def test_light_alone_keeps_the_layout():
    bright = view(1)
    row = numbers(np.concatenate([bright, (bright * 0.6).astype(np.uint8)]))[1]
    assert of_lag(row, 1)[1] > 0.1
    assert of_lag(row, 1)[2] > 0.9


def test_the_frames_of_a_dissolve_lie_on_the_line_between_its_ends():
    old, new = view(1)[0].astype(float), view(2)[0].astype(float)
    shares = np.clip((np.arange(80) - 30) / 20, 0, 1)
    rows = numbers(np.stack([old * (1 - s) + new * s for s in shares]).astype(np.uint8))
    far, along, away = between(rows[40], 16)
    assert far > 0.1
    assert along == pytest.approx(0.5, abs=0.05)
    assert away < 0.05
    strangers = numbers(np.stack([view(k)[0] for k in range(80)]))[40]
    assert between(strangers, 16)[2] > 0.4


@given(st.integers(0, 255))
def test_light_is_measured_as_it_is(level):
    row = numbers(np.full((1, 27, 48, 3), level, np.uint8))[0]
    light, spread, edges, dark, bright = row[LIGHT:]
    assert light == pytest.approx(level / 255, abs=0.01)
    assert spread == edges == 0
    assert dark == (level < 24)
    assert bright == (level > 232)
