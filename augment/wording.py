"""Words that speak of time: how long, how fast, how often, where in the video. They change with it, or are not kept."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from augment.view import Piece, View
from datasets_build.core.clock import NS_PER_S, Span

Kind = Literal["length", "speed", "count", "place"]

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_VALUES = {word: Fraction(k) for k, word in enumerate(_ONES, start=1)}
_VALUES |= {"half a": Fraction(1, 2), "half an": Fraction(1, 2), "twenty": Fraction(20), "thirty": Fraction(30)}
_NUMBER = rf"\d+(?:[.,]\d+)?|{'|'.join(sorted(_VALUES, key=len, reverse=True))}"
_UNIT = r"milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|hours?|hrs?"
_LENGTH = re.compile(rf"\b(?P<number>{_NUMBER})(?P<gap>\s+|-)?(?P<unit>{_UNIT})\b", re.IGNORECASE)
# "a second" may be another one of something.
_KINDS: dict[Kind, re.Pattern[str]] = {
    "length": _LENGTH,
    "speed": re.compile(
        r"\b(?:as|more|very|too) (?:fast|slow(?:ly)?|quick(?:ly)?|long)\b"
        r"|\b(?:slow motion|time[- ]lapse|(?:double|half|normal|full|high|low) speed)\b"
        r"|\b(?:quick|slow|rapid|swift|brief|sudden|gradual|instant|immediate|short)ly\b|\b(?:faster|slower|longer)\b"
        r"|\b(?:a|an|some) (?:while|moment|long time|short time|minute|hour)\b"
        r"|\b(?:for|in|within|after|every) a second\b"
        r"|\b(?:fast|slow|quick|sudden|abrupt|at once|all at once)\b",
        re.IGNORECASE,
    ),
    "count": re.compile(
        rf"\b(?:once|twice|thrice|again|another time|repeatedly|several times|many times|so far|already)\b"
        rf"|\b(?:{_NUMBER}) times\b|\b(?:first|second|third|fourth|fifth|last|next|\d+(?:st|nd|rd|th)) time\b",
        re.IGNORECASE,
    ),
    "place": re.compile(
        r"\b(?:beginning|start|end|middle|half|rest) of the (?:video|clip|film|movie|recording|stream|scene)\b"
        r"|\b(?:at|in|near|towards?|from|until) the (?:beginning|start|end|middle)\b"
        r"|\bhalfway\b|\bfinally\b|\bat last\b",
        re.IGNORECASE,
    ),
}
# What people call five seconds may be a little more or less.
_CLOSE = Fraction(1, 50)
# Frames that come this much early or late change no word.
_PLAIN_NS = NS_PER_S // 10


@lru_cache(maxsize=8192)
def timely(text: str) -> frozenset[Kind]:
    """In which ways a text speaks of time."""
    rest = _LENGTH.sub(" ", text)
    return frozenset(kind for kind, words in _KINDS.items() if words.search(text if kind == "length" else rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a stretch of a source runs in a view.

    Attributes:
        scale: how much longer it lasts there; None: not all of it is shown, or not at one speed.
        from_start: whether all that came before it in its video is there, once.
        whole: whether the view is that video, from its first to its last frame.
    """

    scale: Fraction | None
    from_start: bool
    whole: bool


def pace_of(view: View, place: int, span: Span) -> Pace:
    """How a span of a source runs in a piece of a view."""
    piece = view.pieces[place]
    from_start = place == 0 and piece.span[0] == 0 and not piece.is_reversed
    whole = from_start and len(view.pieces) == 1 and piece.span[1] >= piece.clock.end_ns
    return Pace(scale=_scale(piece, span), from_start=from_start, whole=whole)


def _scale(piece: Piece, span: Span) -> Fraction | None:
    low, high = piece.span
    begin, end = Fraction(span.start_ns), min(Fraction(span.end_ns), Fraction(piece.clock.end_ns))
    if piece.is_reversed or begin < low or end > high or end <= begin:
        return None
    start, scale = piece.exact(int(begin)), (piece.exact(end) - piece.exact(begin)) / (end - begin)
    knots = piece.time_map.knots
    inner = knots[bisect_right(knots, begin, key=_source_of) : bisect_left(knots, end, key=_source_of)]
    off = max((abs(t - start - (s - begin) * scale) for s, t in inner), default=Fraction(0))
    return scale if off <= _CLOSE * (end - begin) * scale else None


def _source_of(knot: tuple[Fraction, Fraction]) -> Fraction:
    return knot[0]


def is_plain(view: View) -> bool:
    """Whether a view runs as its one source does, from its first to its last frame."""
    if len(view.pieces) > 1 or view.pieces[0].is_reversed:
        return False
    piece = view.pieces[0]
    runs = piece.span[0] == 0 and piece.span[1] >= piece.clock.end_ns
    late_ns = np.abs(view.clock.t_ns - view.on_of).max(initial=abs(view.end_ns - piece.clock.end_ns))
    return runs and bool(late_ns <= _PLAIN_NS)


def retold(text: str, pace: Pace) -> str | None:
    """The text as it is true of what a view shows; None where it would be false and nobody can say it anew.

    Lengths are worked out anew: "for 5 seconds" at twice the speed is "for 2.5 seconds". Speeds stay at the speed of
    before, counts and ordinals where all that came before is there, and places where the whole video is.
    """
    kinds = timely(text)
    same = pace.scale is not None and abs(pace.scale - 1) <= _CLOSE
    if ("speed" in kinds and not same) or ("length" in kinds and pace.scale is None):
        return None
    if ("count" in kinds and not pace.from_start) or ("place" in kinds and not pace.whole):
        return None
    if "length" in kinds and not same and pace.scale is not None:
        scale = pace.scale
        return _LENGTH.sub(lambda found: _longer(found, scale), text)
    return text


def _longer(found: re.Match[str], scale: Fraction) -> str:
    """A length in words, so many times as long."""
    number = found["number"].casefold()
    value = _VALUES[number] if number in _VALUES else Fraction(number.replace(",", "."))
    told = f"{float(value * scale):.2f}".rstrip("0").rstrip(".")
    unit = found["unit"]
    if unit.casefold() in ("second", "minute", "hour", "millisecond", "min", "sec", "hr") and told != "1":
        unit += "s" if found["gap"] != "-" else ""
    return f"{told}{found['gap'] or ''}{unit}"
