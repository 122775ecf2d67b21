"""What the events of a video give at an instant, worked out anew from the events table alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import About, Annotation, Event
from datasets_build.core.topics import bounds_of, is_about
from datasets_build.truth.places import Places

_SCENE, _CHANGES, _SHOTS = About(kind="scene"), About(kind="changes"), About(kind="shots")


class Fact(NamedTuple):
    """An event with the instants that bound it, in the order in which events may begin."""

    early_ns: int
    done_ns: int
    id: str
    known_ns: int
    off_ns: int
    event: Event

    def is_on(self, t_ns: int) -> bool:
        """Whether it is certainly under way, and can be recognised."""
        return self.known_ns <= t_ns < self.off_ns


class Grounds:
    """A video's events by what a question may be about, and where things are, if boxes tell it."""

    def __init__(self, events: Iterable[Event], clock: FrameClock, boxes: Iterable[Annotation] = ()) -> None:
        bounds = ((event, bounds_of(event, clock)) for event in events)
        self._all = sorted(
            (Fact(at.early_ns, at.done_ns, event.id, at.known_ns, at.off_ns, event) for event, at in bounds),
            key=lambda fact: fact[:3],
        )
        self.clock, self.places = clock, Places(boxes)
        self.by_id = {fact.id: fact for fact in self._all}
        self._of: dict[About, list[Fact]] = {}

    def of(self, about: About) -> Sequence[Fact]:
        """The events of a class."""
        found = self._of.get(about)
        if found is None:
            found = self._of[about] = [fact for fact in self._all if is_about(about, fact.event)]
        return found

    @property
    def scene(self) -> Sequence[Fact]:
        """What words say happens."""
        return self.of(_SCENE)

    @property
    def changes(self) -> Sequence[Fact]:
        """Changes of shot, camera and light."""
        return self.of(_CHANGES)

    @property
    def shots(self) -> Sequence[Fact]:
        """New shots, the video's beginning among them."""
        return self.of(_SHOTS)


def busy(facts: Iterable[Fact], t_ns: int) -> bool:
    """Whether anything may be under way."""
    return any(fact.early_ns <= t_ns < fact.done_ns for fact in facts)


def unclear(facts: Iterable[Fact], t_ns: int) -> bool:
    """Whether anything may be under way without being certain or recognisable."""
    return any(fact.early_ns <= t_ns < fact.done_ns and not fact.is_on(t_ns) for fact in facts)


def done(facts: Iterable[Fact], t_ns: int) -> list[Fact]:
    """What is certainly over."""
    return [fact for fact in facts if fact.done_ns <= t_ns]


def last_done(facts: Iterable[Fact], t_ns: int) -> list[Fact]:
    """What was over last: several where they ended at once, none where something else may have ended later."""
    over = done(facts, t_ns)
    latest = max((fact.done_ns for fact in over), default=0)
    last = [fact for fact in over if fact.done_ns == latest]
    ends = min((fact.off_ns for fact in last), default=0)
    return last if all(fact.done_ns <= ends or fact.done_ns == latest for fact in over) else []


def coming(facts: Iterable[Fact], t_ns: int) -> list[Fact]:
    """What has certainly not begun, soonest first."""
    return [fact for fact in facts if fact.early_ns > t_ns]


def next_early(facts: Iterable[Fact], t_ns: int) -> int | None:
    """The first instant after `t_ns` at which something may begin."""
    return next((fact.early_ns for fact in coming(facts, t_ns)), None)


def first(instants: Iterable[int | None]) -> int | None:
    """The earliest of some instants, None where there is none."""
    return min((t for t in instants if t is not None), default=None)
