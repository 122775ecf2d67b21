"""The output folders of `datasets_build` as training reads them: checked before time is spent, joined by video."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from augment.showing import Showing, is_augmented, open_showings
from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import DataError, read_json
from datasets_build.core.layout import by_video, clock_of, dataset_rows, read_videos, table_path, video_path
from datasets_build.core.records import (
    SCHEMA_VERSION,
    Annotation,
    Dialogue,
    Event,
    Json,
    Record,
    Split,
    StreamingQA,
    Video,
)
from datasets_build.core.stage import stale_inputs
from datasets_build.core.table import read_table
from models.errors import FrameError
from models.patches import FrameFormat
from recipes.data.footage import Footage
from recipes.errors import CorpusError
from recipes.settings import DataConfig

R = TypeVar("R", bound=Record)
Dataset = Literal["streaming_qa", "frame_events", "dialogue"]
STAGES = ("index", "events")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """One video with all records about it.

    Attributes:
        footage: the video.
        questions: streaming questions by rising `ask_ns`.
        events: by rising `start_ns`.
        annotations: what a corpus says about it.
        dialogues: whole conversations.
    """

    footage: Footage
    questions: tuple[StreamingQA, ...] = ()
    events: tuple[Event, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    dialogues: tuple[Dialogue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A video that is not used, and why."""

    video_id: str
    uri: str
    reason: str


class Corpus:
    """All videos of a configuration with their records.

    Attributes:
        materials: videos that are used, by split, in the order of the folders and of their index.
        unused: videos that are not.
    """

    def __init__(self, materials: dict[Split, tuple[Material, ...]], unused: Sequence[Unused]) -> None:
        self.materials = materials
        self.unused = tuple(unused)

    @classmethod
    def open(cls, config: DataConfig, frames: FrameFormat, *, needs: Collection[Dataset]) -> Corpus:
        """Reads and joins what is there.

        Args:
            config: which folders, and how their frames are seen.
            frames: how large a grid a frame gives.
            needs: the datasets without which the run makes no sense.

        Raises:
            CorpusError: a folder is no finished output of `datasets_build`, is of another schema version, lacks a
                dataset or a file, was rebuilt in part, or its video is gone or changed.
        """
        materials: dict[Split, list[Material]] = {split: [] for split in SPLITS}
        unused: list[Unused] = []
        # All folders are looked at before the first is read.
        outs = [Path(folder) for folder in config.folders]
        for out in outs:
            check_folder(out, needs)
        videos = {out: _videos(out) for out in outs}
        _refuse_doubles(outs, videos)
        showings = {out: _showings(out) for out in outs}
        for out in outs:
            _refuse_missing(out, _files(out, videos[out], showings[out]))
        for out in outs:
            try:
                for split, material in _read(out, videos[out], config, frames, unused):
                    found = showings[out].get(material.footage.video.id)
                    footage = replace(material.footage, showing=found)
                    materials[split].append(replace(material, footage=footage) if found else material)
            except CorpusError:
                raise
            except DataError as error:
                raise CorpusError(f"{error}; rebuild the folder with `python -m datasets_build`") from error
        return cls({split: tuple(found) for split, found in materials.items()}, unused)

    def footage(self) -> dict[str, Footage]:
        """Every video that is used, by its id."""
        return {material.footage.video.id: material.footage for found in self.materials.values() for material in found}

    def texts(self, split: Split = "train") -> Iterator[str]:
        """All that is said in a split, with the labels of its events: what a tokenizer is learned from."""
        for material in self.materials[split]:
            yield from _texts(material)


def check_folder(out: Path, needs: Iterable[Dataset]) -> None:
    """Refuses a folder that cannot be used, from its manifests and the sizes of its files alone.

    Raises:
        CorpusError: as `Corpus.open`.
    """
    if not out.is_dir():
        raise CorpusError(f"data.folders: {out} is no folder; expected an output of `python -m datasets_build`")
    for stage in (*STAGES, *needs):
        path = out / stage / "manifest.json"
        if not path.is_file():
            raise CorpusError(
                f"{out}: holds no {stage}/manifest.json; expected a finished {stage}: run `python -m datasets_build` "
                "there, or leave out of the mix what needs it"
            )
        try:
            _check_manifest(out / stage, read_json(path))
        except CorpusError:
            raise
        except DataError as error:
            raise CorpusError(f"{error}; rebuild it with --force") from error
        stale = stale_inputs(out, stage)
        if stale:
            raise CorpusError(
                f"{out / stage}: was built before {', '.join(stale)} was made anew; run `python -m datasets_build "
                "build` again, so that its times are those of the videos"
            )


def dataset_digests(config: DataConfig) -> dict[str, str]:
    """The fingerprint of each table of records that a run reads, by `folder/stage`."""
    found = {}
    for name in config.folders:
        for stage in (*STAGES, *get_args(Dataset)):
            path = Path(name) / stage / "manifest.json"
            content = read_json(path) if path.is_file() else None
            if isinstance(content, dict):
                found[f"{name}/{stage}"] = str(content.get("fingerprint"))
    return found


def _check_manifest(folder: Path, manifest: Json) -> None:
    fields = manifest if isinstance(manifest, dict) else {}
    version = fields.get("schema_version")
    if fields.get("schema") != "streamvl" or version != SCHEMA_VERSION:
        raise CorpusError(
            f"{folder}/manifest.json: schema is {fields.get('schema')!r} {version!r}, expected 'streamvl' "
            f"{SCHEMA_VERSION!r}; rebuild the folder with this version of datasets_build"
        )
    files = fields.get("files")
    for row in files if isinstance(files, list) else []:
        name, size = (row.get("path"), row.get("bytes")) if isinstance(row, dict) else (None, None)
        path = folder / str(name)
        if not path.is_file() or path.stat().st_size != size:
            raise CorpusError(f"{path}: is missing or not of {size} bytes as its manifest says; rebuild the folder")


def _videos(out: Path) -> list[Video]:
    try:
        return read_videos(out)
    except DataError as error:
        raise CorpusError(str(error)) from error


def _showings(out: Path) -> dict[str, Showing]:
    """Where the frames of augmented videos are; none where videos are files of their own."""
    try:
        return open_showings(out) if is_augmented(out) else {}
    except DataError as error:
        raise CorpusError(str(error)) from error


def _files(out: Path, videos: Sequence[Video], showings: Mapping[str, Showing]) -> dict[Path, Video]:
    """The files that frames are read from, each with the video that it was indexed as."""
    if showings:
        return {reel.path: reel.video for showing in showings.values() for reel in showing.reels.values()}
    return {video_path(out, video): video for video in videos if video.status != "quarantined"}


def _refuse_missing(out: Path, files: Mapping[Path, Video]) -> None:
    """Says of all videos at once which are gone or changed."""
    gone = [path for path in files if not path.is_file()]
    changed = [path for path, video in files.items() if path not in gone and path.stat().st_size != video.bytes]
    for what, found in (("is gone", gone), ("has another size than was indexed", changed)):
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise CorpusError(f"{found[0]}: the video of {out}{more} {what}; bring it back, or index the folder anew")


def _refuse_doubles(outs: Sequence[Path], videos: Mapping[Path, Sequence[Video]]) -> None:
    """A video in two folders might be learned in one and tested in the other."""
    first: dict[str, Path] = {}
    for out in outs:
        for video in videos[out]:
            if first.setdefault(video.id, out) != out:
                raise CorpusError(f"data.folders: video {video.uri} is in {first[video.id]} and in {out}; name one")


def _read(
    out: Path, videos: Sequence[Video], config: DataConfig, frames: FrameFormat, unused: list[Unused]
) -> Iterator[tuple[Split, Material]]:
    """The material of one folder, video by video."""
    questions = by_video(dataset_rows(out, "streaming_qa/qa", StreamingQA))
    dialogues = by_video(dataset_rows(out, "dialogue/dialogues", Dialogue))
    events = by_video(read_table(table_path(out, Event), Event))
    annotations = by_video(read_table(table_path(out, Annotation), Annotation))
    for video in videos:
        if video.status == "quarantined":
            why = "; ".join(problem.detail for problem in video.problems) or "no reason given"
            unused.append(Unused(video_id=video.id, uri=video.uri, reason=f"quarantined: {why}"))
            continue
        try:
            footage = Footage.of(
                video,
                video_path(out, video),
                clock_of(out, video),
                fps=config.fps,
                max_gap_s=config.max_gap_s,
                frames=frames,
            )
        except FrameError as error:
            unused.append(Unused(video_id=video.id, uri=video.uri, reason=str(error)))
            continue
        material = Material(
            footage=footage,
            questions=tuple(sorted(questions[video.id], key=lambda row: (row.ask_ns, row.id))),
            events=tuple(sorted(events[video.id], key=lambda row: (row.start_ns, row.id))),
            annotations=tuple(sorted(annotations[video.id], key=lambda row: (row.start_ns, row.id))),
            dialogues=tuple(dialogues[video.id]),
        )
        _refuse_outside(out, material)
        yield video.split, material


def _refuse_outside(out: Path, material: Material) -> None:
    """A record about a time that its video does not have belongs to another video, or to another cut of it."""
    end_ns = material.footage.end_ns
    rows: list[tuple[Record, int]] = []
    rows += [(row, max(row.start_ns, row.end_ns, row.known_from_ns)) for row in material.events]
    rows += [(row, row.end_ns) for row in material.annotations]
    rows += [
        (row, max([row.ask_ns, *(answer.t_ns for answer in row.answers), *(part.end_ns for part in row.evidence)]))
        for row in material.questions
    ]
    rows += [(row, max([row.end_ns, *(turn.end_ns for turn in row.turns)])) for row in material.dialogues]
    for row, last_ns in rows:
        if last_ns > end_ns:
            raise CorpusError(
                f"{out}: {type(row).__name__} {row.id} speaks of {last_ns} ns, but its video "
                f"{material.footage.video.uri} ends at {end_ns} ns; rebuild the folder from the videos that are there"
            )


def _texts(material: Material) -> Iterator[str]:
    for question in material.questions:
        yield question.question
        yield from question.options
        yield from (answer.text for answer in question.answers)
    for event in material.events:
        yield event.caption
        yield f"{event.label}: {event.subject}" if event.subject else event.label
    yield from (row.text for row in material.annotations if row.kind == "caption")
    for dialogue in material.dialogues:
        yield dialogue.system
        for turn in dialogue.turns:
            yield turn.intended_text or turn.text
