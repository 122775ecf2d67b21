"""One made shot: a camera that moves over a photograph, things that move in front of it, or a piece of a real clip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.perception.shot_training.material import CLIP_SIZE, Material, UInt8s

_WIDTH, _HEIGHT = CLIP_SIZE
_BLUR_STEPS = 4
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much time passes between two frames of a sequence: 1 at a film's rate, 12 at two frames a second."""

    step: float


def shot(
    n: int, material: Material, pace: Pace, rng: np.random.Generator, *, near: int | None = None
) -> tuple[UInt8s, int]:
    """`n` frames `(n, 54, 96, 3) uint8` of one shot, and the photograph it shows (-1: none).

    With `near`, another view of that photograph: a cut inside one place.
    """
    if near is None and material.clips and rng.random() < 0.4:
        return _piece(n, material, pace, rng), -1
    if near is None and rng.random() < 0.09:
        return _card(n, rng), -1
    which = near if near is not None and near >= 0 else int(rng.integers(len(material.photos)))
    frames = _filmed(n, material.photos[which], pace, rng)
    for _ in range(int(rng.choice(6, p=[0.3, 0.25, 0.18, 0.12, 0.08, 0.07]))):
        _pass_by(frames, material, pace, rng)
    return frames, which


def _piece(n: int, material: Material, pace: Pace, rng: np.random.Generator) -> UInt8s:
    clip = material.clips[int(rng.integers(len(material.clips)))]
    step = max(1, round(pace.step * rng.uniform(0.6, 1.4)))
    at = rng.integers(len(clip)) + np.arange(n) * step
    # There and back again, so that a short clip has no jump.
    period = max(1, 2 * len(clip) - 2)
    at = np.abs((at + len(clip) - 1) % period - (len(clip) - 1)) if len(clip) > 1 else np.zeros(n, np.int64)
    frames = clip[at]
    if rng.random() < 0.5:
        frames = frames[:, :, ::-1]
    if rng.random() < 0.5:
        frames = _zoomed(frames, rng)
    return np.ascontiguousarray(frames)


def _zoomed(frames: UInt8s, rng: np.random.Generator) -> UInt8s:
    scale = rng.uniform(0.5, 0.95)
    width, height = int(_WIDTH * scale), int(_HEIGHT * scale)
    left, top = int(rng.integers(_WIDTH - width + 1)), int(rng.integers(_HEIGHT - height + 1))
    cut = frames[:, top : top + height, left : left + width]
    return np.stack([cv2.resize(frame, CLIP_SIZE, interpolation=cv2.INTER_LINEAR) for frame in cut])


def _card(n: int, rng: np.random.Generator) -> UInt8s:
    """Black, or one colour, at times with a line of text."""
    frames = np.empty((n, _HEIGHT, _WIDTH, 3), np.uint8)
    look = rng.random()
    frames[:] = 0 if look < 0.4 else int(rng.integers(60, 256)) if look < 0.7 else rng.integers(0, 256, 3)
    if rng.random() < 0.45:
        write(frames, 0, n, rng)
    return frames


def write(frames: UInt8s, start: int, end: int, rng: np.random.Generator) -> None:
    """Lines of text or a sign that stand, or come and go, in frames `start..end`."""
    layer = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    left, size, thick = int(rng.integers(2, 30)), rng.uniform(0.25, 1.2), int(rng.integers(1, 4))
    for line in range(int(rng.integers(1, 4))):
        text = "".join(rng.choice(list("abcdefgh iklmnopr stuvw")) for _ in range(int(rng.integers(4, 16))))
        low = int(rng.integers(10, 30)) + int(line * 26 * size)
        cv2.putText(layer, text, (left, low), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick)
    if rng.random() < 0.15:
        layer = (_blob(rng) * 255).astype(np.uint8)
    colour = np.array([255, 255, 255] if rng.random() < 0.7 else rng.integers(0, 256, 3), np.float32)
    soft = int(rng.integers(1, 30)) if rng.random() < 0.6 else 1
    for k in range(start, end):
        shown = min(1.0, (k - start + 1) / soft, (end - k) / soft)
        share = (layer[..., None] / 255 * shown).astype(np.float32)
        frames[k] = (frames[k] * (1 - share) + colour * share).astype(np.uint8)


def _wander(n: int, pace: Pace, rng: np.random.Generator) -> Floats:
    """Camera states `(n, 4)`: position x and y in picture widths, zoom (log), roll in radians."""
    seconds = np.arange(n) * pace.step / 25
    kind = rng.choice(6, p=[0.28, 0.26, 0.18, 0.1, 0.09, 0.09])
    speed = [0.0, 0.06, 0.3, 0.15, 0.1, 0.9][kind]
    path = np.zeros((n, 4))
    path[:, 0] = rng.normal() * speed * seconds
    path[:, 1] = rng.normal() * speed * (0.4 if rng.random() < 0.7 else 1.2) * seconds
    path[:, 2] = rng.normal() * min(speed, 0.3) * 0.5 * seconds
    if kind == 3:
        # A whip pan: the view flies by within a few frames.
        middle, width = rng.uniform(0, seconds[-1] + 1e-6), rng.uniform(0.04, 0.25)
        fly = 1 / (1 + np.exp(-np.clip((seconds - middle) / width, -30, 30)))
        path[:, 0] += rng.choice([-1, 1]) * rng.uniform(0.5, 2.5) * fly
        path[:, 1] += rng.normal() * 0.3 * fly
    shake = [0.0, 0.004, 0.008, 0.008, 0.05, 0.02][kind] * rng.uniform(0, 1.5)
    path[:, :2] += _smooth(rng.normal(size=(n, 2)), 3 / pace.step) * shake
    path[:, 3] += _smooth(rng.normal(size=(n, 1)), 3 / pace.step)[:, 0] * shake * 0.5
    return path


def _smooth(noise: Floats, frames: float) -> Floats:
    keep = np.exp(-1 / max(frames, 0.3))
    out = np.empty_like(noise)
    state = noise[0]
    for k, value in enumerate(noise):
        state = keep * state + np.sqrt(1 - keep**2) * value
        out[k] = state
    return out


def _matrix(photo: UInt8s, x: float, y: float, scale: float, roll: float) -> Floats:
    """Maps a pixel of the frame to the photograph; `scale` photograph pixels a pixel."""
    cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
    height, width = photo.shape[:2]
    return np.array(
        [
            [cos, -sin, x * width - cos * _WIDTH / 2 + sin * _HEIGHT / 2],
            [sin, cos, y * height - sin * _WIDTH / 2 - cos * _HEIGHT / 2],
        ]
    )


def _filmed(n: int, photo: UInt8s, pace: Pace, rng: np.random.Generator) -> UInt8s:
    height, width = photo.shape[:2]
    widest = min(width / _WIDTH, height / _HEIGHT)
    scale = widest * rng.uniform(0.25, 0.95)
    x, y = rng.uniform(0.3, 0.7, 2)
    path = _wander(n, pace, rng)
    states = np.stack(
        [
            x + path[:, 0] * scale * _WIDTH / width,
            y + path[:, 1] * scale * _WIDTH / height,
            scale * np.exp(path[:, 2]),
            path[:, 3],
        ],
        axis=1,
    )
    states[:, 2] = np.clip(states[:, 2], 0.3, 2 * widest)
    frames = np.empty((n, _HEIGHT, _WIDTH, 3), np.uint8)
    for k in range(n):
        before = states[max(0, k - 1)]
        moved = np.hypot(*(states[k, :2] - before[:2])) * width / states[k, 2]
        # An open shutter smears what moves fast.
        steps = _BLUR_STEPS if moved > 4 else 1
        shares: list[list[float]] = [
            (states[k] + (before - states[k]) * 0.5 * j / steps).tolist() for j in range(steps)
        ]
        views = [_view(photo, *share) for share in shares]
        frames[k] = views[0] if steps == 1 else np.mean(views, axis=0).astype(np.uint8)
    if rng.random() < 0.5:
        frames = np.ascontiguousarray(frames[:, :, ::-1])
    return frames


def _view(photo: UInt8s, x: float, y: float, scale: float, roll: float) -> UInt8s:
    seen: UInt8s = cv2.warpAffine(
        photo,
        _matrix(photo, x, y, scale, roll),
        CLIP_SIZE,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return seen


def _pass_by(frames: UInt8s, material: Material, pace: Pace, rng: np.random.Generator) -> None:
    """Something moves in front of the camera: a blob of another photograph, at times close to the lens."""
    n = len(frames)
    photo = material.photos[int(rng.integers(len(material.photos)))]
    size = rng.choice([rng.uniform(0.06, 0.25), rng.uniform(0.25, 0.7), rng.uniform(0.7, 1.6)], p=[0.45, 0.4, 0.15])
    x, y = rng.uniform(0.2, 0.8, 2).tolist()
    look = _view(photo, x, y, rng.uniform(0.4, 2.0), 0.0)
    mask = _blob(rng)
    seconds = np.arange(n) * pace.step / 25
    start = rng.uniform(-0.3, 1.3, 2)
    if rng.random() < 0.5:
        where = (
            start
            + rng.normal(size=2) * rng.choice([0.1, 0.5, 2.0]) * (seconds - rng.uniform(0, seconds[-1] + 0.1))[:, None]
        )
    else:
        rate = rng.uniform(0.3, 4)
        swing = np.sin(2 * np.pi * rate * seconds + rng.uniform(0, 6))[:, None]
        where = np.clip(start, 0.1, 0.9) + rng.normal(size=2) * 0.15 * swing
    growth = np.exp(rng.normal() * 0.5 * seconds)
    turn = rng.normal() * 1.0 * seconds
    for k in range(n):
        scale = size * min(float(growth[k]), 4.0)
        if scale < 0.02 or not (-1 < where[k, 0] < 2 and -1 < where[k, 1] < 2):
            continue
        cos, sin = np.cos(turn[k]) * scale, np.sin(turn[k]) * scale
        matrix = np.array(
            [
                [cos, -sin, where[k, 0] * _WIDTH - cos * _WIDTH / 2 + sin * _HEIGHT / 2],
                [sin, cos, where[k, 1] * _HEIGHT - sin * _WIDTH / 2 - cos * _HEIGHT / 2],
            ]
        )
        share = cv2.warpAffine(mask, matrix, CLIP_SIZE)
        thing = cv2.warpAffine(look, matrix, CLIP_SIZE)
        frames[k] = cv2.blendLinear(frames[k], thing, 1 - share, share)


def _blob(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    mask = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        centre = int(_WIDTH * rng.uniform(0.3, 0.7)), int(_HEIGHT * rng.uniform(0.3, 0.7))
        axes = int(_WIDTH * rng.uniform(0.06, 0.25)), int(_HEIGHT * rng.uniform(0.1, 0.35))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    soft: npt.NDArray[np.float32] = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 3))
    return soft
