"""One video before a frame of it is decoded: times of its frames, and the grids that a session makes of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augment.showing import Showing
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.records import Video
from datasets_build.video import decoder_for, read
from models.patches import FrameFormat
from recipes.data.example import GridRef
from recipes.errors import RecipeError


def pair_times(times: Sequence[int], max_gap_ns: int) -> tuple[list[tuple[int, int]], int | None]:
    """Times of frames in twos, as `models.pairs.Pairer` puts frames together.

    Args:
        times: rising, in ns.
        max_gap_ns: frames further apart share no grid.

    Returns:
        First and second time of each grid, equal where a lone frame stands twice, and the time of the last frame if it
        still waits for its partner.
    """
    pairs: list[tuple[int, int]] = []
    waiting: int | None = None
    for t_ns in times:
        if waiting is None:
            waiting = t_ns
        elif t_ns - waiting <= max_gap_ns:
            pairs.append((waiting, t_ns))
            waiting = None
        else:
            pairs.append((waiting, waiting))
            waiting = t_ns
    return pairs, waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Grids [first, stop) of a video; in those before `learn` nothing is learned."""

    first: int
    learn: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.learn < self.stop:
            raise RecipeError(f"stretch: found {self.first}, {self.learn}, {self.stop}; expected rising grids")

    def halves(self) -> tuple[Stretch, Stretch] | None:
        """Two stretches that learn the same grids, each behind as many others; None where there is one to learn."""
        middle = (self.learn + self.stop) // 2
        if middle == self.learn:
            return None
        moved = self.first + middle - self.learn
        return Stretch(first=self.first, learn=self.learn, stop=middle), Stretch(
            first=moved, learn=middle, stop=self.stop
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footage:
    """One video.

    Attributes:
        video: its record.
        path: its file.
        clock: when each of its frames is shown.
        times: of the frames that are seen, rising, in ns.
        grids: as a session makes them of these frames; the last frame may wait for ever.
        waits: for each time, whether its frame waits for a partner until the next one comes.
        height, width: of a grid, in tokens.
        showing: of an augmented video, where its frames are; None: in its own file.
    """

    video: Video
    path: Path
    clock: FrameClock
    times: tuple[int, ...]
    grids: tuple[GridRef, ...]
    waits: tuple[bool, ...]
    height: int
    width: int
    showing: Showing | None = None

    @classmethod
    def of(
        cls, video: Video, path: Path, clock: FrameClock, *, fps: str, max_gap_s: float, frames: FrameFormat
    ) -> Footage:
        """The footage of a video at `fps` frames a second.

        Raises:
            FrameError: its sides are too far apart for a grid.
        """
        times = tuple(clock.t_ns[clock.grid(Fraction(fps))].tolist())
        pairs, lone = pair_times(times, round(max_gap_s * NS_PER_S))
        firsts = {t0 for t0, t1 in pairs if t0 != t1}
        width, height = video.upright_size
        rows, columns = frames.grid(height, width)
        return cls(
            video=video,
            path=path,
            clock=clock,
            times=times,
            grids=tuple(GridRef(video_id=video.id, t0_ns=t0, t1_ns=t1) for t0, t1 in pairs),
            waits=tuple(t_ns in firsts or t_ns == lone for t_ns in times),
            height=rows // frames.merge,
            width=columns // frames.merge,
        )

    @property
    def end_ns(self) -> int:
        """When the last frame leaves the screen."""
        return self.clock.end_ns

    def decoded(self, times: Sequence[int], *, decoder: str) -> npt.NDArray[np.uint8]:
        """The frames on screen at some times: uint8 (n, height, width, 3).

        Raises:
            VideoError: a file cannot be read.
        """
        if self.showing is not None:
            return self.showing.frames(times, decoder=decoder)
        return read(self.path, self.clock, times, decoder=decoder_for(self.video, decoder)).data

    def content(self, times: Sequence[int], *, decoder: str) -> bytes:
        """What decides those frames."""
        if self.showing is not None:
            return self.showing.content(times, decoder=decoder).encode()
        name = decoder_for(self.video, decoder).name
        return f"{self.video.sha256} {name}".encode() + np.array(times, np.int64).tobytes()

    def known_at(self, t_ns: int) -> int:
        """How many grids have both their frames at or before an instant."""
        return bisect_right(self.grids, t_ns, key=lambda grid: grid.t1_ns)

    def begun_at(self, t_ns: int) -> int:
        """The first grid whose frames are both at or after an instant."""
        return bisect_left(self.grids, t_ns, key=lambda grid: grid.t0_ns)

    def waiting_at(self, t_ns: int) -> GridRef | None:
        """The newest frame at or before an instant, if it waits for its partner then."""
        place = bisect_right(self.times, t_ns) - 1
        if place < 0 or not self.waits[place]:
            return None
        return GridRef(video_id=self.video.id, t0_ns=self.times[place], t1_ns=self.times[place])

    def newest_at(self, t_ns: int) -> int | None:
        """Time of the newest frame at or before an instant."""
        place = bisect_right(self.times, t_ns) - 1
        return None if place < 0 else self.times[place]

    def span(self, stretch: Stretch) -> tuple[int, int]:
        """The half-open time in which things are learned in a stretch: those of neighbours do not overlap."""
        begin = self.grids[stretch.learn].t0_ns if stretch.learn else 0
        return begin, self.grids[stretch.stop].t0_ns if stretch.stop < len(self.grids) else self.end_ns

    def covers(self, stretch: Stretch, start_ns: int, *, at_ns: int) -> bool:
        """Whether at `at_ns` a stretch shows all frames since `start_ns`, and one of them."""
        newest = self.newest_at(at_ns)
        begins = stretch.first == 0 or self.grids[stretch.first].t0_ns <= start_ns
        return begins and newest is not None and newest >= start_ns

    def stretches(self, length_ns: int, *, overlap_ns: int = 0) -> list[Stretch]:
        """Stretches of at most `length_ns`, each but the first behind an overlap; every grid is learned in one.

        A stretch has one grid at least, however long that is.
        """
        found: list[Stretch] = []
        learn = 0
        while learn < len(self.grids):
            first = 0
            if learn:
                first = min(learn, self.begun_at(self.grids[learn].t0_ns - overlap_ns))
            stop = max(learn + 1, self.known_at(self.grids[first].t0_ns + length_ns - 1))
            found.append(Stretch(first=first, learn=learn, stop=stop))
            learn = stop
        return found
