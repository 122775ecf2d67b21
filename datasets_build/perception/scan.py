"""The one decode pass over a video: shots, scenes, signals and keyframe candidates all listen to it.

Memory does not grow with the length of the video: signals and keyframes go to their files as they come, and only the
shot boundaries are held.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Video, derive_id
from datasets_build.core.table import TableWriter, read_table, write_table
from datasets_build.perception.batches import Batches, Vector
from datasets_build.perception.clip import Encoder
from datasets_build.perception.keyframes import (
    Candidate,
    CandidateFinder,
    Choice,
    JumpFinder,
    KeyframesConfig,
    Selector,
    encode_jpeg,
    thumbnail,
)
from datasets_build.perception.scenes import ScenesConfig, SidesFinder, scenes_of
from datasets_build.perception.shots import ShotsConfig, open_finder, shots_of
from datasets_build.perception.signals import Sample, SignalMeter, SignalsConfig, stretch
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition
from datasets_build.video import analysis_size, scan

SAMPLES_PER_STRETCH = 480
KEYFRAMES_PER_GROUP = 64
# A transition is told some 220 frames late at most, and may itself be long.
_LATE_FRAMES = 320
_RAW = "keyframes.raw.parquet"


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How to look at a video: the settings of all listeners, the size they look at, and who decodes."""

    shots: ShotsConfig
    scenes: ScenesConfig
    signals: SignalsConfig
    keyframes: KeyframesConfig
    analysis_side: int
    decoder: str


@dataclass(frozen=True, slots=True)
class ScanJob:
    """One video to look at: its file, its record, its frame times, and the folder for its tables."""

    path: Path
    video: Video
    clock: FrameClock
    to: Path


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """What a pass found."""

    shots: int
    scenes: int
    keyframes: int
    candidates: int
    samples: int


class _SignalSink:
    """Collects samples into stretches and writes each as a row group."""

    def __init__(self, writer: TableWriter, video_id: str) -> None:
        self._writer, self._video_id = writer, video_id
        self._held: list[Sample] = []
        self._ordinal = 0
        self.count = 0

    def add(self, sample: Sample | None) -> None:
        if sample is not None:
            self._held.append(sample)
            self.count += 1
        if len(self._held) >= SAMPLES_PER_STRETCH:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._writer.write([stretch(self._video_id, self._ordinal, self._held)])
            self._ordinal += 1
            self._held = []


class _KeyframeSink:
    """Has candidates embedded, lets the selector choose in the order of time, and writes the chosen."""

    def __init__(self, writer: TableWriter, video_id: str, *, batches: Batches, config: KeyframesConfig) -> None:
        self._writer, self._video_id, self._batches = writer, video_id, batches
        self._selector = Selector(config)
        self._rows: list[Keyframe] = []
        self.candidates = self.count = 0

    def add(self, candidates: Sequence[Candidate]) -> None:
        self.candidates += len(candidates)
        for candidate in candidates:
            self._batches.add(candidate.picture, partial(self._choose, candidate))

    def _choose(self, candidate: Candidate, vector: Vector) -> None:
        self._rows += [self._row(choice) for choice in self._selector.choose([candidate], vector[None])]
        if len(self._rows) >= KEYFRAMES_PER_GROUP:
            self.flush()

    def _row(self, choice: Choice) -> Keyframe:
        return Keyframe(
            id=derive_id("keyframe", self._video_id, choice.candidate.frame_index),
            video_id=self._video_id,
            # Fades are found late, so shots are known only when the pass is over.
            shot_id="",
            t_ns=choice.candidate.t_ns,
            frame_index=choice.candidate.frame_index,
            reason=choice.reason,
            novelty=choice.novelty,
            embedder=self._batches.encoder.embedder,
            embedding=tuple(choice.embedding.astype(np.float16).tolist()),
            jpeg=encode_jpeg(choice.candidate.picture),
        )

    def flush(self) -> None:
        self._writer.write(self._rows)
        self.count += len(self._rows)
        self._rows = []


def scan_video(
    path: Path, video: Video, clock: FrameClock, *, plan: ScanPlan, encoder: Encoder, to: Path
) -> ScanCounts:
    """Decode a video once and write the tables of its shots, scenes, signals and keyframes into the folder `to`.

    Raises:
        VideoError: the decoder fails, or gives other frames than the clock names.
    """
    (counts,) = scan_videos([ScanJob(path, video, clock, to)], plan=plan, encoder=encoder)
    return counts


def scan_videos(jobs: Sequence[ScanJob], *, plan: ScanPlan, encoder: Encoder) -> list[ScanCounts]:
    """Do so for several videos, one after the other, whose keyframe candidates share the encoder's batches.

    An embedding depends on its picture alone, so that the tables are those of each video scanned by itself.
    """
    batches = Batches(encoder)
    scans = []
    with ExitStack() as files:
        for job in jobs:
            writer = files.enter_context(TableWriter(job.to / _RAW, Keyframe))
            keyframes = _KeyframeSink(writer, job.video.id, batches=batches, config=plan.keyframes)
            pictures = _standby(job.clock, plan, encoder)
            inset = round(plan.scenes.inset_s * NS_PER_S / _frame_ns(job.clock))
            sides = SidesFinder(pictures, batches, inset=inset)
            with TableWriter(job.to / "signals.parquet", Signals) as signal_file:
                signals = _SignalSink(signal_file, job.video.id)
                found = _pass(job, plan, _Sinks(signals, keyframes, pictures, sides))
                signals.flush()
            shots = shots_of(job.video, job.clock, found, config=plan.shots, decoder=plan.decoder)
            scans.append((job.to, keyframes, sides, signals.count, shots))
        batches.flush()
        for _, keyframes, *_ in scans:
            keyframes.flush()
    counts = []
    for to, keyframes, sides, samples, shots in scans:
        scenes = scenes_of(shots, sides.sides(), config=plan.scenes, embedder=encoder.embedder)
        write_table(to / "shots.parquet", Shot, shots)
        write_table(to / "scenes.parquet", Scene, scenes)
        write_table(to / "keyframes.parquet", Keyframe, _placed(to / _RAW, shots), rows_per_group=KEYFRAMES_PER_GROUP)
        (to / _RAW).unlink()
        counts.append(ScanCounts(len(shots), len(scenes), keyframes.count, keyframes.candidates, samples))
    return counts


def _standby(clock: FrameClock, plan: ScanPlan, encoder: Encoder) -> StandbyPictures:
    # What the signature sees in the small image is all that it would see in a larger one.
    side = plan.keyframes.picture_side if encoder.embedder.is_semantic else plan.analysis_side
    return StandbyPictures(seconds=_LATE_FRAMES * _frame_ns(clock) / NS_PER_S, side=side)


def _frame_ns(clock: FrameClock) -> float:
    return clock.end_ns / len(clock)


@dataclass(frozen=True, slots=True)
class _Sinks:
    """What listens beside the shots."""

    signals: _SignalSink
    keyframes: _KeyframeSink
    pictures: StandbyPictures
    sides: SidesFinder


def _pass(job: ScanJob, plan: ScanPlan, sinks: _Sinks) -> list[Transition]:
    # The pictures are small and the decoder's threads fill the cores: OpenCV's own would only get in the way.
    cv2.setNumThreads(1)
    finder = open_finder(plan.shots)
    meter = SignalMeter(plan.signals)
    candidates = CandidateFinder(plan.keyframes)
    found: list[Transition] = []
    jumps = JumpFinder()
    size = analysis_size(*job.video.upright_size, long_side=plan.analysis_side)
    for frame in scan(job.path, job.clock, size=size, decoder=plan.decoder):
        image = frame.image
        assert image is not None, "a scan with a size gives images"
        thumb = thumbnail(image)
        sinks.pictures.feed(frame)
        new = finder.feed(frame.index, image, thumb)
        sinks.sides.add(new)
        found.extend(new)
        sinks.signals.add(meter.feed(frame.t_ns, image))
        sinks.keyframes.add(candidates.feed(frame, thumb, frame.index if jumps.feed(thumb) else None))
    new = finder.finish()
    sinks.sides.add(new)
    sinks.sides.finish()
    found.extend(new)
    sinks.keyframes.add(candidates.finish())
    return found


def _placed(raw: Path, shots: Sequence[Shot]) -> Iterator[Keyframe]:
    starts = [shot.start_frame for shot in shots]
    for keyframe in read_table(raw, Keyframe):
        shot = shots[bisect_right(starts, keyframe.frame_index) - 1]
        yield keyframe.model_copy(update={"shot_id": shot.id})
