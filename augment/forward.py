"""Files read front to back: what decoding a whole view costs where every frame of it is wanted, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augment.showing import Pixels, Reel
from datasets_build.core.clock import FrameClock
from datasets_build.decoders.container import TroubleError, open_source
from datasets_build.decoders.cursor import Cursor
from datasets_build.decoders.pyav import Painter
from datasets_build.video import REFERENCE, read


@dataclass(slots=True, eq=False)
class _Pass:
    """An open file, and the last frame that was read of it."""

    files: ExitStack
    painter: Painter
    cursor: Cursor
    at: int = -1

    @classmethod
    def start(cls, path: Path, clock: FrameClock) -> _Pass:
        with ExitStack() as files:
            source = files.enter_context(open_source(path, threads=False))
            return cls(files.pop_all(), Painter(source), Cursor(source, clock))


@dataclass(slots=True, eq=False)
class Forward:
    """Reads files with PyAV, the decoder that the others are held against; a file stays open between calls.

    It goes on from where it is, seeks where that is shorter, and begins anew where an earlier frame is wanted.
    """

    _passes: dict[Path, _Pass] = field(default_factory=dict)

    def __call__(self, reel: Reel, times_ns: Sequence[int], decoder: str) -> Pixels:  # noqa: ARG002 - the interface
        """The frames of a file at some instants: uint8 (n, height, width, 3).

        Raises:
            VideoError: the file cannot be read.
        """
        indices = reel.clock.indices_at(times_ns).tolist()
        wanted = sorted(set(indices))
        try:
            found = dict(self._pictures(reel, wanted))
        except TroubleError:
            # Damaged: each frame as a pass from the start with one thread gives it.
            self._leave(reel.path)
            return read(reel.path, reel.clock, times_ns, decoder=REFERENCE).data
        return np.stack([found[index] for index in indices])

    def _pictures(self, reel: Reel, wanted: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        found = self._passes.get(reel.path)
        if found is None or wanted[0] <= found.at:
            self._leave(reel.path)
            found = self._passes[reel.path] = _Pass.start(reel.path, reel.clock)
        for index in wanted:
            frame = found.cursor.fetch(index)
            if frame is None:
                raise TroubleError
            found.at = index
            yield index, found.painter.rgb(frame, None)

    def _leave(self, path: Path) -> None:
        found = self._passes.pop(path, None)
        if found is not None:
            found.files.close()

    def close(self) -> None:
        """Closes all files."""
        for path in list(self._passes):
            self._leave(path)
