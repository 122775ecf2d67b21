"""How steady decisions are where nothing happens, and how soon they change where something does."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recipes.data.example import STATES, State
from recipes.evaluation.decisions import Decided, decided, first_chance, total
from recipes.evaluation.matching import EXACT, Matched, Tolerance, match
from recipes.evaluation.script import reference
from recipes.evaluation.trace import Decision, Speech, Talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Counts over conversations.

    Attributes:
        pairs: consecutive grids of one segment: no event begins or ends and no user speaks between them, and the same
            decision is right at both.
        flips: pairs whose likeliest decision changes.
        grids, right: all grids, and those with the right decision.
        lags_ns: from when a thing can first be said to the response, of those that were.
        due: things to be decided on.
    """

    pairs: int = 0
    flips: int = 0
    grids: int = 0
    right: int = 0
    lags_ns: tuple[int, ...] = ()
    due: int = 0

    def __add__(self, other: Steady) -> Steady:
        return Steady(
            pairs=self.pairs + other.pairs,
            flips=self.flips + other.flips,
            grids=self.grids + other.grids,
            right=self.right + other.right,
            lags_ns=self.lags_ns + other.lags_ns,
            due=self.due + other.due,
        )

    @property
    def flip_rate(self) -> float:
        """Off-boundary flips per pair."""
        return self.flips / self.pairs if self.pairs else 0.0

    @property
    def accuracy(self) -> float:
        """Share of grids with the right decision."""
        return self.right / self.grids if self.grids else 0.0

    def lag_ns(self, percent: float) -> float | None:
        """A percentile of the boundary lags, interpolated; None where there are none."""
        return float(np.percentile(self.lags_ns, percent)) if self.lags_ns else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What comes of a threshold on the probability of responding.

    Attributes:
        threshold: None takes the likeliest decision.
        accuracy: share of grids with the right decision.
        lag_ns: median boundary lag; None without any.
        flip_rate: off-boundary flips per pair.
        precision, recall: of responses in their windows.
        answered: how many things due were responded to at all.
    """

    threshold: float | None
    accuracy: float
    lag_ns: float | None
    flip_rate: float
    precision: float
    recall: float
    answered: int


def choose(chances: Sequence[float], threshold: float | None = None) -> State:
    """The likeliest decision; with a threshold, to respond from that probability on, else the likelier of the others.

    The rule of `models.speaking`, on probabilities that were written down.
    """
    if threshold is None:
        return STATES[max(range(3), key=lambda place: chances[place])]
    if chances[2] >= threshold:
        return "respond"
    return "silence" if chances[0] >= chances[1] else "standby"


def segments(grids_ns: Sequence[int], borders_ns: Sequence[int], turns_ns: Sequence[int] = ()) -> list[int]:
    """The number of the segment that each grid lies in.

    A grid shows what begins or ends at its time, so such a border belongs to it; what a user says then is heard behind
    the decision about it.

    Args:
        grids_ns: when each grid is known.
        borders_ns: when events begin and end, rising.
        turns_ns: when users' turns are heard, rising.
    """
    return [bisect_right(borders_ns, t_ns) + bisect_left(turns_ns, t_ns) for t_ns in grids_ns]


def steady(matched: Matched, borders_ns: Sequence[int], *, threshold: float | None = None) -> Steady:
    """The counts of one conversation.

    A decision counts as what its probabilities say, so that a threshold can be tried without another replay; what
    would have been said or known otherwise is not.

    Args:
        matched: the conversation.
        borders_ns: when events begin and end, rising.
        threshold: as in `choose`.
    """
    decisions = matched.talk.decisions
    grids = [decision.t_ns for decision in decisions]
    lies = segments(grids, borders_ns, sorted(heard.t_ns for heard in matched.script.heard))
    right = reference(matched.script, grids)
    chosen = [choose(decision.chances, threshold) for decision in decisions]
    pairs = [k for k in range(1, len(grids)) if lies[k] == lies[k - 1] and right[k] == right[k - 1]]
    return Steady(
        pairs=len(pairs),
        flips=sum(chosen[k] != chosen[k - 1] for k in pairs),
        grids=len(grids),
        right=sum(mine == theirs for mine, theirs in zip(chosen, right, strict=True)),
        lags_ns=tuple(_lags(matched, decisions, chosen)),
        due=sum(due.heard < 0 for due in matched.script.dues),
    )


def _lags(matched: Matched, decisions: Sequence[Decision], chosen: Sequence[State]) -> list[int]:
    """Of each thing due, the time from its first chance to the first response before the next thing comes due."""
    grids = [decision.t_ns for decision in decisions]
    dues = [due for due in matched.script.dues if due.heard < 0]
    lags = []
    for due in dues:
        later = min((other.start_ns for other in dues if other.start_ns > due.start_ns), default=2**63)
        first = first_chance(due, grids)
        places = range(bisect_left(grids, first), bisect_left(grids, max(later, first + 1)))
        found = [grids[k] for k in places if chosen[k] == "respond"]
        lags += [t_ns - first for t_ns in found[:1]]
    return lags


def rethreshold(talk: Talk, threshold: float | None) -> Talk:
    """The conversation with every decision taken anew from its probabilities; what would be said then has no words."""
    decisions = tuple(replace(part, state=choose(part.chances, threshold)) for part in talk.decisions)
    speeches = [speech for speech in talk.speeches if speech.heard >= 0]
    speeches += [wordless(part.t_ns) for part in decisions if part.state == "respond"]
    return replace(talk, decisions=decisions, speeches=tuple(sorted(speeches, key=lambda speech: speech.t_ns)))


def wordless(t_ns: int) -> Speech:
    """A response of which only the time is known."""
    return Speech(t_ns=t_ns, end_ns=t_ns, text="", state=None, heard=-1, tokens=0, confidence=1.0, cut=False)


def sweep(
    talks: Sequence[tuple[Matched, Sequence[int]]],
    thresholds: Sequence[float | None],
    *,
    tolerance: Tolerance = EXACT,
) -> list[Point]:
    """What each threshold would bring about, over conversations with the borders of their videos."""
    parts = [_counts(matched, borders_ns, thresholds, tolerance) for matched, borders_ns in talks]
    points = []
    for place, threshold in enumerate(thresholds):
        found = total(row[place][0] for row in parts)
        counts = functools.reduce(Steady.__add__, (row[place][1] for row in parts), Steady())
        points.append(
            Point(
                threshold=threshold,
                accuracy=counts.accuracy,
                lag_ns=counts.lag_ns(50),
                flip_rate=counts.flip_rate,
                precision=found.precision,
                recall=found.recall,
                answered=len(counts.lags_ns),
            )
        )
    return points


def _counts(
    matched: Matched, borders_ns: Sequence[int], thresholds: Sequence[float | None], tolerance: Tolerance
) -> list[tuple[Decided, Steady]]:
    """The counts at each threshold; those that decide alike are counted once."""
    known: dict[tuple[State, ...], tuple[Decided, Steady]] = {}
    found = []
    for threshold in thresholds:
        states = tuple(choose(decision.chances, threshold) for decision in matched.talk.decisions)
        if states not in known:
            again = match(matched.script, rethreshold(matched.talk, threshold), tolerance=tolerance)
            known[states] = decided(again, tolerance=tolerance), steady(matched, borders_ns, threshold=threshold)
        found.append(known[states])
    return found


def at_reference(points: Sequence[Point], like: Point, *, accuracy: float = 0.005, lag_ns: float = 0.0) -> Point | None:
    """The steadiest of some points that is as accurate and as quick as a reference, and responds as often in time.

    Flips alone fall to nothing for a model that never speaks, so they are compared only at equal accuracy and lag.

    Args:
        points: of `sweep`.
        like: the reference, such as the point that another model is served at.
        accuracy: how much less accurate it may be.
        lag_ns: how much slower.
    """

    def fits(point: Point) -> bool:
        quick = like.lag_ns is None or (point.lag_ns is not None and point.lag_ns <= like.lag_ns + lag_ns)
        return point.accuracy >= like.accuracy - accuracy and quick and point.answered >= like.answered

    return min(filter(fits, points), key=lambda point: (point.flip_rate, point.threshold or 0.0), default=None)
