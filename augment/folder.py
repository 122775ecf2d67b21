"""Augmented videos as an output folder like any other: what trains, checks or shows one takes them as they are."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np

from augment.clip import Augmented, Clip
from augment.encode import CODINGS, Codec, Coding
from augment.errors import AugmentError
from augment.maker import Maker
from augment.render import VIDEOS, Renderer
from augment.settings import Pipeline
from augment.showing import FOLDER as STAGE
from augment.showing import SOURCES, TABLE, Reel, is_augmented
from augment.source import Source, by_size
from datasets_build.core.augmentation import Augmentation
from datasets_build.core.dataset import Subset
from datasets_build.core.files import read_json, write_json
from datasets_build.core.hierarchy import HIERARCHY, Level, levels_of
from datasets_build.core.layout import video_path, video_root
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.progress import log, tool_versions, track
from datasets_build.core.publish import Publisher, publish_card
from datasets_build.core.records import Annotation, Dialogue, Event, FrameLabel, Part, Reject, StreamingQA, Video
from datasets_build.core.stage import (
    STAGES,
    Fingerprint,
    Stage,
    StageError,
    code_digest,
    collect_rejects,
    output_folder,
    stage_digest,
)
from datasets_build.core.table import TableWriter
from datasets_build.core.views import frame_labels, subset_grid

_TABLES = ("index", "perceive", "events")
_TOOLS = ("numpy", "pyarrow", "pydantic")
_QA = Subset("qa", StreamingQA, "a question at an instant, its evidence, and its timed answers")
_TALK = Subset("dialogues", Dialogue, "a conversation over a video, with decisions on stated grids")
_EVENTS = Subset("events", Event, "an event with its span")
_LEVELS = Subset(HIERARCHY, Level, "an event, and the longer one of its label set that it lies within")
_FRAMES = "a frame of the grid: which events are on, which began since the step before"
_ABOUT = {
    "streaming_qa": ("Streaming questions and answers, augmented", "Questions asked again in augmented videos."),
    "frame_events": ("Per-frame events, augmented", "Events of augmented videos on their frame grid."),
    "dialogue": ("Interactive dialogues, augmented", "Conversations held again in augmented videos."),
}
_NOTE = "Frames are those of other videos at other times: `augment/augmentations.parquet` has the maps."
_NOTE_RENDERED = "The videos are made of others: `augment/augmentations.parquet` says of which, and how."


def apply(
    source: Source, out: Path, pipeline: Pipeline, *, force: bool = False, render: Codec | None = None
) -> dict[str, int]:
    """Writes the augmented videos of an output folder.

    What is finished there is not made again.

    Args:
        source: the output folder.
        out: where to; another folder.
        pipeline: what is done.
        force: make anew what is there.
        render: how video files of their own are encoded; None: records alone, whose frames are read through the maps.

    Returns:
        How many of each kind of record.

    Raises:
        AugmentError: nothing is left of any video, none is there to render, or one folder is or holds the other.
        StageError: the folder belongs to other settings, or another run writes there.
        RoomError: the disk is full.
    """
    if is_augmented(source.out):
        raise AugmentError(f"{source.out}: is augmented already; put all operations into one pipeline")
    refuse_nested(source.out, out)
    work = _Writing(source, pipeline, render, list(source.clips()))
    if render:
        work.refuse_no_videos()
    if force or not is_augmented(out):
        # Before anything is written.
        work.refuse_nothing()
    with output_folder(out):
        stages = work.stages = _open(source, out, pipeline, force=force, render=render)
        if not all(stage.done for stage in stages.values()):
            work.write()
        if render is None:
            _drop_files(out)
        # What a repeated run made a second time stands aside there.
        shutil.rmtree(out / ".work", ignore_errors=True)
        collect_rejects(out)
        return {f"{name}.{what}": n for name, stage in stages.items() for what, n in stage.counts().items()}


def refuse_nested(parent: Path, out: Path) -> None:
    """Raises AugmentError where writing one folder would touch the other.

    A folder of its own inside the parent, beside its stages and videos, is none of them.
    """
    # Path.resolve has no answer to a link that leads to itself.
    here, there = (Path(os.path.realpath(folder)) for folder in (parent, out))
    if there == here:
        raise AugmentError(f"{out}: is the folder that is augmented; name another one to write to")
    videos = Path(os.path.realpath(video_root(parent)))
    taken = [here / name for name in (*STAGES, ".work")] + [videos] * (videos != here and videos.is_relative_to(here))
    if inside := [folder for folder in taken if there.is_relative_to(folder)]:
        raise AugmentError(f"{out}: lies inside {inside[0]}, which the augmented folder is made of; name another one")
    if here.is_relative_to(there):
        raise AugmentError(f"{out}: holds {parent}, the folder that is augmented; name one beside it to write to")


def _open(source: Source, out: Path, pipeline: Pipeline, *, force: bool, render: Codec | None) -> dict[str, Stage]:
    """Every stage of the folder: video files, the index, what reads it, and the maps last."""
    parents = {f"parent.{name}": stage_digest(source.out, name) for name in ("index", "events", *source.datasets)}
    code = f"{code_digest('teachers', 'truth')}/{_own_digest()}"
    opened: dict[str, Stage] = {}
    begun = (out / ".work").exists()
    for name in (*([VIDEOS] if render else []), *_TABLES, *source.datasets, STAGE):
        inputs = dict(parents)
        inputs |= {made: opened[made].fingerprint.digest for made in _TABLES if made in opened}
        fields = dict(Fingerprint.of(pipeline, code=code, inputs=inputs).fields)
        if render:
            fields["config.render"] = render
        if name in source.datasets:
            rules = source.rules(name)
            # What reads a dataset's rules finds them under the names that its builder gave them.
            fields |= {f"config.facts.{field}": str(getattr(rules, field)) for field in rules.__dataclass_fields__}
        try:
            opened[name] = Stage.open(out, name, Fingerprint(fields), force=force)
        except StageError:
            if not begun:
                shutil.rmtree(out / ".work", ignore_errors=True)
            raise
    return opened


def _drop_files(out: Path) -> None:
    """Removes the video files of an earlier run, which no record names any more; never somebody else's."""
    path = out / VIDEOS / "manifest.json"
    content = read_json(path) if path.is_file() else None
    if isinstance(content, dict) and content.get("stage") == VIDEOS:
        shutil.rmtree(path.parent)


def _own_digest() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(slots=True)
class _Writing:
    """One pass over the source, into all stages that are not finished."""

    source: Source
    pipeline: Pipeline
    render: Codec | None = None
    clips: Sequence[Clip] = ()
    stages: dict[str, Stage] = field(default_factory=dict)

    def refuse_no_videos(self) -> None:
        """Raises AugmentError where no video file is there to render from; says so where some are not."""
        lost = [path for clip in self.clips if not (path := video_path(self.source.out, clip.video)).is_file()]
        if lost and len(lost) == len(self.clips):
            raise AugmentError(f"{lost[0]}: no such file, nor one of any other video; rendering needs them")
        if lost:
            log.warning("%s: no such file; of %d of %d videos nothing is rendered", lost[0], len(lost), len(self.clips))

    def refuse_nothing(self) -> None:
        """Raises AugmentError where nothing is left of any video; looks no further than to the first that is made."""
        why = "; chance did nothing to any video, raise p"
        for made in self._drawn(quietly=True):
            if not isinstance(made, Reject):
                return
            why = f", such as of {made.item}: {made.reason}"
        raise AugmentError(f"{self.source.out}: the pipeline leaves nothing of any video{why}")

    def write(self) -> None:
        """Writes them, then publishes one after the other; a killed run finds those that are whole."""
        rejects: list[Reject] = []
        counts = dict.fromkeys(("videos", "annotations", "shots", "keyframes", "events", "augmentations"), 0)
        with ExitStack() as files:
            tables = {
                what: files.enter_context(TableWriter(self._file(stage, name), model))
                for what, stage, name, model in (
                    ("videos", "index", "videos.parquet", Video),
                    ("annotations", "index", "annotations.parquet", Annotation),
                    ("shots", "perceive", "shots.parquet", Shot),
                    ("keyframes", "perceive", "keyframes.parquet", Keyframe),
                    ("signals", "perceive", "signals.parquet", Signals),
                    ("events", "events", "events.parquet", Event),
                    ("augmentations", STAGE, TABLE, Augmentation),
                )
            }
            publishers = {name: files.enter_context(self._publisher(name)) for name in self.source.datasets}
            for made in self._made(rejects):
                rows: dict[str, Sequence[Part]] = {
                    "videos": [made.clip.video],
                    "annotations": made.clip.annotations,
                    "shots": made.clip.shots,
                    "keyframes": made.clip.keyframes,
                    "events": made.clip.events,
                    "augmentations": made.maps,
                }
                for what, found in rows.items():
                    tables[what].write(found)
                    counts[what] += len(found)
                np.save(self._file("index", made.clip.video.pts_index), made.clip.clock.pts)
                for name, publisher in publishers.items():
                    _publish(name, publisher, made)
        self._commit(publishers, counts, rejects)

    def _file(self, stage: str, name: str) -> Path:
        path = self.stages[stage].final / name
        # A stage that is finished has no place to write to any more; what would go there goes aside.
        path = path if not self.stages[stage].done else self.stages[stage].out / ".work" / "again" / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _publisher(self, name: str) -> Publisher:
        return Publisher(self._file(name, "x").parent, self._subsets(name))

    def _subsets(self, name: str) -> list[Subset]:
        if name == "streaming_qa":
            return [_QA]
        if name == "dialogue":
            return [_TALK]
        views = sorted(path.name for path in (self.source.out / name).glob("frames_*"))
        return [_EVENTS, *(Subset(view, FrameLabel, _FRAMES) for view in views), _LEVELS]

    def _made(self, rejects: list[Reject]) -> Iterator[Augmented]:
        """What becomes of every video; with its file where it is rendered."""
        drawn = self._drawn()
        is_nothing = True
        for made in self._renderer(CODINGS[self.render]).each(drawn) if self.render else drawn:
            if isinstance(made, Reject):
                rejects.append(made)
            else:
                rejects += made.left
                is_nothing = False
                yield made
        if is_nothing:
            raise AugmentError(f"{self.source.out}: no video of it could be made, such as {rejects[-1].reason}")

    def _renderer(self, coding: Coding) -> Renderer:
        reels = {
            clip.video.id: Reel(video=clip.video, path=video_path(self.source.out, clip.video), clock=clip.clock)
            for clip in self.clips
        }
        return Renderer(stage=self.stages[VIDEOS], coding=coding, reels=reels)

    def _drawn(self, *, quietly: bool = False) -> Iterator[Augmented | Reject]:
        clips = self.clips
        maker = Maker(
            pipeline=self.pipeline,
            rules=self.source.rules("streaming_qa"),
            talk_rules=self.source.rules("dialogue"),
            others=by_size(clips),
        )
        for clip in clips if quietly else track(clips, total=len(clips), label="augment"):
            for copy, camera in product(range(self.pipeline.copies), range(self.pipeline.views)):
                made = self._one(maker, clip, copy, camera)
                if made is not None:
                    yield made

    def _one(self, maker: Maker, clip: Clip, copy: int, camera: int) -> Augmented | Reject | None:
        try:
            return self._whole(maker.make(clip, copy, camera))
        except AugmentError as error:
            return Reject(
                stage=STAGE,
                item=f"{clip.video.uri}: copy {copy}",
                code="cannot",
                reason=str(error),
                action="this copy is left out; the video and its other copies are not",
            )

    def _whole(self, made: Augmented | None) -> Augmented | None:
        """Every video has rows in every dataset; one that would have none is refused."""
        if made is None:
            return None
        rows = {"streaming_qa": made.clip.questions, "dialogue": made.clip.dialogues}
        empty = [name for name, found in rows.items() if name in self.source.datasets and not found]
        if empty:
            why = next((f": {row.reason}" for row in made.left if row.code == "empty"), "")
            raise AugmentError(f"nothing is left for {' and '.join(empty)}{why}")
        return made

    def _commit(self, publishers: dict[str, Publisher], counts: dict[str, int], rejects: Sequence[Reject]) -> None:
        tools = tool_versions(*_TOOLS)
        index, maps = self.stages["index"], self.stages[STAGE]
        write_json(self._file("index", "source.json"), {"root": "videos"})
        parent = os.path.relpath(self.source.out.resolve(), index.out.resolve())
        write_json(self._file(STAGE, SOURCES), {"parent": parent, "rendered": self.render})
        mine = {
            "index": ("videos", "annotations"),
            "perceive": ("shots", "keyframes"),
            "events": ("events",),
            STAGE: ("augmentations",),
            VIDEOS: ("videos",),
        }
        for name, stage in self.stages.items():
            if stage.done:
                continue
            told = {what: counts[what] for what in mine.get(name, ())}
            if name in publishers:
                title, summary = _ABOUT[name]
                notes = [_NOTE if self.render is None else _NOTE_RENDERED]
                publish_card(stage, publishers[name], self.pipeline, title=title, summary=summary, notes=notes)
                told = publishers[name].totals()
            stage.commit(rejects=rejects if stage is maps else [], counts=told, tools=tools)


def _publish(name: str, publisher: Publisher, made: Augmented) -> None:
    video, split = made.clip.video, made.clip.video.split
    if name == "streaming_qa":
        publisher.add("qa", split, made.clip.questions)
    elif name == "dialogue":
        publisher.add("dialogues", split, made.clip.dialogues)
    else:
        publisher.add("events", split, made.clip.events)
        publisher.add(HIERARCHY, split, levels_of(made.clip.events))
        for subset in publisher.subsets:
            if subset.model is FrameLabel:
                publisher.add(subset.name, split, _view(made.clip, subset_grid(subset.name)))
    publisher.add_video(video)


def _view(clip: Clip, fps: Fraction | None) -> Iterator[FrameLabel]:
    chosen = {row.frame_index for row in clip.keyframes}
    return frame_labels(clip.video.id, clip.clock, clip.events, shots=clip.shots, keyframes=chosen, fps=fps)
