"""Boxes around tracked things: annotations of kind `box`, where they are under looks, and what they cover.

The text of such an annotation is `"left top width height"` as shares of the upright picture, from 0 to 1, `subject`
names the thing, and the span says when it is there. Many of them with one subject are a track.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from augment.errors import AugmentError
from datasets_build.core.augmentation import Look
from datasets_build.core.records import Annotation, Event
from datasets_build.core.topics import domain_of, named, names_in

KIND = "box"
_DIGITS = 6
# A box this close to an edge of the picture touches it: less than a pixel of most pictures.
_TOUCH = 0.001
_CROSSING = frozenset({"enter", "leave"})
_EXPECTED = 'expected text "left top width height" as shares of the picture, 0 to 1, such as "0.1 0.2 0.25 0.5"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in shares of the picture's sides."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise AugmentError(f"a box: found {self}, expected corners in order from 0 to 1")

    @property
    def text(self) -> str:
        """As an annotation has it."""
        values = (self.left, self.top, self.right - self.left, self.bottom - self.top)
        return " ".join(f"{round(value, _DIGITS):g}" for value in values)


def box_of(row: Annotation) -> Box:
    """The box of an annotation; what reaches out of the picture by less than a pixel is cut.

    Raises:
        AugmentError: its text is no box.
    """
    try:
        left, top, width, height = map(float, row.text.split())
    except ValueError:
        raise AugmentError(f"box annotation {row.id}: found text {row.text!r}, {_EXPECTED}") from None
    reach = (left, top, left + width, top + height)
    if not (all(-_TOUCH <= value <= 1 + _TOUCH for value in reach) and width > 0 and height > 0):
        raise AugmentError(f"box annotation {row.id}: found text {row.text!r}, {_EXPECTED}")
    first, second, third, fourth = (min(max(value, 0.0), 1.0) for value in reach)
    if first >= third or second >= fourth:
        raise AugmentError(f"box annotation {row.id}: found text {row.text!r} outside the picture, {_EXPECTED}")
    return Box(left=first, top=second, right=third, bottom=fourth)


def hull(boxes: Iterable[Box]) -> Box:
    """The smallest box around some, which keeps each edge of the picture that one of them touches."""
    found = list(boxes)
    left, top = min(box.left for box in found), min(box.top for box in found)
    right, bottom = max(box.right for box in found), max(box.bottom for box in found)
    return Box(
        left=0.0 if left <= _TOUCH else left,
        top=0.0 if top <= _TOUCH else top,
        right=1.0 if right >= 1 - _TOUCH else right,
        bottom=1.0 if bottom >= 1 - _TOUCH else bottom,
    )


def box_under(box: Box, looks: Sequence[Look]) -> Box | None:
    """Where a box is under looks: None where it wanders from frame to frame, or outside the picture."""
    found: Box | None = box
    for look in looks:
        if found is None or look.kind in ("shake", "shake_zoom"):
            return None
        if look.kind in ("letterbox", "window"):
            found = _laid(found, look)
    return found


def _laid(box: Box, look: Look) -> Box | None:
    """The box in a picture that is laid into a larger one, or of which a part is left."""
    inside = look.kind == "letterbox"
    width, height = look.value("width"), look.value("height")
    across = look.value("inner_width" if inside else "outer_width")
    down = look.value("inner_height" if inside else "outer_height")
    sign = 1 if inside else -1
    left, right = ((x * across + sign * look.value("left")) / width for x in (box.left, box.right))
    top, bottom = ((y * down + sign * look.value("top")) / height for y in (box.top, box.bottom))
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in (left, top, right, bottom))
    return Box(left=left, top=top, right=right, bottom=bottom) if left < right and top < bottom else None


def row_under(row: Annotation, looks: Sequence[Look]) -> Annotation | None:
    """An annotation under looks: a box is moved, all else is as it is; None where its place cannot be told.

    Raises:
        AugmentError: it is a box whose text is none.
    """
    if row.kind != KIND or not looks:
        return row
    found = box_under(box_of(row), looks)
    return None if found is None else row.model_copy(update={"text": found.text})


def tracked(video: str, rows: Iterable[Annotation], events: Iterable[Event]) -> list[Box]:
    """The boxes of a video.

    Args:
        video: what it is called, for people.
        rows: its annotations.
        events: what happens in it; whoever takes part in one has a box while it lasts.

    Raises:
        AugmentError: it has none, one is no box, a subject of an event has none, or one that comes in or goes out has
            none at an edge.
    """
    found = [(row, box_of(row)) for row in rows if row.kind == KIND]
    if not found:
        raise AugmentError(
            f"{video}: has no tracked boxes, which window needs; add annotations of kind box, or take window out"
        )
    by_name: defaultdict[str, list[tuple[Annotation, Box]]] = defaultdict(list)
    for row, box in found:
        by_name[named(row.subject or "nobody").casefold()].append((row, box))
    for event in events:
        for name in names_in(event.subject) if domain_of(event) == "scene" else ():
            there = [box for row, box in by_name[named(name).casefold()] if _meet(row, event)]
            lacks = "box" if not there else "box at an edge" if _crosses(event, there) else ""
            if lacks:
                raise AugmentError(
                    f"{video}: event {event.id} ({event.caption!r}) names {name!r}, for which there is no {lacks} "
                    f"between {event.start_ns} and {event.end_ns} ns; add it, or take window out"
                )
    return [box for _, box in found]


def _meet(row: Annotation, event: Event) -> bool:
    return row.start_ns <= event.end_ns and event.start_ns <= row.end_ns


def _crosses(event: Event, boxes: Sequence[Box]) -> bool:
    """Whether something crosses the edge of the picture without a box that touches it: who knows which edge to keep."""
    return event.label in _CROSSING and not any(
        min(box.left, box.top) <= _TOUCH or max(box.right, box.bottom) >= 1 - _TOUCH for box in boxes
    )
