"""The records of one augmented video, each worked out from its view."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from augment.answers import CannotAskError, Rules, Scene
from augment.arrival import Arrival
from augment.asking import Asking, Gone
from augment.boxes import row_under
from augment.clip import Augmented, Clip
from augment.dialogues import said_by, talk_again
from augment.events import move_events
from augment.imported import move_talk
from augment.looks import video_under
from augment.mishaps import Mishaps
from augment.seams import judge_seams
from augment.settings import Operation
from augment.shots import move_keyframes, move_shots, shots_as_seen
from augment.unanswerable import absent_subjects
from augment.untold import untold_of
from augment.view import View
from augment.wording import is_plain, pace_of, retold, timely
from datasets_build.core.augmentation import AUGMENTED, Augmentation, Knot, Look, sealed
from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import (
    Annotation,
    Dialogue,
    Event,
    Parameter,
    Record,
    Reject,
    StreamingQA,
    Video,
    derive_id,
)
from datasets_build.truth.grounds import Grounds


@dataclass(frozen=True, slots=True)
class Making:
    """One augmented video in the making."""

    clip: Clip
    there: Mapping[str, Clip]
    arrival: Arrival
    done: Sequence[Operation]
    video_id: str
    seed: int
    rules: Rules
    talk_rules: Rules
    looks: tuple[Look, ...] = ()
    scene_id: str | None = None
    gone: Gone = "drop"

    @property
    def view(self) -> View:
        """What it shows."""
        return self.arrival.view

    def made(self) -> Augmented:
        """All of it."""
        seams = judge_seams(self.view, self.there)
        events = move_events(self.view, events_shown(self.view, self.there), video_id=self.video_id, seams=seams)
        left = [self._left(gone.event, "gone", gone.reason) for gone in events.gone]
        unshown: list[Reject] = []
        annotations = list(self._annotations(unshown))
        boxes = [row for row in annotations if row.kind == "box"]
        untold = untold_of(self.looks, events.there, self.view.clock, boxes=boxes)
        told = [event for event in events.there if untold is None or not untold.hides(event)]
        left += [self._left(event, "untellable", untold.reason) for event in untold.parents()] if untold else []
        scene = Scene(
            video_id=self.video_id,
            clock=self.view.clock,
            unseen=Grounds([*events.there, *events.hidden], self.view.clock, boxes) if events.hidden else None,
            grounds=Grounds(told, self.view.clock, boxes),
            rules=self.rules,
            seed=self.seed,
            untold=untold,
            absent=absent_subjects(self.view, events_shown(self.view, self.there)),
            plain=is_plain(self.view),
        )
        questions = list(self._questions(scene, left))
        dialogues = list(self._dialogues(replace(scene, rules=self.talk_rules), left))
        left += unshown
        there = {piece.source: self.there[piece.source] for piece in self.view.pieces}
        cuts = {name: clip.shots for name, clip in there.items()}
        shots = move_shots(self.view, cuts, video_id=self.video_id, seams=seams)
        shots = shots_as_seen(shots, events.there)
        chosen = {name: clip.keyframes for name, clip in there.items()}
        return Augmented(
            view=self.view,
            clip=Clip(
                video=self._video(),
                clock=self.view.clock,
                events=told,
                questions=questions,
                dialogues=dialogues,
                annotations=annotations,
                shots=shots,
                # A keyframe's little picture and embedding are of the frame as it was.
                keyframes=() if self.looks else tuple(move_keyframes(self.view, chosen, shots, video_id=self.video_id)),
            ),
            maps=tuple(sealed(row) for row in self._maps(left)),
            left=tuple(left),
            looks=self.looks,
        )

    def _left(self, record: Record, code: str, reason: str) -> Reject:
        return Reject(
            stage="augment",
            item=f"{self.video_id}: {type(record).__name__} {record.id}",
            code=code,
            reason=reason,
            action="left out of the augmented video; its parent keeps it",
        )

    def _questions(self, scene: Scene, left: list[Reject]) -> Iterator[StreamingQA]:
        """The questions of every piece."""

        def leave(record: Record, code: str, reason: str) -> None:
            left.append(self._left(record, code, reason))

        for source in dict.fromkeys(piece.source for piece in self.view.pieces):
            asking = Asking(arrival=self.arrival, scene=scene, gone=self.gone, leave=leave)
            yield from asking.ask(source, self.there[source].questions)

    def _dialogues(self, scene: Scene, left: list[Reject]) -> Iterator[Dialogue]:
        """The conversation of the first piece's video: one conversation covers the whole view."""
        for row in self.clip.dialogues:
            if row.provenance.kind == "corpus":
                yield from self._imported(row, scene, left)
                continue
            heard: dict[str, int] = {}
            for turn in said_by(row, "user"):
                places = self.arrival.instants(self.clip.video.id, turn.end_ns)
                if places:
                    heard[turn.id] = places[0][1]
            going = Mishaps(rng=random.Random(derive_id("mishaps", row.id, self.seed)), done=self.done)
            held = talk_again(row, heard, scene, mishaps=going)
            left += [self._left(row, "turn", f"turn {turn}: {reason}") for turn, reason in held.left]
            # What the assistant says by itself is no conversation.
            if held.dialogue is None or not said_by(held.dialogue, "user"):
                left.append(self._left(row, "empty", "nothing of the conversation is left"))
            else:
                yield held.dialogue
        for source in {piece.source: None for piece in self.view.pieces if piece.source != self.clip.video.id}:
            for row in self.there[source].dialogues:
                left.append(self._left(row, "second", "a view has one conversation, that of its first video"))

    def _imported(self, row: Dialogue, scene: Scene, left: list[Reject]) -> Iterator[Dialogue]:
        try:
            yield move_talk(row, self.arrival, scene, source=self.clip.video.id, has_looks=bool(self.looks))
        except CannotAskError as error:
            left.append(self._left(row, "empty", str(error)))

    def _annotations(self, left: list[Reject]) -> Iterator[Annotation]:
        """What a corpus says of stretches that are shown whole: of half of one it may not be true."""
        for source in dict.fromkeys(piece.source for piece in self.view.pieces):
            for row in self.there[source].annotations:
                places = list(self.view.exact_spans(source, row.span))
                if not places:
                    left.append(self._left(row, "cut", "no piece shows all of it, forwards"))
                moved = row_under(row, self.looks)
                if moved is None:
                    left.append(self._left(row, "moved", "the looks move its box from frame to frame, or out of sight"))
                    continue
                for place, span in places:
                    text = _text_of(moved, self.view, place, row.span)
                    if text is None:
                        left.append(self._left(row, "words", "its words speak of time and would be false"))
                        continue
                    yield moved.model_copy(
                        update={
                            "text": text,
                            "id": derive_id("annotation", self.video_id, row.id, span.start_ns),
                            "video_id": self.video_id,
                            "start_ns": span.start_ns,
                            "end_ns": span.end_ns,
                            "provenance": row.provenance.model_copy(update={"inputs": (row.id,)}),
                        }
                    )

    def _maps(self, left: Sequence[Reject]) -> Iterator[Augmentation]:
        """Where each piece comes from, still without an id; the first one names what was left out."""
        for place, piece in enumerate(self.view.pieces):
            low, high = piece.span
            inside = piece.clock.frames_in(Span(start_ns=int(low), end_ns=int(-(-high // 1))))
            shown = set(piece.frames.tolist())
            yield Augmentation(
                id="",
                video_id=self.video_id,
                parent_id=piece.source,
                parameters=(Parameter(name="lead_ns", value=float(self.arrival.lead_ns)),) * bool(self.arrival.lead_ns),
                operation=" + ".join(operation_told(operation) for operation in self.done),
                seed=self.seed,
                is_reversed=piece.is_reversed,
                on_ns=()
                if np.array_equal(piece.on_ns, piece.clock.t_ns[piece.frames])
                else tuple(piece.on_ns.tolist()),
                knots=tuple(Knot(source=str(s), target=str(t)) for s, t in piece.time_map.knots),
                dropped_frames=tuple(frame for frame in inside if frame not in shown),
                invalidated=tuple(dict.fromkeys(row.item.split()[-1] for row in left)) if place == 0 else (),
                looks=self.looks,
                scene_id=self.scene_id,
            )

    def _video(self) -> Video:
        clock, old = self.view.clock, video_under(self.looks, self.clip.video)
        rate = Fraction(len(clock) * NS_PER_S, clock.end_ns)
        gaps = np.diff(np.append(clock.t_ns, clock.end_ns))
        middle = int(np.median(gaps))
        return old.model_copy(
            update={
                "id": self.video_id,
                "video_id": self.video_id,
                "source": AUGMENTED,
                "uri": f"augmented/{self.video_id}",
                "sha256": derive_id("frames", self.video_id, *self._frames()),
                "bytes": 0,
                "time_base_num": 1,
                "time_base_den": NS_PER_S,
                "start_pts": 0,
                "start_offset_ns": 0,
                "duration_ns": clock.end_ns,
                "n_frames": len(clock),
                "header_frames": None,
                "avg_fps_num": rate.numerator,
                "avg_fps_den": rate.denominator,
                "is_vfr": bool(gaps.max() - gaps.min() > 1),
                "max_gap_ns": int(gaps.max()),
                "max_jitter_ns": int(np.abs(gaps - middle).max()),
                "reorder_depth": 0,
                "audio": None,
                "pts_index": f"pts/{self.video_id}.npy",
                "problems": (),
                "decoders": (),
            }
        )

    def _frames(self) -> list[str]:
        """The contents that are shown, as their videos' hashes."""
        return [self.there[piece.source].video.sha256 for piece in self.view.pieces]


def _text_of(row: Annotation, view: View, place: int, span: Span) -> str | None:
    """What a corpus says of a span, as it is true of what is shown; what people say in a video is theirs."""
    if row.kind in ("word", "box") or not timely(row.text):
        return row.text
    return retold(row.text, pace_of(view, place, span))


def operation_told(operation: Operation) -> str:
    """An operation with its settings, as JSON."""
    return json.dumps(operation.model_dump(mode="json"), sort_keys=True)


def events_shown(view: View, there: Mapping[str, Clip]) -> dict[str, Sequence[Event]]:
    """The events of every source of a view, by its id."""
    return {piece.source: there[piece.source].events for piece in view.pieces}
