"""Events as questions meet them: each with the instants that bound it, and runs of them in order of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datasets_build.core.records import Event, Evidence
from datasets_build.core.topics import Domain
from datasets_build.teachers.teacher import Happening, Topic


@dataclass(frozen=True, slots=True)
class Told:
    """An event with the instants that bound it; without a topic it may not be spoken of, but it still happens."""

    event: Event
    happening: Happening
    topic: Topic | None
    domain: Domain
    early_ns: int
    known_ns: int
    off_ns: int
    done_ns: int

    def evidence(
        self, end_ns: int | None = None, *, role: Literal["necessary", "sufficient"] = "necessary"
    ) -> Evidence:
        """The event as evidence: from its start to an instant, or until it is over."""
        end = self.done_ns if end_ns is None else end_ns
        return Evidence(start_ns=self.event.start_ns, end_ns=end, event_id=self.event.id, role=role)


class Track:
    """Events of one kind, sorted by when they may begin, and what is true of them at an instant."""

    def __init__(self, told: Iterable[Told]) -> None:
        self.told = sorted(told, key=lambda item: (item.early_ns, item.done_ns, item.event.id))
        self._early, self._known, self._off, self._done = (
            np.array([getattr(item, name) for item in self.told], np.int64)
            for name in ("early_ns", "known_ns", "off_ns", "done_ns")
        )

    def __len__(self) -> int:
        return len(self.told)

    def on(self, t_ns: int) -> list[Told]:
        """What is certainly under way, and can be recognised."""
        return [self.told[k] for k in np.flatnonzero((self._known <= t_ns) & (t_ns < self._off))]

    def busy(self, t_ns: int) -> bool:
        """Whether anything may be under way."""
        return bool(np.any((self._early <= t_ns) & (t_ns < self._done)))

    def unclear(self, t_ns: int) -> bool:
        """Whether anything may be under way without being certain or recognisable."""
        may = (self._early <= t_ns) & (t_ns < self._done)
        return bool(np.any(may & ~((self._known <= t_ns) & (t_ns < self._off))))

    def begun(self, t_ns: int) -> int:
        """How many may have begun."""
        return int(np.searchsorted(self._early, t_ns, side="right"))

    def done(self, t_ns: int) -> list[Told]:
        """What is certainly over."""
        return [self.told[k] for k in np.flatnonzero(self._done <= t_ns)]

    def last_done(self, t_ns: int) -> list[Told]:
        """What was over last: several where they ended at once, none where nothing was over."""
        over = np.flatnonzero(self._done <= t_ns)
        return [self.told[k] for k in over if self._done[k] == self._done[over].max()]

    def surely_last(self, t_ns: int) -> list[Told]:
        """`last_done`, none where something else may have ended later."""
        last = self.last_done(t_ns)
        ends = min((item.off_ns for item in last), default=0)
        return last if all(item.done_ns <= ends or item in last for item in self.done(t_ns)) else []

    def next_early(self, t_ns: int) -> int | None:
        """The first instant after `t_ns` at which something may begin."""
        k = self.begun(t_ns)
        return int(self._early[k]) if k < len(self.told) else None

    def after(self, t_ns: int) -> list[Told]:
        """What has certainly not begun, soonest first."""
        return self.told[self.begun(t_ns) :]


def is_form(item: Told) -> bool:
    """Whether an event can be named by grammar, which says no more than its onset shows."""
    return item.topic is not None and item.topic.manner == "form"
