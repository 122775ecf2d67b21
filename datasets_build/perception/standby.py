"""Small pictures of the last seconds, kept for those who learn late which frames they want to look at."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.clip import Picture
from datasets_build.video import ScanFrame, shrunk_size


@dataclass(frozen=True, slots=True, eq=False)
class Standby:
    """A frame with its upright RGB picture `(h, w, 3) uint8`."""

    frame_index: int
    t_ns: int
    picture: Picture


class StandbyPictures:
    """Listens to a decode pass and keeps so many pictures a second of the last seconds: its memory is bounded."""

    def __init__(self, *, per_s: float = 4.0, seconds: float = 15.0, side: int = 224) -> None:
        """Keep pictures whose long side is at most `side`, from a scan's small images where these are as large."""
        self._step_ns, self._reach_ns = int(NS_PER_S / per_s), int(NS_PER_S * seconds)
        self._side = side
        self._held: deque[Standby] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def newest(self) -> int:
        """The frame of the last picture; -1 before the first."""
        return self._held[-1].frame_index if self._held else -1

    def feed(self, frame: ScanFrame) -> None:
        """Take the next frame; its picture is kept when `1 / per_s` has passed since the last one's."""
        if self._held and frame.t_ns - self._held[-1].t_ns < self._step_ns:
            return
        self._held.append(Standby(frame.index, frame.t_ns, self._picture(frame)))
        while frame.t_ns - self._held[0].t_ns > self._reach_ns:
            self._held.popleft()

    def nearest(self, frame: int, *, first: int, end: int | None = None) -> Standby | None:
        """The picture nearest to a frame, of two the earlier, among frames `[first, end)`; None where there is none."""
        inside = [held for held in self._held if first <= held.frame_index and (end is None or held.frame_index < end)]
        return min(inside, key=lambda held: abs(held.frame_index - frame), default=None)

    def _picture(self, frame: ScanFrame) -> Picture:
        image = frame.image
        if image is not None and max(image.shape[:2]) >= self._side:
            small: Picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            return shrink(small, self._side)
        return picture_of(frame, self._side)


def picture_of(frame: ScanFrame, side: int) -> Picture:
    """A frame's upright RGB picture `(h, w, 3) uint8` with a long side of at most `side`, never enlarged."""
    small = frame.small(side)
    return shrink(frame.full(), side) if small is None else small


def shrink(picture: Picture, side: int) -> Picture:
    """Scale a picture `(h, w, 3) uint8` down so that its long side is at most `side`; a smaller one stays as it is."""
    height, width = picture.shape[:2]
    size = shrunk_size(width, height, side)
    if size == (width, height):
        return picture
    small: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small
