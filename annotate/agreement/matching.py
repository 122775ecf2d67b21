"""Which marks of two people are the same: one to one, as many as can be, then as close as can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotate.tasks import Mark


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
    alike = _alike(left, right, tolerance_ns)
    return alike if alike >= iou or is_instant(left) or is_instant(right) else 0.0


def _alike(left: Mark, right: Mark, tolerance_ns: int) -> float:
    """`similarity` from the least intersection on."""
    if is_instant(left) or is_instant(right):
        apart = max(abs(left.start_ns - right.start_ns), abs(_end(left) - _end(right)))
        return 1 / (1 + apart / tolerance_ns) if apart <= tolerance_ns else 0.0
    shared = min(left.end_ns, right.end_ns) - max(left.start_ns, right.start_ns)
    if shared <= 0:
        return 0.0
    return shared / (max(left.end_ns, right.end_ns) - min(left.start_ns, right.start_ns))


def match(left: Sequence[Mark], right: Sequence[Mark], *, iou: float, tolerance_ns: int) -> list[Match]:
    """Pair off the marks of two people, label by label.

    The most pairs that can be (a maximum matching), and among those the greatest sum of similarities, by assignment
    (Crouse, On implementing 2D rectangular assignment algorithms, IEEE TAES 52(4), 2016, as in scipy). Pairs come in
    order of label and left mark.
    """
    return match_at(left, right, ious=(iou,), tolerance_ns=tolerance_ns)[0]


def match_at(
    left: Sequence[Mark], right: Sequence[Mark], *, ious: Sequence[float], tolerance_ns: int
) -> list[list[Match]]:
    """What `match` gives for each of several intersections, each two marks held against each other once."""
    found: list[list[Match]] = [[] for _ in ious]
    ours, theirs = _by_label(left), _by_label(right)
    for label in sorted(ours.keys() & theirs.keys()):
        all_pairs = (
            (a, b, one, other, _alike(one, other, tolerance_ns))
            for a, one in enumerate(ours[label])
            for b, other in enumerate(theirs[label])
        )
        near = [pair for pair in all_pairs if pair[-1] > 0]
        for iou, matches in zip(ious, found, strict=True):
            alike = {
                (a, b): value
                for a, b, one, other, value in near
                if value >= iou or is_instant(one) or is_instant(other)
            }
            for a, b in _assigned(alike):
                matches.append(Match(left=ours[label][a], right=theirs[label][b], similarity=alike[a, b]))
    return found


def _assigned(alike: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The places that are matched, of those that may be."""
    rows, columns = {a for a, _ in alike}, {b for _, b in alike}
    if len(rows) == len(columns) == len(alike):
        # Nobody competes for anything.
        return sorted(alike)
    table = np.zeros((max(rows) + 1, max(columns) + 1))
    for (a, b), value in alike.items():
        # All similarities together weigh less than one more pair.
        table[a, b] = min(table.shape) + 1 + value
    chosen = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    return [(int(a), int(b)) for a, b in chosen if (int(a), int(b)) in alike]


def _by_label(marks: Iterable[Mark]) -> dict[str, list[Mark]]:
    # In order of time, so that ties fall the same way whoever drew first.
    found: dict[str, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.start_ns, mark.end_ns, mark.id)):
        found.setdefault(mark.label, []).append(mark)
    return found


def _end(mark: Mark) -> int:
    return mark.start_ns if is_instant(mark) else mark.end_ns
