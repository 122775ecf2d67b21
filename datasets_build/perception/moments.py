"""Moments at which something happens: they wait until it is known which of them are worth a picture."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.clip import Picture
from datasets_build.video import ScanFrame

Reason = Literal["first", "change", "gap"]
# No more decoded frames than these wait.
_MOST = 8
# A moment shows so much more than another of the same worth when its change is so many times as large.
_LARGER = 3.0
# A picture shows what happens within half a second of it as well.
_CLOSE_NS = NS_PER_S // 2


class Worth(IntEnum):
    """How much a picture of a moment tells that pictures of other moments do not."""

    LITTLE = 0
    """Something goes on moving, or a better moment is close by."""
    SOME = 1
    """Something begins to move, which is seen again where it stops; a shot begins; nothing has happened for long."""
    MORE = 2
    """What has come in over the edge comes to rest: it was seen as it came."""
    MUCH = 3
    """Something comes in over the edge, or what was in the picture comes to rest, or has changed."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A frame with its thumbnail `(9, 16, 3) uint8`, in the so many-th shot.

    `amount` 0..1 is the change since the moment before, `must_differ` how far it must differ from the last picture.
    """

    frame: ScanFrame
    thumb: Picture
    reason: Reason
    worth: Worth
    shot: int
    amount: float
    must_differ: float = 0.0

    @property
    def t_ns(self) -> int:
        """When the frame is shown."""
        return self.frame.t_ns


class Waiting:
    """The moments on which nothing is decided yet, in the order of time."""

    def __init__(self) -> None:
        self._moments: list[Moment] = []

    def __len__(self) -> int:
        return len(self._moments)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    @property
    def oldest(self) -> Moment:
        """The earliest moment. Raises IndexError where none waits."""
        return self._moments[0]

    def pop(self) -> Moment:
        """Take the earliest moment out. Raises IndexError where none waits."""
        return self._moments.pop(0)

    def add(self, moment: Moment, *, apart_ns: int) -> None:
        """Have one more wait. Of those of a shot within `apart_ns` one stays, and of too many the most worthy."""
        if moment.reason != "first":
            near = [each for each in self._moments if each.shot == moment.shot]
            near = [each for each in near if abs(each.t_ns - moment.t_ns) <= apart_ns]
            self._moments = [each for each in self._moments if each not in near]
            moment = max([*near, moment], key=lambda each: (each.worth, -each.t_ns))
        insort(self._moments, moment, key=lambda each: each.t_ns)
        if len(self._moments) > _MOST:
            self._moments.remove(min(self._moments, key=lambda each: (each.worth, each.t_ns)))

    def shows(self, shot: int) -> bool:
        """Whether a moment of much worth will show this shot."""
        return any(each.shot == shot and each.worth == Worth.MUCH for each in self._moments)

    def worth(self, moment: Moment, *, since_ns: int) -> Worth:
        """A moment's worth `since_ns` after the last picture, next to what comes after it."""
        shown = any(each.worth > moment.worth and each.t_ns - moment.t_ns < _CLOSE_NS for each in self._moments)
        return Worth.LITTLE if shown or since_ns < _CLOSE_NS else moment.worth

    def better(self, moment: Moment, worth: Worth) -> int:
        """How many are worth more than a moment of such worth, or as much while far more changes in them."""
        larger = _LARGER * moment.amount
        return sum(each.worth > worth or (each.worth == worth and each.amount > larger) for each in self._moments)
