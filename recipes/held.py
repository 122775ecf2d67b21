"""A command whose processes are asked to stop, and hear of it when they are ready."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

# How often a signal is repeated to processes that had not started yet when it came.
AGAIN_S = 0.2
HELD = (signal.SIGTERM, signal.SIGINT)


def run_held(command: Sequence[str]) -> int:
    """Runs a command that hears of SIGTERM where it unblocks it, and nowhere before.

    SIGTERM and SIGINT reach all processes below it as SIGTERM, in whatever session a launcher has put them, again and
    again until it ends. They are blocked there, so no launcher in between dies of them, and one that comes while a
    stage still loads is kept for the stage. Once one has ended the command they are ignored: whoever asks twice would
    else end this process on its way out, and its exit code would be another.

    Returns:
        Its exit code; 128 + the number of the first signal where that ended it with an error.
    """
    with _noting() as noted:
        started = subprocess.Popen(command, start_new_session=True, preexec_fn=_hold)
        while (code := _code(started)) is None:
            if noted:
                _ask(started.pid)
        if noted and code:
            for number in HELD:
                signal.signal(number, signal.SIG_IGN)
    return 128 + noted[0] if noted and code else code


def _ask(pid: int) -> None:
    """Sends SIGTERM to a process and all below it; torch starts each worker in a session of its own."""
    with suppress(psutil.NoSuchProcess):
        above = psutil.Process(pid)
        for process in (*above.children(recursive=True), above):
            with suppress(psutil.NoSuchProcess):
                process.terminate()


def _code(started: subprocess.Popen[bytes]) -> int | None:
    try:
        return started.wait(timeout=AGAIN_S)
    except subprocess.TimeoutExpired:
        return None


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


@contextmanager
def _noting() -> Iterator[list[int]]:
    """Collects the numbers of SIGTERM and SIGINT instead of dying."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        noted.append(number)

    before = {number: signal.signal(number, note) for number in HELD}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
