"""Events of an augmented video: each moved, cut or gone, with what a viewer can still tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from augment.seams import Verdict, is_told
from augment.seen import LATE_NS, Strip, Told, is_new_shot, seen_at, strips_of
from augment.view import Moved, Piece, View
from augment.wording import pace_of, retold, timely
from datasets_build.core.records import Event, Provenance, derive_id
from datasets_build.core.topics import ACTS, CAMERA, ENTERING_SETS, PICTURE_SET, name_after
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
_UNDONE = {"enter": "leave", "leave": "enter", "move": "stop"}
"""What it also looks like backwards: who begins to move has stopped."""
# Names everything that happens too, but not how all that is in the picture came in.
_CUT_SET = "world"


class Gone(NamedTuple):
    """An event that no piece of a view shows as what it is, and why."""

    event: Event
    reason: str


class Events(NamedTuple):
    """The events of an augmented video in order of time, and those of its sources that it does not have.

    `hidden` are those that happen in it without being shown, each an instant: the first frame behind it. What is said
    of the video has to be true whether or not they count.
    """

    there: list[Event]
    gone: list[Gone]
    hidden: list[Event]


def move_events(
    view: View, sources: Mapping[str, Sequence[Event]], *, video_id: str, seams: Sequence[Verdict] | None = None
) -> Events:
    """Moves the events of all sources into a view.

    A cut event that has no parts (`PARTABLE`) is never over for certain, so nothing is asked that would depend on it.
    A seam of which it is unsure whether it is seen is hidden.

    Args:
        view: what is shown.
        sources: the events of each source, by its id.
        video_id: of the augmented video.
        seams: what is seen of each (`augment.seams.judge_seams`); None: all are told.
    """
    strips = strips_of(view)
    begins: list[Verdict] = ["seen", *(seams or ["seen"] * (len(strips) - 1))]
    both = list(zip(strips, begins, strict=True))
    there: list[Event] = []
    hidden = [_seam(strip, video_id, ()) for strip, verdict in both if verdict == "unsure"]
    told_of = {source: Told(events) for source, events in sources.items()}
    for place, (strip, verdict) in enumerate(both):
        if is_told(verdict):
            shown = _Shown(view, place, strip, told_of[strip.piece.source], video_id)
            there.append(_seam(strip, video_id, tuple(shown.at_seam())))
    gone: list[Gone] = []
    for source, events in sources.items():
        mine = [place for place, strip in enumerate(strips) if strip.piece.source == source]
        pieces = [_Shown(view, place, strips[place], told_of[source], video_id) for place in mine]
        found = [piece.events() for piece in pieces]
        there += [event for shown, _ in found for event in shown]
        hidden += [event for _, missed in found for event in missed]
        kept = {name for shown, _ in found for event in shown for name in event.provenance.inputs}
        missed = {name for _, lost in found for event in lost for name in event.provenance.inputs}
        at_seams = {name for piece in pieces if is_told(begins[piece.place]) for name in piece.at_seam()}
        gone += [
            Gone(event, _why_gone(event, pieces, is_missed=event.id in missed))
            for event in events
            if event.id not in kept | at_seams and not _begins(event)
        ]
    there.sort(key=_order)
    return Events(there, gone, sorted(hidden, key=_order))


def _why_gone(event: Event, pieces: Sequence[_Shown], *, is_missed: bool) -> str:
    if all(piece.piece.is_reversed for piece in pieces) and not survives_backwards(event):
        return "seen backwards it is something that has no name"
    if is_missed and timely(event.caption):
        return "its words speak of time and would be false, or no frame shows it"
    if any(event.id in piece.at_seam() for piece in pieces):
        return "it begins where both sides of a seam look alike, or may"
    return "it happens where no frame shows it" if is_missed else "no frame of it is shown"


def _order(event: Event) -> tuple[int, bool, int, str, str]:
    return (event.start_ns, event.label != "video_start", event.end_ns, event.label, event.id)


def _begins(event: Event) -> bool:
    return event.label_set == PICTURE_SET and event.label == "video_start"


def survives_backwards(event: Event) -> bool:
    """Whether an event that is seen backwards is still one of the classes that the picture has."""
    return event.label_set == PICTURE_SET and event.label in _BACKWARDS


def _seam(strip: Strip, video_id: str, names: tuple[str, ...]) -> Event:
    """Where a piece begins the picture changes: the first frame of all, or a seam.

    It names the new shots that begin with it, too.
    """
    at = strip.shown_at(0)
    label = "shot_start" if at else "video_start"
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
        provenance=Provenance(kind="rule", agent=AGENT, version=VERSION, inputs=(strip.piece.source, *names)),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """One piece with what its source tells."""

    view: View
    place: int
    strip: Strip
    told: Told
    video_id: str

    @property
    def piece(self) -> Piece:
        return self.strip.piece

    def events(self) -> tuple[list[Event], list[Event]]:
        """What it shows, and what happens in it unseen."""
        shown: list[Event] = []
        hidden: list[Event] = []
        for event in self.told.events:
            if _begins(event) or not self._inside(event):
                continue
            made = self._one(event)
            if made is None:
                hidden += self._hidden(event)
            elif not (made.start_ns == self.strip.shown_at(0) and made.is_point and is_new_shot(made)):
                # A seam tells of the new shot that begins with it, or nobody sees either.
                shown.append(made)
        return self._promised(_one_shot_at_once(shown), hidden), hidden

    def at_seam(self) -> Iterator[str]:
        """Ids of the new shots that begin with it."""
        for event in self.told.events:
            if is_new_shot(event) and self._inside(event) and self._behind(event) == self.strip.shown_at(0):
                yield event.id

    def _inside(self, event: Event) -> bool:
        """Whether it happens in the stretch that the piece runs through."""
        low, high = self.piece.span
        if not event.is_point:
            return event.start_ns < high and event.end_ns > low
        return low < event.start_ns <= high if self.piece.is_reversed else low <= event.start_ns < high

    def _behind(self, event: Event) -> int:
        """The first frame of the view at which it is over, or the piece's end."""
        behind = event.start_ns if self.piece.is_reversed else event.end_ns
        return self.strip.shown_at(self.piece.shows_at(behind))

    def _parent(self, event: Event) -> Event:
        return next(old for old in self.told.events if old.id == event.provenance.inputs[0])

    def _one(self, event: Event) -> Event | None:
        """The event as the piece shows it; None where it does not."""
        if self.piece.is_reversed and not survives_backwards(event):
            return None
        if event.is_point:
            at = self._instant(event)
        else:
            at = next((at for at in self.view.spans(self.piece.source, event.span) if at.piece == self.place), None)
        if at is None:
            return self._jumped(event)
        if event.label == "move" and not self.piece.is_reversed and not at.cut_end:
            at = self._until_rest(event, at)
        return self._moved(event, at)

    def _instant(self, event: Event) -> Moved | None:
        if self.piece.is_reversed:
            at_ns = self._behind(event)
        else:
            frame = seen_at(self.strip, event, self.told)
            at_ns = self.strip.end_ns if frame is None else self.strip.shown_at(frame)
        return Moved(at_ns, at_ns, self.place, False, False) if at_ns < self.strip.end_ns else None

    def _jumped(self, event: Event) -> Event | None:
        """A new shot that comes in slowly, of which nothing is shown but that it has come."""
        at_ns = self._behind(event)
        if event.is_point or not is_new_shot(event) or at_ns >= self.strip.end_ns:
            return None
        point = event.model_copy(
            update={
                "label": "shot_start",
                "caption": load_template().caption_of("shot_start"),
                "is_point": True,
                "onset_uncertainty_ns": 0,
                "offset_uncertainty_ns": 0,
            }
        )
        return self._moved(point, Moved(at_ns, at_ns, self.place, False, False))

    def _until_rest(self, event: Event, at: Moved) -> Moved:
        """A movement ends when its end is seen."""
        if self.told.stop_of(event) is None:
            return at
        return at._replace(end_ns=self.strip.shown_at(self.strip.rest_at(event.end_ns)))

    def _hidden(self, event: Event) -> Iterator[Event]:
        """It as an instant at the first frame behind it; backwards it may look like something else, too."""
        at_ns = self._behind(event)
        looks = {(event.label, event.subject)}
        if self.piece.is_reversed:
            looks |= {(_UNDONE.get(event.label, event.label), event.subject), (event.label, name_after(event))}
        for label, subject in sorted(looks, key=str) if at_ns < self.strip.end_ns else ():
            yield event.model_copy(
                update={
                    "id": derive_id("hidden", self.video_id, event.id, self.place, label, str(subject)),
                    "video_id": self.video_id,
                    "start_ns": at_ns,
                    "end_ns": at_ns,
                    "known_from_ns": at_ns,
                    "label": label,
                    "subject": subject,
                    "is_point": True,
                    "onset_uncertainty_ns": 0,
                    "offset_uncertainty_ns": 0,
                    "provenance": event.provenance.model_copy(update={"inputs": (event.id,)}),
                }
            )

    def _promised(self, shown: Sequence[Event], hidden: Sequence[Event]) -> list[Event]:
        """The events, those with a label set that promises too much with another."""
        missed = {name for event in hidden if event.label_set in ENTERING_SETS for name in event.provenance.inputs}
        broken = {self.told.shot_of(old.start_ns) for old in self.told.events if old.id in missed}
        low = self.piece.span[0]
        first = self.told.shot_of(int(low))
        if any(e.label_set in ENTERING_SETS and first <= e.start_ns < low for e in self.told.events):
            broken.add(first)
        return [
            event.model_copy(update={"label_set": _CUT_SET})
            if event.label_set in ENTERING_SETS and self.told.shot_of(self._parent(event).start_ns) in broken
            else event
            for event in shown
        ]

    def _moved(self, event: Event, at: Moved) -> Event | None:
        if at.start_ns >= self.view.clock.end_ns:
            return None
        label = _BACKWARDS[event.label] if self.piece.is_reversed else event.label
        caption = load_template().caption_of(label) if label != event.label else self._caption(event)
        if caption is None:
            return None
        known, enough = self._known(event, at)
        lost = self.view.on_of[self.view.clock.index_at(at.start_ns)] - event.start_ns > LATE_NS
        missed = at.cut_start or (lost and event.label not in ACTS and not self.piece.is_reversed)
        over = event.is_point or at.end_ns < self.strip.end_ns or self._outlasts(event)
        certain = not ((missed and not enough) or at.cut_end or not over) or event.label in PARTABLE
        return Event(
            id=derive_id("event", self.video_id, event.id, at.piece, at.start_ns),
            video_id=self.video_id,
            start_ns=at.start_ns,
            end_ns=at.end_ns,
            label=label,
            label_set=event.label_set,
            caption=caption,
            subject=event.subject,
            is_point=event.is_point,
            known_from_ns=known,
            confidence=event.confidence,
            onset_uncertainty_ns=_reach(self.view, event, at, onset=True),
            offset_uncertainty_ns=_reach(self.view, event, at, onset=False)
            if certain
            else self.view.clock.end_ns - at.end_ns,
            source=event.source,
            parent_event_id=event.parent_event_id,
            provenance=event.provenance.model_copy(update={"inputs": (event.id,)}),
        )

    def _caption(self, event: Event) -> str | None:
        """Its words, as they are true of what is shown; None where they speak of time and would not be."""
        if not timely(event.caption):
            return event.caption
        return retold(event.caption, pace_of(self.view, self.place, event.span))

    def _outlasts(self, event: Event) -> bool:
        """Whether an event whose end the piece does not show is over with it: both end with the video."""
        if self.strip.end_ns == self.view.end_ns:
            return True
        # A new shot is there when a frame of it is.
        ends = event.start_ns <= 0 if self.piece.is_reversed else event.end_ns >= self.piece.clock.end_ns
        return ends and not is_new_shot(event)

    def _known(self, event: Event, at: Moved) -> tuple[int, bool]:
        """When the event can be recognised, and whether so much of it is shown.

        As long after it is first seen as it took before, in the source and in the view, at its end at the latest.
        """
        if event.is_point:
            return at.start_ns, True
        clock, needed = self.view.clock, event.known_from_ns - event.start_ns
        low, high = self.piece.span
        if self.piece.is_reversed:
            seen = min(Fraction(event.end_ns), high) - needed
            enough = seen >= max(low, Fraction(event.start_ns))
        else:
            begin = int(self.view.on_of[clock.index_at(at.start_ns)])
            seen = max(Fraction(max(event.start_ns, begin)), low) + needed
            enough = seen <= min(high, Fraction(event.end_ns))
        if not enough:
            return at.end_ns, False
        looked = max(self.strip.shown_at(self.piece.shows_at(seen)), clock.snap_up(at.start_ns + needed))
        return min(at.end_ns, looked), True


def _one_shot_at_once(events: Sequence[Event]) -> list[Event]:
    """The events of a piece, of several new shots that are there at one frame the slowest alone: they look like one."""
    best: dict[int, Event] = {}
    for event in events:
        if is_new_shot(event):
            other = best.get(event.known_from_ns)
            best[event.known_from_ns] = event if other is None or event.start_ns < other.start_ns else other
    return [event for event in events if not is_new_shot(event) or best[event.known_from_ns] is event]


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
    reached = [piece.at(_within(piece, t)) for t in (end_ns - unsure, end_ns + unsure)]
    return max(abs(t - here) for t in reached)


def _within(piece: Piece, t_ns: int) -> Fraction:
    low, high = piece.span
    return min(max(Fraction(t_ns), low), high)
