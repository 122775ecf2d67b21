"""What happens to a film and is no transition: flashes, explosions, light, titles, noise, doubled frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.perception.shot_training.material import CLIP_SIZE, UInt8s
from datasets_build.perception.shot_training.scenes import Pace, write

_WIDTH, _HEIGHT = CLIP_SIZE


def disturb(film: UInt8s, pace: Pace, rng: np.random.Generator) -> UInt8s:
    """A disturbed copy of a film `(n, 54, 96, 3) uint8`; its transitions stay where they are."""
    frames = film.copy()
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 12))):
            _flash(frames, pace, int(rng.integers(len(frames))), rng)
    if rng.random() < 0.08:
        # Shots of a gun: flashes one behind the other.
        start = int(rng.integers(len(frames)))
        for k in range(start, min(len(frames), start + int(rng.integers(6, 40))), int(rng.integers(2, 6))):
            _flash(frames, pace, k, rng)
    if rng.random() < 0.12:
        _explosion(frames, pace, rng)
    if rng.random() < 0.25:
        frames = _light(frames, rng)
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 0):
        start = int(rng.integers(len(frames)))
        write(frames, start, min(len(frames), start + int(rng.integers(5, 120))), rng)
    frames = _graded(frames, rng)
    if rng.random() < 0.25:
        _bars(frames, rng)
    return _inset(frames, rng) if rng.random() < 0.12 else frames


def recorded(small: UInt8s, rng: np.random.Generator) -> UInt8s:
    """What a sensor and an encoder do to miniatures `(n, 27, 48, 3) uint8`: noise, and sharpness that comes and goes."""
    if rng.random() < 0.15:
        every, lost = int(rng.integers(8, 60)), rng.uniform(0.5, 1.5)
        for k in range(len(small)):
            if k % every:
                small[k] = cv2.GaussianBlur(small[k], (0, 0), 0.2 + lost * (k % every) / every)
    if rng.random() < 0.6:
        noise = rng.normal(0, rng.choice([0.5, 1.5, 4.0]), (8, *small.shape[1:])).astype(np.int16)
        small = np.clip(small + noise[rng.integers(0, 8, len(small))], 0, 255).astype(np.uint8)
    return small


def _inset(frames: UInt8s, rng: np.random.Generator) -> UInt8s:
    """The film in a part of the picture, beside what stands still or moves on its own."""
    wide, high = int(_WIDTH * rng.uniform(0.45, 0.95)), int(_HEIGHT * rng.uniform(0.5, 1.0))
    left, top = int(rng.integers(_WIDTH - wide + 1)), int(rng.integers(_HEIGHT - high + 1))
    beside = cv2.resize(rng.integers(0, 256, (6, 10, 3)).astype(np.uint8), CLIP_SIZE, interpolation=int(rng.integers(2)))
    if rng.random() < 0.4:
        beside[:] = rng.integers(0, 256, 3)
    out = np.repeat(beside[None], len(frames), axis=0)
    write(out, 0, len(out), rng)
    for k, frame in enumerate(frames):
        out[k, top : top + high, left : left + wide] = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA)
    return out


def _flash(frames: UInt8s, pace: Pace, start: int, rng: np.random.Generator) -> None:
    """A photographer's flash, lightning or a muzzle: all of the picture or a spot of it, for a few frames."""
    length = max(1, round(rng.integers(1, 6) / pace.step))
    power = rng.uniform(30, 255) * np.array(rng.uniform(0.7, 1, 3))
    spot = np.ones((_HEIGHT, _WIDTH), np.float32)
    if rng.random() < 0.5:
        y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
        middle = rng.uniform(0, _WIDTH), rng.uniform(0, _HEIGHT)
        spot = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * rng.uniform(5, 40) ** 2)).astype(np.float32)
    for k in range(start, min(len(frames), start + length)):
        left = rng.uniform(0.4, 1) if length > 1 else 1.0
        frames[k] = np.clip(frames[k] + spot[..., None] * power * left, 0, 255).astype(np.uint8)


def _explosion(frames: UInt8s, pace: Pace, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(frames)))
    length = max(2, int(rng.integers(8, 60) / pace.step))
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    middle = rng.uniform(0.2, 0.8) * _WIDTH, rng.uniform(0.2, 0.8) * _HEIGHT
    far = np.hypot(x - middle[0], y - middle[1])
    fire = np.array([rng.uniform(0, 120), rng.uniform(80, 220), 255.0])
    smoke = np.array([1.0, 1.0, 1.0]) * rng.uniform(20, 160)
    for k in range(start, min(len(frames), start + length)):
        age = (k - start + 1) / length
        radius = rng.uniform(20, 70) * min(1.0, age * 4) + 1
        share = np.clip(1.5 - far / radius, 0, 1) * min(1.0, (1 - age) * 2)
        ragged = cv2.resize(rng.uniform(0.4, 1, (5, 9)).astype(np.float32), CLIP_SIZE)
        colour = fire * (1 - age) + smoke * age
        share = (share * ragged)[..., None]
        frames[k] = np.clip(frames[k] * (1 - share) + colour * share, 0, 255).astype(np.uint8)


def _light(frames: UInt8s, rng: np.random.Generator) -> UInt8s:
    """Light that flickers, drifts or is switched."""
    n = len(frames)
    kind = rng.integers(3)
    if kind == 0:
        gain = 1 + rng.normal(0, rng.uniform(0.02, 0.15), n)
    elif kind == 1:
        gain = np.exp(rng.uniform(0.1, 0.7) * np.sin(np.arange(n) * rng.uniform(0.01, 0.3) + rng.uniform(0, 6)))
    else:
        at = int(rng.integers(n))
        gain = np.where(np.arange(n) < at, 1.0, rng.uniform(0.35, 1.8))
    return np.clip(frames * gain[:, None, None, None], 0, 255).astype(np.uint8)


def _graded(frames: UInt8s, rng: np.random.Generator) -> UInt8s:
    if rng.random() < 0.12:
        gray = frames.mean(axis=3, keepdims=True)
        frames = np.broadcast_to(gray, frames.shape).astype(np.uint8)
    gamma = np.exp(rng.normal(0, 0.35))
    gain = rng.uniform(0.12, 0.5) if rng.random() < 0.12 else rng.uniform(0.6, 1.15)
    base = rng.uniform(0, 20) if rng.random() < 0.3 else 0.0
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma + base, 0, 255).astype(np.uint8)
    graded: UInt8s = table[frames]
    return graded


def _bars(frames: UInt8s, rng: np.random.Generator) -> None:
    if rng.random() < 0.7:
        high = int(rng.integers(2, 12))
        frames[:, :high] = 0
        frames[:, -high:] = 0
    else:
        wide = int(rng.integers(2, 24))
        frames[:, :, :wide] = 0
        frames[:, :, -wide:] = 0


def doubled(n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Which of `n` frames is shown at each place when every second, third or fifth is replaced by the one before it."""
    every = int(rng.choice([2, 3, 5]))
    at = np.arange(n)
    at[at % every == every - 1] -= 1
    return at
