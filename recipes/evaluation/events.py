"""Which events are on: F1 of their names at each grid, and detection of the spans that grids add up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One grid: what is on, what was said to be, and how sure that was said.

    Attributes:
        video_id: of which video.
        start_ns, t_ns: the half-open time that the grid speaks for: from the grid before it, to its own.
        true, said: names.
        confidence: mean probability of the answer's tokens.
    """

    video_id: str
    start_ns: int
    t_ns: int
    true: frozenset[str]
    said: frozenset[str]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A half-open span of a video in which one name is on; `score` orders detections."""

    video_id: str
    name: str
    start_ns: int
    end_ns: int
    score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Counts by name over grids: `hit` said and true, `extra` said only, `lost` true only."""

    hit: Mapping[str, int]
    extra: Mapping[str, int]
    lost: Mapping[str, int]

    @property
    def micro_f1(self) -> float:
        """2 hit / (2 hit + extra + lost), over all names together; 0 where there is nothing."""
        hit, rest = sum(self.hit.values()), sum(self.extra.values()) + sum(self.lost.values())
        return 2 * hit / (2 * hit + rest) if hit + rest else 0.0

    @property
    def macro_f1(self) -> float:
        """The mean of the same over the names that are true at some grid."""
        names = {name for table in (self.hit, self.lost) for name, count in table.items() if count}
        each = [
            2 * self.hit.get(name, 0) / (2 * self.hit.get(name, 0) + self.extra.get(name, 0) + self.lost.get(name, 0))
            for name in names
        ]
        return sum(each) / len(each) if each else 0.0


def count_names(grids: Iterable[Seen]) -> Names:
    """Counts names over grids."""
    hit: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for grid in grids:
        hit.update(grid.true & grid.said)
        extra.update(grid.said - grid.true)
        lost.update(grid.true - grid.said)
    return Names(hit=hit, extra=extra, lost=lost)


def stretches(grids: Sequence[Seen], *, said: bool) -> list[Stretch]:
    """The spans of each name: runs of grids at which it was said, or is true.

    Args:
        grids: of any videos; those of one video by rising time.
        said: of what was said, with the mean confidence of its grids as score; else of what is true.
    """
    found: list[Stretch] = []
    running: dict[tuple[str, str], list[Seen]] = {}
    for grid in grids:
        now = {(grid.video_id, name) for name in (grid.said if said else grid.true)}
        ended = [key for key, run in running.items() if key not in now or run[-1].t_ns != grid.start_ns]
        found += [_joined(key, running.pop(key), said=said) for key in ended if key[0] == grid.video_id]
        for key in now:
            running.setdefault(key, []).append(grid)
    found += [_joined(key, run, said=said) for key, run in running.items()]
    return sorted(found, key=lambda span: (span.video_id, span.start_ns, span.name))


def _joined(key: tuple[str, str], run: Sequence[Seen], *, said: bool) -> Stretch:
    score = sum(grid.confidence for grid in run) / len(run) if said else 1.0
    return Stretch(video_id=key[0], name=key[1], start_ns=run[0].start_ns, end_ns=run[-1].t_ns, score=score)


def tiou(one: Stretch, other: Stretch) -> float:
    """Temporal intersection over union of two spans, 0 where they do not meet."""
    both = min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns)
    if both <= 0:
        return 0.0
    return both / (one.end_ns - one.start_ns + other.end_ns - other.start_ns - both)


def average_precision(truth: Sequence[Stretch], found: Sequence[Stretch], least: float) -> float:
    """Average precision of one name at one tIoU, in the manner of ActivityNet's detection task.

    Detections in the order of their scores (stable) take the free true span of their video that they overlap most, if
    that is at least `least`. The area under the interpolated curve of precision over recall (Heilbron et al., CVPR
    2015; evaluation of the ActivityNet challenge).
    """
    if not truth:
        return 0.0
    free: dict[str, list[Stretch]] = defaultdict(list)
    for span in truth:
        free[span.video_id].append(span)
    right = []
    for span in sorted(found, key=lambda span: -span.score):
        best = max(free[span.video_id], key=lambda other: tiou(span, other), default=None)
        taken = best is not None and tiou(span, best) >= least
        if taken and best is not None:
            free[span.video_id].remove(best)
        right.append(taken)
    return _area(np.cumsum(right), len(truth))


def _area(hits: np.ndarray, positives: int) -> float:
    """Area under precision over recall, each precision raised to the greatest one at a higher recall."""
    if not len(hits):
        return 0.0
    precision = np.concatenate([[0.0], hits / np.arange(1, len(hits) + 1), [0.0]])
    recall = np.concatenate([[0.0], hits / positives, [1.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())


def mean_average_precision(truth: Sequence[Stretch], found: Sequence[Stretch], least: float) -> float:
    """The mean of `average_precision` over the names that are true somewhere; 0 where there is none."""
    names = sorted({span.name for span in truth})
    each = [
        average_precision(
            [span for span in truth if span.name == name], [span for span in found if span.name == name], least
        )
        for name in names
    ]
    return sum(each) / len(each) if each else 0.0
