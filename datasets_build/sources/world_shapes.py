"""The shapes of the drawn world: outlines around a centre, how far they reach, and when two of them touch."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Axis = Literal["x", "y"]
Points = npt.NDArray[np.float64]
Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (250, 220, 40),
    "green": (30, 160, 70),
    "blue": (35, 90, 220),
    "purple": (130, 50, 190),
    "pink": (250, 120, 190),
    "white": (245, 245, 245),
}


def _around(count: int, *, first_deg: float, radii: tuple[float, ...] = (1.0,)) -> Points:
    angles = np.radians(first_deg + np.arange(count) * (360 / count))
    lengths = np.array([radii[k % len(radii)] for k in range(count)])
    return np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], axis=1)


_HALF, _ARM = 0.84, 0.34
_CROSS = [(_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM), (_ARM, 1)]
# In units of the radius, y downwards, seen upright.
OUTLINES: dict[str, Points] = {
    "circle": _around(64, first_deg=0),
    "square": np.array([(-_HALF, -_HALF), (_HALF, -_HALF), (_HALF, _HALF), (-_HALF, _HALF)]),
    "triangle": np.array([(0.0, -0.95), (1.0, 0.8), (-1.0, 0.8)]),
    "star": _around(10, first_deg=-90, radii=(1.05, 0.46)),
    "diamond": np.array([(0.0, -1.05), (0.85, 0.0), (0.0, 1.05), (-0.85, 0.0)]),
    "cross": np.array([*_CROSS, *((-x, -y) for x, y in _CROSS)]),
}


@cache
def reach(kind: str, radius: float, axis: Axis) -> tuple[float, float]:
    """How many pixels a shape stretches before and after its centre along an axis, both positive."""
    along = OUTLINES[kind][:, 0 if axis == "x" else 1] * radius
    return -float(along.min()), float(along.max())


def _far_edge(points: Points, across: Points) -> Points:
    """The largest first coordinate of an outline at each second coordinate; minus infinity where it is not."""
    edge = np.full(len(across), -np.inf)
    for (u0, v0), (u1, v1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if v0 != v1:
            on = (across >= min(v0, v1)) & (across <= max(v0, v1))
            edge[on] = np.maximum(edge[on], u0 + (across[on] - v0) * (u1 - u0) / (v1 - v0))
    return edge


@cache
def contact_distance(low: tuple[str, float], high: tuple[str, float], axis: Axis) -> float:
    """Pixels between the centres of two shapes `(kind, radius)` on one line along `axis` that just touch.

    `low` stands before `high`; both are centred on the line.
    """
    swap = (0, 1) if axis == "x" else (1, 0)
    first, second = (OUTLINES[kind][:, swap] * radius for kind, radius in (low, high))
    across = np.linspace(-low[1], low[1], 513) * 1.05
    return float((_far_edge(first, across) + _far_edge(second * (-1, 1), across)).max())
