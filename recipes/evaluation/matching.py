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
    free = list(range(len(responses)))
    taken: dict[int, tuple[Fate, int]] = {}

    def fits(place: int, k: int) -> bool:
        return responses[k].heard in (-1, script.dues[place].heard)

    for place in sorted(range(len(spans)), key=lambda k: (spans[k][1], spans[k][0])):
        low, high = spans[place]
        _take(taken, free, place, "hit", [k for k in free if low <= responses[k].t_ns < high and fits(place, k)][:1])
    for place in range(len(spans)):
        low, high = spans[place]
        later = min((begin for begin, _ in spans if begin >= high), default=2**63)
        if place not in taken:
            _take(
                taken,
                free,
                place,
                "late",
                [k for k in free if high <= responses[k].t_ns < later and fits(place, k)][:1],
            )
        if place not in taken:
            since = max([script.dues[place].since_ns, *(end for _, end in spans if end <= low)])
            _take(taken, free, place, "early", [k for k in free if since <= responses[k].t_ns < low][-1:])
    outcomes = [Outcome(due=due, fate=fate, speech=k) for due, (fate, k) in _all(script.dues, taken)]
    return Matched(
        script=script,
        talk=talk,
        responses=responses,
        outcomes=tuple(outcomes),
        false=tuple(free),
        duplicates=tuple(_duplicates(script, responses)),
    )


def _take(taken: dict[int, tuple[Fate, int]], free: list[int], place: int, fate: Fate, found: list[int]) -> None:
    for k in found:
        free.remove(k)
        taken[place] = (fate, k)


def _all(dues: Sequence[Due], taken: dict[int, tuple[Fate, int]]) -> list[tuple[Due, tuple[Fate, int]]]:
    return [(due, taken.get(place, ("missed", -1))) for place, due in enumerate(dues)]


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
