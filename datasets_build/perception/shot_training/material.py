"""What made shots are cut from: photographs, single-shot clips, and textures that are drawn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)
CLIP_SIZE = (96, 54)
PHOTO_SIDE = 480
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}
_LONGEST_CLIP = 600
UInt8s = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Material:
    """Photographs `(h, w, 3) uint8` and clips `(n, 54, 96, 3) uint8`, BGR; every clip is one shot."""

    photos: tuple[UInt8s, ...]
    clips: tuple[UInt8s, ...]


def load_material(photos: Path | None, clips: Sequence[Path], *, drawn: int, rng: np.random.Generator) -> Material:
    """Read all photographs below a folder and the named clips, and draw some more textures.

    Files that are no picture are left out and logged; a clip that ends in damage is used up to there.
    """
    found = []
    for path in sorted(photos.rglob("*")) if photos else []:
        if path.suffix.lower() in _PHOTOS and not path.is_symlink():
            picture = _photo(path)
            if picture is not None:
                found.append(picture)
    found += [texture(rng) for _ in range(drawn)]
    return Material(tuple(found), tuple(clip for path in clips if len(clip := _clip(path))))


def _photo(path: Path) -> UInt8s | None:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        log.warning("%s: cannot be read as a picture, left out", path)
        return None
    height, width = picture.shape[:2]
    scale = PHOTO_SIDE / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: UInt8s = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return small


def _clip(path: Path) -> UInt8s:
    frames: list[UInt8s] = []
    try:
        with av.open(str(path)) as source:
            for frame in source.decode(video=0):
                image = frame.reformat(192, 108, "bgr24").to_ndarray()
                frames.append(cv2.resize(image, CLIP_SIZE, interpolation=cv2.INTER_AREA))
                if len(frames) == _LONGEST_CLIP:
                    break
    except (av.FFmpegError, IndexError) as error:
        log.warning("%s: ends after %d frames (%s)", path, len(frames), error)
    clip: UInt8s = np.stack(frames) if frames else np.zeros((0, CLIP_SIZE[1], CLIP_SIZE[0], 3), np.uint8)
    return clip


def texture(rng: np.random.Generator) -> UInt8s:
    """A drawn picture `(480, 854, 3) uint8`: clouds of noise at several scales in few colours, with shapes on them."""
    height, width = PHOTO_SIDE, PHOTO_SIDE * 16 // 9
    field = np.zeros((height, width), np.float32)
    for octave in range(int(rng.integers(1, 6))):
        cells = 2 ** (octave + int(rng.integers(1, 3)))
        noise = rng.normal(size=(cells, cells * 2)).astype(np.float32)
        field += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    field = (field - field.min()) / (np.ptp(field) + 1e-6)
    if rng.random() < 0.3:
        field = np.round(field * 4) / 4
    low, high = rng.uniform(0, 255, (2, 3)) * rng.uniform(0.3, 1.0)
    picture: UInt8s = (low + field[..., None] * (high - low)).astype(np.uint8)
    for _ in range(int(rng.integers(0, 25))):
        _shape(picture, rng)
    return picture


def _shape(picture: UInt8s, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    centre = int(rng.integers(0, width)), int(rng.integers(0, height))
    size = int(rng.integers(10, 160))
    if rng.random() < 0.5:
        cv2.ellipse(
            picture,
            centre,
            (size, max(4, size // int(rng.integers(1, 4)))),
            int(rng.integers(0, 180)),
            0,
            360,
            colour,
            -1,
        )
    else:
        box = cv2.boxPoints((centre, (size * 2, size), float(rng.integers(0, 180)))).astype(np.int32)
        cv2.fillPoly(picture, [box], colour)
