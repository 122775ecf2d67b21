"""How alike the frames of a video are to those before and after them: what the learned shot detector sees.

A frame is a `(27, 48, 3) uint8` BGR miniature. Each frame is held against the frames that lie `LAGS` before it in
colour (Hellinger similarity of histograms, as in Apostolidis and Mezaris, 2014), in place (mean absolute difference)
and in layout (normalised correlation, also at small shifts, so that a moving camera keeps it); against the straight
line between two frames around it, on which the frames of a dissolve lie; and measured alone (light, spread, edges).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 48, 27
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
HALVES = (2, 4, 8, 16, 32)
# Frames before and after a frame that its numbers depend on.
REACH = max(LAGS)
AHEAD = max(HALVES)
_BLOCKY = 5
_BINS = 512
_SHIFTS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-2, -1, 0, 1, 2))
_QUARTER = ((np.arange(HEIGHT) * 2 // HEIGHT)[:, None] * 2 + (np.arange(WIDTH) * 2 // WIDTH)[None]).astype(np.int64)
_QUARTER_SIZE = np.bincount(_QUARTER.reshape(-1)).astype(np.float32)[:, None]
NUMBERS = 4 * len(LAGS) + 2 * _BLOCKY + 3 * len(HALVES) + 5
# Which of the numbers is the picture's mean light, and which the likeness of its layout to that of the frame before.
LIGHT, LAYOUT = NUMBERS - 5, 2
UInt8s = npt.NDArray[np.uint8]
Float32s = npt.NDArray[np.float32]


def miniature(image: UInt8s) -> UInt8s:
    """The `(27, 48, 3) uint8` miniature of a BGR image `(height, width, 3) uint8`."""
    small: UInt8s = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small


@dataclass(frozen=True, slots=True)
class Descriptions:
    """What is held of each of `n` frames, in the order of time.

    `colours` `(n, 4, 512)`, `places` `(n, 432)`, `shifted` `(n, 15, 84)`, `layouts` `(n, 144)` and `alone` `(n, 5)`.
    """

    colours: Float32s
    places: Float32s
    layouts: Float32s
    shifted: Float32s
    alone: Float32s

    @classmethod
    def none(cls) -> Descriptions:
        """No frames."""
        shapes = (4, _BINS), (432,), (144,), (len(_SHIFTS), 84), (5,)
        return cls(*(np.zeros((0, *shape), np.float32) for shape in shapes))

    def __len__(self) -> int:
        return len(self.places)

    def last(self, n: int) -> Descriptions:
        """The newest `n` frames, or all where there are fewer."""
        return Descriptions(*(part[-n:] if n else part[:0] for part in self._parts()))

    def then(self, newer: Descriptions) -> Descriptions:
        """These frames and those that follow them."""
        return Descriptions(*map(np.concatenate, zip(self._parts(), newer._parts(), strict=True)))

    def _parts(self) -> tuple[Float32s, ...]:
        return self.colours, self.places, self.layouts, self.shifted, self.alone


def describe(frames: UInt8s) -> Descriptions:
    """Describe miniatures `(n, 27, 48, 3) uint8`, at least one."""
    n = len(frames)
    # All frames as one tall picture: OpenCV needs one call for each step.
    tall = frames.reshape(n * HEIGHT, WIDTH, 3)
    tiles = cv2.resize(tall, (WIDTH // 3, n * HEIGHT // 3), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(tiles, cv2.COLOR_BGR2GRAY).reshape(n, HEIGHT // 3, WIDTH // 3).astype(np.float32)
    return Descriptions(
        colours=_histograms(tall, n),
        places=tiles.reshape(n, -1).astype(np.float32) / np.float32(255),
        layouts=_unit(gray.reshape(n, -1)),
        shifted=_shifted_layouts(gray),
        alone=_alone(cv2.cvtColor(tall, cv2.COLOR_BGR2GRAY), gray),
    )


def _histograms(tall: UInt8s, n: int) -> Float32s:
    """Square roots of colour histograms of the four quarters of `n` pictures, `(n, 4, 512)`, each of unit length."""
    blue, green, red = (channel >> 5 for channel in cv2.split(tall))
    colour = (green << 3 | red | blue.astype(np.uint16) << 6).reshape(n, HEIGHT, WIDTH)
    # Of the type that counting wants, so that it makes no copy.
    index = (np.arange(n) * 4 * _BINS)[:, None, None] + (_QUARTER * _BINS)[None]
    index += colour
    counts = np.bincount(index.reshape(-1), minlength=n * 4 * _BINS).reshape(n, 4, _BINS)
    roots = counts.astype(np.float32)
    roots /= _QUARTER_SIZE
    return np.sqrt(roots, out=roots)


def _unit(vectors: Float32s) -> Float32s:
    free: Float32s = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.sqrt(np.add.reduce(free * free, axis=-1, keepdims=True))
    # The constant keeps a flat picture from correlating with its own noise.
    free /= length + np.float32(12)
    return free


def _shifted_layouts(gray: Float32s) -> Float32s:
    """The inner part of the picture at every shift, `(n, shifts, 84)`; shift 7 is none."""
    parts = [gray[:, 1 + dy : 8 + dy, 2 + dx : 14 + dx].reshape(len(gray), -1) for dy, dx in _SHIFTS]
    return _unit(np.stack(parts, axis=1))


def _alone(tall_gray: UInt8s, gray: Float32s) -> Float32s:
    """Light, spread of light, edges, shares of dark and of bright pixels, all about 0..1: `(n, 5)`."""
    n = len(gray)
    edges = cv2.absdiff(tall_gray[:, 1:], tall_gray[:, :-1])
    dark, bright = cv2.compare(tall_gray, 24, cv2.CMP_LT), cv2.compare(tall_gray, 232, cv2.CMP_GT)
    columns = [
        gray.mean(axis=(1, 2)) / 255,
        gray.std(axis=(1, 2)) / 128,
        _mean(edges, n) / 32,
        _mean(dark, n) / 255,
        _mean(bright, n) / 255,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _mean(tall: UInt8s, n: int) -> Float32s:
    rows = np.ascontiguousarray(tall).reshape(n, -1)
    means: Float32s = cv2.reduce(rows, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
    return means


def measure(held: Descriptions, start: int, end: int) -> Float32s:
    """The numbers of frames `start..end` of what is held, `(end - start, NUMBERS) float32`.

    Where a frame before the first or behind the last would be needed, the first or the last stands in.
    """
    columns: list[Float32s] = []
    for lag in LAGS:
        before = _places(start - lag, end - lag, len(held))
        colour = np.einsum("tbc,tbc->tb", held.colours[start:end], held.colours[before])
        apart = held.places[start:end] - held.places[before]
        place = np.abs(apart, out=apart).mean(axis=1)
        layout = np.einsum("tc,tc->t", held.layouts[start:end], held.layouts[before])
        moved = np.einsum("tsc,tc->ts", held.shifted[before], held.shifted[start:end, len(_SHIFTS) // 2])
        columns += [colour.mean(axis=1), place, layout, moved.max(axis=1)]
        if lag in LAGS[:_BLOCKY]:
            columns += [colour.min(axis=1), colour.max(axis=1)]
    for half in HALVES:
        sides = (held.places[_places(start + step, end + step, len(held))] for step in (-half, 0, half))
        columns += _between(*sides)
    return np.concatenate([np.stack(columns, axis=1), held.alone[start:end]], axis=1).astype(np.float32)


def _places(start: int, end: int, n: int) -> slice | npt.NDArray[np.int64]:
    """Frames `start..end` of `n`, of which a slice makes no copy; the first or the last stands in for those outside."""
    return slice(start, end) if start >= 0 and end <= n else np.clip(np.arange(start, end), 0, n - 1)


def _between(before: Float32s, at: Float32s, after: Float32s) -> list[Float32s]:
    """How far two frames are apart, where between them a third lies (0..1), and how far it is from their line."""
    chord, offset = after - before, at - before
    length = np.einsum("tc,tc->t", chord, chord)
    along = np.clip(np.einsum("tc,tc->t", offset, chord) / (length + np.float32(1e-3)), 0, 1)
    chord *= along[:, None]
    offset -= chord
    away = np.sqrt(np.einsum("tc,tc->t", offset, offset) / (length + np.float32(1e-2)))
    return [np.sqrt(length / at.shape[1]), along, np.minimum(away, 3)]
