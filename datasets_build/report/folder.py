"""What an output folder holds so far: its finished stages, and their rows walked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import DataError, read_json, read_rejects
from datasets_build.core.layout import VideoRows, table_path
from datasets_build.core.records import (
    Event,
    FrameLabel,
    Record,
    Reject,
    Split,
    Video,
)
from datasets_build.core.stage import STAGES
from datasets_build.core.table import count_rows, read_table
from datasets_build.report.balance import FrameView

R = TypeVar("R", bound=Record)


class Manifest(BaseModel):
    """What a finished stage says about itself."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    stage: str
    schema_version: str
    fingerprint: str
    fields: Mapping[str, str] = {}
    tools: Mapping[str, str] = {}
    counts: Mapping[str, int] = {}


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage folder; None when the stage has not been run. Raises DataError for a broken one."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(f"{path}: field {where}: {first['msg']}; expected a manifest of this program") from error


def read_manifests(out: Path) -> dict[str, Manifest]:
    """The manifests of the finished stages, in stage order."""
    found = {name: read_manifest(out / name) for name in STAGES}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def all_rejects(out: Path) -> list[Reject]:
    """The joined rejects of an output folder, or those of its stages when they have not been joined yet."""
    joined = out / "rejects.jsonl"
    if joined.exists():
        return read_rejects(joined)
    return [row for name in STAGES for row in read_rejects(out / name / "rejects.jsonl")]


def first_rows(path: Path, model: type[R], videos: Sequence[Video]) -> dict[str, list[R]]:
    """The rows of the first videos of the index, by video; the rest of the table stays unread."""
    rows = VideoRows(path, model)
    return {video.id: rows.take(video.id) for video in videos}


def walk_events(out: Path, videos: Sequence[Video], kept: Mapping[str, list[Event]]) -> Iterator[Event]:
    """Every event in index order, laying aside those of the videos in `kept`. Raises TableError for a strange one."""
    rows = VideoRows(table_path(out, Event), Event)
    for video in videos:
        for row in rows.take(video.id):
            if video.id in kept:
                kept[video.id].append(row)
            yield row
    rows.finish()


def walk_splits(folder: Path, model: type[R], kept: Mapping[str, list[R]]) -> Iterator[tuple[Split, R]]:
    """Every row of a dataset's subset folder with its split, laying aside those of the videos in `kept`."""
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        for row in read_table(path, model) if path.exists() else ():
            if row.video_id in kept:
                kept[row.video_id].append(row)
            yield split, row


def frame_views(folder: Path) -> list[FrameView]:
    """The per-frame views of a `frame_events` folder, by name; only the tables' footers are read."""
    views = []
    for subset in sorted(path for path in folder.glob("frames_*") if path.is_dir()):
        rows: Counter[Split] = Counter()
        for split in SPLITS:
            path = subset / f"{split}.parquet"
            if path.exists():
                rows[split] = count_rows(path, FrameLabel)
        views.append(FrameView(subset.name, rows))
    return views
