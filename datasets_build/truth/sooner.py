"""What was over before something else began: the one definition that builders follow and checks prove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from datasets_build.core.records import Event
from datasets_build.core.topics import names_in

ORDERED = 3
"""How many events a question about their order asks after."""


class Bounded(Protocol):
    """An event with the instants between which it certainly is, or is not, under way."""

    @property
    def early_ns(self) -> int:
        """Before it has certainly not begun."""

    @property
    def known_ns(self) -> int:
        """From then on it can be told."""

    @property
    def off_ns(self) -> int:
        """Until then it certainly lasts."""

    @property
    def done_ns(self) -> int:
        """From then on it is certainly over."""

    @property
    def event(self) -> Event:
        """What happens."""


B = TypeVar("B", bound=Bounded)


def is_before(one: Bounded, then: Bounded) -> bool:
    """Whether something was certainly over when something else began; of two at one instant neither is."""
    return one.early_ns < then.early_ns and one.done_ns <= then.early_ns


def last_in_order(over: Iterable[B]) -> list[B]:
    """The last three of what is over, each before the next and all else before them; none where that is not so."""
    sooner = sorted(over, key=lambda item: (item.done_ns, item.early_ns))
    last, rest = sooner[-ORDERED:], sooner[:-ORDERED]
    plain = all(is_before(one, then) for one, then in pairwise(last))
    return last if len(last) == ORDERED and plain and all(is_before(item, last[0]) for item in rest) else []


def last_before(told: Sequence[B], marker: B) -> list[B]:
    """What was over last when something began; none where more may have been going on or have ended later.

    What begins with it and is done by the same subject belongs to it: something that enters also moves.
    """
    others = [item for item in told if item.event.id != marker.event.id and not _belongs(item, marker)]
    over = [item for item in others if is_before(item, marker)]
    if any(item.early_ns <= marker.known_ns and not is_before(item, marker) for item in others):
        return []
    latest = max((item.done_ns for item in over), default=0)
    last = [item for item in over if item.done_ns == latest]
    ends = min((item.off_ns for item in last), default=0)
    return [] if any(ends < item.done_ns < latest for item in over) else last


def _belongs(item: Bounded, marker: Bounded) -> bool:
    begins_with = marker.early_ns <= item.early_ns <= marker.known_ns
    return begins_with and bool({*names_in(item.event.subject)} & {*names_in(marker.event.subject)})
