"""Where in a picture something begins to move, and where it ends: what keyframe candidates are found by.

Every cell of a 16 x 9 thumbnail is held against itself an eighth of a second ago, the mean change of the whole picture
taken off (light flickers, exposure adapts), in units of what that cell usually changes (noise; edges under a shaking
camera). A place is where cells that change touch: it begins where none near it had, it ends where none near it does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S

LAG_NS = NS_PER_S // 8
UInt8s = npt.NDArray[np.uint8]
Float32s = npt.NDArray[np.float32]
# A cell changes when its three channels, summed over two frames, differ by so many levels and times the usual.
_LEAST, _TIMES = 24.0, 3.5
# What is usual follows so much of each sample, and no sample counts for more than so many times the usual.
_FOLLOW, _CLIP = 0.04, 3.0
_SAMPLE_NS = NS_PER_S // 27
# A place that has not changed for so many samples has come to rest.
_HEAT = 2
_NEAR = np.ones((3, 3), np.uint8)
_AROUND = np.ones((5, 7), np.uint8)
_SUM = np.ones((1, 3), np.float32)
_EDGE = np.full((9, 16), 255, np.uint8)
_EDGE[1:-1, 1:-1] = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """What a frame shows: whether a place began to move, one came to rest, and whether anything moves.

    `enters`: what began touches the picture's edge. `entered`: all that ended had come in over the edge.
    """

    began: bool
    ended: bool
    moves: bool
    enters: bool = False
    entered: bool = False


# An end is told so long after the frame at which it came about.
LATE_NS = NS_PER_S // 5
_STILL = Activity(began=False, ended=False, moves=False)
_MOVES = Activity(began=False, ended=False, moves=True)


class ActivityMeter:
    """Listens to thumbnails `(9, 16, 3) uint8` in order; what it says of a frame depends on no later one."""

    def __init__(self) -> None:
        self._usual: Float32s | None = None
        self.reset()

    def reset(self) -> None:
        """Say that the next frame has nothing to do with the last ones: a new shot."""
        self._sums: deque[tuple[int, npt.NDArray[np.uint16]]] = deque()
        self._before: UInt8s | None = None
        self._changed = self._heat = self._entered = np.zeros((9, 16), np.uint8)
        self._said = _STILL
        self._next_ns = 0

    def feed(self, t_ns: int, thumb: UInt8s) -> Activity:
        """Take the next frame; faster than 27 a second, some are passed over."""
        if t_ns < self._next_ns:
            return _MOVES if self._said.moves else _STILL
        self._next_ns = t_ns + _SAMPLE_NS
        before, self._before = self._before, thumb
        if before is None:
            return _STILL
        total = cv2.add(thumb, before, dtype=cv2.CV_16U)
        sums = self._sums
        sums.append((t_ns, total))
        while len(sums) > 2 and sums[1][0] <= t_ns - LAG_NS:
            sums.popleft()
        self._said = self._compare(total, sums[0][1])
        return self._said

    def _compare(self, total: npt.NDArray[np.uint16], ago: npt.NDArray[np.uint16]) -> Activity:
        change = cv2.subtract(total, ago, dtype=cv2.CV_32F)
        change = cv2.transform(cv2.absdiff(change, cv2.mean(change)), _SUM)
        if self._usual is None:
            self._usual = np.full((9, 16), _LEAST / _TIMES / 2, np.float32)
        usual = self._usual
        now = cv2.compare(change, cv2.max(usual * _TIMES, _LEAST), cv2.CMP_GT)
        cv2.accumulateWeighted(cv2.min(change, usual * _CLIP + 1.0), usual, _FOLLOW)
        before, heat = self._changed, self._heat
        self._changed = now
        # One sample alone may be noise: a cell counts when one that touches it changed in the sample before.
        if cv2.hasNonZero(now):
            now = cv2.bitwise_and(now, cv2.dilate(before, _NEAR))
        cooled = cv2.max(cv2.subtract(heat, 1), cv2.min(now, _HEAT))
        self._heat = cooled
        moved, moves = cv2.hasNonZero(heat), cv2.hasNonZero(cooled)
        if not moved and not moves:
            return _STILL
        began = cv2.subtract(cooled, cv2.dilate(heat, _AROUND) * 255)
        ended = cv2.subtract(heat, cv2.dilate(cooled, _AROUND) * 255)
        came = self._came_in(cooled, began)
        return Activity(
            began=bool(cv2.hasNonZero(began)),
            ended=bool(cv2.hasNonZero(ended)),
            moves=bool(moves),
            enters=_at_edge(began),
            entered=not cv2.hasNonZero(cv2.subtract(ended, came)),
        )

    def _came_in(self, moving: UInt8s, began: UInt8s) -> UInt8s:
        """Follow what came in over the edge to where it is now; returns where it was or is, 255 or 0 a cell."""
        before = self._entered
        reach = cv2.dilate(cv2.bitwise_or(before, cv2.bitwise_and(cv2.compare(began, 0, cv2.CMP_GT), _EDGE)), _AROUND)
        self._entered = cv2.bitwise_and(reach, cv2.compare(moving, 0, cv2.CMP_GT))
        was_or_is: UInt8s = cv2.bitwise_or(before, self._entered)
        return was_or_is


def _at_edge(cells: UInt8s) -> bool:
    return bool(cv2.hasNonZero(cv2.bitwise_and(cells, _EDGE)))
