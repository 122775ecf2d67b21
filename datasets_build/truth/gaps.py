"""Where a stream was gone: no new frame came for much longer than usual."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from datasets_build.core.clock import FrameClock

LEAST_GONE_NS = 500_000_000
USUAL_TIMES = 4


def least_gone_ns(clock: FrameClock) -> int:
    """How long no new frame comes where a stream was gone: half a second, and four times as long as usual."""
    if len(clock) < 2:
        return LEAST_GONE_NS
    return max(LEAST_GONE_NS, USUAL_TIMES * int(np.median(np.diff(clock.t_ns))))


def gaps(clock: FrameClock) -> list[tuple[int, int]]:
    """The last frame before each gap and the first one behind it, ns."""
    least = least_gone_ns(clock)
    return [(before, after) for before, after in pairwise(clock.t_ns.tolist()) if after - before >= least]


def gone_before(clock: FrameClock, t_ns: int) -> int | None:
    """The last frame before a gap that ends with the frame at `t_ns`; None where none does."""
    if not clock.on_grid(t_ns) or not 0 < t_ns < clock.end_ns:
        return None
    before = clock.time_of(clock.index_at(t_ns) - 1)
    return before if t_ns - before >= least_gone_ns(clock) else None
