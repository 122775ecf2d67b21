"""One process at a time at a round's work; who comes second is told who is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annotate.errors import AnnotateError


@contextmanager
def hold(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file for this process; the kernel lets go of it however the process ends.

    The file stays, since one that is taken away could be locked twice. It holds the number of the process.

    Raises:
        AnnotateError: another process holds it, whose number is told; or the file cannot be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise AnnotateError(f"{path}: cannot be made to lock the round ({error.strerror})") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise AnnotateError(
                f"{path.parent}: process {who} is already {doing}; wait for it or stop it, then repeat"
            ) from None
        os.ftruncate(handle, 0)
        # Its number is for people to read: a full disk stops what it goes on to write, not this.
        with suppress(OSError):
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


@contextmanager
def wait(path: Path) -> Iterator[None]:
    """Hold a lock file for a moment, after whoever holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder itself for a moment, after whoever holds it; no file is left in it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
