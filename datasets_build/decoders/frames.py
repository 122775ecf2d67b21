"""What every decoder hands out, and the one error that it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.core.files import DataError

UInt8s = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""`(width, height)` in pixels, upright."""
_AT_HAND_BYTES = 8 << 20


class VideoError(DataError):
    """A video that cannot be read: `code` is a stable short word, the message a sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        return type(self), (self.code, str(self))


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Pictures that were on screen at the times asked for, one per time and in their order.

    Args:
        data: `(n, height, width, 3) uint8` RGB, upright.
        t_ns: `(n,) int64`, when each of these frames is first shown: at or before the time asked for.
        index: `(n,) int64`, their places in the clock.
        decoder: who read them; differs from the one asked for when that one failed and PyAV stepped in.
    """

    data: UInt8s
    t_ns: Int64s
    index: Int64s
    decoder: str


@dataclass(frozen=True, slots=True, eq=False)
class ScanFrame:
    """One frame of a forward pass.

    Args:
        index: its place in the clock.
        t_ns: when it is shown.
        image: `(h, w, 3) uint8` BGR, upright and scaled fast; None when the scan was asked for no size.
    """

    index: int
    t_ns: int
    image: UInt8s | None
    _convert: Callable[[], UInt8s] = field(repr=False)
    _shrink: Callable[[int], UInt8s | None] | None = field(default=None, repr=False)

    def full(self) -> UInt8s:
        """The whole frame, `(height, width, 3) uint8` RGB upright, converted on each call.

        A kept ScanFrame keeps the decoder's own buffer alive: keep the result instead.
        """
        return self._convert()

    def small(self, side: int) -> UInt8s | None:
        """The frame with a long side of at most `side` pixels, never enlarged; else as `full`, and made far sooner.

        None: who decodes has no better way than to make the whole one and shrink it.
        """
        return self._shrink(side) if self._shrink else None


class Decoder(Protocol):
    """What an implementation offers; the rest (times to indices, order, fallback) is common to all."""

    def read(self, path: Path, clock: FrameClock, indices: Int64s, *, size: Size | None, deadline_s: float) -> UInt8s:
        """Frames `(n, height, width, 3) uint8` RGB upright at `(n,)` strictly increasing indices of the clock."""
        ...

    def scan(
        self, path: Path, clock: FrameClock, *, size: Size | None, cores: int | None = None, exact: bool = True
    ) -> Iterator[ScanFrame]:
        """Every frame of the clock once, in presentation order; `cores` and `exact` as `video.scan` says."""
        ...

    def doubt(self, path: Path) -> str | None:
        """A reason not to trust the decoder with this file that is known without trying it."""
        ...


def shrunk_size(width: int, height: int, side: int) -> Size:
    """The size of a picture of `width` × `height` with a long side of at most `side`, each side at least 1."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def analysis_size(width: int, height: int, *, long_side: int = 160) -> Size:
    """The size to look at a picture of `width` × `height` in: `long_side` along the longer side, never enlarged.

    Both sides are even, so that the fast scaler has no odd edge, and at least 2.
    """
    scale = min(1.0, long_side / max(width, height))
    even = [max(2, min(round(side * scale / 2), side // 2) * 2) for side in (width, height)]
    return even[0], even[1]


def pictures_at_hand(pixels: int) -> int:
    """How many decoded pictures of so many pixels may be held at a time, between 2 and 64: memory bounds them."""
    # Most have 1.5 bytes a pixel.
    return max(2, min(64, _AT_HAND_BYTES * 2 // (3 * pixels)))


def turn_upright(image: UInt8s, rotation_deg: int) -> UInt8s:
    """Turn an image `(h, w, 3)` clockwise by 0, 90, 180 or 270 degrees; the result is contiguous."""
    return np.ascontiguousarray(np.rot90(image, k=-rotation_deg // 90))


def turned_size(width: int, height: int, rotation_deg: int) -> Size:
    """The size of a picture after a turn by 0, 90, 180 or 270 degrees; its own inverse."""
    return (height, width) if rotation_deg in (90, 270) else (width, height)
