"""Augmented videos in memory, and every law that holds them against their parents."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from augment.clip import Clip
from augment.maker import Maker
from augment.settings import Pipeline
from augment.source import by_size
from datasets_build.checks import as_parent, whole
from datasets_build.checks.augmented import Strip, moved_breaches
from datasets_build.checks.parents import Conversation, Question, chosen
from datasets_build.checks.planned import Plan, drawn_breaches, planned, seal_breaches
from datasets_build.checks.remade import Remade
from datasets_build.checks.told import Told, invalidated_breaches
from datasets_build.checks.tracks import keyframe_breaches, shot_breaches
from datasets_build.core.config import flatten
from tests.augment.clips import clip
from tests.augment.worlds import world
from tests.builders.made import said

TEXTS = (
    "It stays for 5 seconds.",
    "It goes slowly away.",
    "At the end of the video it waits.",
    "It jumps again.",
    "Nothing is said.",
    "After two minutes, a 3-second pause of 200 ms.",
)


@lru_cache(maxsize=8)
def spoken(name, seconds=12.0):
    """A lively clip with boxes, and with captions that speak of time."""
    made = clip(name, seconds=seconds)
    parts = [(made.clock.end_ns * k // 6 + k, made.clock.end_ns * (k + 1) // 6 - 7 * k) for k in range(6)]
    more = [said(made.video, a, b, text) for (a, b), text in zip(parts, TEXTS, strict=True)]
    more += [
        said(made.video, a, b, f"0.{k} 0.25 0.3 0.5", kind="box", subject="ball", is_point=False)
        for k, (a, b) in enumerate(parts)
    ]
    return replace(made, annotations=(*made.annotations, *more))


@lru_cache(maxsize=32)
def drawn(style, number):
    """A drawn world as a clip: events alone, in which all that can happen does."""
    there = world(style, number)
    return Clip(
        video=there.made.video,
        clock=there.clock,
        events=there.events,
        questions=(),
        dialogues=(),
        annotations=there.made.annotations,
        shots=there.made.shots,
    )


def remade(clips, pipeline, *, copy=0, camera=0):
    """The copy of the first clip, and all clips by id; None where chance leaves it as it is."""
    maker = Maker(pipeline=pipeline, others=by_size(clips))
    return maker.make(clips[0], copy, camera), {each.video.id: each for each in clips}


class Held:
    """An augmented video with its parents, as the check sees them; `rows` are what a fault changes."""

    def __init__(self, found, parents, pipeline):
        self.found, self.parents, self.pipeline = found, parents, pipeline
        self.rows = {
            name: list(getattr(found.clip, name))
            for name in ("events", "questions", "dialogues", "annotations", "shots", "keyframes")
        }
        self.maps, self.left, self.video = list(found.maps), list(found.left), found.clip.video

    def broken(self):
        """Every law that is broken: its name, the record, and the breach."""
        clock = self.found.clip.clock
        told = {name: each.events for name, each in self.parents.items()}
        strips = [Strip.of(row, self.parents[row.parent_id].clock) for row in self.maps]
        made = Remade.of(self.video, clock, strips, told=told, left=Told(self.left).by(self.video.id))
        said_ = {name: each.annotations for name, each in self.parents.items()}
        asked = {name: [Question.of(row) for row in each.questions] for name, each in self.parents.items()}
        held = {name: [Conversation.of(row) for row in each.dialogues] for name, each in self.parents.items()}
        cuts = {name: each.shots for name, each in self.parents.items()}
        best = chosen(row for each in self.parents.values() for row in each.keyframes)
        rows, first = self.rows, next(iter(self.parents.values()))
        shas = {name: each.video.sha256 for name, each in self.parents.items()}
        plan = planned(Plan.of(flatten_fields(self.pipeline)), [first.video])
        laws = {
            "moved": moved_breaches(rows["events"], made.expected, made.pieces),
            "vanished event": whole.event_breaches(made, rows["events"], told),
            "shown event": whole.shown_breaches(made, rows["events"], told),
            "event": as_parent.event_breaches(made, rows["events"], told),
            "vanished annotation": whole.annotation_breaches(made, rows["annotations"], said_),
            "annotation": as_parent.annotation_breaches(made, rows["annotations"], said_),
            "vanished question": whole.question_breaches(made, rows["questions"], asked),
            "question": as_parent.question_breaches(made, rows["questions"], asked),
            "vanished dialogue": whole.dialogue_breaches(made, rows["dialogues"], held),
            "dialogue": as_parent.dialogue_breaches(made, rows["dialogues"], held),
            "shot": shot_breaches(made, rows["shots"], cuts, rows["events"]),
            "keyframe": keyframe_breaches(made, rows["keyframes"], best, has_shots=bool(rows["shots"])),
            "invalidated": invalidated_breaches(self.maps, made.left),
            "drawn": drawn_breaches(self.maps, plan.get(self.video.id)),
            "sealed": ((row.id, list(seal_breaches(row))) for row in self.maps),
            "video": [
                (self.video.id, list(as_parent.video_breaches(made, first.video, rendered=False, shas=shas))),
            ],
        }
        return [(law, name, breach) for law, found in laws.items() for name, all_ in found for breach in all_]


def flatten_fields(pipeline: Pipeline):
    """What a manifest says of a pipeline."""
    return {f"config.{name}": text for name, text in flatten(pipeline).items()}
