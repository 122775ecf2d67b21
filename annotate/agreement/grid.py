"""The instants of a frame-level figure, and what people say is going on at each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
    changes: dict[int, list[tuple[int, str, int]]] = {len(times): []}
    for person, marks in enumerate(people):
        spans = [mark for mark in marks if not is_instant(mark)]
        places = np.searchsorted(times, [(mark.start_ns, mark.end_ns) for mark in spans]).tolist() if spans else []
        for mark, (first, last) in zip(spans, places, strict=True):
            changes.setdefault(first, []).append((person, mark.label, 1))
            changes.setdefault(last, []).append((person, mark.label, -1))
    on: list[Counter[str]] = [Counter() for _ in people]
    views, before, runs = [frozenset[str]() for _ in people], 0, []
    for place in sorted(changes):
        if place > before:
            runs.append((place - before, tuple(views)))
            before = place
        for person, label, more in changes[place]:
            on[person][label] += more
        for person in {person for person, _, _ in changes[place]}:
            views[person] = frozenset(label for label, marks in on[person].items() if marks > 0)
    return runs
