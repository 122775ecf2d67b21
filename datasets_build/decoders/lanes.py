"""Killable workers for decoders that may crash or hang: one per decoder and process, kept alive between calls."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from datasets_build.core.worker import Worker, WorkerError

P = ParamSpec("P")
R = TypeVar("R")
MAX_CALLS = 512
START_DEADLINE_S = 120.0


class StartError(RuntimeError):
    """The child could not be made ready: its library is missing or broken. The message says what it said."""


class Lane:
    """One worker and the one thread that talks to it; calls from other threads wait for their turn.

    The kernel kills a worker when the thread that started it ends, so that thread lives as long as the lane.

    Args:
        ready: run first in each new child, so that a slow import is not taken for a hang.
        environment: variables set in the child.
    """

    def __init__(self, ready: Callable[[], None], environment: Mapping[str, str]) -> None:
        self._ready = ready
        # The lane counts calls itself: a recycled child is made ready before its next call.
        self._worker = Worker(environment=environment, max_calls=2 * MAX_CALLS)
        self._calls = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")

    @property
    def pid(self) -> int | None:
        """The child's process id, None while it is not running."""
        return self._worker.pid

    def call(self, deadline_s: float, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function in the child.

        Raises:
            StartError: the child could not be made ready.
            WorkerError: the function raised, the child died, or it took longer than `deadline_s`.
        """
        return self._thread.submit(self._call, deadline_s, function, *args, **kwargs).result()

    def _call(self, deadline_s: float, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._calls >= MAX_CALLS:
            self._worker.close()
        if self._worker.pid is None:
            self._calls = 0
            try:
                self._worker.call(START_DEADLINE_S, self._ready)
            except WorkerError as error:
                self._worker.close()
                raise StartError(error.detail) from error
        self._calls += 1
        return self._worker.call(deadline_s, function, *args, **kwargs)

    def close(self) -> None:
        """Let the calls in line end, then kill the child."""
        self._thread.shutdown()
        self._worker.close()


class Lanes:
    """The lanes of this process by name. A forked child starts its own: a worker answers one process only."""

    def __init__(self) -> None:
        self._open: dict[str, Lane] = {}
        self._guard = threading.Lock()
        self._of_parents: list[dict[str, Lane]] = []
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        # Kept, not dropped: dropping would close the parent's process handles.
        self._of_parents.append(self._open)
        self._open, self._guard = {}, threading.Lock()

    def get(self, name: str, make: Callable[[], Lane]) -> Lane:
        """The lane of this name, made on first use."""
        with self._guard:
            if name not in self._open:
                self._open[name] = make()
            return self._open[name]

    def close(self) -> None:
        """Kill this process's workers; the next `get` starts others."""
        with self._guard:
            closing, self._open = self._open, {}
        for lane in closing.values():
            lane.close()


LANES = Lanes()
atexit.register(LANES.close)
