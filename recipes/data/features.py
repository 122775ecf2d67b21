"""What grids show, for a batch: their pixels, or, under a tower that does not learn, features made once for all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from models.feature_cache import content_key
from models.patches import FrameFormat
from models.tower import Tower
from recipes.data.collate import Shown
from recipes.data.example import GridRef
from recipes.data.frames import Frames
from recipes.data.stored import Stored, owned

CELLS = 4
KEPT_PICTURES = 65_536


def thumbnail(pixels: Tensor) -> Tensor:
    """The second frame of a grid, uint8 (2, height, width, 3), as 4 x 4 means less their mean: float32 (48,)."""
    channels = pixels[-1].permute(2, 0, 1).to(torch.float32)
    cells = torch.nn.functional.adaptive_avg_pool2d(channels, CELLS).flatten()
    return cells - cells.mean()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Picture:
    """What is known of a grid without its pixels."""

    thumbnail: Tensor
    content: bytes


@dataclass(slots=True, kw_only=True)
class FeatureStats:
    """Grids that the tower encoded, and those whose features were there."""

    encoded: int = 0
    found: int = 0


class Sightings:
    """Makes `Shown` of grids.

    Under a tower that does not learn, features are looked up by the content of pixels, format and tower: in memory, on
    disk, and else made, grid by grid as in a session, and kept for all windows, epochs and stages that have the same
    tower.

    Args:
        frames: pixels of grids.
        how: how pixels become patches.
        tower: encodes; None where the tower learns, so that batches hold pixels.
        cache: the folder of kept features.
        max_bytes: of features kept in memory.
    """

    def __init__(
        self,
        frames: Frames,
        how: FrameFormat,
        *,
        tower: Tower | None,
        cache: Path,
        max_bytes: int = 512 * 2**20,
    ) -> None:
        self._frames = frames
        self._format = how
        self._tower = tower
        self._name = how.fingerprint + (tower.fingerprint if tower is not None else b"")
        self._stored = Stored(cache / "features", max_bytes=max_bytes)
        self._pictures: OrderedDict[GridRef, _Picture] = OrderedDict()
        self._lock = Lock()
        self.stats = FeatureStats()

    def shown(self, grids: Iterable[GridRef]) -> dict[GridRef, Shown]:
        """What some grids show.

        Raises:
            DecodeError: one of them cannot be decoded.
        """
        return {grid: self._one(grid) for grid in dict.fromkeys(grids)}

    def _one(self, grid: GridRef) -> Shown:
        with self._lock:
            picture = self._pictures.get(grid)
        pixels: Tensor | None = None
        if picture is None:
            pixels = self._frames.pixels(grid)
            picture = _Picture(thumbnail=thumbnail(pixels), content=content_key(pixels, self._name))
            with self._lock:
                self._pictures[grid] = picture
                while len(self._pictures) > KEPT_PICTURES:
                    self._pictures.popitem(last=False)
        if self._tower is None:
            pixels = self._frames.pixels(grid) if pixels is None else pixels
            return Shown(pixels=pixels, features=None, thumbnail=picture.thumbnail, content=picture.content)
        features = self._stored.get(picture.content)
        if features is None:
            features = self._encoded(self._frames.pixels(grid) if pixels is None else pixels, self._tower)
            self._stored.put(picture.content, features)
            self.stats.encoded += 1
        else:
            self.stats.found += 1
        return Shown(pixels=None, features=features, thumbnail=picture.thumbnail, content=picture.content)

    def _encoded(self, pixels: Tensor, tower: Tower) -> Tensor:
        """(tokens, width * parts) of one grid, as a session encodes it."""
        shape = self._format.grid(int(pixels.shape[1]), int(pixels.shape[2]))
        (found,) = tower.encode([self._format.patchify(pixels)], [shape])
        # What the tower makes under inference mode no graph may hold.
        return owned(torch.cat([found.embeds, *found.deepstack], dim=-1)).cpu()
