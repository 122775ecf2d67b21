"""Output folders made by hand for tests: records and tables as the earlier stages would leave them, without a video."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.files import write_json
from datasets_build.core.perceived import Detector, Embedder, Keyframe, Shot, Signals
from datasets_build.core.perceived import Scene as SceneRecord
from datasets_build.core.records import Annotation, Provenance, Reject, Split, Video, derive_id
from datasets_build.core.stage import Fingerprint, Stage
from datasets_build.core.table import write_table

MS = 1_000_000
BASE = Fraction(1, 90_000)


def clock_from(gaps_ms: Sequence[int], last_ms: int = 40) -> FrameClock:
    """A clock whose frames follow each other after the given milliseconds (exact in ticks of 1/90000 s)."""
    pts = np.concatenate([[0], np.cumsum(np.array(gaps_ms, np.int64) * 90)])
    return FrameClock.from_pts(pts.tolist(), time_base=BASE, last_duration=last_ms * 90)


def steady(seconds: float, fps: Fraction = Fraction(25)) -> FrameClock:
    """A constant-rate clock; 25 and 30000/1001 are exact in ticks of 1/90000 s."""
    step = int(90_000 / fps)
    count = max(1, int(seconds * fps))
    return FrameClock.from_pts(range(0, count * step, step), time_base=BASE, last_duration=step)


def video_of(
    name: str, clock: FrameClock, *, split: Split = "train", group: str = "", licence: str = "CC0-1.0"
) -> Video:
    """A video record that agrees with its clock."""
    made = derive_id("video", "made", name)
    return Video(
        id=made,
        video_id=made,
        source="made",
        uri=f"{name}.mp4",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        bytes=1,
        container="mp4",
        codec="h264",
        pixel_format="yuv420p",
        width=64,
        height=48,
        sar_num=1,
        sar_den=1,
        rotation_deg=0,
        time_base_num=BASE.numerator,
        time_base_den=BASE.denominator,
        start_pts=0,
        start_offset_ns=0,
        duration_ns=clock.end_ns,
        n_frames=len(clock),
        header_frames=len(clock),
        avg_fps_num=25,
        avg_fps_den=1,
        is_vfr=False,
        max_gap_ns=0,
        max_jitter_ns=0,
        reorder_depth=0,
        audio=None,
        pts_index=f"pts/{made}.npy",
        licence=licence,
        group=group or name,
        split=split,
        status="ok",
    )


def shots_at(
    video: Video,
    clock: FrameClock,
    frames: Sequence[int],
    kinds: Sequence[str] = (),
    spans: Mapping[int, tuple[int, int]] = MappingProxyType({}),
) -> list[Shot]:
    """Shots that tile the video, a new one at each of the frames; `kinds` are their transitions, cuts unless given.

    `spans` are the frames, by that at which the shot begins, that a gradual one changes: the first, and that behind it.
    """
    starts = [0, *frames]
    ends = [*frames, len(clock)]
    names = ["first", *(kinds or ["cut"] * len(frames))]
    return [
        Shot(
            id=derive_id("shot", video.id, k),
            video_id=video.id,
            start_ns=clock.time_of(start),
            end_ns=clock.time_of(end),
            ordinal=k,
            start_frame=start,
            end_frame=end,
            transition=kind,
            transition_start_ns=clock.time_of(spans.get(start, (start, start))[0]),
            transition_end_ns=clock.time_of(spans.get(start, (start, start))[1]),
            score=1.0,
            detector=Detector(name="made", version="1", decoder="none"),
        )
        for k, (start, end, kind) in enumerate(zip(starts, ends, names, strict=True))
    ]


def scenes_at(shots: Sequence[Shot]) -> list[SceneRecord]:
    """Scenes of two shots each; the last may have one."""
    pairs = [shots[k : k + 2] for k in range(0, len(shots), 2)]
    return [
        SceneRecord(
            id=derive_id("scene", pair[0].video_id, k),
            video_id=pair[0].video_id,
            start_ns=pair[0].start_ns,
            end_ns=pair[-1].end_ns,
            ordinal=k,
            start_frame=pair[0].start_frame,
            end_frame=pair[-1].end_frame,
            shot_ids=tuple(shot.id for shot in pair),
            embedder=Embedder(name="made", weights="none", is_semantic=False),
            detector=pair[0].detector,
        )
        for k, pair in enumerate(pairs)
    ]


def signals_of(video: Video, clock: FrameClock, frames: Sequence[int], **curves: Sequence[float]) -> Signals:
    """One stretch of signals sampled at the frames; a curve that is not given is 0.5 for light and 0.05 for motion."""
    plain = {"luma": 0.5, "contrast": 0.3, "motion": 0.05, "complexity": 0.2, "pan_x": 0.0, "pan_y": 0.0, "zoom": 0.0}
    columns = {name: tuple(float(v) for v in curves.get(name, [value] * len(frames))) for name, value in plain.items()}
    times = tuple(clock.time_of(frame) for frame in frames)
    made = derive_id("signals", video.id, times[0])
    return Signals(id=made, video_id=video.id, ordinal=0, t_ns=times, **columns)


def said(video: Video, start_ns: int, end_ns: int, text: str, **more: object) -> Annotation:
    """An annotation of the drawn world; `more` overrides any field."""
    fields: dict[str, object] = {
        "kind": "caption",
        "label": None,
        "subject": None,
        "is_point": start_ns == end_ns,
        "origin": "world",
        "provenance": Provenance(kind="corpus", agent="world"),
    }
    made = derive_id("annotation", video.id, start_ns, end_ns, text, str(more.get("label")), str(more.get("subject")))
    content = fields | {"id": made, "video_id": video.id, "start_ns": start_ns, "end_ns": end_ns, "text": text} | more
    return Annotation.model_validate(content)


def keyframes_at(video: Video, clock: FrameClock, shots: Sequence[Shot], frames: Sequence[int]) -> list[Keyframe]:
    """Keyframes with a one-number embedding and no picture."""
    return [
        Keyframe(
            id=derive_id("keyframe", video.id, frame),
            video_id=video.id,
            shot_id=next(shot.id for shot in reversed(shots) if shot.start_frame <= frame),
            t_ns=clock.time_of(frame),
            frame_index=frame,
            reason="first",
            novelty=1.0,
            embedder=Embedder(name="made", weights="none", is_semantic=False),
            embedding=(1.0,),
            jpeg=b"",
        )
        for frame in frames
    ]


@dataclass
class Scene:
    """Everything that the earlier stages say about one video."""

    video: Video
    clock: FrameClock
    shots: list[Shot]
    signals: list[Signals] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    keyframes: list[Keyframe] = field(default_factory=list)


WORLD = (
    ("enter", "enters from the left"),
    ("move", "moves to the right"),
    ("stop", "stops"),
    ("collide", "collides with something"),
    ("change_colour", "turns blue"),
    ("leave", "leaves at the top"),
)
SUBJECTS = ("red circle", "green square", "yellow star", "blue triangle")


def lively(name: str, *, seconds: float = 30.0, seed: int = 0, split: Split = "train", group: str = "") -> Scene:
    """A video in which a lot happens: cuts, pans, light, stillness, moving things, sentences and subtitles."""
    rng = random.Random(f"{name} {seed}")
    clock = steady(seconds, rng.choice([Fraction(25), Fraction(30_000, 1001)]))
    video = video_of(name, clock, split=split, group=group)
    cuts = sorted(rng.sample(range(1, len(clock)), k=min(len(clock) - 1, max(1, int(seconds / 6)))))
    shots = shots_at(video, clock, cuts, [rng.choice(["cut", "cut", "fade_through"]) for _ in cuts])
    frames = list(range(0, len(clock), 3))
    luma, pan = [0.5] * len(frames), [0.0] * len(frames)
    motion = [0.05] * len(frames)
    for _ in range(int(seconds / 8)):
        at, length = rng.randrange(len(frames)), rng.randrange(8, 30)
        for k in range(at, min(len(frames), at + length)):
            pan[k] = rng.choice([0.2, 0.2, -0.2]) if k == at else pan[k - 1]
            motion[k] = 0.001 if at % 2 else motion[k]
    for _ in range(int(seconds / 10)):
        at = rng.randrange(len(frames))
        for k in range(at, len(frames)):
            luma[k] = min(0.9, luma[k] + 0.03 * min(10, k - at))
    annotations = []
    for _ in range(int(seconds / 2)):
        start, length = rng.randrange(int(seconds * 1000)), rng.randrange(200, 3000)
        label, words = rng.choice(WORLD)
        # Of what changes its colour little can be asked, so most keep theirs.
        subject = SUBJECTS[0] if label == "change_colour" else rng.choice(SUBJECTS)
        end = min(int(seconds * 1000), start + length)
        text = f"The {subject} {words}."
        annotations.append(said(video, start * MS, end * MS, text, label=label, subject=subject))
    for k in range(int(seconds / 6)):
        start = rng.randrange(int(seconds * 1000))
        annotations.append(said(video, start * MS, (start + 900) * MS, f"Line number {k}, spoken.", origin="srt"))
    annotations.sort(key=lambda row: (row.start_ns, row.id))
    measured = signals_of(video, clock, frames, luma=luma, pan_x=pan, motion=motion)
    keys = keyframes_at(video, clock, shots, sorted({0, *cuts}))
    return Scene(video, clock, shots, [measured], list({row.id: row for row in annotations}.values()), keys)


def bare(name: str, *, frames: int = 1, split: Split = "train", group: str = "") -> Scene:
    """A video of which nothing is known but that it has frames and one shot."""
    clock = clock_from([40] * (frames - 1))
    video = video_of(name, clock, split=split, group=group)
    shots = shots_at(video, clock, [])
    return Scene(video, clock, shots, [], [], keyframes_at(video, clock, shots, [0]))


def write_out(out: Path, scenes: Sequence[Scene], *, rejects: Sequence[Reject] = ()) -> Path:
    """Write `OUT/index` and `OUT/perceive` for some videos, with manifests, through the real stage machinery."""
    out.mkdir(parents=True, exist_ok=True)
    index = Stage.open(out, "index", Fingerprint({"made": "index", "videos": str([s.video.id for s in scenes])}))
    (index.final / "pts").mkdir()
    for scene in scenes:
        np.save(index.final / scene.video.pts_index, scene.clock.pts)
    write_table(index.final / "videos.parquet", Video, [scene.video for scene in scenes])
    write_table(index.final / "annotations.parquet", Annotation, [row for s in scenes for row in s.annotations])
    write_json(index.final / "source.json", {"root": "videos"})
    index.commit(rejects=rejects, counts={"videos": len(scenes)}, tools={})
    perceive = Stage.open(out, "perceive", Fingerprint({"made": "perceive"}))
    write_table(perceive.final / "shots.parquet", Shot, [row for s in scenes for row in s.shots])
    write_table(perceive.final / "scenes.parquet", SceneRecord, [row for s in scenes for row in scenes_at(s.shots)])
    write_table(perceive.final / "signals.parquet", Signals, [row for s in scenes for row in s.signals])
    write_table(perceive.final / "keyframes.parquet", Keyframe, [row for s in scenes for row in s.keyframes])
    perceive.commit(rejects=[], counts={"videos": len(scenes)}, tools={})
    return out


def seconds(t_ns: int) -> float:
    """Nanoseconds as seconds, for messages."""
    return t_ns / NS_PER_S
