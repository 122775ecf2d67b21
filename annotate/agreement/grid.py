"""The instants of a frame-level figure, and what people say is going on at each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from annotate.agreement.matching import is_instant
from annotate.tasks import Mark, Window
from datasets_build.core.clock import FrameClock

Ints = npt.NDArray[np.int64]


def instants(window: Window, *, step_ns: int, clocks: Mapping[str, FrameClock] | None) -> Ints:
    """Instants of a window, `int64` ns on the source's clock, in order.

    With clocks: the times of the video's own frames. Without: every `step_ns` from half a step after the start on, so
    that boundaries on whole steps do not fall on instants.
    """
    if clocks is None or window.video_id not in clocks:
        return np.arange(window.start_ns + step_ns // 2, window.end_ns, step_ns, dtype=np.int64)
    times = clocks[window.video_id].t_ns
    first, last = np.searchsorted(times, [window.start_ns, window.end_ns])
    return times[first:last]


def stretches(people: Sequence[Sequence[Mark]], times: Ints) -> list[tuple[int, tuple[frozenset[str], ...]]]:
    """Runs of instants at which nobody's view changes.

    Args:
        people: each person's marks; marks without length hold at no instant.
        times: instants in order, ns.

    Returns:
        For each run how many instants it holds, and for each person the labels that are on.
    """
    spans = [[mark for mark in marks if not is_instant(mark)] for marks in people]
    inner = {edge for marks in spans for mark in marks for edge in (mark.start_ns, mark.end_ns)}
    edges = np.array(sorted(inner), dtype=np.int64)
    places = np.searchsorted(times, edges)
    bounds = [0, *(int(place) for place in places), len(times)]
    runs = []
    for first, last in pairwise(bounds):
        if last > first:
            at = int(times[first])
            runs.append((last - first, tuple(_labels_at(marks, at) for marks in spans)))
    return runs


def _labels_at(marks: Sequence[Mark], at_ns: int) -> frozenset[str]:
    return frozenset(mark.label for mark in marks if mark.start_ns <= at_ns < mark.end_ns)
