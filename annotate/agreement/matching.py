"""Which marks of two people are the same: one to one, as many as can be, then as close as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from annotate.tasks import Mark

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two marks that are held to be the same; `similarity` in 0..1 is 1 for equal times."""

    left: Mark
    right: Mark
    similarity: float


def is_instant(mark: Mark) -> bool:
    """Whether a mark has no length."""
    return mark.is_point or mark.end_ns <= mark.start_ns


def similarity(left: Mark, right: Mark, *, iou: float, tolerance_ns: int) -> float:
    """How alike two marks are in time, 0 where they are not the same; labels are not looked at.

    Two spans: their intersection over union, where that is at least `iou` and they share an instant. With an instant
    among them: both ends must lie within `tolerance_ns`; then `1 / (1 + distance / tolerance)`, from 1 down to 1/2.
    """
    if is_instant(left) or is_instant(right):
        apart = max(abs(left.start_ns - right.start_ns), abs(_end(left) - _end(right)))
        return 1 / (1 + apart / tolerance_ns) if apart <= tolerance_ns else 0.0
    shared = min(left.end_ns, right.end_ns) - max(left.start_ns, right.start_ns)
    if shared <= 0:
        return 0.0
    union = max(left.end_ns, right.end_ns) - min(left.start_ns, right.start_ns)
    return shared / union if shared / union >= iou else 0.0


def match(left: Sequence[Mark], right: Sequence[Mark], *, iou: float, tolerance_ns: int) -> list[Match]:
    """Pair off the marks of two people, label by label.

    The most pairs that can be (a maximum matching), and among those the greatest sum of similarities, by assignment
    (Crouse, On implementing 2D rectangular assignment algorithms, IEEE TAES 52(4), 2016, as in scipy). Pairs come in
    order of label and left mark.
    """
    found = []
    for label in sorted(_labels(left) & _labels(right)):
        ours = _of(left, label)
        theirs = _of(right, label)
        table = np.array([[similarity(a, b, iou=iou, tolerance_ns=tolerance_ns) for b in theirs] for a in ours])
        found += [Match(left=ours[a], right=theirs[b], similarity=float(table[a, b])) for a, b in _assigned(table)]
    return found


def _assigned(table: Floats) -> list[tuple[int, int]]:
    if table.size == 1:
        return [(0, 0)] if table[0, 0] > 0 else []
    # All similarities together weigh less than one more pair.
    worth = np.where(table > 0, min(table.shape) + 1 + table, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if table[a, b] > 0]


def _labels(marks: Iterable[Mark]) -> set[str]:
    return {mark.label for mark in marks}


def _of(marks: Iterable[Mark], label: str) -> list[Mark]:
    # In order of time, so that ties fall the same way whoever drew first.
    chosen = (mark for mark in marks if mark.label == label)
    return sorted(chosen, key=lambda mark: (mark.start_ns, mark.end_ns, mark.id))


def _end(mark: Mark) -> int:
    return mark.start_ns if is_instant(mark) else mark.end_ns
