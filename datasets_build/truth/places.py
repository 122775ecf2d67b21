"""Where something is in the picture: in which quarter, as its boxes say, and until when that is so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datasets_build.core.records import Annotation
from datasets_build.core.topics import named

PLACES = ("top left", "top right", "bottom left", "bottom right")
"""The quarters of the picture."""
_SIDES = 4


class Stay(NamedTuple):
    """Something is in one quarter, all of it, for a span; None where it is in more than one."""

    start_ns: int
    end_ns: int
    place: str | None


class Places:
    """Where the subjects of a video are, by what they are called."""

    def __init__(self, boxes: Iterable[Annotation]) -> None:
        self._rows: defaultdict[str, list[Stay]] = defaultdict(list)
        for row in boxes:
            if row.kind == "box" and row.subject and row.end_ns > row.start_ns:
                self._rows[_key(row.subject)].append(Stay(row.start_ns, row.end_ns, quarter(row.text)))
        for rows in self._rows.values():
            rows.sort(key=lambda stay: (stay.start_ns, stay.end_ns))

    def __bool__(self) -> bool:
        """Whether any box is told."""
        return bool(self._rows)

    def of(self, subject: str, t_ns: int) -> Stay | None:
        """The quarter that something is in at an instant, and until when; None where nobody can tell."""
        rows = self._rows.get(_key(subject), [])
        here = [stay for stay in rows if stay.start_ns <= t_ns < stay.end_ns]
        # Two of one name are two things.
        if len(here) != 1 or here[0].place is None:
            return None
        return Stay(here[0].start_ns, _until(here[0], rows), here[0].place)


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


def quarter(text: str) -> str | None:
    """The quarter of the picture that holds all of a box, `left top width height` as shares; None where none does."""
    try:
        shares = [float(word) for word in text.split()]
    except ValueError:
        return None
    if len(shares) != _SIDES or min(shares[2:]) <= 0:
        return None
    left, top, width, height = shares
    across = "left" if left + width <= 1 / 2 else "right" if left >= 1 / 2 else None
    down = "top" if top + height <= 1 / 2 else "bottom" if top >= 1 / 2 else None
    return f"{down} {across}" if down and across else None


def place_sentence(subject: str, place: str) -> str:
    """That something is somewhere, as a sentence."""
    who = named(subject)
    return f"{who[:1].upper()}{who[1:]} is at the {place}."
