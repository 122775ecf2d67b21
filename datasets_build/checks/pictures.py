"""Pictures that look the same: a hash of brightness differences, and an index that finds hashes near to another.

The hash is dHash (N. Krawetz, "Kind of Like That", hackerfactor.com, 2013) of 16 × 16 instead of 8 × 8 differences, so
that drawn pictures of few shapes differ as well.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

SIDE = 16
BITS = SIDE * SIDE
_BANDS = 16
_LEAST_ONES = 16
_MOST_IN_BAND = 64
Hash = NDArray[np.uint8]


def picture_hash(jpeg: bytes) -> Hash | None:
    """256 bits of a picture as 32 bytes, one where brightness grows to the right; None for a blank or broken one."""
    try:
        with Image.open(io.BytesIO(jpeg)) as picture:
            picture.draft("L", (4 * SIDE, 4 * SIDE))
            small = picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError):
        return None
    levels = np.asarray(small, np.int16)
    grows = (levels[:, 1:] > levels[:, :-1]).ravel()
    # A picture without differences looks like every other one of that kind.
    blank = not _LEAST_ONES <= int(grows.sum()) <= BITS - _LEAST_ONES
    return None if blank else np.packbits(grows)


class Album:
    """Hashes with the video that each is of; finds those near to a hash by bands of 16 bits that are equal.

    Of hashes that differ in 26 of 256 bits it finds 19 in 20, of nearer ones more (Indyk and Motwani 1998).
    """

    def __init__(self) -> None:
        self._hashes: list[Hash] = []
        self._videos: list[str] = []
        self._bands: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self.sizes: dict[str, int] = {}

    def add(self, video: str, made: Hash) -> None:
        """Take in a hash."""
        for key in _keys(made):
            if len(self._bands[key]) < _MOST_IN_BAND:
                self._bands[key].append(len(self._hashes))
        self._hashes.append(made)
        self._videos.append(video)
        self.sizes[video] = self.sizes.get(video, 0) + 1

    def near(self, made: Hash, most_bits: int) -> set[str]:
        """The videos that have a hash which differs in so many bits at most."""
        places = sorted({place for key in _keys(made) for place in self._bands.get(key, ())})
        if not places:
            return set()
        rows = np.stack([self._hashes[place] for place in places])
        apart = np.bitwise_count(rows ^ made).sum(axis=1)
        return {self._videos[place] for place, bits in zip(places, apart, strict=True) if bits <= most_bits}


def _keys(made: Hash) -> Sequence[tuple[int, int]]:
    """A hash's bands; those without a difference are in too many pictures to tell anything."""
    words = made.reshape(_BANDS, -1).astype(np.int64)
    values = words[:, 0] << 8 | words[:, 1]
    return [(band, int(value)) for band, value in enumerate(values) if value not in (0, 0xFFFF)]
