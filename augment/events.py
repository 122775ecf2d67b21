"""Events of an augmented video: each moved, cut or gone, with what a viewer can still tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from augment.view import Moved, Piece, View
from datasets_build.core.clock import round_half_up
from datasets_build.core.records import Event, Provenance, derive_id
from datasets_build.core.topics import CAMERA, ENTERING_SETS, NEW_SHOT, PICTURE_SET
from datasets_build.teachers.template import load_template

VERSION = "1"
AGENT = "augment"
PARTABLE = CAMERA | {"move", "still", "motion_burst", "black"}
"""Labels of which a part is itself one: who moves for two seconds moves in each of them."""
MIRRORED = {
    "pan_left": "pan_right",
    "tilt_up": "tilt_down",
    "zoom_in": "zoom_out",
    "light_up": "light_down",
}
"""What the picture does, seen backwards; both ways."""
SYMMETRIC = frozenset({"shot_start", "fade", "dissolve", "still", "motion_burst", "black"})
"""What looks the same backwards."""
_BACKWARDS = MIRRORED | {there: here for here, there in MIRRORED.items()} | {label: label for label in SYMMETRIC}
# Names everything that happens too, but not how all that is in the picture came in.
_CUT_SET = "world"


class Gone(NamedTuple):
    """An event that no piece of a view shows as what it is, and why."""

    event: Event
    reason: str


class Events(NamedTuple):
    """The events of an augmented video in order of time, and those of its sources that it does not have."""

    there: list[Event]
    gone: list[Gone]


def move_events(view: View, sources: Mapping[str, Sequence[Event]], *, video_id: str) -> Events:
    """Moves the events of all sources into a view.

    A cut event that has no parts (`PARTABLE`) is never over for certain, so nothing is asked that would depend on it.

    Args:
        view: what is shown.
        sources: the events of each source, by its id.
        video_id: of the augmented video.
    """
    whole = _shows_entering(view)
    found = [_new_shot(view, place, video_id) for place in range(len(view.pieces))]
    gone = []
    for source, events in sources.items():
        for event in events:
            if event.label_set == PICTURE_SET and event.label == "video_start":
                continue
            moved = [_moved(view, event, at, video_id=video_id, whole=whole) for at in view.spans(source, event.span)]
            there = [each for each in moved if each is not None and not _at_seam(view, each)]
            found += there
            if not there:
                gone.append(Gone(event, "no frame of it is shown as what it is"))
    found.sort(key=lambda event: (event.start_ns, event.label != "video_start", event.end_ns, event.label, event.id))
    return Events(found, gone)


def survives_backwards(event: Event) -> bool:
    """Whether an event that is seen backwards is still one of the classes that the picture has."""
    return event.label_set == PICTURE_SET and event.label in _BACKWARDS


def _shows_entering(view: View) -> bool:
    """Whether every piece begins where its source does, so that all that is in the picture has been seen to come in."""
    return all(piece.span[0] == 0 and not piece.is_reversed for piece in view.pieces)


def _new_shot(view: View, place: int, video_id: str) -> Event:
    """Where a piece begins the picture changes: the first frame of all, or a seam."""
    at = view.clock.snap_up(round_half_up(view.pieces[place].begins))
    label = "shot_start" if place else "video_start"
    return Event(
        id=derive_id("event", video_id, PICTURE_SET, label, at),
        video_id=video_id,
        start_ns=at,
        end_ns=at,
        label=label,
        label_set=PICTURE_SET,
        caption=load_template().caption_of(label),
        is_point=True,
        known_from_ns=at,
        confidence=1.0,
        source="shot",
        provenance=Provenance(kind="rule", agent=AGENT, version=VERSION, inputs=(view.pieces[place].source,)),
    )


def _at_seam(view: View, event: Event) -> bool:
    """Whether a new shot of a source begins with its piece: the seam is that."""
    seams = {view.clock.snap_up(round_half_up(piece.begins)) for piece in view.pieces}
    return event.is_point and event.label in NEW_SHOT and event.label_set == PICTURE_SET and event.start_ns in seams


def _moved(view: View, event: Event, at: Moved, *, video_id: str, whole: bool) -> Event | None:
    """The event as one piece shows it; None where it is none there."""
    piece = view.pieces[at.piece]
    if piece.is_reversed and not survives_backwards(event):
        return None
    if at.start_ns >= view.clock.end_ns:
        return None
    label = _BACKWARDS[event.label] if piece.is_reversed else event.label
    known = _known(view, event, at)
    cut = (at.cut_start and known == at.end_ns) or at.cut_end
    certain = not cut or event.label in PARTABLE
    entering = event.label_set in ENTERING_SETS and not whole
    return Event(
        id=derive_id("event", video_id, event.id, at.piece, at.start_ns),
        video_id=video_id,
        start_ns=at.start_ns,
        end_ns=at.end_ns,
        label=label,
        label_set=_CUT_SET if entering else event.label_set,
        caption=load_template().caption_of(label) if label != event.label else event.caption,
        subject=event.subject,
        is_point=event.is_point,
        known_from_ns=known,
        confidence=event.confidence,
        onset_uncertainty_ns=_reach(view, event, at, onset=True),
        offset_uncertainty_ns=_reach(view, event, at, onset=False) if certain else view.clock.end_ns - at.end_ns,
        source=event.source,
        parent_event_id=event.parent_event_id,
        provenance=event.provenance.model_copy(update={"inputs": (event.id,)}),
    )


def _known(view: View, event: Event, at: Moved) -> int:
    """When the event can be recognised: as long after it is first seen as it took before, at its end at the latest."""
    if event.is_point:
        return at.start_ns
    piece, needed = view.pieces[at.piece], event.known_from_ns - event.start_ns
    low, high = piece.span
    if piece.is_reversed:
        seen = min(Fraction(event.end_ns), high) - needed
        inside = seen >= max(low, Fraction(event.start_ns))
    else:
        seen = max(Fraction(event.start_ns), low) + needed
        inside = seen <= min(high, Fraction(event.end_ns))
    return min(at.end_ns, view.clock.snap_up(round_half_up(piece.exact(seen)))) if inside else at.end_ns


def _reach(view: View, event: Event, at: Moved, *, onset: bool) -> int:
    """How uncertain an end is in the view, ns: as far as the uncertain stretch around it reaches there."""
    piece = view.pieces[at.piece]
    unsure, end_ns = (
        (event.onset_uncertainty_ns, event.start_ns)
        if onset != piece.is_reversed
        else (event.offset_uncertainty_ns, event.end_ns)
    )
    here = at.start_ns if onset else at.end_ns
    if not unsure or (at.cut_start if onset else at.cut_end):
        return 0
    reached = [round_half_up(piece.exact(_within(piece, t))) for t in (end_ns - unsure, end_ns + unsure)]
    return max(abs(t - here) for t in reached)


def _within(piece: Piece, t_ns: int) -> Fraction:
    low, high = piece.span
    return min(max(Fraction(t_ns), low), high)
