"""A command whose processes are asked to stop, and hear of it when they are ready."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

# How often a signal is repeated to processes that had not started yet when it came.
AGAIN_S = 1.0


def run_held(command: Sequence[str]) -> int:
    """Runs a command that hears of SIGTERM where it unblocks it, and nowhere before.

    SIGTERM and SIGINT reach its whole group as SIGTERM, again and again until it ends. They are blocked in it, so no
    launcher in between dies of them, and one that comes while a stage still loads is kept for the stage.

    Returns:
        Its exit code; 128 + the number of the first signal where that ended it with an error.
    """
    with _noting() as noted:
        started = subprocess.Popen(command, start_new_session=True, preexec_fn=_hold)
        while (code := _code(started)) is None:
            if noted:
                with suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGTERM)
    return 128 + noted[0] if noted and code else code


def _code(started: subprocess.Popen[bytes]) -> int | None:
    try:
        return started.wait(timeout=AGAIN_S)
    except subprocess.TimeoutExpired:
        return None


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


@contextmanager
def _noting() -> Iterator[list[int]]:
    """Collects the numbers of SIGTERM and SIGINT instead of dying."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
