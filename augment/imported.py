"""Imported conversations in an augmented video: moved whole, where all of their video is shown as it was.

Nothing says what their turns are about, so nobody can work out what is true in a video that shows less, more, or the
same in another order: such a conversation is left out, and the reason told.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from augment.answers import CannotAskError, Scene
from augment.arrival import Arrival
from augment.view import View
from augment.wording import timely
from datasets_build.core.clock import Span
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Evidence, Turn, derive_id
from datasets_build.core.views import parse_grid


def move_talk(dialogue: Dialogue, arrival: Arrival, scene: Scene, *, source: str, has_looks: bool) -> Dialogue:
    """The conversation at the instants at which its video shows what it did; everybody speaks as fast as before.

    Args:
        dialogue: over the video `source`.
        arrival: when the frames of the augmented video are there.
        scene: that video.
        source: the id of the video that was augmented.
        has_looks: whether its pictures look otherwise.

    Raises:
        CannotAskError: what is said may not be true there.
    """
    if has_looks or arrival.played is not arrival.view:
        raise CannotAskError("it was imported, and pictures that look otherwise or come late may make it false")
    if not _is_whole(dialogue, arrival.view, source):
        raise CannotAskError("it was imported, and not all of its video is shown, once and forwards")
    if not scene.plain and any(timely(turn.text) for turn in dialogue.turns):
        raise CannotAskError("it was imported, and its words speak of time")
    mover = _Mover(dialogue, arrival, scene, source)
    turns = tuple(mover.turn(k) for k in range(len(dialogue.turns)))
    events = dict.fromkeys(piece.event_id for turn in turns for piece in turn.evidence if piece.event_id)
    return dialogue.model_copy(
        update={
            "id": derive_id("dialogue", scene.video_id, dialogue.id),
            "video_id": scene.video_id,
            "start_ns": 0,
            "end_ns": scene.clock.end_ns,
            "turns": turns,
            "decisions": tuple(decisions_on(turns, scene.clock, fps=parse_grid(d.grid)) for d in dialogue.decisions),
            "provenance": dialogue.provenance.model_copy(update={"inputs": (dialogue.id, *events), "seed": scene.seed}),
        }
    )


def _is_whole(dialogue: Dialogue, view: View, source: str) -> bool:
    """Whether a view shows all frames of a conversation's video, forwards, in one piece."""
    span = Span(start_ns=dialogue.start_ns, end_ns=dialogue.end_ns)
    shown = len(np.unique(view.frame_of)) == len(view.pieces[0].clock)
    return len(view.pieces) == 1 and shown and bool(list(view.exact_spans(source, span)))


class _Mover:
    """Moves the turns of one conversation."""

    def __init__(self, dialogue: Dialogue, arrival: Arrival, scene: Scene, source: str) -> None:
        self._dialogue, self._arrival, self._scene, self._source = dialogue, arrival, scene, source
        events = {
            parent: fact.id for fact in scene.grounds.by_id.values() for parent in fact.event.provenance.inputs[:1]
        }
        self._names: Mapping[str, str] = events | {turn.id: self._id(turn) for turn in dialogue.turns}

    def _id(self, turn: Turn) -> str:
        return derive_id("turn", self._scene.video_id, self._dialogue.id, turn.id, 0)

    def _at(self, t_ns: int) -> int:
        """The instant at which the video shows what it showed then; its end for its end."""
        found = self._arrival.view.instants(self._source, t_ns)
        return found[0][1] if found else self._scene.clock.end_ns

    def _name(self, made: str | None) -> str | None:
        if made is not None and made not in self._names:
            raise CannotAskError("it was imported, and something that it rests on is not shown")
        return None if made is None else self._names[made]

    def turn(self, k: int) -> Turn:
        """A turn, which lasts as long as it did, at most until the next one begins."""
        turns, clock = self._dialogue.turns, self._scene.clock
        old = turns[k]
        start = self._at(old.start_ns)
        after = self._at(turns[k + 1].start_ns) if k + 1 < len(turns) else clock.end_ns
        end = start if old.end_ns == old.start_ns else clock.snap_up(start + old.end_ns - old.start_ns)
        window_end = old.window_end_ns and max(self._at(old.window_end_ns), clock.snap_up(start + 1))
        return old.model_copy(
            update={
                "id": self._id(old),
                "start_ns": start,
                "end_ns": max(start, min(end, after)),
                "trigger_ref": self._name(old.trigger_ref),
                "interrupts": self._name(old.interrupts),
                "evidence": tuple(self._piece(piece) for piece in old.evidence),
                "answerable_from_ns": None if old.answerable_from_ns is None else self._at(old.answerable_from_ns),
                "window_start_ns": None if old.window_start_ns is None else self._at(old.window_start_ns),
                "window_end_ns": window_end,
            }
        )

    def _piece(self, piece: Evidence) -> Evidence:
        ends = {"start_ns": self._at(piece.start_ns), "end_ns": self._at(piece.end_ns)}
        return piece.model_copy(update=ends | {"event_id": self._name(piece.event_id)})
