"""The parts of the page beside the balance: tiles, rejects, and the facts of each video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from datasets_build.core.clock import format_ns
from datasets_build.core.dataset import SPLITS
from datasets_build.core.layout import table_path
from datasets_build.core.perceived import Keyframe, Scene, Shot
from datasets_build.core.records import Record, Reject, Split, Video
from datasets_build.core.stage import STAGES
from datasets_build.core.table import count_rows
from datasets_build.report.balance import hours
from datasets_build.report.payload import Detail, Payload, script_json, shown_size

NOT_BUILT = "not built yet"


@dataclass(frozen=True, slots=True)
class Tile:
    """A number at the top of the page."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One video on the page: the counts in its heading, its facts, and the JSON its timeline is drawn from."""

    video: Video
    counts: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    data: Markup


@dataclass(frozen=True, slots=True)
class Rejects:
    """What was left out: counts by stage and reason, and the first rows."""

    reasons: tuple[tuple[str, str, int], ...]
    rows: Sequence[Reject]
    total: int


def video_tiles(videos: Sequence[Video]) -> Iterator[Tile]:
    """How many videos there are, in which state, and how long they are together."""
    status = Counter[str](video.status for video in videos)
    states = ", ".join(f"{status[name]:,} {name}" for name in ("ok", "degraded", "quarantined") if status[name])
    yield Tile("videos", f"{len(videos):,}", states)
    frames = sum(video.n_frames for video in videos)
    yield Tile("length", hours(sum(video.duration_ns for video in videos)), f"{frames:,} frames")


def perceive_tiles(out: Path, *, finished: bool) -> Iterator[Tile]:
    """How many shots, scenes and keyframes there are, from the tables' footers."""
    kinds: dict[str, type[Record]] = {"shots": Shot, "scenes": Scene, "keyframes": Keyframe}
    if finished and not table_path(out, Scene).is_file():
        # Of augmented videos no scenes are told.
        del kinds["scenes"]
    for name, model in kinds.items():
        yield Tile(name, f"{count_rows(table_path(out, model), model):,}") if finished else Tile(name, "–", NOT_BUILT)


def split_tile(name: str, splits: Counter[Split] | None) -> Tile:
    """A number of rows with its parts per split; None when the stage has not been run."""
    if splits is None:
        return Tile(name, "–", NOT_BUILT)
    return Tile(
        name, f"{splits.total():,}", ", ".join(f"{splits[split]:,} {split}" for split in SPLITS if splits[split])
    )


def reject_tile(rows: Sequence[Reject]) -> Tile:
    """How many inputs and rows were left out, and at which stage."""
    places = Counter(row.stage for row in rows)
    return Tile("rejected", f"{len(rows):,}", ", ".join(f"{number:,} at {name}" for name, number in places.items()))


def rejects_of(rows: Sequence[Reject], limit: int) -> Rejects:
    """Count rejects by stage and reason, in stage order, and keep the first `limit` rows."""
    reasons = Counter((row.stage, row.code) for row in rows)
    order = {name: k for k, name in enumerate(STAGES)}
    ordered = sorted(reasons, key=lambda key: (order.get(key[0], len(order)), key))
    return Rejects(tuple((*key, reasons[key]) for key in ordered), rows[:limit], len(rows))


def card_of(detail: Detail, payload: Payload) -> Card:
    """A video's place on the page."""
    made: dict[str, Sequence[Record] | None] = {
        "shot": detail.shots,
        "keyframe": detail.keyframes,
        "event": detail.events,
        "question": detail.questions,
        "dialogue": detail.dialogues,
    }
    counts = tuple(
        f"{len(rows):,} {name}{'' if len(rows) == 1 else 's'}" for name, rows in made.items() if rows is not None
    )
    return Card(detail.video, counts, tuple(facts(detail.video)), Markup(script_json(payload)))  # noqa: S704 - escaped


def facts(video: Video) -> Iterator[tuple[str, str]]:
    """What the page says about a video's file, as names and values."""
    width, height = shown_size(video)
    rate = video.avg_fps_num / max(1, video.avg_fps_den)
    yield "Licence", video.licence
    yield "Length", f"{format_ns(video.duration_ns)} ({video.n_frames:,} frames)"
    coded = f"{video.width} × {video.height}"
    turned = f", turned {video.rotation_deg}°" if video.rotation_deg else ""
    yield "Picture", coded if coded == f"{width} × {height}" else f"{width} × {height} shown ({coded} coded{turned})"
    exact = f"{video.avg_fps_num}/{video.avg_fps_den}" if video.avg_fps_den != 1 else str(video.avg_fps_num)
    yield "Frame rate", f"{rate:.3f} ({exact}), " + ("variable" if video.is_vfr else "constant")
    yield "Longest gap", f"{video.max_gap_ns / 1e6:.1f} ms"
    yield "Format", f"{video.container}, {video.codec}, {video.pixel_format}"
    audio = video.audio
    yield "Audio", f"{audio.codec}, {audio.sample_rate:,} Hz, {audio.channels} ch" if audio else "none"
    for trust in video.decoders:
        reason = f": {trust.reason}" if trust.reason else ""
        yield f"Reader {trust.name}", ("trusted" if trust.trusted else "not trusted") + reason
    yield "Source", video.source
    yield "Size", f"{video.bytes:,} bytes"
    yield "SHA-256", video.sha256
    yield "Id", video.id
