"""From frames to grids: pairs of frames, thumbnails for memory, features on their way."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.backbone import Family
from models.errors import TimeError
from models.memory.signals import thumbnail
from models.metrics import Meter
from models.pairs import Pair, Pairer
from models.patches import FrameFormat, as_frames
from models.track import Arrival
from models.vision import Encoder


class Intake:
    """Takes frames and queues grids.

    Args:
        encoder: encodes pairs of frames, perhaps in the background.
        pairer: puts frames in pairs.
        frame_format: how large a grid a frame gives.
        family: how many patches make a token.
        meter: counts.
    """

    def __init__(
        self, encoder: Encoder, pairer: Pairer, *, frame_format: FrameFormat, family: Family, meter: Meter
    ) -> None:
        self.encoder = encoder
        self.queue: deque[Arrival] = deque()
        self.last_ns: int | None = None
        self.first_ns: int | None = None
        # When the last question was asked: a frame that is older would have to stand before it.
        self.asked_ns: int | None = None
        self.pairer = pairer
        self._format = frame_format
        self._family = family
        self._meter = meter
        self._next = 0

    def add(
        self, frame: npt.NDArray[np.uint8], t_ns: int, *, admit: Callable[[Arrival], None] = lambda _: None
    ) -> list[Arrival]:
        """Takes a frame; grids that became whole are queued, and their encoding begins. Returns them.

        Args:
            frame: uint8 (height, width, 3).
            t_ns: its time.
            admit: refuses, by an error, a grid that could never be kept; asked before any of it is encoded, and of the
                first frame already, whose size all others have.

        Raises:
            TimeError: time does not rise, or the last question was asked after it.
            FrameError: the frame's size, dtype or layout is not the stream's.
            ClosedError: the encoder was closed.
            StreamError: what `admit` raises.

            After each of them nothing has changed.
        """
        if type(t_ns) is int and self._between(t_ns):
            raise TimeError(
                f"frame: t_ns is {t_ns}, expected at least {self.asked_ns}, when the last question was asked, whose "
                "answer has not seen it; bring frames and questions in the order of time"
            )
        pixels = as_frames(frame, 3)
        # Also for the first frame of a pair, which nothing encodes yet.
        self.encoder.check_open()
        self._format.grid(pixels.shape[0], pixels.shape[1])
        # On a copy, so that an encoder that refuses leaves everything as it was.
        pairer = self.pairer.copy()
        pairs = [self._grid(pair, self._next + place) for place, pair in enumerate(pairer.add(pixels, t_ns))]
        lone = pairer.peek() if self.last_ns is None else None
        for grid in pairs if lone is None else [self._grid(lone, self._next)]:
            admit(grid.arrival)
        arrived = [self._encoded(grid) for grid in pairs]
        self.pairer = pairer
        self.first_ns = t_ns if self.first_ns is None else self.first_ns
        self.last_ns = t_ns
        self._next += len(arrived)
        self._meter.frames += 1
        self._meter.chunks += len(arrived)
        self.queue += arrived
        return arrived

    def _between(self, t_ns: int) -> bool:
        """Whether a time lies behind the newest frame and before the last question."""
        return self.last_ns is not None and self.asked_ns is not None and self.last_ns < t_ns < self.asked_ns

    def lone(self) -> Arrival | None:
        """The newest frame where it still waits for its partner, doubled, for a question; it goes on waiting."""
        pair = self.pairer.peek()
        return None if pair is None else self._encoded(self._grid(pair, self._next))

    def rewind(self, pairer: Pairer, *, last_ns: int | None) -> None:
        """Goes back to an earlier moment; grids that wait are dropped. Keys go on rising.

        Back before the first frame (`last_ns` None), the next frame is the first.
        """
        self.drop()
        self.pairer, self.last_ns = pairer, last_ns
        if last_ns is None:
            self.first_ns = None

    def drop(self) -> None:
        """Drops the grids that wait; those that are not being encoded yet never will be."""
        for arrival in self.queue:
            arrival.future.cancel()
        self.queue.clear()

    def _grid(self, pair: Pair, key: int) -> "_Grid":
        height, width = self._format.grid(pair.frames.shape[1], pair.frames.shape[2])
        arrival = Arrival(
            key=key,
            t0_ns=pair.t0_ns,
            last_ns=pair.t1_ns,
            height=height // self._family.merge,
            width=width // self._family.merge,
            thumbnail=thumbnail(pair.frames[-1]),
            future=Future(),
        )
        return _Grid(arrival=arrival, frames=pair.frames)

    def _encoded(self, grid: "_Grid") -> Arrival:
        return replace(grid.arrival, future=self.encoder.submit(grid.frames))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grid:
    """A grid that nobody encodes yet."""

    arrival: Arrival
    frames: Tensor
