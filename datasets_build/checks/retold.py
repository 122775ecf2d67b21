"""Words and boxes of an augmented video against those of its parent: what may have changed, and into what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from datasets_build.checks.laws import Breach
from datasets_build.core.augmentation import Look

_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORTH = {word: Fraction(number) for number, word in enumerate(_COUNTED, start=1)}
_WORTH |= {"half a": Fraction(1, 2), "half an": Fraction(1, 2), "twenty": Fraction(20), "thirty": Fraction(30)}
_SAID = re.compile(
    rf"\b({'|'.join(sorted(_WORTH, key=len, reverse=True))}|\d+(?:[.,]\d+)?)(\s+|-)?"
    r"(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|hours?|hrs?)\b",
    re.IGNORECASE,
)
# More than what speaks of time: whoever asks is then careful.
_PERHAPS = re.compile(
    r"\d|\b(?:half|seconds?|minutes?|hours?|moment|while|times?|once|twice|thrice|again|repeatedly|already|so far"
    r"|fast\w*|slow\w*|quick\w*|rapid\w*|swift\w*|brief\w*|sudden\w*|gradual\w*|instant\w*|immediate\w*|short\w*"
    r"|long\w*|abrupt\w*|speed|motion|time-?lapse|beginning|start|end|middle|rest|halfway|finally|last"
    rf"|{'|'.join(_COUNTED)}|twenty|thirty)\b",
    re.IGNORECASE,
)
# What people call five seconds may be a little more or less.
_SAME = Fraction(1, 50)
_ROUNDED = Fraction(51, 10_000)
_NEAR = 2e-5


def may_speak_of_time(text: str) -> bool:
    """Whether a text might say how long, how fast, how often or where in the video something is."""
    return _PERHAPS.search(text) is not None


def words_breaches(name: str, found: str, parent: str, scale: Fraction | None) -> Iterator[Breach]:
    """Where a text is not that of its parent, with lengths of time as long as they now are.

    Args:
        name: of the field, for people.
        found: in the augmented video.
        parent: what it was made of.
        scale: how much longer what it tells of lasts now; None: nobody knows, so lengths may be any.
    """
    if found == parent and (scale is None or abs(scale - 1) <= _SAME or not _SAID.search(parent)):
        return
    same = scale is not None and abs(scale - 1) <= _SAME
    if same or _bare(found) != _bare(parent):
        yield Breach(f"{name} {found!r}", f"{parent!r}")
        return
    pairs = zip(_SAID.finditer(found), _SAID.finditer(parent), strict=True)
    wanted = [(_worth(old) * (scale or 0), _worth(new)) for new, old in pairs]
    wrong = [due for due, said in wanted if scale is not None and abs(due - said) > _ROUNDED]
    if wrong:
        yield Breach(f"{name} {found!r}", f"{parent!r}, and {float(wrong[0]):.2f} of it, as long as it lasts now")


def _bare(text: str) -> str:
    """A text without the lengths that it names."""
    return _SAID.sub(lambda said: f"<{said[3].casefold().removesuffix('s')}>", text)


def _worth(said: re.Match[str]) -> Fraction:
    number = said[1].casefold()
    return _WORTH[number] if number in _WORTH else Fraction(number.replace(",", "."))


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def wanders(looks: Sequence[Look]) -> bool:
    """Whether looks move the picture from frame to frame."""
    return any(look.kind in ("shake", "shake_zoom") for look in looks)


def box_under(text: str, looks: Sequence[Look]) -> tuple[float, ...] | None:
    """Where a box is under looks that stay: left, top, width, height as shares; None where nothing of it is left."""
    left, top, width, height = map(float, text.split())
    box = _cut(_Box(left, top, left + width, top + height))
    for look in looks:
        if look.kind in ("letterbox", "window"):
            into = look.kind == "letterbox"
            name, sign = ("inner", 1) if into else ("outer", -1)
            across, down = look.value(f"{name}_width"), look.value(f"{name}_height")
            x, y, wide, high = (look.value(part) for part in ("left", "top", "width", "height"))
            box = _cut(
                _Box(
                    (box.left * across + sign * x) / wide,
                    (box.top * down + sign * y) / high,
                    (box.right * across + sign * x) / wide,
                    (box.bottom * down + sign * y) / high,
                )
            )
        if box.left >= box.right or box.top >= box.bottom:
            return None
    return box.left, box.top, box.right - box.left, box.bottom - box.top


def _cut(box: _Box) -> _Box:
    return _Box(*(min(max(value, 0.0), 1.0) for value in box))


def box_breaches(found: str, wanted: Sequence[float]) -> Iterator[Breach]:
    """Where the text of a box is not the box that it should be."""
    try:
        there = [float(part) for part in found.split()]
    except ValueError:
        there = []
    if len(there) != len(wanted) or any(abs(a - b) > _NEAR for a, b in zip(there, wanted, strict=False)):
        yield Breach(f"text {found!r}", " ".join(f"{value:g}" for value in wanted))
