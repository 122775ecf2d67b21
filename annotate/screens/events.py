"""The screen for events: a timeline of labelled stretches, a note and how sure one is of each.

A region has the id of the event it shows, which Label Studio keeps, so that what comes back says which event it was.
An end that nobody moved keeps its time to the nanosecond, also where the window cuts the event and the person sees
only a part of it. A region of one frame is an instant, unless it was a short stretch before.
"""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from annotate.frames import frames_to_span, span_to_frames
from annotate.screens.regions import (
    CLIP,
    CLIP_CONTROL,
    VIDEO,
    Control,
    Reading,
    Region,
    ScreenError,
    Task,
    data_of,
    is_whole,
    render,
    sent,
)
from annotate.tasks import Item, Mark, Window, Work
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.records import Json

EVENTS, NOTE, CONFIDENCE = "events", "note", "confidence"
CONTROLS = {
    EVENTS: Control(type="timelinelabels", to_name=VIDEO),
    NOTE: Control(type="textarea", to_name=VIDEO),
    CONFIDENCE: Control(type="choices", to_name=VIDEO),
    CLIP: CLIP_CONTROL,
}
SURENESS = ("sure", "unsure")
# Label Studio takes what follows a dollar for the name of a field; behind this sign, which is not seen, it does not.
_JOINER = "\u2060"
_GOLDEN = 0.6180339887498949
_LUMINANCES = (0.17, 0.08, 0.12)  # at most; of 1 for white, on which these are read as text
_WEIGHTS = (0.2126, 0.7152, 0.0722)  # of red, green and blue in luminance, ITU-R BT.709


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A region as the screen has it: frames from 1, both included."""

    id: str
    label: str
    start: int
    end: int
    note: str
    confidence: Literal["sure", "unsure"] | None


def config(labels: Sequence[str]) -> str:
    """The labelling configuration for these labels, in this order, a colour each.

    Raises:
        ScreenError: no label; one that is empty, there twice, begins or ends with a blank, or has a control character.
    """
    if not labels:
        raise ScreenError("labels: found none, expected at least one")
    for place, label in enumerate(labels):
        if not label.strip() or label != label.strip() or _JOINER in label or not _is_printed(label):
            raise ScreenError(f"label {place}: found {label!r}, expected text without blanks around it or controls")
        if label in labels[:place]:
            raise ScreenError(f"label {place}: found {label!r} a second time, expected each label once")
    return render(EVENTS, [{"text": _shown(text), "colour": colour(place)} for place, text in enumerate(labels)])


def _is_printed(label: str) -> bool:
    return all(unicodedata.category(sign) not in ("Cc", "Cs", "Cn", "Zl", "Zp") for sign in label)


def _shown(label: str) -> str:
    return label.replace("$", "$" + _JOINER)


def colour(place: int) -> str:
    """The colour of the label at a place, `#rrggbb`: hues a golden section apart, which never come back."""
    rgb = colorsys.hls_to_rgb(place * _GOLDEN % 1, 0.42, 0.8)
    luminance = sum(weight * part**2.2 for weight, part in zip(_WEIGHTS, rgb, strict=True))
    dim = min(1.0, (_LUMINANCES[place % len(_LUMINANCES)] / luminance) ** (1 / 2.2))
    return "#" + "".join(f"{round(255 * dim * part):02x}" for part in rgb)


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets: the window's events as regions that people find drawn.

    Args:
        item: its sheet is of events.
        video: where the server finds the proxy (`regions.data_of`).

    Raises:
        ScreenError: two events of one id, or one that is not in the window.
    """
    result: list[Json] = []
    seen: set[str] = set()
    for mark in item.sheet.marks:
        if mark.id in seen:
            raise ScreenError(f"item {item.key}: found event {mark.id} twice, expected each once")
        seen.add(mark.id)
        result.extend(_regions(item, mark))
    return Task(data=data_of(item, video), result=tuple(result))


def _regions(item: Item, mark: Mark) -> list[Json]:
    window = item.window
    # An instant at the very end of a video is shown on its last frame.
    is_inside = mark.start_ns <= window.end_ns if mark.is_point else mark.start_ns < window.end_ns
    is_inside &= mark.end_ns >= window.start_ns if mark.is_point else mark.end_ns > window.start_ns
    if not is_inside or mark.end_ns < mark.start_ns or (mark.is_point and mark.end_ns != mark.start_ns):
        raise ScreenError(
            f"item {item.key}, event {mark.id}: found [{mark.start_ns}, {mark.end_ns}) ns, expected a part of it in"
            f" [{window.start_ns}, {window.end_ns})"
        )
    start, end = _frames(window, mark)
    ranges: Json = [{"start": start, "end": end}]
    found = [sent(CONTROLS[EVENTS], mark.id, EVENTS, {"ranges": ranges, "timelinelabels": [_shown(mark.label)]})]
    if mark.note.strip():
        found.append(sent(CONTROLS[NOTE], mark.id, NOTE, {"ranges": ranges, "text": [mark.note]}))
    if mark.confidence:
        value: dict[str, Json] = {"ranges": ranges, "choices": [mark.confidence]}
        found.append(sent(CONTROLS[CONFIDENCE], mark.id, CONFIDENCE, value))
    return found


def _frames(window: Window, mark: Mark) -> tuple[int, int]:
    return span_to_frames(window, Span(start_ns=mark.start_ns, end_ns=mark.start_ns if mark.is_point else mark.end_ns))


def read(
    result: Sequence[Json], item: Item, labels: Collection[str] | None = None
) -> tuple[list[Drawn], bool, Reading]:
    """The drawn regions, whether the clip can be judged, and the reading with its flaws.

    `labels` None takes any label.
    """
    reading = Reading(result, CONTROLS)
    is_usable = reading.is_usable(reading.single([CLIP]).get(CLIP))
    parts: dict[tuple[str, str], Region] = {}
    for region in reading.regions:
        if region.name != CLIP and parts.setdefault((region.id, region.name), region) is not region:
            reading.flaw("duplicate", region.where, "a second one", "one of an id")
    for (id_, name), region in parts.items():
        if (id_, EVENTS) not in parts:
            reading.flaw("foreign", region.where, f"{name} of no region", "a region on the timeline of that id")
    drawn = [_drawn(reading, parts, region, item.window, labels) for region in parts.values() if region.name == EVENTS]
    return [each for each in drawn if each], is_usable, reading


def _drawn(
    reading: Reading,
    parts: dict[tuple[str, str], Region],
    region: Region,
    window: Window,
    labels: Collection[str] | None,
) -> Drawn | None:
    note = reading.text(parts.get((region.id, NOTE)))
    confidence = reading.choice(parts.get((region.id, CONFIDENCE)), SURENESS)
    label, frames = _label(reading, region, labels), _range(reading, region, window.frames)
    if label is None or frames is None:
        return None
    return Drawn(
        id=region.id,
        label=label,
        start=frames[0],
        end=frames[1],
        note=note or "",
        confidence=cast("Literal['sure', 'unsure'] | None", confidence),
    )


def _label(reading: Reading, region: Region, labels: Collection[str] | None) -> str | None:
    found = region.value.get("timelinelabels")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], str) or not found[0]:
        reading.flaw("label", region.where, repr(found), "one label")
        return None
    label = found[0].replace("$" + _JOINER, "$")
    if labels is not None and label not in labels:
        reading.flaw("label", region.where, repr(label), "a label of this round")
    return label


def _range(reading: Reading, region: Region, frames: int) -> tuple[int, int] | None:
    found = region.value.get("ranges")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        reading.flaw("frames", region.where, repr(found), "one range of frames")
        return None
    ends = []
    for field in ("start", "end"):
        value = found[0].get(field)
        if not is_whole(value) or not 1 <= value <= frames:
            reading.flaw("frames", f"{region.where}, {field}", repr(value), f"a whole number from 1 to {frames}")
            return None
        ends.append(value)
    if ends[0] > ends[1]:
        reading.flaw("order", region.where, f"frames {ends[0]} to {ends[1]}", "an end at or after the start")
        return None
    return ends[0], ends[1]


def decode(result: Sequence[Json], item: Item, clock: FrameClock) -> Work:
    """What a person made of the sheet: its events in its order, then new ones by time.

    Of a clip that cannot be judged nothing else counts.

    Args:
        result: the annotation's list of regions.
        item: what was asked.
        clock: the frames of the source video.

    Raises:
        ScreenError: the result has a flaw (`annotate.validate` finds all of them, and labels of no round).
    """
    drawn, is_usable, reading = read(result, item)
    reading.check()
    if not is_usable:
        return Work(kind="events", usable=False)
    places = {mark.id: place for place, mark in enumerate(item.sheet.marks)}
    asked = {mark.id: mark for mark in item.sheet.marks}
    marks = [_mark(item.window, clock, each, asked.get(each.id)) for each in drawn]
    marks.sort(key=lambda mark: (places.get(mark.id, len(places)), mark.start_ns, mark.end_ns, mark.id))
    return Work(kind="events", marks=tuple(marks))


def _mark(window: Window, clock: FrameClock, drawn: Drawn, asked: Mark | None) -> Mark:
    span = frames_to_span(window, clock, drawn.start, drawn.end)
    start_ns, end_ns = span.start_ns, span.end_ns
    is_point, note = drawn.start == drawn.end, drawn.note
    if asked:
        first, last = _frames(window, asked)
        # A short stretch that is moved stays one; an instant that is drawn out becomes one.
        is_point &= asked.is_point or first != last
        start_ns = asked.start_ns if drawn.start == first else start_ns
        # One frame stands for less than one too, whose end it does not tell once it is only the last of several.
        if drawn.end == last and not asked.is_point and (first < last or drawn.start == first):
            end_ns = asked.end_ns
        note = asked.note if note == asked.note.strip() else note
    return Mark(
        id=drawn.id,
        label=drawn.label,
        start_ns=start_ns,
        end_ns=start_ns if is_point else max(start_ns, end_ns),
        is_point=is_point,
        note=note,
        confidence=drawn.confidence,
    )
