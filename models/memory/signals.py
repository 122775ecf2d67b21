"""What a chunk looks like to a memory policy: a thumbnail, motion, complexity, importance, novelty, likeness."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models.errors import FrameError

THUMBNAIL_SIDE: Final = 64
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def thumbnail(frame: npt.NDArray[np.uint8] | torch.Tensor) -> npt.NDArray[np.uint8]:
    """Shrink a frame (height, width, 3) uint8 by area averages to 64 x 64 at most, uint8.

    Cells are whole pixels and sums are integers, so every machine gives the same bytes. A torch frame may lie on any
    device. Raises FrameError.
    """
    pixels = frame.detach().cpu().numpy() if isinstance(frame, torch.Tensor) else frame
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise FrameError(f"the frame is {pixels.dtype} {pixels.shape}, expected uint8 (height, width, 3)")
    rows, row_counts = _cells(pixels.shape[0])
    columns, column_counts = _cells(pixels.shape[1])
    sums = np.add.reduceat(pixels, rows, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns, axis=1, dtype=np.uint64)
    counts = (row_counts[:, None] * column_counts[None, :])[:, :, None]
    means: npt.NDArray[np.uint8] = ((sums + counts // 2) // counts).astype(np.uint8)
    return means


def _cells(length: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint64]]:
    count = min(length, THUMBNAIL_SIDE)
    edges = np.arange(count + 1) * length // count
    return edges[:-1].astype(np.intp), np.diff(edges).astype(np.uint64)


def motion(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference of two thumbnails over 255, in [0, 1]. Raises FrameError when sizes differ."""
    if before.shape != after.shape:
        raise FrameError(f"thumbnails of {before.shape} and {after.shape} cannot be compared; open a new session")
    return float(np.abs(before.astype(np.int16) - after.astype(np.int16)).mean(dtype=np.float64) / 255.0)


def complexity(picture: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the grey picture (luma of BT.601) over 128, in [0, 127.5 / 128]."""
    return float((picture.astype(np.float64) @ _LUMA).std() / 128.0)


def mean_direction(features: torch.Tensor) -> torch.Tensor:
    """Mean of features (tokens, dim), float32, scaled to length one; (dim,). A zero mean stays zero."""
    return unit(features.detach().to(torch.float32).mean(dim=0))


def novelty(direction: torch.Tensor, known: Sequence[torch.Tensor]) -> float:
    """One minus the greatest cosine to known directions (dim,), cut to [0, 1]; 1 when nothing is known.

    Raises FrameError when a direction has another size.
    """
    if not known:
        return 1.0
    if any(other.shape != direction.shape for other in known):
        raise FrameError(f"features of {direction.shape[0]} dimensions follow others; one stream has one size")
    near = torch.stack([other.to(direction.device) for other in known]) @ direction
    return min(1.0, max(0.0, 1.0 - float(near.max())))


def likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean over tokens of the cosine between two (tokens, dim) float32 features.

    It is -inf when their shapes differ or a value is NaN: such chunks never merge.
    """
    if first.shape != second.shape:
        return -float("inf")
    mean = float((unit(first) * unit(second.to(first.device))).sum(dim=-1).mean())
    return -float("inf") if math.isnan(mean) else mean


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Scale vectors (…, dim) to length one; a zero vector stays zero, so no cosine of finite vectors is NaN."""
    # First to a greatest entry of one: squares of very small or very large numbers would leave float32.
    scaled = vectors / _or_one(vectors.detach().abs().amax(dim=-1, keepdim=True))
    return scaled / _or_one(scaled.norm(dim=-1, keepdim=True))


def _or_one(lengths: torch.Tensor) -> torch.Tensor:
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))
