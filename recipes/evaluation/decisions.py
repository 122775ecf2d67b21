"""When the model spoke: precision and recall in the window, delays, silence, three-way decisions, repeats, utility."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from datasets_build.core.clock import NS_PER_S
from recipes.data.example import STATES
from recipes.evaluation.answers import Mark, judge_due
from recipes.evaluation.matching import EXACT, Matched, Outcome, Tolerance
from recipes.evaluation.script import Due, reference, window


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Counts over conversations; the sum of two is that of both.

    What is due at once, with the question, is told apart (`asked`): a session always replies then, so it says nothing
    about decisions.

    Attributes:
        due: things that are to be decided on; `hit`, `early`, `late` and `missed` are what became of them.
        responses: how often the model took the floor, without replies to what is due at once.
        false: responses that answer to nothing.
        duplicate: responses that repeat.
        asked, asked_hit: things due at once, and those that were said in time.
        delays_ns: from evidence to response, of each hit.
        quiet, silent, silent_right: grids at which silence is right and nothing is due; those without a response; those
            decided as silence.
        confusion: counts of the right state (row) and the decided one (column), row by row.
        earned: utility of each thing due, summed, in [0, due].
        left_out: hits that the user cut off before they could be judged; they earn nothing, and need not.
        watched_ns: how long decisions were taken.
    """

    due: int = 0
    hit: int = 0
    early: int = 0
    late: int = 0
    missed: int = 0
    responses: int = 0
    false: int = 0
    duplicate: int = 0
    asked: int = 0
    asked_hit: int = 0
    delays_ns: tuple[int, ...] = ()
    quiet: int = 0
    silent: int = 0
    silent_right: int = 0
    confusion: tuple[int, ...] = field(default=(0,) * 9)
    earned: float = 0.0
    left_out: int = 0
    watched_ns: int = 0

    def __add__(self, other: Decided) -> Decided:
        return total((self, other))

    @property
    def precision(self) -> float:
        """Share of responses that are in time; 1 where there is none."""
        return self.hit / self.responses if self.responses else 1.0

    @property
    def recall(self) -> float:
        """Share of things due that were said in time; 0 where nothing is due."""
        return self.hit / self.due if self.due else 0.0

    @property
    def f1(self) -> float:
        """2 hit / (due + responses)."""
        return 2 * self.hit / (self.due + self.responses) if self.due + self.responses else 0.0

    @property
    def utility(self) -> float:
        """Mean utility of a thing due (`earned_by`)."""
        judged = self.due - self.left_out
        return self.earned / judged if judged else 0.0

    @property
    def silence_accuracy(self) -> float:
        """Share of the quiet grids decided as silence."""
        return self.silent_right / self.quiet if self.quiet else 0.0

    @property
    def state_accuracy(self) -> float:
        """Share of grids with the right one of three states."""
        total = sum(self.confusion)
        return sum(self.confusion[::4]) / total if total else 0.0

    @property
    def state_f1(self) -> float:
        """Mean F1 of the states that are right at some grid or were decided at one."""
        table = np.array(self.confusion).reshape(3, 3)
        both = table.sum(0) + table.sum(1)
        return float((2 * table.diagonal()[both > 0] / both[both > 0]).mean()) if both.any() else 0.0

    def rate(self, count: int) -> float:
        """A count as a share of things due."""
        return count / self.due if self.due else 0.0

    @property
    def false_per_minute(self) -> float:
        """Responses that answer to nothing, per minute."""
        return self.false * 60 * NS_PER_S / self.watched_ns if self.watched_ns else 0.0

    @property
    def duplicate_rate(self) -> float:
        """Share of responses that repeat."""
        return self.duplicate / self.responses if self.responses else 0.0

    def delay_ns(self, percent: float) -> float | None:
        """A percentile of the delays, interpolated; None where there are none."""
        return float(np.percentile(self.delays_ns, percent)) if self.delays_ns else None

    @property
    def delay_mean_ns(self) -> float | None:
        """Mean delay; None where there is none."""
        return sum(self.delays_ns) / len(self.delays_ns) if self.delays_ns else None


def decided(matched: Matched, *, tolerance: Tolerance = EXACT) -> Decided:
    """The counts of one conversation."""
    outcomes = [outcome for outcome in matched.outcomes if outcome.due.heard < 0]
    at_once = [outcome for outcome in matched.outcomes if outcome.due.heard >= 0]
    replies = {outcome.speech for outcome in at_once if outcome.speech >= 0}
    fates = [outcome.fate for outcome in outcomes]
    hits = [outcome for outcome in outcomes if outcome.fate == "hit"]
    quiet, silent, silent_right = _silence(matched, tolerance)
    return Decided(
        due=len(outcomes),
        hit=len(hits),
        early=fates.count("early"),
        late=fates.count("late"),
        missed=fates.count("missed"),
        responses=len(matched.responses) - len(replies),
        false=len(matched.false),
        duplicate=len([k for k in matched.duplicates if k not in replies]),
        asked=len(at_once),
        asked_hit=sum(outcome.fate == "hit" for outcome in at_once),
        delays_ns=tuple(matched.responses[hit.speech].t_ns - hit.due.evidence_ns for hit in hits),
        quiet=quiet,
        silent=silent,
        silent_right=silent_right,
        confusion=_confusion(matched),
        earned=sum(earned_by(matched, outcome) for outcome in outcomes),
        left_out=sum(mark.left_out for mark in map(functools.partial(_mark, matched), hits)),
        watched_ns=_watched_ns(_grids(matched)),
    )


def total(parts: Iterable[Decided]) -> Decided:
    """The sum of some counts."""
    rows = list(parts)
    return Decided(
        due=sum(row.due for row in rows),
        hit=sum(row.hit for row in rows),
        early=sum(row.early for row in rows),
        late=sum(row.late for row in rows),
        missed=sum(row.missed for row in rows),
        responses=sum(row.responses for row in rows),
        false=sum(row.false for row in rows),
        duplicate=sum(row.duplicate for row in rows),
        asked=sum(row.asked for row in rows),
        asked_hit=sum(row.asked_hit for row in rows),
        delays_ns=tuple(delay for row in rows for delay in row.delays_ns),
        quiet=sum(row.quiet for row in rows),
        silent=sum(row.silent for row in rows),
        silent_right=sum(row.silent_right for row in rows),
        confusion=tuple(sum(row.confusion[place] for row in rows) for place in range(9)),
        earned=sum(row.earned for row in rows),
        left_out=sum(row.left_out for row in rows),
        watched_ns=sum(row.watched_ns for row in rows),
    )


def _grids(matched: Matched) -> list[int]:
    return [decision.t_ns for decision in matched.talk.decisions]


def _watched_ns(grids: Sequence[int]) -> int:
    """From the first grid to the last, and one more step: the last one stands for as long as one between."""
    return (grids[-1] - grids[0]) * len(grids) // (len(grids) - 1) if len(grids) > 1 else 0


def _mark(matched: Matched, outcome: Outcome) -> Mark:
    speech = matched.responses[outcome.speech]
    return judge_due(matched.script, speech.text, outcome.due, video_id="", cut=speech.cut)


def _silence(matched: Matched, tolerance: Tolerance) -> tuple[int, int, int]:
    grids = _grids(matched)
    dues = [due for due in matched.script.dues if due.heard < 0]
    spans = [window(due, grids, early_ns=tolerance.early_ns, late_ns=tolerance.late_ns) for due in dues]
    states = reference(matched.script, grids)
    quiet = [
        decision
        for decision, state in zip(matched.talk.decisions, states, strict=True)
        if state == "silence" and not any(low <= decision.t_ns < high for low, high in spans)
    ]
    return (
        len(quiet),
        sum(decision.state != "respond" for decision in quiet),
        sum(decision.state == "silence" for decision in quiet),
    )


def _confusion(matched: Matched) -> tuple[int, ...]:
    states = reference(matched.script, _grids(matched))
    counts = [0] * 9
    for decision, state in zip(matched.talk.decisions, states, strict=True):
        counts[3 * STATES.index(state) + STATES.index(decision.state)] += 1
    return tuple(counts)


def first_chance(due: Due, grids_ns: Sequence[int]) -> int:
    """When a thing can be said at the earliest: with the question, or at the first grid of its window."""
    place = bisect_left(grids_ns, due.start_ns)
    return due.start_ns if due.heard >= 0 or place == len(grids_ns) else grids_ns[place]


def earned_by(matched: Matched, outcome: Outcome) -> float:
    """Utility of a thing due: quality times the share of its window that was left when it was said.

    With quality 0 or 1 and one response this is the area under the curve of the score over the window, as in PAUC
    (Wang et al., ProactiveVideoQA, arXiv 2507.09313), divided by that of a response at the first chance.
    """
    speech = matched.speech_of(outcome)
    if speech is None or outcome.fate != "hit":
        return 0.0
    grids, due = _grids(matched), outcome.due
    first, end = first_chance(due, grids), window(due, grids)[1]
    return float(_mark(matched, outcome).right) * min(1.0, max(0, end - speech.t_ns) / (end - first))
