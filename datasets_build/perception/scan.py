"""The one decode pass over a video: shots, signals and keyframe candidates all listen to it.

Memory does not grow with the length of the video: signals and candidates go to their files as they come, and only the
shot boundaries and the candidates' frames are held (offline, their embeddings too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.records import Keyframe, Shot, Signals, Video, derive_id
from datasets_build.core.table import TableWriter, write_table
from datasets_build.perception.clip import Encoder
from datasets_build.perception.keyframes import (
    Candidate,
    CandidateFinder,
    KeyframesConfig,
    encode_jpeg,
    thumbnail,
)
from datasets_build.perception.placing import ShotFiller, select
from datasets_build.perception.shots import ShotsConfig, open_finder, shots_of
from datasets_build.perception.signals import Sample, SignalMeter, SignalsConfig, stretch
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition
from datasets_build.video import analysis_size, scan

SAMPLES_PER_STRETCH = 480
KEYFRAMES_PER_GROUP = 64
# A transition is told some 220 frames late, and later behind a stretch without rest.
_LATE_FRAMES = 1200


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How to look at a video: the settings of all listeners, the size they look at, and who decodes."""

    shots: ShotsConfig
    signals: SignalsConfig
    keyframes: KeyframesConfig
    analysis_side: int
    decoder: str


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """What a pass found."""

    shots: int
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
    """Embeds candidates in batches and writes all of them, as keyframes without a shot; the choice comes later."""

    def __init__(self, writer: TableWriter, video_id: str, *, encoder: Encoder, batch: int) -> None:
        self._writer, self._video_id, self.encoder = writer, video_id, encoder
        self._batch = batch
        self._held: list[Candidate] = []
        self.count = 0

    def add(self, candidates: Sequence[Candidate]) -> None:
        self._held.extend(candidates)
        self.count += len(candidates)
        if len(self._held) >= self._batch:
            self.flush()

    def flush(self) -> None:
        if not self._held:
            return
        embeddings = self.encoder.encode([candidate.picture for candidate in self._held])
        rows = [
            Keyframe(
                id=derive_id("keyframe", self._video_id, candidate.frame_index),
                video_id=self._video_id,
                # Transitions are told late, so shots are known only when the pass is over.
                shot_id="",
                t_ns=candidate.t_ns,
                frame_index=candidate.frame_index,
                reason=candidate.reason,
                novelty=0.0,
                embedder=self.encoder.embedder,
                embedding=tuple(vector.astype(np.float16).tolist()),
                jpeg=encode_jpeg(candidate.picture),
            )
            for candidate, vector in zip(self._held, embeddings, strict=True)
        ]
        self._writer.write(rows)
        self._held = []


@dataclass(frozen=True, slots=True)
class _Sinks:
    """What listens beside the shots: signals, candidates in order, and those that shots got later, in any order."""

    signals: _SignalSink
    candidates: _CandidateSink
    late: _CandidateSink


def scan_video(
    path: Path, video: Video, clock: FrameClock, *, plan: ScanPlan, encoder: Encoder, to: Path
) -> ScanCounts:
    """Decode a video once and write `shots.parquet`, `signals.parquet` and `keyframes.parquet` into the folder `to`.

    Raises:
        VideoError: the decoder fails, or gives other frames than the clock names.
    """
    raw, late = to / "candidates.raw.parquet", to / "late.raw.parquet"
    with (
        TableWriter(to / "signals.parquet", Signals) as signal_file,
        TableWriter(raw, Keyframe) as raw_file,
        TableWriter(late, Keyframe) as late_file,
    ):
        sinks = _Sinks(
            _SignalSink(signal_file, video.id),
            *(
                _CandidateSink(file, video.id, encoder=encoder, batch=plan.keyframes.batch)
                for file in (raw_file, late_file)
            ),
        )
        found = _pass(path, video, clock, plan=plan, sinks=sinks)
        for sink in (sinks.signals, sinks.candidates, sinks.late):
            sink.flush()
    shots = shots_of(video, clock, found, config=plan.shots, decoder=plan.decoder)
    write_table(to / "shots.parquet", Shot, shots)
    chosen = select((raw, late), shots, config=plan.keyframes)
    kept = write_table(to / "keyframes.parquet", Keyframe, chosen, rows_per_group=KEYFRAMES_PER_GROUP)
    raw.unlink()
    late.unlink()
    return ScanCounts(len(shots), kept, sinks.candidates.count + sinks.late.count, sinks.signals.count)


def _standby(clock: FrameClock, plan: ScanPlan, encoder: Encoder) -> StandbyPictures:
    # What the signature sees in the small image is all that it would see in a larger one.
    side = plan.keyframes.picture_side if encoder.embedder.is_semantic else plan.analysis_side
    return StandbyPictures(seconds=_LATE_FRAMES * clock.end_ns / len(clock) / NS_PER_S, side=side)


def _pass(path: Path, video: Video, clock: FrameClock, *, plan: ScanPlan, sinks: _Sinks) -> list[Transition]:
    # The pictures are small and the decoder's threads fill the cores: OpenCV's own would only get in the way.
    cv2.setNumThreads(1)
    finder = open_finder(plan.shots)
    meter = SignalMeter(plan.signals)
    candidates = CandidateFinder(plan.keyframes)
    pictures = _standby(clock, plan, sinks.candidates.encoder)
    filler = ShotFiller(pictures)
    found: list[Transition] = []
    size = analysis_size(*video.upright_size, long_side=plan.analysis_side)
    for frame in scan(path, clock, size=size, decoder=plan.decoder):
        image = frame.image
        assert image is not None, "a scan with a size gives images"
        thumb = thumbnail(image)
        pictures.feed(frame)
        new = finder.feed(frame.index, image, thumb)
        found.extend(new)
        sinks.signals.add(meter.feed(frame.t_ns, image))
        taken = candidates.feed(frame, thumb)
        sinks.candidates.add(taken)
        late = filler.feed(taken, new)
        sinks.late.add(late)
        for _ in late:
            candidates.spend()
    new = finder.finish()
    taken = candidates.finish()
    sinks.candidates.add(taken)
    sinks.late.add(filler.finish(taken, new, frames=len(clock)))
    return found + new
