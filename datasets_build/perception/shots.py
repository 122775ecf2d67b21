"""Shots: PySceneDetect detectors fed by hand, frame by frame, and their cuts turned into spans."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field
from scenedetect.common import FrameTimecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors import AdaptiveDetector, ContentDetector, ThresholdDetector

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config
from datasets_build.core.records import Detector, Parameter, Shot, Video, derive_id

# The detectors count frames; the rate only dresses their numbers, so any constant serves.
_RATE = Fraction(25)
_SAME, _LEAST_LIGHT = 0.97, 0.3
# The light on one side of a step, against that a few frames further on: below this share, brightness is on the move.
_RAMP = 0.85
UInt8s = npt.NDArray[np.uint8]


class ShotsConfig(Config):
    """How transitions are found.

    `threshold` is the ratio to neighbouring frames (adaptive) or the score (content) that makes a cut, `min_score` the
    least score of an adaptive cut, `min_frames` the shortest shot, `fade_level` the brightness 0..255 below which the
    picture counts as black, and `fade_apart_s` how far a fade must be from a cut to be a boundary of its own.
    """

    detector: Literal["adaptive", "content"] = "adaptive"
    threshold: float = Field(default=3.0, gt=0)
    min_score: float = Field(default=15.0, ge=0)
    min_frames: int = Field(default=2, ge=1)
    fade_level: int = Field(default=12, ge=0, le=255)
    fade_apart_s: float = Field(default=1.0, ge=0)


@dataclass(frozen=True, slots=True)
class Boundary:
    """A frame index at which a new shot begins."""

    frame: int
    transition: Literal["cut", "fade"]


class ShotFinder:
    """Listens to a decode pass; frames must come in order, without a gap.

    `feed` takes a BGR image `(height, width, 3) uint8` with its thumbnail `(9, 16, 3) uint8` and returns the boundaries
    that became certain with it. A cut is reported two frames late, a fade when the picture has come back.
    """

    def __init__(self, config: ShotsConfig) -> None:
        self._cuts = _cut_detector(config)
        self._fades = ThresholdDetector(threshold=config.fade_level, min_scene_len=config.min_frames)
        self._dark = 2.0 * config.fade_level
        # A cut is reported up to two frames late, so the pictures on both of its sides are at hand.
        self._looks: deque[tuple[int, UInt8s]] = deque(maxlen=8)
        self._last = -1

    def feed(self, index: int, image: UInt8s, thumb: UInt8s) -> list[Boundary]:
        """Take the next frame."""
        self._last = index
        self._looks.append((index, thumb))
        at = FrameTimecode(index, fps=_RATE)
        frames = [found.frame_num for found in self._cuts.process_frame(at, image)]
        cuts = [Boundary(frame, "cut") for frame in frames if not self._only_light(frame)]
        # All that a fade is found by is the mean of the picture.
        light = np.array(cv2.mean(image)[:3])
        return cuts + [Boundary(found.frame_num, "fade") for found in self._fades.process_frame(at, light)]

    def _only_light(self, frame: int) -> bool:
        """Whether a cut is a step of a fade: one picture in two lights, or a ramp that ends or begins in the dark."""
        looks = dict(self._looks)
        before, after = looks.get(frame - 1), looks.get(frame)
        if before is None or after is None:
            return False
        light = [float(look.mean()) for _, look in self._looks]
        ends = after.mean() < self._dark and before.mean() < _RAMP * light[0]
        begins = before.mean() < self._dark and after.mean() < _RAMP * light[-1]
        return bool(ends or begins) or same_but_for_light(before, after, dark=self._dark)

    def finish(self) -> list[Boundary]:
        """Say that the video is over; returns what was still held back."""
        if self._last < 0:
            return []
        at = FrameTimecode(self._last, fps=_RATE)
        return [Boundary(found.frame_num, "cut") for found in self._cuts.post_process(at)]


def same_but_for_light(before: UInt8s, after: UInt8s, *, dark: float) -> bool:
    """Whether two thumbnails `(9, 16, 3) uint8` show one picture in two lights, or both are below `dark`.

    A change of brightness leaves the correlation of the pictures near 1; a flat picture correlates with nothing.
    """
    light = sorted((float(before.mean()), float(after.mean())))
    if light[1] < dark:
        return True
    if light[0] < _LEAST_LIGHT * light[1] or min(before.std(), after.std()) < 1.0:
        return False
    return float(np.corrcoef(before.reshape(-1), after.reshape(-1))[0, 1]) > _SAME


class QuickContentDetector(ContentDetector):  # type: ignore[misc]  # scenedetect has no types
    """PySceneDetect's detector with its score, the mean change of hue, saturation and value, in one call of OpenCV."""

    _before: UInt8s | None = None

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: npt.NDArray[np.uint8]) -> float:  # noqa: ARG002
        hsv = cv2.cvtColor(frame_img, cv2.COLOR_BGR2HSV)
        before, self._before = self._before, hsv
        return 0.0 if before is None else cv2.norm(hsv, before, cv2.NORM_L1) / hsv.size


class QuickAdaptiveDetector(QuickContentDetector, AdaptiveDetector):  # type: ignore[misc]
    """The same for the detector that holds the score against its neighbours."""


def _cut_detector(config: ShotsConfig) -> SceneDetector:
    if config.detector == "content":
        return QuickContentDetector(threshold=config.threshold, min_scene_len=config.min_frames)
    return QuickAdaptiveDetector(
        adaptive_threshold=config.threshold, min_scene_len=config.min_frames, min_content_val=config.min_score
    )


def merge_boundaries(found: Sequence[Boundary], clock: FrameClock, *, apart_ns: int) -> list[Boundary]:
    """Sort boundaries, one a frame, inside the video; a fade gives way to a cut nearer than `apart_ns`."""
    inside = [boundary for boundary in found if 0 < boundary.frame < len(clock)]
    cut_times = [clock.time_of(boundary.frame) for boundary in inside if boundary.transition == "cut"]
    kept: dict[int, Boundary] = {}
    for boundary in sorted(inside, key=lambda item: (item.frame, item.transition)):
        at = clock.time_of(boundary.frame)
        shadowed = boundary.transition == "fade" and any(abs(at - cut) < apart_ns for cut in cut_times)
        if not shadowed:
            kept.setdefault(boundary.frame, boundary)
    return list(kept.values())


def shots_of(
    video: Video, clock: FrameClock, boundaries: Sequence[Boundary], *, config: ShotsConfig, decoder: str
) -> list[Shot]:
    """Turn boundaries into shots that tile the whole video; every video has at least one."""
    names = ("threshold", "min_score", "min_frames", "fade_level", "fade_apart_s")
    detector = Detector(
        name=f"scenedetect/{config.detector}+threshold",
        version=version("scenedetect-headless"),
        decoder=decoder,
        parameters=tuple(Parameter(name=name, value=float(getattr(config, name))) for name in names),
    )
    merged = merge_boundaries(boundaries, clock, apart_ns=int(config.fade_apart_s * 1e9))
    starts = [0, *(boundary.frame for boundary in merged)]
    kinds: list[Literal["first", "cut", "fade"]] = ["first", *(boundary.transition for boundary in merged)]
    ends = [*starts[1:], len(clock)]
    return [
        Shot(
            id=derive_id("shot", video.id, start),
            video_id=video.id,
            start_ns=clock.time_of(start),
            end_ns=clock.time_of(end),
            ordinal=ordinal,
            start_frame=start,
            end_frame=end,
            transition=kind,
            score=1.0,
            detector=detector,
        )
        for ordinal, (start, end, kind) in enumerate(zip(starts, ends, kinds, strict=True))
    ]
