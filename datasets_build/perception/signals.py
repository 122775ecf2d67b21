"""Signals: brightness, change, detail and camera movement, measured a few times a second in the decode pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.core.perceived import Signals
from datasets_build.core.records import derive_id

_SIDE = 128
_HALF = _SIDE // 2
_CELLS = (16, 16)
# Below this mean change, 0..1, nothing that fills the picture has moved.
_MOVING = 0.002
# Where the four quarters lie around the centre, in quarters of the picture: (x, y).
_QUARTERS = ((-1, -1), (1, -1), (-1, 1), (1, 1))
# The least share of the median that every quarter must reach for a movement to be common to all.
_TOGETHER = 0.3
# What may be left of the difference between two pictures when the camera's movement is taken out.
_EXPLAINED = 0.8
Gray = npt.NDArray[np.uint8]
Float32s = npt.NDArray[np.float32]


class SignalsConfig(Config):
    """How often signals are sampled and when camera movement is believed.

    `rate_hz` samples a second at most. `min_response` 0..1 is the least phase-correlation peak, and `max_spread` the
    most that the four quarters of the picture may disagree, in picture sizes, for a movement to be the camera's.
    """

    rate_hz: float = Field(default=8.0, gt=0)
    min_response: float = Field(default=0.1, ge=0, le=1)
    max_spread: float = Field(default=0.03, gt=0)


@dataclass(frozen=True, slots=True)
class Sample:
    """Signals of one frame; see `perceived.Signals` for units."""

    t_ns: int
    luma: float
    contrast: float
    motion: float
    complexity: float
    pan_x: float
    pan_y: float
    zoom: float
    local_motion: float = 0.0


@dataclass(frozen=True, slots=True)
class Movement:
    """Camera movement between two pictures: shares of the picture's width and height, and relative growth."""

    pan_x: float
    pan_y: float
    zoom: float


STILL = Movement(0.0, 0.0, 0.0)


class SignalMeter:
    """Listens to a decode pass and measures frames that lie at least `1 / rate_hz` after the last measured one."""

    def __init__(self, config: SignalsConfig) -> None:
        self._config = config
        self._step_ns = int(NS_PER_S / config.rate_hz)
        self._window = cv2.createHanningWindow((_HALF, _HALF), cv2.CV_32F)
        self._last: tuple[int, Gray] | None = None

    def feed(self, t_ns: int, image: npt.NDArray[np.uint8]) -> Sample | None:
        """Take a frame: its time and a BGR image `(height, width, 3) uint8`; returns a sample when one is due."""
        if self._last is not None and t_ns - self._last[0] < self._step_ns:
            return None
        gray: Gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        motion, local, movement, seconds = 0.0, 0.0, STILL, 1.0
        if self._last is not None:
            change = cv2.absdiff(gray, self._last[1])
            motion = cv2.mean(change)[0] / 255
            # A small shape vanishes in the mean of the picture, but not in that of the cell it moves through.
            local = float(cv2.resize(change.astype(np.float32), _CELLS, interpolation=cv2.INTER_AREA).max()) / 255
            if motion >= _MOVING:
                movement = camera_movement(self._last[1], gray, window=self._window, config=self._config)
            seconds = (t_ns - self._last[0]) / NS_PER_S
        mean, spread = cv2.meanStdDev(gray)
        edges = cv2.Laplacian(gray, cv2.CV_16S)
        self._last = (t_ns, gray)
        return Sample(
            t_ns=t_ns,
            luma=float(mean[0, 0]) / 255,
            contrast=float(spread[0, 0]) / 255,
            motion=motion,
            complexity=min(1.0, cv2.norm(edges, cv2.NORM_L1) / edges.size / 64),
            pan_x=movement.pan_x / seconds,
            pan_y=movement.pan_y / seconds,
            zoom=movement.zoom / seconds,
            local_motion=local,
        )


def camera_movement(before: Gray, after: Gray, *, window: Float32s, config: SignalsConfig) -> Movement:
    """Estimate how the camera moved between two `(128, 128) uint8` pictures.

    Each quarter's shift comes from phase correlation (Kuglin and Hines, 1975). Shifts that agree are a pan or tilt; the
    part of them that points away from the centre is a zoom. Quarters that disagree are something moving in the picture.
    """
    moved = []
    old, new = before.astype(np.float32), after.astype(np.float32)
    for x, y in _QUARTERS:
        part = slice((1 + y) // 2 * _HALF, (3 + y) // 2 * _HALF), slice((1 + x) // 2 * _HALF, (3 + x) // 2 * _HALF)
        shift, response = cv2.phaseCorrelate(old[part], new[part], window)
        if response < config.min_response:
            return STILL
        moved.append((shift[0] / _SIDE, shift[1] / _SIDE))
    pan_x, pan_y = (_agreed(shares) for shares in zip(*moved, strict=True))
    rest = [(x - pan_x, y - pan_y) for x, y in moved]
    # A zoom by (1 + z) moves the centre of a quarter, at a quarter of the picture from the middle, by z / 4 outwards.
    growth = _agreed([2 * (x * out_x + y * out_y) for (x, y), (out_x, out_y) in zip(rest, _QUARTERS, strict=True)])
    for (x, y), (out_x, out_y) in zip(rest, _QUARTERS, strict=True):
        if max(abs(x - out_x * growth / 4), abs(y - out_y * growth / 4)) > config.max_spread:
            return STILL
    # The content moves against the view.
    movement = Movement(-pan_x, -pan_y, growth)
    return movement if explains(movement, before, after) else STILL


def explains(movement: Movement, before: Gray, after: Gray) -> bool:
    """Whether moving the earlier `(128, 128) uint8` picture so brings it clearly nearer to the later one.

    Shapes that move before a still background fool phase correlation, but no one movement brings them together.
    """
    scale, middle = 1 + movement.zoom, _SIDE / 2
    shift_x, shift_y = (middle * (1 - scale) - share * _SIDE for share in (movement.pan_x, movement.pan_y))
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]], np.float64)
    moved = cv2.warpAffine(before, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = slice(_SIDE // 8, -_SIDE // 8)
    rest = cv2.norm(moved[inner, inner], after[inner, inner], cv2.NORM_L1)
    return rest < _EXPLAINED * cv2.norm(before[inner, inner], after[inner, inner], cv2.NORM_L1)


def _agreed(values: Sequence[float]) -> float:
    """The median of the quarters' values where all go one way, none much less than the others; else 0.

    Something that moves in one quarter of a still picture is no movement of the camera.
    """
    middle = median(values)
    together = all(math.copysign(1, middle) * value >= _TOGETHER * abs(middle) for value in values)
    return middle if together else 0.0


def stretch(video_id: str, ordinal: int, samples: list[Sample]) -> Signals:
    """Pack samples, in order, into one record."""
    columns = {
        name: tuple(float(np.float32(getattr(sample, name))) for sample in samples)
        for name in ("luma", "contrast", "motion", "complexity", "pan_x", "pan_y", "zoom", "local_motion")
    }
    return Signals(
        id=derive_id("signals", video_id, ordinal),
        video_id=video_id,
        ordinal=ordinal,
        t_ns=tuple(sample.t_ns for sample in samples),
        luma=columns["luma"],
        contrast=columns["contrast"],
        motion=columns["motion"],
        complexity=columns["complexity"],
        pan_x=columns["pan_x"],
        pan_y=columns["pan_y"],
        zoom=columns["zoom"],
        local_motion=columns["local_motion"],
    )
