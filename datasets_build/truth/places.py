"""Where something is in the picture: in which quarter, as its boxes say, and until when that is so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Annotation
from datasets_build.core.topics import named

PLACES = ("top left", "top right", "bottom left", "bottom right")
"""The quarters of the picture."""
_SIDES = 4
# What reaches out of the picture by less than a pixel of most pictures is in it.
_TOUCH = 0.001


class Stay(NamedTuple):
    """Something is in one quarter, all of it, for a span; None where it is in more than one. `box_id` tells of it."""

    start_ns: int
    end_ns: int
    place: str | None
    box_id: str = ""


class Places:
    """Where the subjects of a video are, by what they are called."""

    def __init__(self, boxes: Iterable[Annotation]) -> None:
        self._rows: defaultdict[str, list[Stay]] = defaultdict(list)
        for row in boxes:
            if row.kind == "box" and row.subject and row.end_ns > row.start_ns:
                self._rows[_key(row.subject)].append(Stay(row.start_ns, row.end_ns, quarter(row.text), row.id))
        for rows in self._rows.values():
            rows.sort(key=lambda stay: (stay.start_ns, stay.end_ns))
        self._since = {key: _since(rows) for key, rows in self._rows.items()}

    def __bool__(self) -> bool:
        """Whether any box is told."""
        return bool(self._rows)

    def of(self, subject: str, t_ns: int) -> Stay | None:
        """The quarter that something is in at an instant, since and until when; None where nobody can tell."""
        rows = self._rows.get(_key(subject), [])
        here = [k for k, stay in enumerate(rows) if stay.start_ns <= t_ns < stay.end_ns]
        # Two of one name are two things.
        if len(here) != 1 or rows[here[0]].place is None:
            return None
        (k,) = here
        others = [stay.end_ns for stay in rows[k + 1 :] if stay.end_ns <= t_ns]
        since = max([self._since[_key(subject)][k], *others])
        return rows[k]._replace(start_ns=since, end_ns=_until(rows[k], rows))

    def seen(self, subject: str, t_ns: int, clock: FrameClock) -> Stay | None:
        """`of` on the frame grid; None too where the frame at that instant is the first that shows it."""
        stay = self.of(subject, t_ns)
        if stay is None:
            return None
        found = stay._replace(start_ns=clock.snap_up(stay.start_ns), end_ns=clock.snap_up(stay.end_ns))
        return found if found.start_ns < t_ns else None


def _since(rows: Sequence[Stay]) -> list[int]:
    """Since when each of some stays in order goes on without a gap in one quarter, nothing else of its name beside."""
    found: list[int] = []
    over = alone = 0
    for k, stay in enumerate(rows):
        follows = k > 0 and over == rows[k - 1].end_ns == stay.start_ns and rows[k - 1].place == stay.place
        # The one before has to be the only one that lasts until then.
        found.append(found[-1] if follows and alone < over else max(stay.start_ns, over))
        alone, over = over, max(over, stay.end_ns)
    return found


def _until(here: Stay, rows: Sequence[Stay]) -> int:
    """When something leaves its quarter, is not told of any more, or is no longer the only one of its name."""
    end_ns = here.end_ns
    for stay in rows:
        if stay == here or stay.end_ns <= here.start_ns:
            continue
        if stay.start_ns < end_ns:
            return stay.start_ns
        if stay.start_ns > end_ns or stay.place != here.place:
            return end_ns
        end_ns = stay.end_ns
    return end_ns


def _key(subject: str) -> str:
    return named(subject).casefold()


def shares_of(text: str) -> tuple[float, float, float, float] | None:
    """A box in the picture, `left top width height` as shares of its sides from 0 to 1; None where it is none."""
    try:
        shares = [float(word) for word in text.split()]
    except ValueError:
        return None
    if len(shares) != _SIDES:
        return None
    left, top, width, height = shares
    corners = (left, top, left + width, top + height)
    is_inside = all(-_TOUCH <= corner <= 1 + _TOUCH for corner in corners)
    return (left, top, width, height) if is_inside and width > 0 and height > 0 else None


def quarter(text: str) -> str | None:
    """The quarter of the picture that holds all of a box, `left top width height` as shares; None where none does."""
    shares = shares_of(text)
    if shares is None:
        return None
    left, top, width, height = shares
    across = "left" if left + width <= 1 / 2 else "right" if left >= 1 / 2 else None
    down = "top" if top + height <= 1 / 2 else "bottom" if top >= 1 / 2 else None
    return f"{down} {across}" if down and across else None


def place_sentence(subject: str, place: str) -> str:
    """That something is somewhere, as a sentence."""
    who = named(subject)
    return f"{who[:1].upper()}{who[1:]} is at the {place}."
