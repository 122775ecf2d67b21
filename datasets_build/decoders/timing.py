"""Pure measures of a list of timestamps: regular or not, gaps, jitter, reordering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets_build.core.clock import Int64s


def off_grid(pts: Int64s) -> float:
    """How far, in ticks, sorted timestamps stray from the straight line through the first and the last."""
    if len(pts) < 3:
        return 0.0
    steps = (pts - pts[0]).astype(np.float64)
    line = np.arange(len(pts)) * (steps[-1] / (len(pts) - 1))
    return float(np.abs(steps - line).max())


def is_variable(pts: Int64s) -> bool:
    """Whether sorted timestamps are irregular beyond what rounding to ticks does to regular ones.

    Rounding moves a frame by a tick at most (Matroska's tick is a millisecond); a hundredth of a frame is nobody's
    variable rate. A tick as coarse as a frame excuses nothing: there a missing frame is a gap.
    """
    if len(pts) < 3:
        return False
    period = float(pts[-1] - pts[0]) / (len(pts) - 1)
    rounding = 1.0 if period >= 2 else 0.0
    return off_grid(pts) > max(rounding, period / 100) + 1e-6


def typical_gap(pts: Int64s) -> int:
    """The median distance of sorted timestamps in ticks, 0 for a single frame."""
    return int(np.median(np.diff(pts))) if len(pts) > 1 else 0


def reorder_depth(decode_order: Sequence[int]) -> int:
    """How many places a timestamp in decoding order stands from its sorted place, at most; 0 when in order."""
    if not decode_order:
        return 0
    ranks = np.argsort(np.argsort(np.asarray(decode_order, np.int64), kind="stable"), kind="stable")
    return int(np.abs(ranks - np.arange(len(ranks))).max())
