"""Outlines, how far they reach, and when two of them touch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.sources.world_shapes import COLOURS, OUTLINES, contact_distance, reach

KINDS = st.sampled_from(sorted(OUTLINES))
RADII = st.floats(10, 40)
AXES = st.sampled_from(["x", "y"])


def mask(kind: str, radius: float, centre: tuple[float, float]) -> np.ndarray:
    """Sixteen-fold magnified: `(height, width) bool`."""
    picture = np.zeros((1600, 3200), np.uint8)
    points = (OUTLINES[kind] * radius + centre) * 8
    cv2.fillPoly(picture, [np.round(points).astype(np.int32)], 1)
    return picture.astype(bool)


@pytest.mark.parametrize("kind", sorted(OUTLINES))
def test_an_outline_is_a_closed_ring_of_about_one_radius(kind: str):
    points = OUTLINES[kind]
    assert points.ndim == 2
    assert points.shape[1] == 2
    assert len(points) >= 3
    longest = np.linalg.norm(points, axis=1).max()
    assert 0.9 <= longest <= 1.3
    # The centre is inside, so that a shape is where its place says.
    assert cv2.pointPolygonTest(points.astype(np.float32), (0.0, 0.0), measureDist=False) > 0


def test_a_cross_has_twelve_corners_and_equal_arms():
    cross = OUTLINES["cross"]
    assert len(cross) == 12
    assert reach("cross", 10, "x") == reach("cross", 10, "y") == (10, 10)


def test_colours_are_far_apart():
    colours = np.array(list(COLOURS.values()), np.int64)
    gaps = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert gaps[~np.eye(len(colours), dtype=bool)].min() > 90


@given(kind=KINDS, radius=RADII, axis=AXES)
def test_reach_bounds_the_outline(kind: str, radius: float, axis: str):
    before, after = reach(kind, radius, axis)
    along = OUTLINES[kind][:, 0 if axis == "x" else 1] * radius
    assert before > 0
    assert after > 0
    assert np.isclose(along.min(), -before)
    assert np.isclose(along.max(), after)


@pytest.mark.parametrize(
    ("low", "high", "axis", "expected"),
    [
        (("circle", 20.0), ("circle", 30.0), "x", 50.0),
        (("square", 20.0), ("square", 20.0), "x", 2 * 0.84 * 20),
        (("diamond", 20.0), ("diamond", 20.0), "y", 2 * 1.05 * 20),
        (("square", 10.0), ("circle", 20.0), "y", 28.4),
        # The arms of two crosses point at each other; their corners meet along y as along x.
        (("cross", 20.0), ("cross", 20.0), "y", 40.0),
    ],
)
def test_contact_of_simple_shapes(low: tuple[str, float], high: tuple[str, float], axis: str, expected: float):
    assert contact_distance(low, high, axis) == pytest.approx(expected, abs=0.1)


def test_contact_looks_at_the_outlines_and_not_at_their_boxes():
    # A triangle stands on its widest side; a diamond's point meets its slope further in.
    distance = contact_distance(("triangle", 30.0), ("diamond", 30.0), "x")
    boxes = reach("triangle", 30.0, "x")[1] + reach("diamond", 30.0, "x")[0]
    assert distance < boxes - 4


@settings(max_examples=40)
@given(low=KINDS, high=KINDS, first=RADII, second=RADII, axis=AXES)
def test_shapes_overlap_just_inside_the_contact_distance_and_not_outside(
    low: str, high: str, first: float, second: float, axis: str
):
    touch = contact_distance((low, first), (high, second), axis)
    for distance, overlaps in ((touch - 1, True), (touch + 1, False)):
        where = [(100.0, 100.0), (100.0, 100.0)]
        where[1] = (100.0 + distance, 100.0) if axis == "x" else (100.0, 100.0 + distance)
        pictures = mask(low, first, where[0]), mask(high, second, where[1])
        assert bool((pictures[0] & pictures[1]).any()) == overlaps
