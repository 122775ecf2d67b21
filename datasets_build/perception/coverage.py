"""Event coverage: the share of true events that have a picture inside their span, within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S

Int64s = npt.NDArray[np.int64]


def covered(events: Sequence[tuple[int, int]], times_ns: Int64s, *, tolerance_ns: int) -> npt.NDArray[np.bool_]:
    """Which of `n` events have a picture.

    Args:
        events: `(start_ns, end_ns)`; an instant has both alike.
        times_ns: when the pictures are, in any order.
        tolerance_ns: how far before its start or behind its end a picture still shows an event.
    """
    times = np.sort(np.asarray(times_ns, np.int64))
    spans = np.asarray(events, np.int64).reshape(-1, 2)
    first = np.searchsorted(times, spans[:, 0] - tolerance_ns, side="left")
    behind = np.searchsorted(times, spans[:, 1] + tolerance_ns, side="right")
    inside: npt.NDArray[np.bool_] = first < behind
    return inside


def uniform(end_ns: int, *, fps: float) -> Int64s:
    """The instants of uniform sampling of a video that ends at `end_ns`, the first at zero."""
    step = NS_PER_S / fps
    return (np.arange(max(1, int(np.ceil(end_ns / step)))) * step).astype(np.int64)


def shown(frames_ns: Int64s, at_ns: Int64s) -> Int64s:
    """When the frames that are on screen at some instants came there; `frames_ns` is in order and begins with zero."""
    times: Int64s = frames_ns[np.searchsorted(frames_ns, at_ns, side="right") - 1]
    return times


def least_pictures(events: Sequence[tuple[int, int]], *, tolerance_ns: int) -> int:
    """How few pictures could cover all events, by who knows them: no choice of pictures needs fewer."""
    count, last = 0, None
    for start, end in sorted(events, key=lambda event: event[1]):
        if last is None or start - tolerance_ns > last:
            last = end + tolerance_ns
            count += 1
    return count
