"""The builder stages: read finished tables video by video, call the pure builders, publish whole folders."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Self

from datasets_build.builders import captions
from datasets_build.builders.captioned import captions_of
from datasets_build.builders.corrected import in_order, with_twins
from datasets_build.builders.coverage import Coverage
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.builders.facts import Desk, FactsConfig, Timeline, seed_of
from datasets_build.builders.frame_events import FrameEventsConfig, VideoEvents, view_of
from datasets_build.builders.mix import Mix
from datasets_build.builders.strangers import Strangers
from datasets_build.builders.streaming_qa import StreamingQAConfig, TeacherName, questions_of
from datasets_build.builders.worded import (
    WORDS,
    Asked,
    Kind,
    Words,
    dialogue_in,
    dialogue_places,
    question_in,
    question_places,
    unhurried,
    worded,
    writing,
)
from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config
from datasets_build.core.corrections import Corrections
from datasets_build.core.dataset import SPLITS, Subset
from datasets_build.core.files import DataError, Rejects
from datasets_build.core.hierarchy import HIERARCHY, Level, levels_of
from datasets_build.core.layout import VideoRows, clock_of, count_videos, each_video, table_path
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.publish import Publisher, publish_card
from datasets_build.core.records import Annotation, Dialogue, Event, FrameLabel, Reject, Split, StreamingQA, Video
from datasets_build.core.stage import Fingerprint, Stage, code_digest, collect_rejects, stage_digest
from datasets_build.core.table import write_table
from datasets_build.core.views import frames_subset
from datasets_build.teachers.choose import cache_folder, keep_settings, open_model, open_teacher
from datasets_build.teachers.interview import interview
from datasets_build.teachers.reword import ModelTeacher
from datasets_build.teachers.settings import TeachersConfig
from datasets_build.teachers.teacher import Teacher
from datasets_build.teachers.template import CHINESE, TERSE, load_template

TEACHERS: Mapping[TeacherName, Callable[[], Teacher]] = {
    "template": load_template,
    "template_zh": lambda: load_template(CHINESE),
    "terse": lambda: load_template(TERSE),
}
"""Those that need no model."""
NO_MODELS = TeachersConfig()
log = logging.getLogger(__name__)
_TOOLS = ("numpy", "pyarrow", "pydantic")
_CAUSALITY = (
    "At an instant a viewer has seen every frame up to it, that frame included. Evidence `[start_ns, end_ns)` has been "
    "seen at `end_ns`; `answerable_from_ns` is the latest end among the necessary evidence, and no answer comes sooner."
)
_TOPIC = (
    "`about` is a class of the video's events: `label` with its `subject` (none: anyone, or what the picture shows), a "
    "`caption` or spoken `line` by its `text`, all that a `subject` takes part in, or all of `scene`, `camera`, "
    "`changes` or `shots`. From it and the events every answer can be worked out anew; `every` says that one follows "
    "each time, to the video's end."
)


class BuildError(DataError):
    """Tables from which no dataset can be built."""


def _teacher(name: TeacherName, teachers: TeachersConfig) -> Teacher:
    if name == "chat" or name == "local":
        return open_teacher(name, teachers)
    return TEACHERS[name]()


def _open(out: Path, name: str, config: Config, *, upstream: tuple[str, ...], teacher: str, force: bool) -> Stage:
    """Open a stage; `teacher` is a digest of what decides its words."""
    inputs = {stage: stage_digest(out, stage) for stage in upstream} | {"teacher": teacher}
    inputs |= Corrections(out).inputs
    code = code_digest("builders", "teachers")
    return Stage.open(out, name, Fingerprint.of(config, code=code, inputs=inputs), force=force)


def build_events(
    out: Path, config: EventsConfig, *, force: bool = False, teachers: TeachersConfig = NO_MODELS
) -> Stage:
    """Make `OUT/events` from the index and what was perceived.

    Raises:
        StageError: an earlier stage is missing, or the folder belongs to other settings.
        TableError: a table is broken or out of order.
        ModelError: a teacher that is a model cannot be had or has gone for good.
    """
    model = None if config.teacher == "none" else open_model(config.teacher, teachers)
    digest = load_template().digest
    if model is not None:
        digest += f" {model.digest} {captions.PROMPT.sha256} {teachers.attempts}"
    stage = _open(out, "events", config, upstream=("index", "perceive"), teacher=digest, force=force)
    if not stage.done and model is None:
        _write_events(stage, config, None)
    elif not stage.done and model is not None:
        keep_settings(out, teachers)
        with interview(model, cache_folder(out, teachers), attempts=teachers.attempts) as held:
            _write_events(stage, config, Asked(held, teachers))
    collect_rejects(out)
    return stage


def _write_events(stage: Stage, config: EventsConfig, asked: Asked | None) -> None:
    out, corrections, rejects = stage.out, Corrections(stage.out), Rejects(stage.work / "rejects.jsonl")
    shots = VideoRows(table_path(out, Shot), Shot)
    signals = VideoRows(table_path(out, Signals), Signals)
    annotations = VideoRows(table_path(out, Annotation), Annotation)
    seen = captions_of(out, each_video(out), asked.held, config.captions) if asked and asked.held else repeat([])
    kept = boxes = 0

    def all_events() -> Iterator[Event]:
        nonlocal kept, boxes
        videos = track(each_video(out), total=count_videos(out), label="events")
        for video, captioned in zip(videos, seen, strict=False):
            cuts, curves, said = shots.take(video.id), signals.take(video.id), annotations.take(video.id)
            if not cuts:
                rejects.extend([_unseen(video)])
                continue
            found = events_of(video, clock_of(out, video), cuts, curves, said, config)
            told = [each for each in captioned if isinstance(each, Event)]
            after = corrections.events(video.id, in_order([*found.events, *told]))
            rejects.extend([*found.rejects, *(each for each in captioned if isinstance(each, Reject)), *after.stale])
            kept += 1
            boxes += sum(row.kind == "box" for row in said)
            yield from in_order(after.rows)

    count = write_table(stage.final / "events.parquet", Event, all_events())
    for rows in (shots, signals, annotations):
        rows.finish()
    counts = {"videos": kept, "events": count} | ({"boxes": boxes} if boxes else {}) | (asked.counts() if asked else {})
    stage.commit(rejects=rejects, counts=counts, tools=tool_versions(*_TOOLS))


def _unseen(video: Video) -> Reject:
    return Reject(
        stage="events",
        item=video.uri,
        code="not_perceived",
        reason="no shots were found for it, so nothing is known of what it shows",
        action="left out of all datasets; see its rows of the stages index and perceive",
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """One video with its clock, its events, where things are in it, and who is in others."""

    video: Video
    clock: FrameClock
    events: list[Event]
    boxes: list[Annotation]
    strangers: tuple[str, ...] = ()

    @property
    def video_id(self) -> str:
        """Whose it is."""
        return self.video.id

    def desk(self, teacher: Teacher, facts: FactsConfig, *, seed: int) -> Desk:
        timeline = Timeline(self.clock, self.events, teacher, facts, boxes=self.boxes)
        return Desk(timeline, teacher, random.Random(seed), facts, self.strangers)


def _sources(out: Path, label: str, strangers: Strangers | None = None) -> Iterator[_Source]:
    """The videos that have events, in index order."""
    rows, said = VideoRows(table_path(out, Event), Event), VideoRows(table_path(out, Annotation), Annotation)
    found = 0
    for video in track(each_video(out), total=count_videos(out), label=label):
        events, boxes = rows.take(video.id), [row for row in said.take(video.id) if row.kind == "box"]
        if events:
            found += 1
            others = strangers.of(video.split, video.id, events) if strangers else ()
            yield _Source(video, clock_of(out, video), events, boxes, others)
    rows.finish()
    said.finish()
    if not found:
        raise BuildError(f"{table_path(out, Event)}: no video has events, so there is nothing to build {label} from")


def build_streaming_qa(
    out: Path, config: StreamingQAConfig, *, force: bool = False, teachers: TeachersConfig = NO_MODELS
) -> Stage:
    """Make the dataset `OUT/streaming_qa`. Raises as `build_events` does."""
    teacher = _teacher(config.teacher, teachers)
    stage = _open(out, "streaming_qa", config, upstream=("index", "events"), teacher=teacher.digest, force=force)
    if not stage.done:
        _write_questions(stage, config, teacher, teachers)
    collect_rejects(out)
    return stage


def _write_questions(stage: Stage, config: StreamingQAConfig, teacher: Teacher, teachers: TeachersConfig) -> None:
    out, corrections, rejects = stage.out, Corrections(stage.out), Rejects(stage.work / "rejects.jsonl")
    strangers = Strangers.read(out) if "twins" in config.tasks else None
    shares, coverage = _Shares.of(out, config, teacher, strangers), Coverage(config.tasks)

    def draw(source: _Source, writer: Teacher) -> list[StreamingQA]:
        return [row for row in _questions(source, writer, config) if shares.draws(source.video.split, row)]

    kind = Kind(draw, question_places, lambda _, row, words: question_in(row, words), config.seed)
    subsets = [Subset("qa", StreamingQA, "a question at an instant, its evidence, and its timed answers")]
    with writing(teacher, out, teachers) as asked:
        with Publisher(stage.final, [*subsets, *asked.subsets]) as publisher:
            for made in worded(_sources(out, "streaming_qa", strangers), teacher, kind):
                video = made.source.video
                twinned = with_twins(corrections.questions(video.id, made.rows))
                rows = [row for row in twinned.rows if shares.keeps(video.split, row)]
                coverage.see(made.source.events, made.source.boxes)
                coverage.count(video.split, rows)
                shares.mix.count(video.split, rows)
                rejects.extend(twinned.stale)
                publisher.add("qa", video.split, rows)
                publisher.add(WORDS, video.split, made.wordings_of(rows))
                publisher.add_video(video)
        counts = publisher.totals() | asked.counts()
    if left_out := shares.mix.told():
        log.info("streaming_qa: %s", left_out)
    twins = "Questions marked `unanswerable` have an answerable twin, named in `twin_id`."
    publish_card(
        stage,
        publisher,
        config,
        title="Streaming questions and answers",
        summary="Questions that arrive while a video runs, with what proves each answer and from when it is known.",
        notes=[_CAUSALITY, _TOPIC, twins, coverage.told(), *([left_out] if left_out else []), *asked.notes],
    )
    reached = {"ovo_bench": coverage.as_json(SPLITS), "mix": shares.mix.as_json(SPLITS)}
    stage.commit(rejects=rejects, counts=counts, tools=tool_versions(*_TOOLS), reached=reached)


def _questions(source: _Source, teacher: Teacher, config: StreamingQAConfig) -> list[StreamingQA]:
    """The questions of a video, before people."""
    seed = seed_of(source.video.id, "streaming_qa", config.seed)
    return questions_of(source.video, source.desk(teacher, config.facts, seed=seed), config, seed=seed)


@dataclass(frozen=True, slots=True)
class _Shares:
    """Which questions stay so that tasks have the shares that are asked for; all where none are.

    `kept` are the ids that stay, `seen` those of all questions after people.
    """

    mix: Mix
    kept: Mapping[Split, frozenset[str]] | None = None
    seen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, out: Path, config: StreamingQAConfig, teacher: Teacher, strangers: Strangers | None) -> Self:
        """Ask all questions once, in no model's words, to see how many there are."""
        mix = Mix({str(task): share for task, share in config.mix.items()}, config.seed)
        if not config.mix:
            return cls(mix)
        corrections, seen = Corrections(out), set[str]()
        plain = teacher.template if isinstance(teacher, ModelTeacher) else teacher
        for source in _sources(out, "mix", strangers):
            rows = with_twins(corrections.questions(source.video.id, _questions(source, plain, config))).rows
            mix.see(source.video.split, rows)
            seen.update(row.id for row in rows)
        return cls(mix, {split: mix.kept(split) for split in SPLITS}, frozenset(seen))

    def keeps(self, split: Split, row: StreamingQA) -> bool:
        """Whether a question stays."""
        return self.kept is None or row.id in self.kept[split]

    def draws(self, split: Split, row: StreamingQA) -> bool:
        """Whether it is needed before people: one that they changed or took away is, to be so again."""
        return self.keeps(split, row) or row.id not in self.seen


def build_frame_events(out: Path, config: FrameEventsConfig, *, force: bool = False) -> Stage:
    """Make the dataset `OUT/frame_events`. Raises as `build_events` does."""
    teacher = load_template()
    upstream = ("index", "perceive", "events")
    stage = _open(out, "frame_events", config, upstream=upstream, teacher=teacher.digest, force=force)
    if not stage.done:
        about = "a frame of the grid: which events are on, which began since the step before"
        views = [Subset(frames_subset(fps), FrameLabel, about) for fps in config.grids]
        layers = Subset(HIERARCHY, Level, "an event, and the longer one of its label set that it lies within")
        with Publisher(stage.final, [Subset("events", Event, "an event with its span"), *views, layers]) as publisher:
            _add_views(out, config, publisher)
        publish_card(
            stage,
            publisher,
            config,
            title="Per-frame events",
            summary="Events on the frame grid, and for every frame the events that are on.",
            notes=[
                "A step speaks for the time since the step before it. On grids coarser than the video an event that is "
                "over between two steps is in `starting` of the later one.",
            ],
        )
        stage.commit(rejects=[], counts=publisher.totals(), tools=tool_versions(*_TOOLS))
    collect_rejects(out)
    return stage


def _add_views(out: Path, config: FrameEventsConfig, publisher: Publisher) -> None:
    shots = VideoRows(table_path(out, Shot), Shot)
    keyframes = VideoRows(table_path(out, Keyframe), Keyframe)
    for source in _sources(out, "frame_events"):
        video = source.video
        whole = VideoEvents(
            video=video,
            clock=source.clock,
            events=tuple(source.events),
            shots=tuple(shots.take(video.id)),
            keyframes=tuple(keyframes.take(video.id)),
        )
        publisher.add("events", video.split, whole.events)
        publisher.add(HIERARCHY, video.split, levels_of(whole.events))
        for fps in config.grids:
            publisher.add(frames_subset(fps), video.split, view_of(whole, fps))
        publisher.add_video(video)


def build_dialogue(
    out: Path, config: DialogueConfig, *, force: bool = False, teachers: TeachersConfig = NO_MODELS
) -> Stage:
    """Make the dataset `OUT/dialogue`. Raises as `build_events` does."""
    teacher = _teacher(config.teacher, teachers)
    stage = _open(out, "dialogue", config, upstream=("index", "events"), teacher=teacher.digest, force=force)
    drawn_with = unhurried(config, teacher.room) if isinstance(teacher, ModelTeacher) else config
    balance = config.balance()

    def draw(source: _Source, writer: Teacher) -> list[Dialogue]:
        seed = seed_of(source.video.id, "dialogue", config.seed)
        desk = source.desk(writer, config.facts, seed=seed)
        return [dialogue_of(source.video, desk, drawn_with, seed=seed, balance=balance)]

    def put(source: _Source, row: Dialogue, words: Words) -> Dialogue:
        return dialogue_in(row, words, source.clock, config)

    if not stage.done:
        corrections, rejects = Corrections(out), Rejects(stage.work / "rejects.jsonl")
        subsets = [Subset("dialogues", Dialogue, "a conversation over a video, with decisions on stated grids")]
        kind = Kind(draw, dialogue_places, put, config.seed)
        with writing(teacher, out, teachers) as asked:
            with Publisher(stage.final, [*subsets, *asked.subsets]) as publisher:
                for made in worded(_sources(out, "dialogue", Strangers.read(out)), teacher, kind):
                    video = made.source.video
                    talked = corrections.dialogues(video.id, made.rows)
                    rejects.extend(talked.stale)
                    balance.count(video.split, talked.rows, made.source.events)
                    publisher.add("dialogues", video.split, talked.rows)
                    publisher.add(WORDS, video.split, made.wordings_of(talked.rows))
                    publisher.add_video(video)
            counts = publisher.totals() | asked.counts()
        publish_card(
            stage,
            publisher,
            config,
            title="Interactive dialogues",
            summary="Conversations with an assistant that watches: when it answers, speaks up, waits and is silent.",
            notes=[
                _CAUSALITY,
                f"A user's turn says its `task` and what it is about. {_TOPIC}",
                "Decisions are derived: `respond` at the first step at or after a turn's start, `standby` while a "
                "question is pending, `silence` otherwise. Every grid is an exact view of the same turns.",
                *asked.notes,
            ],
        )
        reached = {"mix": balance.as_json(SPLITS)}
        stage.commit(rejects=rejects, counts=counts, tools=tool_versions(*_TOOLS), reached=reached)
    collect_rejects(out)
    return stage
