"""Frames of a stream in twos: one temporal patch of the vision tower holds two frames that lie close in time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.errors import FrameError, SettingsError, TimeError
from models.patches import Frames, as_frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """What one grid shows.

    Attributes:
        frames: uint8 (2, height, width, 3).
        t0_ns: time of the first frame.
        t1_ns: time of the second; `t0_ns` where a lone frame stands twice.
    """

    frames: Tensor
    t0_ns: int
    t1_ns: int

    def __post_init__(self) -> None:
        if self.t1_ns < self.t0_ns:
            raise TimeError(f"pair: found times {self.t0_ns} and {self.t1_ns} ns, expected them in order")


class Pairer:
    """Puts frames together as they come; frames further apart than `max_gap_ns` are never one grid."""

    def __init__(self, max_gap_ns: int) -> None:
        """Starts with nothing waiting.

        Args:
            max_gap_ns: greatest time between the two frames of a pair, inclusive; 0 doubles every frame.

        Raises:
            SettingsError: a negative gap, or no integer.
        """
        if type(max_gap_ns) is not int or max_gap_ns < 0:
            raise SettingsError(f"max_gap_ns: found {max_gap_ns!r}, expected an int of nanoseconds, 0 or more")
        self.max_gap_ns = max_gap_ns
        self._waiting: tuple[Tensor, int] | None = None
        self._last_ns: int | None = None
        self._layout: tuple[torch.Size, torch.device] | None = None

    def add(self, frame: Frames, t_ns: int) -> list[Pair]:
        """Takes a frame, which is copied, and returns what became complete: nothing or one pair.

        Args:
            frame: uint8 (height, width, 3), of the size of the first.
            t_ns: its time, later than that of the frame before.

        Raises:
            FrameError: another dtype, layout, size or device than the stream began with.
            TimeError: the time does not rise or is no integer. In both cases nothing has changed.
        """
        pixels = as_frames(frame, 3)
        self._check(pixels, t_ns)
        self._layout, self._last_ns = (pixels.shape, pixels.device), t_ns
        waiting, self._waiting = self._waiting, None
        if waiting is not None and t_ns - waiting[1] <= self.max_gap_ns:
            return [Pair(frames=torch.stack([waiting[0], pixels]), t0_ns=waiting[1], t1_ns=t_ns)]
        # The caller may draw the next frame into the same memory.
        self._waiting = (pixels.clone(), t_ns)
        return [] if waiting is None else [_doubled(waiting)]

    def peek(self) -> Pair | None:
        """The waiting frame, doubled, for a question that cannot wait; it goes on waiting for its partner."""
        return None if self._waiting is None else _doubled(self._waiting)

    def copy(self) -> "Pairer":
        """An independent pairer in the same state."""
        other = Pairer(self.max_gap_ns)
        other._waiting, other._last_ns, other._layout = self._waiting, self._last_ns, self._layout
        return other

    def _check(self, pixels: Tensor, t_ns: int) -> None:
        if self._layout is not None and self._layout != (pixels.shape, pixels.device):
            shape, device = self._layout
            raise FrameError(
                f"frame: found {tuple(pixels.shape)} on {pixels.device}, expected {tuple(shape)} on {device}, "
                "with which the stream began; resize it, or begin another stream"
            )
        if type(t_ns) is not int:
            raise TimeError(f"frame: found time {t_ns!r}, a {type(t_ns).__name__}; expected an int of nanoseconds")
        if self._last_ns is not None and t_ns <= self._last_ns:
            raise TimeError(
                f"frame: found time {t_ns} ns, expected one after {self._last_ns} ns; drop it or sort the frames"
            )


def _doubled(lone: tuple[Tensor, int]) -> Pair:
    frame, t_ns = lone
    return Pair(frames=torch.stack([frame, frame]), t0_ns=t_ns, t1_ns=t_ns)
