"""Write `OUT/report.html`: one page with everything inline that opens offline and shows what a dataset holds."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import jinja2
from markupsafe import Markup
from pydantic import Field

from datasets_build.core.clock import format_ns
from datasets_build.core.config import Config
from datasets_build.core.files import write_bytes
from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import SCHEMA_VERSION, Dialogue, Event, Record, Split, StreamingQA, Video
from datasets_build.core.stage import package_version, stage_digest
from datasets_build.report.balance import Table, count_dialogues, count_events, count_questions, video_table, view_table
from datasets_build.report.checks import Checked, read_check
from datasets_build.report.folder import (
    Manifest,
    all_rejects,
    first_rows,
    frame_views,
    read_manifests,
    walk_events,
    walk_splits,
)
from datasets_build.report.payload import Detail, payload_of, relative_url
from datasets_build.report.sections import (
    NOT_BUILT,
    Card,
    Rejects,
    Tile,
    card_of,
    perceive_tiles,
    reject_tile,
    rejects_of,
    split_tile,
    video_tiles,
)

R = TypeVar("R", bound=Record)
_HERE = Path(__file__).parent
_SCRIPTS = ("timeline.js", "page.js")
log = logging.getLogger(__name__)


class ReportConfig(Config):
    """What the page holds.

    Attributes:
        title: its heading.
        max_videos: how many videos, from the front of the index, get a timeline; the counts are always of all.
        max_pictures: how many keyframes of a video bring their picture, spread over it.
        picture_px: the longer side of a picture.
        max_rejects: how many rows of the rejects are listed; the counts by reason are always of all.
    """

    title: str = "Dataset report"
    max_videos: int = Field(default=50, ge=0)
    max_pictures: int = Field(default=48, ge=0)
    picture_px: int = Field(default=256, ge=16)
    max_rejects: int = Field(default=500, ge=0)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    title: str
    versions: str
    stages: Mapping[str, Manifest]
    tiles: Sequence[Tile]
    tables: Sequence[Table]
    rejects: Rejects
    checks: Checked | None
    cards: Sequence[Card]
    n_videos: int


@dataclass(frozen=True, slots=True)
class Walked(Generic[R]):
    """One walk over a stage's rows: those of the shown videos, how many each split has, and the tables counted.

    `splits` is None, and nothing is kept, when the stage has not been run.
    """

    kept: Mapping[str, Sequence[R]]
    splits: Counter[Split] | None
    tables: Sequence[Table]

    @classmethod
    def nothing(cls, title: str) -> Walked[R]:
        """What there is before the stage has been run."""
        return cls({}, None, [Table(title, NOT_BUILT)])


@dataclass(frozen=True, slots=True)
class Folder:
    """An output folder with its finished stages, its videos, and those that get a timeline."""

    out: Path
    stages: Mapping[str, Manifest]
    videos: Sequence[Video]
    shown: Sequence[Video]


def build_report(out: Path, config: ReportConfig) -> Path:
    """Write `OUT/report.html` from whatever stages are finished, and return its path.

    The same folder gives the same bytes; the page refers to the videos by relative paths and to nothing else.

    Args:
        out: an output folder with a finished index.
        config: what the page holds.

    Raises:
        StageError: there is no finished index.
        DataError: a table, manifest or reject list cannot be read.
    """
    page = collect(out, config)
    target = out / "report.html"
    write_bytes(target, render(page).encode())
    log.info("report: %d of %d videos with a timeline, %d bytes", len(page.cards), page.n_videos, target.stat().st_size)
    return target


def collect(out: Path, config: ReportConfig) -> Page:
    """Read the folder once and count what the page shows."""
    stage_digest(out, "index")
    videos = read_videos(out)
    folder = Folder(out, read_manifests(out), videos, videos[: config.max_videos])
    events, questions, dialogues = _events(folder), _questions(folder), _dialogues(folder)
    columns = {"events": events.splits, "questions": questions.splits, "dialogues": dialogues.splits}
    views = frame_views(out / "frame_events") if "frame_events" in folder.stages else None
    frames = Table("Per-frame views", NOT_BUILT) if views is None else view_table(views)
    rejects = all_rejects(out)
    return Page(
        title=config.title,
        versions=f"streamvl {package_version()}, schema {SCHEMA_VERSION}",
        stages=folder.stages,
        tiles=[
            *video_tiles(videos),
            *perceive_tiles(out, finished="perceive" in folder.stages),
            *(split_tile(name, splits) for name, splits in columns.items()),
            reject_tile(rejects),
        ],
        tables=[video_table(videos, columns), *events.tables, *questions.tables, *dialogues.tables, frames],
        rejects=rejects_of(rejects, config.max_rejects),
        checks=read_check(out),
        cards=[_card(out, detail, config) for detail in _details(folder, events, questions, dialogues)],
        n_videos=len(videos),
    )


def _events(folder: Folder) -> Walked[Event]:
    if "events" not in folder.stages:
        return Walked[Event].nothing("Events by label")
    kept: dict[str, list[Event]] = {video.id: [] for video in folder.shown}
    rows = walk_events(folder.out, folder.videos, kept)
    counts, tables = count_events(rows, {video.id: video.split for video in folder.videos})
    return Walked(kept, counts.splits, tables)


def _questions(folder: Folder) -> Walked[StreamingQA]:
    if "streaming_qa" not in folder.stages:
        return Walked[StreamingQA].nothing("Questions by task and mode")
    kept: dict[str, list[StreamingQA]] = {video.id: [] for video in folder.shown}
    rows = walk_splits(folder.out / "streaming_qa" / "qa", StreamingQA, kept)
    counts, tables = count_questions(rows, {video.id: video.duration_ns for video in folder.videos})
    return Walked(kept, counts.splits, tables)


def _dialogues(folder: Folder) -> Walked[Dialogue]:
    if "dialogue" not in folder.stages:
        return Walked[Dialogue].nothing("Silence, standby, respond")
    kept: dict[str, list[Dialogue]] = {video.id: [] for video in folder.shown}
    counts, tables = count_dialogues(walk_splits(folder.out / "dialogue" / "dialogues", Dialogue, kept))
    return Walked(kept, counts.splits, tables)


def _details(
    folder: Folder, events: Walked[Event], questions: Walked[StreamingQA], dialogues: Walked[Dialogue]
) -> list[Detail]:
    shots, keyframes, signals = _perceived(folder, Shot), _perceived(folder, Keyframe), _perceived(folder, Signals)
    return [
        Detail(
            video=video,
            shots=shots.get(video.id),
            keyframes=keyframes.get(video.id),
            signals=signals.get(video.id),
            events=events.kept.get(video.id),
            questions=questions.kept.get(video.id),
            dialogues=dialogues.kept.get(video.id),
        )
        for video in folder.shown
    ]


def _perceived(folder: Folder, model: type[R]) -> dict[str, list[R]]:
    if "perceive" not in folder.stages:
        return {}
    return first_rows(table_path(folder.out, model), model, folder.shown)


def _card(out: Path, detail: Detail, config: ReportConfig) -> Card:
    src = relative_url(out, detail.video)
    return card_of(detail, payload_of(detail, src=src, max_pictures=config.max_pictures, picture_px=config.picture_px))


def render(page: Page) -> str:
    """The page as HTML; every text of the data passes through escaping."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["time"] = format_ns
    script = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.from_string((_HERE / "page.html").read_text(encoding="utf-8")).render(
        page=page,
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        digest=digest,
    )
