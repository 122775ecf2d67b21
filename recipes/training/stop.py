"""Being asked to stop: the step that runs is finished and saved, then the process ends with the signal's own code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody asked.

    Attributes:
        signal: which signal came first; None while none has.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + int(self.signal) if self.signal is not None else 0


@contextmanager
def stopping() -> Iterator[Stop]:
    """Notes SIGTERM and the first SIGINT instead of dying; a second SIGINT interrupts at once.

    Signals are handled in the main thread alone, so there it must be entered. A launcher may have blocked them until
    now: one that is pending is noted first.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.signal is not None:
            signal.default_int_handler(number, frame)
        if stop.signal is None:
            stop.signal = signal.Signals(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
    try:
        yield stop
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
