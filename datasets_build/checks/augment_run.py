"""The check of what an augmented folder adds to others: its maps, and all records against the folder of its parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from datasets_build.checks import as_parent, whole
from datasets_build.checks.augmented import (
    BACKWARDS,
    CLOCK,
    DROPPED,
    FOLLOW,
    MOVED,
    RISES,
    Strip,
    backwards_breaches,
    clock_breaches,
    dropped_breaches,
    follow_breaches,
    map_breaches,
    moved_breaches,
)
from datasets_build.checks.laws import Breach, Ledger
from datasets_build.checks.parents import Parents
from datasets_build.checks.planned import (
    COPIES,
    DRAWN,
    SEALED,
    Copy,
    Plan,
    copies_breaches,
    drawn_breaches,
    planned,
    seal_breaches,
)
from datasets_build.checks.remade import Remade
from datasets_build.checks.told import (
    FILE,
    INVALIDATED,
    JOINED,
    NAMED,
    Told,
    invalidated_breaches,
    joined_breaches,
    named_breaches,
)
from datasets_build.checks.tracks import KEYFRAMES, SHOTS, keyframe_breaches, shot_breaches
from datasets_build.checks.walk import Ahead, Atlas, Group, Names, walk
from datasets_build.core.augmentation import AUGMENTED, Augmentation
from datasets_build.core.files import read_json
from datasets_build.core.layout import TABLES, table_path
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Annotation, Dialogue, Event, Record, StreamingQA
from datasets_build.core.table import TableError

R = TypeVar("R", bound=Record)
TABLE, SOURCES = "augment/augmentations.parquet", "augment/sources.json"
MAPPED = ("video_is_mapped", "every augmented video has maps, and no other has")
PARENT = ("parent_there", "what an augmented record was made of is in the folder of its parents")
PLANNED = (
    "pipeline_told",
    "the manifest of an augmented folder has its pipeline, and the folder all that was augmented",
)
QA, TALK = "streaming_qa/qa", "dialogue/dialogues"


class AugmentRun:
    """One check of what an augmented folder adds to others."""

    def __init__(self, out: Path, atlas: Atlas, ledger: Ledger) -> None:
        self.out, self.atlas, self.ledger = out, atlas, ledger
        self.names = Names()
        self.told = Told.of(out)
        self.rendered = False
        self.plan: dict[str, Copy] = {}
        self.parents: Parents | None = self._open()
        self._tables: dict[str, Ahead[Record] | None] = {}

    def _open(self) -> Parents | None:
        content = read_json(self.out / SOURCES) if (self.out / SOURCES).is_file() else None
        told = content.get("parent") if isinstance(content, dict) else None
        parent = self.out / str(told)
        there = isinstance(told, str) and (parent / "events" / "manifest.json").is_file()
        lost = [] if there else [Breach(f"parent {told}", "the folder that was augmented")]
        self.ledger.note(*PARENT, SOURCES, SOURCES, lost)
        self.rendered = isinstance(content, dict) and content.get("rendered") is not None
        return Parents(parent) if there else None

    def run(self) -> None:
        """All of it."""
        self.ledger.note(*JOINED, "rejects.jsonl", FILE, joined_breaches(self.out))
        if self.parents is not None:
            self._plan(self.parents)
        self._maps()

    def _plan(self, parents: Parents) -> None:
        """That every copy is there that the pipeline makes, and every dataset of the parents."""
        file = "augment/manifest.json"
        content = read_json(self.out / file)
        told = content.get("fields") if isinstance(content, dict) else None
        fields = {name: str(value) for name, value in told.items()} if isinstance(told, dict) else {}
        for stage in ("streaming_qa", "frame_events", "dialogue"):
            lost = f"input.parent.{stage}" in fields and not (self.out / stage / "manifest.json").is_file()
            self.ledger.note(*PLANNED, file, stage, [Breach(f"no {stage}", "it, as its parent has it")] if lost else [])
        try:
            plan = Plan.of(fields)
        except ValueError as error:
            self.ledger.note(*PLANNED, file, file, [Breach(str(error), "config.seed, copies, views and operations")])
            return
        usable = (v for v in parents.videos.values() if v.status != "quarantined" and v.id in parents.events)
        self.plan = planned(plan, usable)
        self._note(COPIES, TABLE, copies_breaches(self.plan, frozenset(self.atlas.by_id), self.told))
        items = {copy.item for copy in self.plan.values()} | {f"{made}: video file" for made in self.plan}
        self._note(NAMED, FILE, named_breaches(self.told, self.atlas.by_id, items, parents.ids()))

    def _maps(self) -> None:
        """The maps, and what went through them."""
        met: set[str] = set()
        for group, file in walk(self.out / TABLE, Augmentation, None, self.atlas, self.ledger):
            met.add(group.video.id)
            rows = [row for row in group.rows if isinstance(row, Augmentation)]
            for row in rows:
                self.names.meet("augmentation", row.id, file, self.ledger)
                self.ledger.note(*SEALED, file, row.id, seal_breaches(row))
            self._told(rows, file)
            if self.parents is not None:
                self._video(group, rows, file, self.parents)
        for video in self.atlas.videos:
            made, mapped = video.source == AUGMENTED, video.id in met
            found = (
                [] if made == mapped else [Breach(f"source {video.source}, maps: {mapped}", "maps where it is made")]
            )
            self.ledger.note(*MAPPED, TABLE, video.id, found)

    def _told(self, rows: Sequence[Augmentation], file: str) -> None:
        """What the rows of a video say of it, beside its maps."""
        made = rows[0].video_id
        self._note(INVALIDATED, file, invalidated_breaches(rows, self.told.by(made)))
        if self.plan:
            self._note(DRAWN, file, drawn_breaches(rows, self.plan.get(made)))

    def _video(self, group: Group, rows: Sequence[Augmentation], file: str, parents: Parents) -> None:
        strips = []
        for row in rows:
            if row.parent_id not in parents.videos:
                lost = Breach(f"parent_id {row.parent_id}", "a video of the folder that was augmented")
                self.ledger.note(*PARENT, file, row.id, [lost])
                return
            self.ledger.note(*PARENT, file, row.id, [])
            wrong = list(map_breaches(row, parents.clock(row.parent_id)))
            self.ledger.note(*RISES, file, row.id, wrong)
            if wrong:
                return
            strips.append(Strip.of(row, parents.clock(row.parent_id)))
        self._note(FOLLOW, file, follow_breaches(rows, group.clock))
        for strip in strips:
            self.ledger.note(*DROPPED, file, strip.row.id, dropped_breaches(strip))
            self.ledger.note(*BACKWARDS, file, strip.row.id, backwards_breaches(strip))
        wrong = list(clock_breaches(strips, group.clock))
        self.ledger.note(*CLOCK, file, rows[0].id, wrong)
        if not wrong:
            left = self.told.by(group.video.id)
            made = Remade.of(group.video, group.clock, strips, told=parents.events, left=left)
            self._itself(made, parents)
            self._events(made, parents)
            self._said(made, parents)
            self._perceived(made, parents)
            self._asked(made, parents)

    def _itself(self, made: Remade, parents: Parents) -> None:
        copy = self.plan.get(made.video.id)
        parent = parents.videos.get(copy.parent_id if copy else made.rows[0].parent_id)
        if parent is not None:
            shas = {name: video.sha256 for name, video in parents.videos.items()}
            wrong = as_parent.video_breaches(made, parent, rendered=self.rendered, shas=shas)
            self.ledger.note(*as_parent.AS_PARENT, "index/videos.parquet", made.video.id, wrong)

    def _events(self, made: Remade, parents: Parents) -> None:
        file = TABLES[Event]
        told, events = parents.events, self.atlas.events_of(made.video.id)
        self._note(MOVED, file, moved_breaches(events, made.expected, made.pieces))
        self._note(whole.VANISHED, file, whole.event_breaches(made, events, told))
        self._note(whole.SHOWN, file, whole.shown_breaches(made, events, told))
        self._note(as_parent.AS_PARENT, file, as_parent.event_breaches(made, events, told))

    def _said(self, made: Remade, parents: Parents) -> None:
        file, rows = TABLES[Annotation], self._rows(TABLES[Annotation], Annotation, made)
        self._note(whole.VANISHED, file, whole.annotation_breaches(made, rows, parents.annotations))
        self._note(as_parent.AS_PARENT, file, as_parent.annotation_breaches(made, rows, parents.annotations))

    def _perceived(self, made: Remade, parents: Parents) -> None:
        if not table_path(self.out, Shot).is_file():
            return
        shots = self._rows(TABLES[Shot], Shot, made)
        rows = self._rows(TABLES[Keyframe], Keyframe, made)
        events = self.atlas.events_of(made.video.id)
        self._note(SHOTS, TABLES[Shot], shot_breaches(made, shots, parents.shots, events))
        found = keyframe_breaches(made, rows, parents.keyframes, has_shots=bool(shots))
        self._note(KEYFRAMES, TABLES[Keyframe], found)

    def _asked(self, made: Remade, parents: Parents) -> None:
        """Questions and conversations: of a parent that is there, all of them, and as it has them."""
        split = made.video.split
        file = f"{QA}/{split}.parquet"
        if (self.out / QA).is_dir():
            rows, asked = self._rows(file, StreamingQA, made), parents.questions
            self._made_of(QA, file, rows, {row.id for source in made.sources for row in asked.get(source, ())})
            self._note(whole.VANISHED, file, whole.question_breaches(made, rows, asked))
            self._note(as_parent.AS_PARENT, file, as_parent.question_breaches(made, rows, asked))
        file = f"{TALK}/{split}.parquet"
        if (self.out / TALK).is_dir():
            talks, held = self._rows(file, Dialogue, made), parents.conversations
            self._made_of(TALK, file, talks, {row.id for source in made.sources for row in held.get(source, ())})
            self._note(whole.VANISHED, file, whole.dialogue_breaches(made, talks, held))
            self._note(as_parent.AS_PARENT, file, as_parent.dialogue_breaches(made, talks, held))

    def _made_of(self, table: str, file: str, rows: Sequence[StreamingQA | Dialogue], known: set[str]) -> None:
        for row in rows:
            parent = row.provenance.inputs[0] if row.provenance.inputs else None
            wanted = f"a row of {table} of a video that is shown"
            lost = [] if parent in known else [Breach(f"provenance.inputs.0 {parent}", wanted)]
            self.ledger.note(*PARENT, file, row.id, lost)

    def _rows(self, file: str, model: type[R], made: Remade) -> list[R]:
        """A video's rows of a table; none of one that cannot be read, which other laws say."""
        if file not in self._tables:
            path = self.out / file
            self._tables[file] = Ahead(path, model, self.atlas.place) if path.is_file() else None
        table = self._tables[file]
        try:
            found = table.of(made.video.id) if table is not None else []
        except TableError:
            self._tables[file] = None
            return []
        return [row for row in found if isinstance(row, model)]

    def _note(self, law: tuple[str, str], file: str, found: Iterable[tuple[str, Iterable[Breach]]]) -> None:
        for made, breaches in found:
            self.ledger.note(*law, file, made, breaches)
