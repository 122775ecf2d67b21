"""What of an instant is seen in a piece of a view: its frames stand for moments, and between them nothing is seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from augment.view import Piece, View
from datasets_build.core.clock import NS_PER_S, Int64s
from datasets_build.core.records import Event
from datasets_build.core.topics import ACTS, NEW_SHOT, PICTURE_SET, domain_of, name_after, names_in

LATE_NS = NS_PER_S // 5
"""What lasted no longer than an instant has been missed where the next frame is from later than this."""
RESTS = "stop"
TURNS = "change_colour"


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """The frames of one piece.

    Attributes:
        piece: which it is of.
        on_ns: int64 (n,), the instants of the source at which they come on.
        shown_ns: int64 (n,), when they are shown in the view.
        end_ns: when the next piece begins in the view, or the view ends.
    """

    piece: Piece
    on_ns: Int64s
    shown_ns: Int64s
    end_ns: int

    def next_from(self, t_ns: int) -> int:
        """The first frame that comes on at or after an instant of the source; their number where none does."""
        return int(np.searchsorted(self.on_ns, t_ns, side="left"))

    def shown_at(self, frame: int) -> int:
        """When a frame is shown; the end of the piece where it has no more."""
        return int(self.shown_ns[frame]) if frame < len(self.shown_ns) else self.end_ns

    def rest_at(self, t_ns: int) -> int:
        """The frame at which a viewer sees that something rests since an instant: the second one that shows it there.

        It is the frame of that instant where the source's frame before it is shown.
        """
        before = self.piece.clock.index_at(t_ns) - 1
        return self.next_from(self.piece.clock.time_of(max(0, before))) + 1


def strips_of(view: View) -> list[Strip]:
    """The strip of each piece of a view."""
    borders = np.searchsorted(view.piece_of, np.arange(len(view.pieces) + 1)).tolist()
    return [
        Strip(piece, view.on_of[first:stop], view.clock.t_ns[first:stop], view.clock.time_of(stop))
        for piece, (first, stop) in zip(view.pieces, pairwise(borders), strict=True)
    ]


class Told:
    """The events of a source, by what has to be known of them beside their spans."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = tuple(events)
        self._shots = [event for event in self.events if is_new_shot(event)]
        self._acts: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.label in ACTS and event.label_set != PICTURE_SET:
                for name in {*names_in(event.subject), name_after(event) or ""} - {""}:
                    self._acts[name].append(event)

    def acts(self, names: Sequence[str]) -> list[Event]:
        """What subjects of these names do or become."""
        return [event for name in names for event in self._acts.get(name, ())]

    def new_shot(self, after_ns: int, until_ns: int) -> bool:
        """Whether the shot changes after an instant and by another."""
        return any(event.start_ns <= until_ns and event.end_ns > after_ns for event in self._shots)

    def shot_of(self, t_ns: int) -> int:
        """When the shot at an instant began."""
        return max((event.end_ns for event in self._shots if event.end_ns <= t_ns), default=0)

    def ending(self, stop: Event) -> Event | None:
        """The move that a stop ends."""
        return next(
            (e for e in self.acts([stop.subject or ""]) if e.label == "move" and e.end_ns == stop.start_ns), None
        )

    def stop_of(self, move: Event) -> Event | None:
        """The stop that ends a move; None where it goes on until nothing is seen of it."""
        return next(
            (e for e in self.acts([move.subject or ""]) if e.label == RESTS and e.start_ns == move.end_ns), None
        )


def is_new_shot(event: Event) -> bool:
    """Whether a shot begins with it, other than the first."""
    return event.label_set == PICTURE_SET and event.label in NEW_SHOT and event.label != "video_start"


def seen_at(strip: Strip, event: Event, told: Told) -> int | None:
    """When a piece that runs forwards shows that an instant has been, by frame; None where it does not.

    What begins is seen against what was before, so a frame before it is needed; a colour stays and a rest does until
    something else happens, and of what is over at once nothing is seen later (`LATE_NS`).
    """
    at_ns, frame = event.start_ns, strip.next_from(event.start_ns)
    if is_new_shot(event) or domain_of(event) == "spoken":
        return frame
    act = event.label in ACTS and event.label_set != PICTURE_SET
    if act and not frame and at_ns:
        return None
    if act and event.label == RESTS:
        return _rest(strip, event, told)
    if frame >= len(strip.on_ns):
        return None
    before_ns, on_ns = int(strip.on_ns[max(0, frame - 1)]), int(strip.on_ns[frame])
    if act and event.label == TURNS:
        return None if _looks_otherwise(event, told, before_ns, on_ns) else frame
    return frame if on_ns - at_ns <= LATE_NS and not (act and told.new_shot(before_ns, on_ns)) else None


def _rest(strip: Strip, event: Event, told: Told) -> int | None:
    """The frame at which it is seen to rest; None where it goes on by then, or where it was not seen to move."""
    frame, move = strip.rest_at(event.start_ns), told.ending(event)
    if frame >= len(strip.on_ns):
        return None
    if move is not None and strip.next_from(move.start_ns) >= strip.next_from(move.end_ns):
        return None
    on_ns = int(strip.on_ns[frame])
    goes_on = any(
        other.subject == event.subject and event.start_ns < other.start_ns <= on_ns and other.label != RESTS
        for other in told.acts([event.subject or ""])
    )
    return None if goes_on or told.new_shot(event.start_ns, on_ns) else frame


def _looks_otherwise(event: Event, told: Told, before_ns: int, on_ns: int) -> bool:
    """Whether one of two frames around a change of colour shows no subject, or one of another colour still."""
    if told.new_shot(before_ns, on_ns):
        return True
    for other in told.acts([event.subject or "", name_after(event) or ""]):
        at_ns = other.end_ns if other.label == "leave" else other.start_ns
        if other.id != event.id and other.label in ("enter", "leave", TURNS) and before_ns < at_ns <= on_ns:
            return True
    return False
