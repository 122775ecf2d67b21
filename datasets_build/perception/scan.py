"""The one decode pass over a video: shots, scenes, signals and keyframe candidates all listen to it.

Memory does not grow with the length of the video: signals and candidates go to their files as they come, and only the
shot boundaries and the candidates' frames are held (offline, their embeddings too).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Video, derive_id
from datasets_build.core.table import TableWriter, write_table
from datasets_build.decoders.frames import UInt8s, pictures_at_hand
from datasets_build.perception.batches import Batches, Vector
from datasets_build.perception.clip import Encoder
from datasets_build.perception.keyframes import (
    Candidate,
    CandidateFinder,
    KeyframesConfig,
    encode_jpeg,
    thumbnail,
)
from datasets_build.perception.placing import ShotFiller, select
from datasets_build.perception.scenes import ScenesConfig, SidesFinder, scenes_of
from datasets_build.perception.shots import ShotsConfig, open_finder, shots_of
from datasets_build.perception.signals import Sample, SignalMeter, SignalsConfig, stretch
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition
from datasets_build.video import ScanFrame, VideoError, analysis_size, scan

SAMPLES_PER_STRETCH = 480
KEYFRAMES_PER_GROUP = 64
# A transition is told some 220 frames late, and later behind a stretch without rest.
_LATE_FRAMES = 1200
_RAW, _LATE = "candidates.raw.parquet", "late.raw.parquet"


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How to look at a video: the settings of all listeners, the size they look at, who decodes, and on how many cores.

    Without a number all cores may be busy.
    """

    shots: ShotsConfig
    scenes: ScenesConfig
    signals: SignalsConfig
    keyframes: KeyframesConfig
    analysis_side: int
    decoder: str
    cores: int | None = None


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


class _CandidateSink:
    """Has candidates embedded and writes all of them, as keyframes without a shot; the choice comes later."""

    def __init__(self, writer: TableWriter, video_id: str, batches: Batches) -> None:
        self._writer, self._video_id, self._batches = writer, video_id, batches
        self._rows: list[Keyframe] = []
        self.count = 0

    def add(self, candidates: Sequence[Candidate]) -> None:
        self.count += len(candidates)
        for candidate in candidates:
            self._batches.add(candidate.picture, partial(self._take, candidate))

    def _take(self, candidate: Candidate, vector: Vector) -> None:
        self._rows.append(
            Keyframe(
                id=derive_id("keyframe", self._video_id, candidate.frame_index),
                video_id=self._video_id,
                # Transitions are told late, so shots are known only when the pass is over.
                shot_id="",
                t_ns=candidate.t_ns,
                frame_index=candidate.frame_index,
                reason=candidate.reason,
                novelty=0.0,
                embedder=self._batches.encoder.embedder,
                embedding=tuple(vector.astype(np.float16).tolist()),
                jpeg=encode_jpeg(candidate.picture),
            )
        )
        if len(self._rows) >= KEYFRAMES_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        self._writer.write(self._rows)
        self._rows = []


@dataclass(frozen=True, slots=True)
class _Sinks:
    """What listens beside the shots: `late` takes the candidates that shots got later, in any order."""

    signals: _SignalSink
    candidates: _CandidateSink
    late: _CandidateSink
    pictures: StandbyPictures
    sides: SidesFinder


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
    with ExitStack() as files:
        passes = [_first_pass(job, plan, batches, files) for job in jobs]
        batches.flush()
        for sinks, _ in passes:
            sinks.candidates.flush()
            sinks.late.flush()
    return [_written(job, plan, sinks, shots, encoder) for job, (sinks, shots) in zip(jobs, passes, strict=True)]


def _first_pass(job: ScanJob, plan: ScanPlan, batches: Batches, files: ExitStack) -> tuple[_Sinks, list[Shot]]:
    """Decode one video; its candidates may still wait for a batch, and their files stay open."""
    candidates, late = (
        _CandidateSink(files.enter_context(TableWriter(job.to / name, Keyframe)), job.video.id, batches)
        for name in (_RAW, _LATE)
    )
    pictures = _standby(job.clock, plan, batches.encoder)
    sides = SidesFinder(pictures, batches, inset=round(plan.scenes.inset_s * NS_PER_S / _frame_ns(job.clock)))
    with TableWriter(job.to / "signals.parquet", Signals) as signal_file:
        sinks = _Sinks(_SignalSink(signal_file, job.video.id), candidates, late, pictures, sides)
        found = _pass(job, plan, sinks)
        sinks.signals.flush()
    return sinks, shots_of(job.video, job.clock, found, config=plan.shots, decoder=plan.decoder)


def _written(job: ScanJob, plan: ScanPlan, sinks: _Sinks, shots: list[Shot], encoder: Encoder) -> ScanCounts:
    """Choose among the candidates and write what needs the shots."""
    scenes = scenes_of(shots, sinks.sides.sides(), config=plan.scenes, embedder=encoder.embedder)
    write_table(job.to / "shots.parquet", Shot, shots, unpublished=True)
    write_table(job.to / "scenes.parquet", Scene, scenes, unpublished=True)
    raw = [job.to / name for name in (_RAW, _LATE)]
    chosen = select(raw, shots, config=plan.keyframes)
    keyframes = job.to / "keyframes.parquet"
    kept = write_table(keyframes, Keyframe, chosen, rows_per_group=KEYFRAMES_PER_GROUP, unpublished=True)
    for path in raw:
        path.unlink()
    return ScanCounts(len(shots), len(scenes), kept, sinks.candidates.count + sinks.late.count, sinks.signals.count)


def _standby(clock: FrameClock, plan: ScanPlan, encoder: Encoder) -> StandbyPictures:
    # What the signature sees in the small image is all that it would see in a larger one.
    side = plan.keyframes.picture_side if encoder.embedder.is_semantic else plan.analysis_side
    return StandbyPictures(seconds=_LATE_FRAMES * _frame_ns(clock) / NS_PER_S, side=side)


def _frame_ns(clock: FrameClock) -> float:
    return clock.end_ns / len(clock)


def _image(frame: ScanFrame) -> UInt8s:
    assert frame.image is not None, "a scan with a size gives images"
    return frame.image


def _blocks(frames: Iterator[ScanFrame], video: Video) -> Iterator[list[ScanFrame]]:
    """Runs of frames; their whole pictures, which they keep alive, take a bounded amount of memory."""
    most = pictures_at_hand(video.width * video.height)
    while block := list(islice(frames, most)):
        yield block


def _pass(job: ScanJob, plan: ScanPlan, sinks: _Sinks) -> list[Transition]:
    # The pictures are small and the decoder's threads fill the cores: OpenCV's own would only get in the way.
    cv2.setNumThreads(1)
    finder = open_finder(plan.shots)
    meter = SignalMeter(plan.signals)
    candidates = CandidateFinder(plan.keyframes)
    filler = ShotFiller(sinks.pictures)
    found: list[Transition] = []
    size = analysis_size(*job.video.upright_size, long_side=plan.analysis_side)
    frames = scan(job.path, job.clock, size=size, decoder=plan.decoder, cores=plan.cores, exact=False)
    n_frames = 0
    for block in _blocks(frames, job.video):
        # One listener after the other takes the whole block: what each needs then stays in the processor's caches.
        thumbs = [thumbnail(_image(frame)) for frame in block]
        told = [finder.feed(frame.index, _image(frame), thumb) for frame, thumb in zip(block, thumbs, strict=True)]
        for frame in block:
            sinks.signals.add(meter.feed(frame.t_ns, _image(frame)))
        n_frames += len(block)
        for frame, thumb, new in zip(block, thumbs, told, strict=True):
            sinks.pictures.feed(frame)
            sinks.sides.add(new)
            found.extend(new)
            taken = candidates.feed(frame, thumb)
            sinks.candidates.add(taken)
            late = filler.feed(taken, new, known=candidates.known)
            sinks.late.add(late)
            for _ in late:
                candidates.spend()
    # Whoever decodes: no frame of the index goes missing in silence.
    if n_frames != len(job.clock):
        raise VideoError("frames_lost", f"{job.path}: {n_frames} frames came, expected the index's {len(job.clock)}")
    new = finder.finish()
    sinks.sides.add(new)
    sinks.sides.finish()
    taken = candidates.finish()
    sinks.candidates.add(taken)
    sinks.late.add(filler.finish(taken, new, frames=len(job.clock)))
    return found + new
