"""Where an event of a parent may lie in an augmented video: worked out from one piece's map and its shown frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Event
from datasets_build.core.topics import NEW_SHOT, PICTURE_SET

_MIRRORED = {
    "pan_left": "pan_right",
    "tilt_up": "tilt_down",
    "zoom_in": "zoom_out",
    "light_up": "light_down",
}
_BACKWARDS = _MIRRORED | {there: here for here, there in _MIRRORED.items()}
_SAME_BACKWARDS = frozenset({"shot_start", "fade", "dissolve", "still", "motion_burst", "black"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moved:
    """A piece of an augmented video.

    Attributes:
        to_video: where an instant of the parent's stretch goes.
        clock: of the video.
        parent: the clock of the parent.
        stretch: of the parent that is shown.
        is_reversed: whether it runs backwards.
        on_ns: when the shown frames come on in the parent.
        own_ns: the shown frames' own times there.
        begin_ns, end_ns: of the piece in the video.
    """

    to_video: Callable[[int | Fraction], int]
    clock: FrameClock
    parent: FrameClock
    stretch: tuple[Fraction, Fraction]
    is_reversed: bool
    on_ns: Sequence[int]
    own_ns: Sequence[int]
    begin_ns: int
    end_ns: int

    def at(self, t_ns: int) -> int:
        """The first frame that shows what lies behind an instant of the parent, the piece's end where none does.

        Backwards that is what came before it.
        """
        if self.is_reversed:
            return self._shown(bisect_left(self.own_ns, True, key=lambda own: own < t_ns))
        return self._shown(bisect_left(self.own_ns, t_ns))

    def comes(self, t_ns: int) -> int:
        """The first frame that comes on at or behind an instant of the parent, the piece's end where none does."""
        if self.is_reversed:
            return self._shown(bisect_left(self.on_ns, True, key=lambda on: on <= t_ns))
        return self._shown(bisect_left(self.on_ns, t_ns))

    def _shown(self, place: int) -> int:
        first = int(np.searchsorted(self.clock.t_ns, self.begin_ns, side="left"))
        return self.clock.time_of(first + place) if place < len(self.on_ns) else self.end_ns

    def rest(self, t_ns: int) -> int:
        """The second frame that shows what the parent shows since an instant: the one at which it is seen to rest."""
        before = self.parent.time_of(max(0, self.parent.index_at(t_ns) - 1))
        return self._shown(bisect_left(self.on_ns, before) + 1)


def expected_spans(event: Event, told: Sequence[Event], piece: Moved) -> Iterator[Event]:
    """What an event of a parent looks like in a piece, as early as it may be known; nothing where it is not there.

    Args:
        event: of the parent.
        told: all events of the parent.
        piece: of the video.
    """
    low, high = piece.stretch
    picture = event.label_set == PICTURE_SET
    if piece.is_reversed and not (picture and (event.label in _BACKWARDS or event.label in _SAME_BACKWARDS)):
        return
    outside = event.start_ns >= high or event.end_ns < low or (event.end_ns == low and not event.is_point)
    if outside and not (piece.is_reversed and event.is_point and event.start_ns == high):
        return
    ends = [piece.at(event.start_ns), piece.at(event.end_ns)]
    start, end = ends[::-1] if piece.is_reversed else ends
    label = _BACKWARDS.get(event.label, event.label) if piece.is_reversed else event.label
    if not piece.is_reversed:
        start, end = _resting(event, told, piece, (start, end))
    if start == end and not event.is_point:
        # Nothing is shown of it but, of a new shot, that it is there.
        if picture and event.label in NEW_SHOT and end < piece.end_ns:
            yield _at(event, "shot_start", end, end)
        return
    if start < piece.end_ns:
        yield _at(event, label, start, end, known=start if event.is_point else _known(event, piece, start, end))


def _resting(event: Event, told: Sequence[Event], piece: Moved, ends: tuple[int, int]) -> tuple[int, int]:
    """A movement ends, and a stop is, where it is seen to rest; a movement whose end is not shown is cut."""
    if event.label_set == PICTURE_SET or event.label not in ("move", "stop"):
        return ends
    if event.label == "stop" and not event.is_point:
        return ends
    if event.label == "stop":
        at = piece.rest(event.start_ns)
        return at, at
    stops = any(e.label == "stop" and e.subject == event.subject and e.start_ns == event.end_ns for e in told)
    if not stops or event.end_ns > piece.stretch[1] or ends[0] == ends[1]:
        return ends
    return ends[0], piece.rest(event.end_ns)


def _known(event: Event, piece: Moved, start: int, end: int) -> int:
    """The earliest instant at which it can be known: when so much of it is shown as was needed."""
    if piece.is_reversed:
        return start
    needed = event.known_from_ns - event.start_ns
    begin = max(Fraction(event.start_ns), piece.stretch[0])
    if begin + needed > min(Fraction(event.end_ns), piece.stretch[1]):
        return end
    return min(end, piece.at(int(begin + needed)))


def _at(event: Event, label: str, start: int, end: int, *, known: int | None = None) -> Event:
    changed = {"label": label, "start_ns": start, "end_ns": end, "known_from_ns": start if known is None else known}
    return event.model_copy(update=changed)
