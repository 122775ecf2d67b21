"""Figures in words: a name for each, what it means, and how its number is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from annotate.agreement.boundaries import Bounds
from annotate.agreement.events import EventMeasures
from annotate.agreement.figure import Figure
from annotate.agreement.judgements import JudgementMeasures
from annotate.agreement.measures import Measures
from annotate.agreement.reliability import Sign

Scale = Literal["share", "alpha", "ms", "times", "bits"]
ALPHA = "1: they agree in full; 0: no more than chance would have it; below 0: less"
_FORMATS: dict[Scale, str] = {
    "share": "{:.3f}",
    "alpha": "{:.3f}",
    "ms": "{:,.1f} ms",
    "times": "{:.2f} ×",
    "bits": "{:.2f} bits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A figure with its name, its meaning in a sentence, and its scale."""

    name: str
    meaning: str
    figure: Figure
    scale: Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLine:
    """One label's figures, in the order of the columns."""

    label: str
    cells: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Figures that stand in one table, and those of each label in another; `columns` are the latter's."""

    lines: tuple[Line, ...]
    columns: tuple[str, ...] = ()
    labels: tuple[LabelLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignLines:
    """A sign with its three figures."""

    name: str
    meaning: str
    own: Line
    others: Line
    against: Line
    raised: bool
    rule: str


def written(value: float, scale: Scale) -> str:
    """A number as the page shows it."""
    text = _FORMATS[scale].format(value)
    # A hair below zero is no negative number.
    return text.removeprefix("-") if not any(letter in "123456789" for letter in text) else text


def group_of(measures: Measures) -> Group:
    """All figures of a comparison."""
    usable = Line(
        name="Can it be judged: alpha",
        meaning=f"Krippendorff's alpha of whether clips can be judged at all. {ALPHA}.",
        figure=measures.usable_alpha,
        scale="alpha",
    )
    if measures.events is not None:
        of_events = event_group(measures.events)
        return Group(lines=(*of_events.lines, usable), columns=of_events.columns, labels=of_events.labels)
    lines = tuple(_judgement_lines(measures.judgements)) if measures.judgements is not None else ()
    return Group(lines=(*lines, usable))


def event_group(events: EventMeasures) -> Group:
    """All figures about events."""
    lines = [
        Line(
            name=f"F1 at IoU {one.iou:g}",
            meaning=f"Share of marks that have a partner of the same label with at least {one.iou:g} of their time in "
            "common: 0 for none, 1 for all.",
            figure=one.figure,
            scale="share",
        )
        for one in events.f1
    ]
    alpha = Line(
        name="Instant by instant: alpha",
        meaning=f"Krippendorff's alpha of the labels that are on at each instant. {ALPHA}.",
        figure=events.frame_alpha,
        scale="alpha",
    )
    ends = (*_bounds(events.start, "Start", "matched marks begin"), *_bounds(events.end, "End", "matched spans end"))
    labels = tuple(
        LabelLine(
            label=one.label,
            cells=(
                *(Line(name="F1", meaning="", figure=at.figure, scale="share") for at in one.f1),
                Line(name="alpha", meaning="", figure=one.frame_alpha, scale="alpha"),
            ),
        )
        for one in events.labels
    )
    columns = (*(f"F1 at IoU {one.iou:g}" for one in events.f1), "alpha")
    return Group(lines=(*lines, alpha, *ends), columns=columns, labels=labels)


def sign_lines(sign: Sign) -> SignLines:
    """A sign in words."""
    name, meaning, own, against = _SIGNS[sign.name]
    return SignLines(
        name=name,
        meaning=meaning,
        own=Line(name="own", meaning="", figure=sign.own, scale=own),
        others=Line(name="others", meaning="", figure=sign.others, scale=own),
        against=Line(name="against others", meaning="", figure=sign.against, scale=against),
        raised=sign.raised,
        rule=sign.rule,
    )


_SIGNS: dict[str, tuple[str, str, Scale, Scale]] = {
    "time": (
        "Time spent",
        "Over the clip's length, the median; against others: over what they spent on the same items.",
        "times",
        "times",
    ),
    "untouched": (
        "Left as shown",
        "Share of items that came back as they were shown; against others: the difference on the same items.",
        "share",
        "share",
    ),
    "entropy": (
        "Variety of choices",
        "Bits of accept, fix, reject, add: 0 where all choices are one; against others: less what they show.",
        "bits",
        "bits",
    ),
    "planted": (
        "Faults let through",
        "Share of gold items with a fault in which nothing was found; against others: the difference.",
        "share",
        "share",
    ),
}


def _bounds(found: Bounds, name: str, what: str) -> Iterator[Line]:
    yield Line(
        name=f"{name}: median error",
        meaning=f"How far apart {what}: half lie closer.",
        figure=found.median_ms,
        scale="ms",
    )
    yield Line(
        name=f"{name}: 90th percentile",
        meaning=f"How far apart {what}: nine of ten lie closer.",
        figure=found.p90_ms,
        scale="ms",
    )
    yield Line(
        name=f"{name}: bias",
        meaning="The mean with its sign: above 0 is later than what it is held against.",
        figure=found.bias_ms,
        scale="ms",
    )


def _judgement_lines(found: JudgementMeasures) -> Iterator[Line]:
    alphas = (
        ("Verdicts: alpha", "accept, fix and reject", found.verdict_alpha),
        ("Ratings: alpha", "ratings from 1 to 5, by their order", found.rating_alpha),
        ("Timing: alpha", "too early, too late or no complaint", found.timing_alpha),
    )
    for name, what, figure in alphas:
        yield Line(name=name, meaning=f"Krippendorff's alpha of {what}. {ALPHA}.", figure=figure, scale="alpha")
    shares = (
        ("Same verdict", "Share of pairs of people with one verdict.", found.same_verdict),
        (
            "Texts: words in common",
            "F1 of words, where somebody corrected the text; 1: the same words.",
            found.token_f1,
        ),
        ("Texts: letters in common", "chrF, where somebody corrected the text; 1: the same letters.", found.chrf),
    )
    for name, meaning, figure in shares:
        yield Line(name=name, meaning=meaning, figure=figure, scale="share")
    yield from _bounds(found.ask, "Asked", "corrected times of questions lie")
    yield from _bounds(found.answer, "Answered", "corrected times of answers lie")
