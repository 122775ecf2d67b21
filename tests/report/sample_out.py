"""Output folders for the report's tests: the records of `sample.py` written as the stages write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.dataset import SPLITS, Subset, write_split
from datasets_build.core.files import write_json
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import (
    Annotation,
    Dialogue,
    Event,
    FrameLabel,
    Record,
    Reject,
    StreamingQA,
    Video,
    derive_id,
)
from datasets_build.core.stage import Fingerprint, Stage, collect_rejects
from datasets_build.core.table import write_table
from tests.drawn import DrawnTruth
from tests.report.sample import Made, make_video


@dataclass
class Site:
    """An output folder beside a folder of videos whose name needs quoting."""

    out: Path
    videos: Path

    @property
    def url(self) -> str:
        return (self.out / "report.html").as_uri()


def video_of(truth: DrawnTruth, **changes: object) -> Video:
    """The record of a drawn video."""
    offset = int(truth.pts[0] * truth.time_base * NS_PER_S)
    facts = {"n_frames": len(truth.t_ns), "width": truth.coded_size[0], "height": truth.coded_size[1]}
    return make_video(
        truth.path.name,
        duration_ns=truth.end_ns,
        start_offset_ns=offset,
        rotation_deg=truth.rotation,
        **facts,
        **changes,
    )


def _commit(
    out: Path, name: str, counts: dict[str, int], rejects: Sequence[Reject], write: Callable[[Path], None]
) -> None:
    stage = Stage.open(
        out, name, Fingerprint({"config.seed": "0", "code": "c0de", "schema_version": "1.0.0"}), force=True
    )
    if stage.done:
        return
    write(stage.final)
    stage.commit(rejects=rejects, counts=counts, tools={"python": "3.11", "av": "18"})


def write_index(out: Path, root: Path | str, videos: Sequence[Video], rejects: Sequence[Reject] = ()) -> None:
    """Write the index stage; `root` is what the videos' uris are relative to."""

    def write(folder: Path) -> None:
        write_table(folder / "videos.parquet", Video, videos)
        write_table(folder / "annotations.parquet", Annotation, [])
        write_json(folder / "source.json", {"root": str(root)})

    _commit(out, "index", {"videos": len(videos)}, rejects, write)


def write_perceive(out: Path, made: Made) -> None:
    def write(folder: Path) -> None:
        write_table(folder / "shots.parquet", Shot, made.shots)
        write_table(folder / "scenes.parquet", Scene, made.scenes)
        write_table(folder / "keyframes.parquet", Keyframe, made.keyframes)
        write_table(folder / "signals.parquet", Signals, made.signals)

    _commit(out, "perceive", {"shots": len(made.shots), "keyframes": len(made.keyframes)}, (), write)


def write_events(out: Path, made: Made) -> None:
    _commit(
        out, "events", {"events": len(made.events)}, (), lambda folder: _write_events_table(folder, made.events)
    )  # fmt: skip


def _write_events_table(folder: Path, events: Sequence[Event]) -> None:
    write_table(folder / "events.parquet", Event, events)


def write_dataset(out: Path, name: str, made: Made, subset: Subset, rows: Iterable[Record]) -> None:
    """Write one dataset: the given subset, and the videos, per split."""
    split_of = {video.id: video.split for video in made.videos}
    rows = list(rows)

    def write(folder: Path) -> None:
        for split in SPLITS:
            write_split(folder, subset, split, [row for row in rows if split_of[row.video_id] == split])
            write_split(folder, Subset("videos", Video, ""), split, [v for v in made.videos if v.split == split])
            if name == "frame_events":
                write_split(folder, Subset("frames_2fps", FrameLabel, ""), split, make_frames(made, split))

    _commit(out, name, {subset.name: len(rows)}, (), write)


def make_frames(made: Made, split: str) -> list[FrameLabel]:
    out = []
    for video in made.videos:
        if video.split != split:
            continue
        events = [event for event in made.events if event.video_id == video.id]
        for t in range(0, video.duration_ns, NS_PER_S // 2):
            on = [event for event in events if event.start_ns <= t < event.end_ns]
            out.append(
                FrameLabel(
                    id=derive_id("frame", video.id, t),
                    video_id=video.id,
                    t_ns=t,
                    frame_index=t * 25 // NS_PER_S,
                    grid="2/1",
                    labels=tuple(event.label for event in on),
                    event_ids=tuple(event.id for event in on),
                    starting=(),
                    is_keyframe=t == 0,
                    shot_id=None,
                )
            )
    return out


def write_all(out: Path, root: Path | str, made: Made, rejects: Sequence[Reject] = ()) -> None:
    """Write every stage and the joined rejects."""
    write_index(out, root, made.videos, rejects)
    write_perceive(out, made)
    write_events(out, made)
    write_dataset(out, "streaming_qa", made, Subset("qa", StreamingQA, ""), made.questions)
    write_dataset(out, "frame_events", made, Subset("events", Event, ""), made.events)
    write_dataset(out, "dialogue", made, Subset("dialogues", Dialogue, ""), made.dialogues)
    collect_rejects(out)
