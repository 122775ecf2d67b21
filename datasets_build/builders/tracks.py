"""Events as questions meet them: each with the instants that bound it, and runs of them in order of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

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
        # Plain lists: most tracks hold a few events, and a call of numpy costs more than a walk over them.
        self._early = [item.early_ns for item in self.told]
        self._all_done = list(accumulate((item.done_ns for item in self.told), max))

    def __len__(self) -> int:
        return len(self.told)

    def on(self, t_ns: int) -> list[Told]:
        """What is certainly under way, and can be recognised."""
        return [item for item in self.told if item.known_ns <= t_ns < item.off_ns]

    def busy(self, t_ns: int) -> bool:
        """Whether anything may be under way."""
        begun = self.begun(t_ns)
        return begun > 0 and t_ns < self._all_done[begun - 1]

    def unclear(self, t_ns: int) -> bool:
        """Whether anything may be under way without being certain or recognisable."""
        may = (item for item in self.told[: self.begun(t_ns)] if t_ns < item.done_ns)
        return any(not item.known_ns <= t_ns < item.off_ns for item in may)

    def begun(self, t_ns: int) -> int:
        """How many may have begun."""
        return bisect_right(self._early, t_ns)

    def done(self, t_ns: int) -> list[Told]:
        """What is certainly over."""
        return [item for item in self.told if item.done_ns <= t_ns]

    def last_done(self, t_ns: int) -> list[Told]:
        """What was over last: several where they ended at once, none where nothing was over."""
        over = self.done(t_ns)
        latest = max((item.done_ns for item in over), default=0)
        return [item for item in over if item.done_ns == latest]

    def surely_last(self, t_ns: int) -> list[Told]:
        """`last_done`, none where something else may have ended later."""
        over = self.done(t_ns)
        latest = max((item.done_ns for item in over), default=0)
        last = [item for item in over if item.done_ns == latest]
        ends = min((item.off_ns for item in last), default=0)
        return last if all(item.done_ns <= ends or item.done_ns == latest for item in over) else []

    def next_early(self, t_ns: int) -> int | None:
        """The first instant after `t_ns` at which something may begin."""
        k = self.begun(t_ns)
        return self._early[k] if k < len(self.told) else None

    def after(self, t_ns: int) -> list[Told]:
        """What has certainly not begun, soonest first."""
        return self.told[self.begun(t_ns) :]


def is_form(item: Told) -> bool:
    """Whether an event can be named by grammar, which says no more than its onset shows."""
    return item.topic is not None and item.topic.manner == "form"
