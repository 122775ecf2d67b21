"""Pictures of several videos that share an encoder's batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from datasets_build.perception.clip import Encoder, Picture

Vector = npt.NDArray[np.float32]


class Batches:
    """Holds pictures until they fill a batch; each one's embedding goes to whoever gave it, in the order given."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._held: list[tuple[Picture, Callable[[Vector], None]]] = []

    def add(self, picture: Picture, then: Callable[[Vector], None]) -> None:
        """Take an RGB picture `(height, width, 3) uint8`; `then` gets its unit vector `(dimensions,) float32`."""
        self._held.append((picture, then))
        if len(self._held) >= self.encoder.batch:
            self.flush()

    def flush(self) -> None:
        """Embed what is held: nothing more comes."""
        held, self._held = self._held, []
        if held:
            vectors = self.encoder.encode([picture for picture, _ in held])
            for (_, then), vector in zip(held, vectors, strict=True):
                then(vector)
