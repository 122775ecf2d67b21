"""Whether a step is being carried out, from a question on: yes while it lasts, no before and after it, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from datasets_build.truth.grounds import Fact, coming, unclear


class Stance(NamedTuple):
    """What is true from an instant on, for how long, and the event that makes it so; None where none has been seen."""

    at_ns: int
    until_ns: int | None
    is_on: bool
    fact: Fact | None


def stances(facts: Sequence[Fact], ask_ns: int) -> list[Stance]:
    """All that is true in turn after a question, as far as it is certain; empty where it is not at the question."""
    if unclear(facts, ask_ns):
        return []
    on, ahead = [fact for fact in facts if fact.is_on(ask_ns)], coming(facts, ask_ns)
    found = [] if on else [Stance(ask_ns, ahead[0].early_ns if ahead else None, False, None)]
    every = [*on, *ahead]
    for k, fact in enumerate(every):
        then = every[k + 1].early_ns if k + 1 < len(every) else None
        # An instant is over as soon as it is seen, and of two at once the end of neither ends the step.
        if fact.off_ns <= fact.known_ns or (then is not None and then <= fact.done_ns):
            break
        since = max(ask_ns, fact.known_ns)
        found += [Stance(since, fact.off_ns, True, fact), Stance(fact.done_ns, then, False, fact)]
    return found


def standing(found: Sequence[Stance], *, least_ns: int, most: int, end_ns: int) -> list[Stance]:
    """Those that are said: up to the first that stands for less than `least_ns` or comes when the video is over."""
    kept: list[Stance] = []
    for stance in found[:most]:
        until = end_ns if stance.until_ns is None else min(end_ns, stance.until_ns)
        if until - stance.at_ns < least_ns:
            break
        kept.append(stance)
    return kept
