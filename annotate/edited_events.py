"""Marks to events: what people moved, named otherwise, took away or drew, over all windows of a video.

Each window speaks for what it shows. An end that it does not show stays where it is; an event in two windows is edited
once, and what two windows say of it must fit together. What people do not agree about in a window stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from annotate.edits import ELSEWHERE, Edits, Judged, who_of
from annotate.source import Film
from annotate.tasks import Mark
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.records import Event, derive_id
from datasets_build.core.topics import PICTURE_SET, plain

V = TypeVar("V", int, str, bool)
_GRADUAL = frozenset({"fade", "dissolve"})
_CONFIDENCE = {"sure": 1.0, "unsure": 0.5}
_OWN_SET = "people"


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a folder's labels come from, and what it says of those that the picture shows."""

    sets: Mapping[str, str]
    captions: Mapping[str, str]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Labels:
        """From a folder's events; of two sets of one label the one with more events, then the first by name."""
        counts: dict[str, dict[str, int]] = {}
        captions: dict[str, str] = {}
        for event in events:
            per_set = counts.setdefault(event.label, {})
            per_set[event.label_set] = per_set.get(event.label_set, 0) + 1
            if event.label_set == PICTURE_SET:
                captions.setdefault(event.label, event.caption)
        sets = {label: min(found, key=lambda name: (-found[name], name)) for label, found in counts.items()}
        return cls(sets, captions)

    def set_of(self, label: str, before: Event | None = None) -> str:
        """The set of a label: that of the event where the label is still its own."""
        if before is not None and before.label == label:
            return before.label_set
        return self.sets.get(label, _OWN_SET)

    def caption_of(self, label: str, note: str) -> str:
        """What is said of a new event: the note, or a plain sentence from the label."""
        return plain(note) or self.captions.get(label) or f"{label.replace('_', ' ').capitalize()}."


@dataclass(frozen=True, slots=True)
class _View:
    """An event in one window: the mark as it was left, None where it was taken away."""

    judged: Judged
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What an event is to be."""

    label: str
    start_ns: int
    end_ns: int
    note: str
    confidence: float | None


class _ConflictError(Exception):
    """Windows that contradict each other about an event."""


def edit_events(film: Film, judged: Sequence[Judged], labels: Labels, edits: Edits) -> None:
    """Adds what people did about a video's events to its edits.

    Args:
        film: the video.
        judged: usable work on windows of it.
        labels: of its folder.
        edits: take corrections and troubles.
    """
    for event in film.events:
        views = [
            _View(one, next((mark for mark in one.work.marks if mark.id == event.id), None))
            for one in judged
            if event.id in one.shown
        ]
        said = [view for view in views if event.id not in view.judged.open_ids]
        if len(said) == len(views) > 0:
            _edit(event, views, film, labels, edits)
        elif any(_differs(event, view, film.clock) for view in said):
            edits.trouble("conflict", [view.judged for view in views], event.id, ELSEWHERE)
    drawn = [(one, mark) for one in judged for mark in one.work.marks if mark.id not in one.shown]
    _add(film, drawn, labels, edits)


def _edit(event: Event, views: Sequence[_View], film: Film, labels: Labels, edits: Edits) -> None:
    everybody = [view.judged for view in views]
    try:
        drawn = _together(event, views, film.clock)
    except _ConflictError as conflict:
        edits.trouble("conflict", everybody, event.id, str(conflict))
        return
    if drawn is None:
        edits.remove(event, who_of(everybody))
        return
    made = _corrected(event, drawn, film, labels)
    if isinstance(made, str):
        edits.trouble("flaw", everybody, event.id, made)
    elif made != event:
        who = who_of(view.judged for view in views if view.mark is None or _differs(event, view, film.clock))
        name = derive_id("event", event.id, "person", made.model_dump_json(exclude={"id", "provenance"}))
        signed = edits.by.provenance(who, (event.id,))
        named = {"id": name, "source": "human", "parent_event_id": event.id, "provenance": signed}
        edits.replace(event, made.model_copy(update=named), who)


def _differs(event: Event, view: _View, clock: FrameClock) -> bool:
    mark = view.mark
    return mark is None or _ends(event, view, clock) != (None, None) or _words(event, mark) != (event.label, None)


def _words(event: Event, mark: Mark) -> tuple[str, str | None]:
    note = plain(mark.note)
    return mark.label, None if note == plain(event.caption) else note


def _ends(event: Event, view: _View, clock: FrameClock) -> tuple[int | None, int | None]:
    """Where a window has moved an event's ends to, on frames; None for an end that stays."""
    mark, span = view.mark, view.judged.span
    if mark is None or (mark.start_ns, mark.end_ns) == (event.start_ns, event.end_ns):
        return None, None
    start, end = clock.snap_up(mark.start_ns), clock.snap_up(mark.end_ns)
    # What begins before the window or ends after it is shown as cut there.
    same_start = start == event.start_ns or (event.start_ns < span.start_ns and start <= span.start_ns)
    same_end = end == event.end_ns or (event.end_ns > span.end_ns and end >= span.end_ns)
    return None if same_start else start, None if same_end else end


def _together(event: Event, views: Sequence[_View], clock: FrameClock) -> _Drawn | None:
    """What all windows say of an event; None: that it is none. Raises _ConflictError."""
    kept = [view for view in views if view.mark is not None]
    if not kept:
        return None
    marks = [view.mark for view in kept if view.mark is not None]
    ends = [_ends(event, view, clock) for view in kept]
    start = _one("start_ns", event.start_ns, [first for first, _ in ends if first is not None])
    end = _one("end_ns", event.end_ns, [last for _, last in ends if last is not None])
    label = _one("label", event.label, [mark.label for mark in marks if mark.label != event.label])
    words = [note for _, note in (_words(event, mark) for mark in marks) if note is not None]
    note = _one("note", event.caption, words)
    if any(mark.is_point for mark in marks) and not event.is_point:
        end = start
    for view in views:
        if len(views) > 1 and start <= end and _meets(start, end, view.judged.span) != (view.mark is not None):
            there = "keeps" if view.mark is not None else "takes away"
            at = f"[{view.judged.span.start_ns}, {view.judged.span.end_ns})"
            raise _ConflictError(f"the window {at} {there} an event that others place at [{start}, {end})")
    said = [_CONFIDENCE[mark.confidence] for mark in marks if mark.confidence is not None]
    return _Drawn(label, start, end, note, min(said, default=None))


def _one(field: str, before: V, said: Sequence[V]) -> V:
    """The one new value that windows give a field, or the old one where none does."""
    found = sorted(set(said))
    if len(found) > 1:
        raise _ConflictError(f"{field}: windows say {' and '.join(map(repr, found))}")
    return found[0] if found else before


def _meets(start: int, end: int, span: Span) -> bool:
    return span.contains(start) if start == end else start < span.end_ns and end > span.start_ns


def _corrected(event: Event, drawn: _Drawn, film: Film, labels: Labels) -> Event | str:
    """An event as it was drawn, under its old name; itself where nothing differs; or why it cannot be."""
    moved = (drawn.start_ns, drawn.end_ns) != (event.start_ns, event.end_ns)
    if not moved and (drawn.label, drawn.note) == (event.label, event.caption):
        return event
    if why := _unplaced(drawn.start_ns, drawn.end_ns, film.clock):
        return why
    is_point = drawn.start_ns == drawn.end_ns
    caption = _caption(event, drawn, labels)
    known = _known(event, drawn, film.clock)
    return event.model_copy(
        update={
            "label": drawn.label,
            "label_set": labels.set_of(drawn.label, event),
            "caption": caption,
            "subject": event.subject if caption == event.caption else _still_named(event.subject, caption),
            "start_ns": drawn.start_ns,
            "end_ns": drawn.end_ns,
            "is_point": is_point,
            "known_from_ns": known,
            "confidence": event.confidence if drawn.confidence is None else drawn.confidence,
            "onset_uncertainty_ns": event.onset_uncertainty_ns if drawn.start_ns == event.start_ns else 0,
            "offset_uncertainty_ns": event.offset_uncertainty_ns if drawn.end_ns == event.end_ns else 0,
        }
    )


def _caption(event: Event, drawn: _Drawn, labels: Labels) -> str:
    """The note; where only the label is another one, what the picture shows is said in the label's own words."""
    if drawn.note != event.caption:
        return labels.caption_of(drawn.label, drawn.note)
    pictured = PICTURE_SET in (event.label_set, labels.set_of(drawn.label, event))
    return labels.caption_of(drawn.label, "") if drawn.label != event.label and pictured else event.caption


def _known(event: Event, drawn: _Drawn, clock: FrameClock) -> int:
    """As long after the start as before, at most the end; of what was an instant only its end proves it."""
    if drawn.label in _GRADUAL or (event.is_point and drawn.end_ns > drawn.start_ns):
        return drawn.end_ns
    return min(drawn.end_ns, clock.snap_up(drawn.start_ns + event.known_from_ns - event.start_ns))


def _still_named(subject: str | None, caption: str) -> str | None:
    """The subject while the caption names it: nobody was asked for another one."""
    names = subject.split(" and ") if subject else []
    return subject if all(name.casefold() in caption.casefold() for name in names) else None


def _unplaced(start: int, end: int, clock: FrameClock) -> str | None:
    if start >= clock.end_ns:
        return f"it begins at {start} ns, expected a frame's time before the video's end, {clock.end_ns} ns"
    return f"it ends at {end} ns, before it begins at {start} ns" if end < start else None


def _add(film: Film, drawn: Sequence[tuple[Judged, Mark]], labels: Labels, edits: Edits) -> None:
    there = set[str]()
    for group in _joined(drawn, film.clock):
        people, first = [one for one, _ in group], group[0][1]
        start = film.clock.snap_up(first.start_ns)
        end = start if first.is_point else film.clock.snap_up(max(mark.end_ns for _, mark in group))
        if why := _unplaced(start, end, film.clock):
            edits.trouble("flaw", people, first.id, why)
            continue
        said = [_CONFIDENCE[mark.confidence] for _, mark in group if mark.confidence is not None]
        made = Event(
            id="",
            video_id=film.video.id,
            start_ns=start,
            end_ns=end,
            label=first.label,
            label_set=labels.set_of(first.label),
            caption=labels.caption_of(first.label, " ".join(dict.fromkeys(plain(mark.note) for _, mark in group))),
            is_point=start == end,
            # Nobody says from when it can be told, so nothing is claimed before it is over.
            known_from_ns=end,
            confidence=min(said, default=1.0),
            source="human",
            provenance=edits.by.provenance(who_of(people), ()),
        )
        name = derive_id("event", film.video.id, "person", made.label, start, end, made.caption)
        if name not in there:
            there.add(name)
            edits.add(made.model_copy(update={"id": name}), who_of(people))


def _joined(drawn: Sequence[tuple[Judged, Mark]], clock: FrameClock) -> list[list[tuple[Judged, Mark]]]:
    """Drawn marks in order of time; one up to its window's end goes on in the next window's from its start."""
    groups: list[list[tuple[Judged, Mark]]] = []
    for one, mark in sorted(drawn, key=_place):
        before = next((group for group in groups if _goes_on(group[-1], (one, mark), clock)), None)
        if before is None:
            groups.append([(one, mark)])
        else:
            before.append((one, mark))
    return groups


def _place(pair: tuple[Judged, Mark]) -> tuple[int, int, str, str]:
    return pair[1].start_ns, pair[1].end_ns, pair[1].label, pair[1].id


def _goes_on(before: tuple[Judged, Mark], after: tuple[Judged, Mark], clock: FrameClock) -> bool:
    (one, first), (other, then) = before, after
    cut = clock.snap_up(first.end_ns) == one.span.end_ns == other.span.start_ns == clock.snap_up(then.start_ns)
    return cut and first.label == then.label and not first.is_point and not then.is_point
