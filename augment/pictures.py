"""What each look does to one picture: a function of the look, the picture, its place in the view and its time alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.core.augmentation import Look
from datasets_build.core.clock import NS_PER_S

Picture = npt.NDArray[np.uint8]
"""`(height, width, 3)`, RGB, upright."""
Plane = npt.NDArray[np.float32]
"""`(height, width)`, one number for each pixel."""
# ITU-R BT.601
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# How far the camera wanders on time scales of a period, half of it and a quarter.
_OCTAVES = (0.6, 0.3, 0.1)
# Of the variance of noise in white, the part that is there in black too: the linear camera model of EMVA 1288.
_READ_NOISE = 0.25


class Instant(NamedTuple):
    """Which frame of the view a picture is, and when it comes, ns."""

    frame: int
    t_ns: int


def _resized(look: Look, picture: Picture, at: Instant) -> Picture:
    del at
    width, height = round(look.value("width")), round(look.value("height"))
    smaller = width <= picture.shape[1] and height <= picture.shape[0]
    found: Picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return found


def _letterboxed(look: Look, picture: Picture, at: Instant) -> Picture:
    del at
    left, top = round(look.value("left")), round(look.value("top"))
    found: Picture = np.zeros((round(look.value("height")), round(look.value("width")), 3), np.uint8)
    found[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return found


def _windowed(look: Look, picture: Picture, at: Instant) -> Picture:
    del at
    left, top = round(look.value("left")), round(look.value("top"))
    return picture[top : top + round(look.value("height")), left : left + round(look.value("width"))].copy()


def _coloured(look: Look, picture: Picture, at: Instant) -> Picture:
    """Light scales a pixel as a whole, never past white; saturation moves it along the line to its grey."""
    del at
    warmth, saturation = look.value("warmth"), look.value("saturation")
    # Planes, for sums over the last axis of three are slow.
    tints = np.array([1 + warmth, 1, 1 - warmth], np.float32)
    lit = [plane * tint for plane, tint in zip(cv2.split(picture), tints, strict=True)]
    gains = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), _gains(look))
    gains = np.minimum(gains, 255 / np.maximum(_most(lit), 1))
    for plane in lit:
        plane *= gains
    grey = _LUMA[0] * lit[0] + _LUMA[1] * lit[1] + _LUMA[2] * lit[2]
    factor = np.float32(saturation) if saturation <= 1 else _within(lit, grey, saturation)
    found: Picture = cv2.merge([(grey + factor * (plane - grey) + 0.5).astype(np.uint8) for plane in lit])
    return found


def _most(planes: list[Plane]) -> Plane:
    return np.maximum(np.maximum(planes[0], planes[1]), planes[2])


def _within(planes: list[Plane], grey: Plane, saturation: float) -> Plane:
    """Float (height, width), how far each pixel is taken from its grey: `saturation`, or as far as a channel goes."""
    least = np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    room_up = (255 - grey) / np.maximum(_most(planes) - grey, 1e-3)
    room_down = grey / np.maximum(grey - least, 1e-3)
    found: Plane = np.minimum(np.float32(saturation), np.maximum(1, np.minimum(room_up, room_down)))
    return found


def _gains(look: Look) -> npt.NDArray[np.float32]:
    """Float (256,), by what a pixel of each brightness is multiplied: curve, then gamma, then brightness."""
    y = np.maximum(np.arange(256), 1) / 255
    # The curve through black, middle grey and white: steeper in the middle for more contrast.
    curved = y + 2 * (look.value("contrast") - 1) * (y * y * (3 - 2 * y) - y)
    return (curved ** look.value("gamma") * look.value("brightness") / y).astype(np.float32)


def _rounded(values: npt.NDArray[np.float32]) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _blurred(look: Look, picture: Picture, at: Instant) -> Picture:
    del at
    found: Picture = cv2.GaussianBlur(picture, (0, 0), look.value("share") * picture.shape[0])
    return found


def _streaked(look: Look, picture: Picture, at: Instant) -> Picture:
    del at
    kernel = _streak(look.value("share") * picture.shape[0], look.value("angle"))
    found: Picture = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return found


@lru_cache(maxsize=64)
def _streak(length: float, angle: float) -> npt.NDArray[np.float64]:
    """The kernel of a straight movement: points along a line, each shared among the four pixels around it."""
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for step in np.linspace(-length / 2, length / 2, max(3, 8 * reach + 1)):
        x, y = reach + step * math.cos(angle), reach + step * math.sin(angle)
        left, top = math.floor(x), math.floor(y)
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            kernel[row, column] += (1 - abs(x - column)) * (1 - abs(y - row))
    found: npt.NDArray[np.float64] = kernel / kernel.sum()
    return found


def wandered(look: Look, t_ns: int) -> tuple[float, float]:
    """How far a shaken camera is off to the right and down at a time, in shares of the picture's sides.

    Cubic B-splines through random offsets on three time scales: smooth, and never further than the amplitude.
    """
    x = y = 0.0
    for octave, weight in enumerate(_OCTAVES):
        steps = t_ns / NS_PER_S / look.value("period_s") * 2**octave
        begin = math.floor(steps)
        u = steps - begin
        weights = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
        for place, share in enumerate(weights):
            right, down = _offset(look.seed, octave, begin + place)
            x += weight * share / 6 * right
            y += weight * share / 6 * down
    return look.value("amplitude") * x, look.value("amplitude") * y


@lru_cache(maxsize=4096)
def _offset(seed: int, octave: int, place: int) -> tuple[float, float]:
    x, y = np.random.Generator(np.random.Philox(key=[seed, octave << 32 | place])).uniform(-1, 1, 2)
    return float(x), float(y)


def _shaken(look: Look, picture: Picture, at: Instant) -> Picture:
    return _moved(look, picture, at, scale=1.0)


def _shaken_inside(look: Look, picture: Picture, at: Instant) -> Picture:
    return _moved(look, picture, at, scale=1 - 2 * look.value("amplitude"))


def _moved(look: Look, picture: Picture, at: Instant, *, scale: float) -> Picture:
    height, width = picture.shape[:2]
    x, y = wandered(look, at.t_ns)
    # Pixel centres: the middle of the picture stays where it is under the scale.
    left, top = (1 - scale) * (width - 1) / 2 + x * width, (1 - scale) * (height - 1) / 2 + y * height
    found: Picture = cv2.warpAffine(
        picture,
        np.array([[scale, 0, left], [0, scale, top]]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return found


def _noisy(look: Look, picture: Picture, at: Instant) -> Picture:
    drawn = np.random.Generator(np.random.Philox(key=[look.seed, at.frame])).standard_normal(
        picture.shape, dtype=np.float32
    )
    levels = np.arange(256, dtype=np.float32) / 255
    sd = 255 * look.value("sd") * np.sqrt(_READ_NOISE + (1 - _READ_NOISE) * levels)
    return _rounded(picture + sd.astype(np.float32)[picture] * drawn)


CHANGES: Mapping[str, Callable[[Look, Picture, Instant], Picture]] = {
    "resolution": _resized,
    "letterbox": _letterboxed,
    "squeeze": _resized,
    "window": _windowed,
    "colour": _coloured,
    "blur": _blurred,
    "motion_blur": _streaked,
    "shake": _shaken,
    "shake_zoom": _shaken_inside,
    "noise": _noisy,
}
"""By kind of look; compression is none of them, for a frame of it depends on frames before."""
