"""Pixels of grids: decoded once at exact times, resized as a session resizes them, and kept on disk by content."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from datasets_build.video import VideoError
from models.patches import FrameFormat
from recipes.data.example import GridRef
from recipes.data.footage import Footage
from recipes.data.stored import Stored
from recipes.errors import RecipeError

# Frames are decoded and kept in runs of this many, so that a stretch of a long video costs no more than itself.
RUN = 32
# Frames as large as the video's own are in memory up to this many bytes at a time.
READ_BYTES = 64 * 2**20


class DecodeError(RecipeError):
    """Frames of a video cannot be decoded.

    Attributes:
        video_id: of which video.
        t_ns: the first of the times that were asked for.
    """

    def __init__(self, message: str, *, video_id: str, t_ns: int) -> None:
        super().__init__(message)
        self.video_id = video_id
        self.t_ns = t_ns


@dataclass(slots=True, kw_only=True)
class FrameStats:
    """Frames decoded, and runs that could not be."""

    decoded: int = 0
    failed: int = 0


class Frames:
    """The pixels of grids, of the size that the tower takes: `FrameFormat.patchify` finds nothing more to resize.

    A run that cannot be decoded is not tried again by the same object.

    Args:
        footage: of every video, by its id.
        frames: how frames become patches.
        decoder: who reads; PyAV where the index does not trust it with a file.
        cache: the folder of kept frames.
        max_bytes: of frames kept in memory.
    """

    def __init__(
        self,
        footage: Mapping[str, Footage],
        frames: FrameFormat,
        *,
        decoder: str,
        cache: Path,
        max_bytes: int = 256 * 2**20,
    ) -> None:
        self._footage = footage
        self._format = frames
        self._decoder = decoder
        self._stored = Stored(cache / "frames", max_bytes=max_bytes)
        self._broken: dict[bytes, DecodeError] = {}
        # Decoders are asked one thing at a time; what is kept may be read meanwhile.
        self._decoding = RLock()
        self.stats = FrameStats()

    def pixels(self, grid: GridRef) -> Tensor:
        """uint8 (2, height, width, 3) of a grid.

        Raises:
            DecodeError: a frame of it cannot be decoded.
            RecipeError: the video or one of the times is none of the corpus.
        """
        first = self._frame(grid.video_id, grid.t0_ns)
        second = first if grid.t1_ns == grid.t0_ns else self._frame(grid.video_id, grid.t1_ns)
        return torch.stack([first, second])

    def _frame(self, video_id: str, t_ns: int) -> Tensor:
        footage = self._footage.get(video_id)
        place = -1 if footage is None else bisect_left(footage.times, t_ns)
        if footage is None or place == len(footage.times) or footage.times[place] != t_ns:
            raise RecipeError(f"frames: video {video_id} has no frame at {t_ns} ns among those that are seen")
        run = place // RUN
        times = footage.times[run * RUN : (run + 1) * RUN]
        return self._run(footage, times)[place - run * RUN]

    def _run(self, footage: Footage, times: tuple[int, ...]) -> Tensor:
        key = self._key(footage, times)
        kept = self._stored.get(key)
        if kept is not None:
            return kept
        with self._decoding:
            if key in self._broken:
                raise self._broken[key]
            # Another thread may have come first.
            kept = self._stored.get(key)
            if kept is None:
                kept = self._decoded(footage, times, key)
                self._stored.put(key, kept)
            return kept

    def _key(self, footage: Footage, times: tuple[int, ...]) -> bytes:
        state = hashlib.blake2b(self._format.fingerprint, digest_size=16)
        state.update(footage.content(times, decoder=self._decoder))
        return state.digest()

    def _decoded(self, footage: Footage, times: tuple[int, ...], key: bytes) -> Tensor:
        """The resized frames of a run; what cannot be decoded is remembered."""
        try:
            return self._read(footage, times)
        except VideoError as error:
            self.stats.failed += 1
            self._broken[key] = DecodeError(
                f"{footage.path}: frames from {times[0]} ns on cannot be decoded ({error})",
                video_id=footage.video.id,
                t_ns=times[0],
            )
            raise self._broken[key] from error

    def _read(self, footage: Footage, times: tuple[int, ...]) -> Tensor:
        width, height = footage.video.upright_size
        step = max(1, READ_BYTES // (3 * width * height))
        parts = []
        for begin in range(0, len(times), step):
            found = footage.decoded(times[begin : begin + step], decoder=self._decoder)
            parts.append(self.resized(torch.from_numpy(np.ascontiguousarray(found))))
        self.stats.decoded += len(times)
        return torch.cat(parts)

    def resized(self, frames: Tensor) -> Tensor:
        """Frames uint8 (n, height, width, 3) at the size of their patches, as `FrameFormat.patchify` resizes them."""
        rows, columns = self._format.grid(int(frames.shape[1]), int(frames.shape[2]))
        size = [rows * self._format.patch, columns * self._format.patch]
        if self._format.grid(*size) != (rows, columns):
            raise RecipeError(
                f"frames of {frames.shape[1]}×{frames.shape[2]} pixels: resized to {size[0]}×{size[1]} they would be "
                "resized once more; crop the video, or raise data.max_pixels"
            )
        channels = frames.permute(0, 3, 1, 2).contiguous()
        small: Tensor = transforms.resize(channels, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
        return small.permute(0, 2, 3, 1).contiguous()
