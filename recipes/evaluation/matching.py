"""Which thing said answers which thing due: one to one, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recipes.evaluation.answers import same
from recipes.evaluation.script import Due, Script, window
from recipes.evaluation.trace import Speech, Talk

Fate = Literal["hit", "early", "late", "missed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far outside its window a thing may be said, in ns."""

    early_ns: int = 0
    late_ns: int = 0


EXACT = Tolerance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a thing due: `speech` is its place among the responses, -1 where it was missed."""

    due: Due
    fate: Fate
    speech: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A conversation beside its script.

    Attributes:
        script: what should have been said.
        talk: what was said and decided.
        responses: where the model took the floor, by time; a promise that needs none is left out.
        outcomes: of each thing due, in the script's order.
        false: places in `responses` of what answers to nothing.
        duplicates: places of what repeats words said since the last thing that came due.
    """

    script: Script
    talk: Talk
    responses: tuple[Speech, ...]
    outcomes: tuple[Outcome, ...]
    false: tuple[int, ...]
    duplicates: tuple[int, ...]

    def speech_of(self, outcome: Outcome) -> Speech | None:
        """What was said for a thing due."""
        return None if outcome.speech < 0 else self.responses[outcome.speech]


def match(script: Script, talk: Talk, *, tolerance: Tolerance = EXACT) -> Matched:
    """Gives each thing due at most one response and each response at most one thing due.

    First, in the order of their ends, every thing due takes the earliest free response inside its window, which for
    intervals matches as many as can be. What is left over takes, in order, the first free response after its window
    and before the next window begins (late), else the last free one since it is awaited (early). The rest of the
    responses are false.

    A reply to a question answers in time only what is due at once with that question; a model that waited first may
    still decide on that in time.

    Args:
        script: what should be said.
        talk: what was said, in a conversation of the same key.
        tolerance: beyond the windows.
    """
    grids = [decision.t_ns for decision in talk.decisions]
    spans = [window(due, grids, early_ns=tolerance.early_ns, late_ns=tolerance.late_ns) for due in script.dues]
    responses = _responses(script, talk)
    pairs = _Pairs(script.dues, spans, responses)
    for place in sorted(range(len(spans)), key=lambda k: (spans[k][1], spans[k][0])):
        pairs.take_hit(place)
    for place in range(len(spans)):
        pairs.take_late(place)
        pairs.take_early(place)
    return Matched(
        script=script,
        talk=talk,
        responses=responses,
        outcomes=tuple(pairs.outcome(place) for place in range(len(spans))),
        false=tuple(pairs.free),
        duplicates=tuple(_duplicates(script, responses)),
    )


class _Pairs:
    """Which responses are free, and which thing due has taken which of the others."""

    def __init__(self, dues: Sequence[Due], spans: Sequence[tuple[int, int]], responses: Sequence[Speech]) -> None:
        self._dues = dues
        self._spans = spans
        self._responses = responses
        self._taken: dict[int, tuple[Fate, int]] = {}
        self.free = list(range(len(responses)))

    def take_hit(self, place: int) -> None:
        low, high = self._spans[place]
        self._take(place, "hit", self._answering(place, low, high)[:1])

    def take_late(self, place: int) -> None:
        high = self._spans[place][1]
        later = min((begin for begin, _ in self._spans if begin >= high), default=2**63)
        self._take(place, "late", self._answering(place, high, later)[:1])

    def take_early(self, place: int) -> None:
        """A guess in reply to a question comes early too."""
        low = self._spans[place][0]
        since = max([self._dues[place].since_ns, *(end for _, end in self._spans if end <= low)])
        self._take(place, "early", self._between(since, low)[-1:])

    def outcome(self, place: int) -> Outcome:
        fate, k = self._taken.get(place, ("missed", -1))
        return Outcome(due=self._dues[place], fate=fate, speech=k)

    def _between(self, begin_ns: int, end_ns: int) -> list[int]:
        """Free responses in a half-open span."""
        return [k for k in self.free if begin_ns <= self._responses[k].t_ns < end_ns]

    def _answering(self, place: int, begin_ns: int, end_ns: int) -> list[int]:
        """Those that may answer a thing due."""
        asked = (-1, self._dues[place].heard)
        return [k for k in self._between(begin_ns, end_ns) if self._responses[k].heard in asked]

    def _take(self, place: int, fate: Fate, found: Sequence[int]) -> None:
        """Gives a thing due its response, unless it has one."""
        if found and place not in self._taken:
            self.free.remove(found[0])
            self._taken[place] = (fate, found[0])


def _responses(script: Script, talk: Talk) -> tuple[Speech, ...]:
    """Where the model takes the floor; to a request to be told it may promise to, in other words than the report's."""
    reports = [due.text for due in script.dues]
    found = [
        speech
        for speech in talk.speeches
        if speech.responds
        and not (script.acknowledges and speech.heard >= 0 and not any(same(speech.text, text) for text in reports))
    ]
    return tuple(sorted(found, key=lambda speech: speech.t_ns))


def _duplicates(script: Script, responses: Sequence[Speech]) -> list[int]:
    """What says the same again although nothing has come due and nobody has asked since."""
    news = sorted({*(due.start_ns for due in script.dues), *(heard.t_ns for heard in script.heard)})
    found = []
    for k, speech in enumerate(responses):
        for before in responses[:k]:
            new = any(before.t_ns < t_ns <= speech.t_ns for t_ns in news)
            if not new and same(before.text, speech.text):
                found.append(k)
                break
    return found
