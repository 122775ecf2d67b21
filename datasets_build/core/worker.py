"""A child process that runs functions and may die: a crash or a missed deadline costs the child, never the caller.

The child is a fresh interpreter (no fork: decoders hold threads), talks over a socket, and is killed by the kernel
when its parent dies. Functions must be importable by name; arguments and results travel by pickle.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Literal, ParamSpec, TypeVar

from datasets_build.core.files import DataError

P = ParamSpec("P")
R = TypeVar("R")
_PR_SET_PDEATHSIG = 1
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Failure = Literal["crashed", "deadline", "raised"]


class WorkerError(RuntimeError):
    """A call in a worker gave no result: `kind` says how it ended, `detail` says it in words."""

    def __init__(self, kind: Failure, detail: str) -> None:
        super().__init__(detail)
        self.kind: Failure = kind
        self.detail = detail

    def __reduce__(self) -> tuple[type[WorkerError], tuple[Failure, str]]:
        return WorkerError, (self.kind, self.detail)


class Worker:
    """One child process that runs one call at a time.

    The kernel kills the child when the *thread* that started it ends: submit from a thread that lives as long.

    Args:
        environment: variables set in the child beside the parent's own.
        max_calls: recycle the child after this many calls, so that a leaking decoder cannot grow without bound.
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None, max_calls: int = 64) -> None:
        self._environment = dict(environment or {})
        self._max_calls = max_calls
        self._calls = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._log: IO[bytes] | None = None
        self._log_start = 0
        self.deadline_at = float("inf")

    @property
    def pid(self) -> int | None:
        """The child's process id, None while it is not running."""
        return self._process.pid if self._process else None

    @property
    def pipe(self) -> Connection:
        """The connection that becomes readable when a call has ended; for `multiprocessing.connection.wait`."""
        if self._pipe is None:
            raise RuntimeError("the worker has not been started")
        return self._pipe

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # Subprocess starts children by vfork; the child finds this code by the parent's own import path.
        environment = {
            **os.environ,
            **self._environment,
            "PYTHONPATH": os.pathsep.join(step or str(Path.cwd()) for step in sys.path),
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        command = [sys.executable, "-m", "datasets_build.core.worker", str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        theirs.close()
        self._pipe = Connection(ours.detach())
        self._calls = 0

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Start a call; `collect` takes its result."""
        if self._process is not None and (self._calls >= self._max_calls or self._process.poll() is not None):
            self.close()
        if self._process is None:
            self._start()
        self._calls += 1
        # What calls before this one said is not why this one ends.
        self._log_start = os.fstat(self._log.fileno()).st_size if self._log else 0
        try:
            self.pipe.send_bytes(pickle.dumps((function, args, kwargs)))
        except OSError:
            # The child died between calls: `collect` will find the closed pipe and say so.
            return

    def collect(self, deadline_s: float = float("inf")) -> object:
        """Wait for the call's result.

        Raises:
            WorkerError: the function raised (`raised`), the child died (`crashed`) or time ran out (`deadline`). In
                the last two the child is gone and the next `submit` starts another.
            OSError: the child met a full or read-only disk.
        """
        limit = None if deadline_s == float("inf") else max(0.0, deadline_s)
        if not self.pipe.poll(limit):
            self.close()
            raise WorkerError("deadline", f"no result within {deadline_s:g} s")
        try:
            outcome, value = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            detail = self._last_words()
            self.close()
            raise WorkerError("crashed", detail) from None
        if outcome == "space":
            # Not the item's fault: the next one would fail as well, so the run must stop.
            raise OSError(*value)
        if outcome == "raised":
            raise WorkerError("raised", value)
        result: object = value
        return result

    def call(self, deadline_s: float, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function in the child and wait at most `deadline_s`. Raises WorkerError as `collect` does."""
        self.submit(function, *args, **kwargs)
        result: R = self.collect(deadline_s)  # type: ignore[assignment]  # the child ran `function`, so this is its R
        return result

    def _last_words(self) -> str:
        if self._process is None or self._log is None:
            return "the worker was never started"
        code = self._process.wait()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._log.seek(self._log_start)
        lines = self._log.read()[-2000:].decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the process ended with {name}" + (f": {said}" if said else "")

    def close(self) -> None:
        """Kill the child; the next `submit` starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        if self._log is not None:
            self._log.close()
        self._process = self._pipe = self._log = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(pipe: Connection) -> None:
    while True:
        try:
            function, args, kwargs = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        try:
            reply: tuple[str, object] = ("ok", function(*args, **kwargs))
        except DataError as error:
            reply = ("raised", str(error))
        # A worker reports whatever went wrong to its parent, which decides; nothing is swallowed here.
        except Exception as error:  # noqa: BLE001 - see above
            traceback.print_exc()
            reply = ("raised", f"{type(error).__name__}: {error}")
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                reply = ("space", (error.errno, os.strerror(error.errno), error.filename))
        pipe.send_bytes(pickle.dumps(reply, protocol=pickle.HIGHEST_PROTOCOL))


def main() -> None:
    """Entry point of the child process."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(Connection(descriptor))


if __name__ == "__main__":
    main()
