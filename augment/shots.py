"""Shots and keyframes of an augmented video: those of its sources where they are shown, and a cut at each told seam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from augment.events import AGENT, VERSION
from augment.seams import Verdict, is_told
from augment.view import View
from datasets_build.core.clock import Span
from datasets_build.core.perceived import Detector, Keyframe, Shot
from datasets_build.core.records import Event, derive_id
from datasets_build.core.topics import PICTURE_SET

_BACKWARDS: Mapping[str, str] = {"fade_to_black": "fade_from_black", "fade_from_black": "fade_to_black"}
_SEAM = Detector(name=AGENT, version=VERSION, decoder="")


class _Begin(NamedTuple):
    """A shot of a source that begins in a piece, by the piece's place."""

    shot: Shot
    place: int


def move_shots(
    view: View, sources: Mapping[str, Sequence[Shot]], *, video_id: str, seams: Sequence[Verdict] | None = None
) -> list[Shot]:
    """The shots of a view, which follow each other without a gap; none where those of a source are not known.

    A shot goes on over a seam that is not told.

    Args:
        view: what is shown.
        sources: the shots of each source, by its id.
        video_id: of the augmented video.
        seams: what is seen of each (`augment.seams.judge_seams`); None: all are told.
    """
    if not all(sources[piece.source] for piece in view.pieces):
        return []
    begins: dict[int, _Begin | None] = {}
    for source, shots in sources.items():
        for shot in shots:
            begins |= {at: _Begin(shot, place) for place, at in _begins(view, source, shot.start_ns)}
    # A seam is a cut of its own; the beginning is that of the first shot.
    first, *later = _seams(view)
    begins.setdefault(first)
    for at, is_cut in zip(later, map(is_told, seams) if seams else [True] * len(later), strict=True):
        if is_cut:
            begins[at] = None
        else:
            begins.pop(at, None)
    times = [*sorted(begins), view.end_ns]
    return [
        _shot(view, ordinal, start, end, video_id=video_id, begin=begins[start])
        for ordinal, (start, end) in enumerate(pairwise(times))
    ]


def shots_as_seen(shots: Sequence[Shot], events: Sequence[Event]) -> list[Shot]:
    """The shots of a view; a fade of unknown span is the cut that is seen where no event tells of a frame of it.

    Args:
        shots: of the view.
        events: of the view.
    """
    # People may have moved one.
    slow = [event for event in events if event.label_set == PICTURE_SET and event.label == "fade"]
    found = []
    for shot in shots:
        unknown = shot.transition == "fade_through" and shot.transition_start_ns == shot.transition_end_ns
        seen = any(event.start_ns <= shot.start_ns <= event.end_ns for event in slow)
        found.append(shot.model_copy(update={"transition": "cut"}) if unknown and not seen else shot)
    return found


def _begins(view: View, source: str, t_ns: int) -> Iterator[tuple[int, int]]:
    """In which piece and when a shot is seen to begin: at the first frame of it where one of the shot before was shown.

    The first shot of all begins with its first frame.
    """
    for place, piece in enumerate(view.pieces):
        if piece.source != source:
            continue
        low, high = piece.span
        is_first = place == 0 and (low < t_ns <= high if piece.is_reversed else low <= t_ns < high)
        frame = piece.shows_at(t_ns)
        if (0 if is_first else 1) <= frame < len(piece.frames):
            yield place, view.shown_ns(place, frame)


def _seams(view: View) -> list[int]:
    return [view.shown_ns(place, 0) for place in range(len(view.pieces))]


def _shot(view: View, ordinal: int, start_ns: int, end_ns: int, *, video_id: str, begin: _Begin | None) -> Shot:
    index = view.clock.index_at(start_ns)
    kind, span = _transition(view, start_ns, begin) if ordinal else ("first", _no_span(start_ns))
    fields = {
        "id": derive_id("shot", video_id, start_ns),
        "video_id": video_id,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "ordinal": ordinal,
        "start_frame": index,
        "end_frame": len(view.clock) if end_ns == view.end_ns else view.clock.index_at(end_ns),
        "transition": kind,
        "transition_start_ns": span.start_ns,
        "transition_end_ns": span.end_ns,
        "score": begin.shot.score if begin else 1.0,
        "detector": begin.shot.detector if begin else _SEAM,
    }
    return Shot.model_validate(fields)


def _transition(view: View, at_ns: int, begin: _Begin | None) -> tuple[str, Span]:
    """How a shot is seen to begin, and the frames of the transition that its piece shows; of one without any, a cut."""
    if begin is None or begin.shot.transition in ("first", "cut"):
        return "cut", _no_span(at_ns)
    shot, piece = begin.shot, view.pieces[begin.place]
    kind = _BACKWARDS.get(shot.transition, shot.transition) if piece.is_reversed else shot.transition
    span = Span(start_ns=shot.transition_start_ns, end_ns=shot.transition_end_ns)
    if span.duration_ns == 0:
        return kind, _no_span(at_ns)
    shown = next((moved for moved in view.spans(piece.source, span) if moved.piece == begin.place), None)
    return (kind, Span(start_ns=shown.start_ns, end_ns=shown.end_ns)) if shown else ("cut", _no_span(at_ns))


def _no_span(at_ns: int) -> Span:
    return Span(start_ns=at_ns, end_ns=at_ns)


def move_keyframes(
    view: View, sources: Mapping[str, Sequence[Keyframe]], shots: Sequence[Shot], *, video_id: str
) -> Iterator[Keyframe]:
    """The keyframes that are shown, once for each time, in order."""
    chosen = {(source, row.frame_index): row for source, rows in sources.items() for row in rows}
    starts = np.array([shot.start_ns for shot in shots], np.int64)
    for index in range(len(view.clock)) if len(shots) else ():
        old = chosen.get(view.origin(index))
        if old is None:
            continue
        t_ns = view.clock.time_of(index)
        yield old.model_copy(
            update={
                "id": derive_id("keyframe", video_id, old.id, t_ns),
                "video_id": video_id,
                "shot_id": shots[int(np.searchsorted(starts, t_ns, side="right")) - 1].id,
                "t_ns": t_ns,
                "frame_index": index,
            }
        )
