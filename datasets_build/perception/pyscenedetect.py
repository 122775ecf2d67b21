"""PySceneDetect: its detectors as listeners of the pass, and the learned one behind its interface.

Apart from `shots`, because loading that package costs a tenth of a second, which most passes do not need.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect.common import FrameTimecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors import AdaptiveDetector, ContentDetector, ThresholdDetector

from datasets_build.perception.likeness import miniature
from datasets_build.perception.shots import ShotsConfig, boundary
from datasets_build.perception.transition_finder import LearnedConfig, TransitionFinder
from datasets_build.perception.transition_net import load_net
from datasets_build.perception.transitions import Transition

# The detectors count frames; the rate only dresses their numbers, so any constant serves.
_RATE = Fraction(25)
_SAME, _LEAST_LIGHT = 0.97, 0.3
# The light on one side of a step, against that a few frames further on: below this share, brightness is on the move.
_RAMP = 0.85
UInt8s = npt.NDArray[np.uint8]


class LearnedDetector(SceneDetector):  # type: ignore[misc]  # scenedetect has no types
    """The learned detector behind PySceneDetect's interface: `SceneManager.add_detector(LearnedDetector())`.

    A cut is the first frame of the new shot, a gradual transition its middle frame; `transitions` holds all that were
    found, with kinds and spans.
    """

    def __init__(self, config: LearnedConfig | None = None) -> None:
        super().__init__()
        self._finder = TransitionFinder(config or LearnedConfig(), load_net())
        self._times: deque[FrameTimecode] = deque()
        self._first = 0
        self.transitions: list[Transition] = []

    @property
    def event_buffer_length(self) -> int:
        """How many frames late a cut may be told."""
        return self._finder.longest

    def process_frame(self, timecode: FrameTimecode, frame_img: UInt8s) -> list[FrameTimecode]:
        """Take the next frame; returns the times of the cuts that became certain."""
        self._times.append(timecode)
        return self._told(self._finder.feed(miniature(frame_img)))

    def post_process(self, timecode: FrameTimecode) -> list[FrameTimecode]:  # noqa: ARG002
        """Say that the video is over."""
        return self._told(self._finder.finish())

    def _told(self, found: list[Transition]) -> list[FrameTimecode]:
        self.transitions += found
        times = [self._times[boundary(each) - self._first] for each in found]
        while self._first < self._finder.decided:
            self._times.popleft()
            self._first += 1
        return times


class PySceneFinder:
    """PySceneDetect's cuts and fades through black: a cut is told two frames late, a fade when the light is back."""

    def __init__(self, config: ShotsConfig) -> None:
        self._cuts = _cut_detector(config)
        self._fades = ThresholdDetector(threshold=config.fade_level, min_scene_len=config.min_frames)
        self._dark = 2.0 * config.fade_level
        # A cut is reported up to two frames late, so the pictures on both of its sides are at hand.
        self._looks: deque[tuple[int, UInt8s]] = deque(maxlen=8)
        self._last = -1

    def feed(self, index: int, image: UInt8s, thumb: UInt8s) -> list[Transition]:
        """Take the next frame."""
        self._last = index
        self._looks.append((index, thumb))
        at = FrameTimecode(index, fps=_RATE)
        frames = [found.frame_num for found in self._cuts.process_frame(at, image)]
        cuts = [_cut(frame) for frame in frames if frame and not self._only_light(frame)]
        # All that a fade is found by is the mean of the picture.
        light = np.array(cv2.mean(image)[:3])
        fades = [found.frame_num for found in self._fades.process_frame(at, light)]
        return cuts + [Transition(frame, frame, "fade_through") for frame in fades]

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

    def finish(self) -> list[Transition]:
        """Say that the video is over."""
        if self._last < 0:
            return []
        at = FrameTimecode(self._last, fps=_RATE)
        return [_cut(found.frame_num) for found in self._cuts.post_process(at) if found.frame_num]


def _cut(frame: int) -> Transition:
    return Transition(frame, frame, "cut")


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
