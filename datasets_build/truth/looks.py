"""How the one subject in the picture looks, worked out anew from the events table alone."""

from __future__ import annotations

from typing import NamedTuple

from datasets_build.core.records import Event
from datasets_build.core.topics import ENTERING_SETS, name_after, names_in
from datasets_build.truth.grounds import Fact, Grounds, busy, coming, done, first, next_early

PLACES = {"colour": 0, "shape": 1}
"""Tasks that ask for one word of a subject's name, and which: "red circle"."""
RENAMING = "change_colour"
"""The label of what gives a subject another name."""


class Alone(NamedTuple):
    """The only subject in the picture, the event that gave it its name, the shot's start, and until when it is so."""

    name: str
    named_by: Fact
    since_ns: int
    until_ns: int | None


def alone(task: str, t_ns: int, grounds: Grounds) -> Alone | str:
    """What is in the picture at an instant, or why that cannot be said."""
    shots = grounds.shots
    if not grounds.scene:
        return "a video of which everything that enters the picture is told"
    if busy(grounds.scene, t_ns) or busy(shots, t_ns):
        return "an instant at which nothing is under way"
    since = max((fact.done_ns for fact in done(shots, t_ns)), default=0)
    over = sorted(done(grounds.scene, t_ns), key=lambda fact: fact.done_ns)
    named: dict[str, Fact] = {}
    for fact in over:
        if fact.done_ns <= since:
            continue
        if fact.event.label_set not in ENTERING_SETS:
            return "a shot of which everything that enters the picture is told"
        if fact.early_ns < since or not _follows(named, fact):
            return f"events that agree with each other, unlike {fact.id}"
    if len(named) != 1 or len(next(iter(named)).split()) != len(PLACES):
        return f"one subject in the picture, called by its colour and its shape, unlike {sorted(named)}"
    ((name, by),) = named.items()
    ends = [fact for fact in coming(grounds.scene, t_ns) if task == "colour" or fact.event.label != RENAMING]
    until = first([next_early(ends, t_ns), next_early(shots, t_ns)])
    return Alone(name, by, since, until)


def _follows(named: dict[str, Fact], fact: Fact) -> bool:
    """Let an event change what is in the picture; False where it cannot have happened there."""
    label, names = fact.event.label, names_in(fact.event.subject)
    enters, leaves = label == "enter", label == "leave"
    if not enters and not all(name in named for name in names):
        return False
    if label == RENAMING or leaves:
        for name in names:
            del named[name]
    if label == RENAMING or enters:
        called = name_after(fact.event)
        if called is None or called in named:
            return False
        named[called] = fact
    return True


def name_of(event: Event) -> str | None:
    """What an event's one subject is called when it is over, or while it lasts where that does not change its name."""
    return event.subject if event.label not in ("enter", "leave", RENAMING) else name_after(event)


def has_looks(fact: Fact) -> bool:
    """Whether an event calls one subject by its colour and its shape."""
    name = name_of(fact.event) or ""
    return len(names_in(name)) == 1 and len(name.split()) == len(PLACES)


def word_of(task: str, fact: Fact) -> str:
    """The answer that the event which named a subject gives: its colour or its shape."""
    return (name_of(fact.event) or "").split()[PLACES[task]]
