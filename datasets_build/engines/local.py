"""The engine of one machine: worker processes of this one."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from datasets_build.core.worker import Worker, WorkerError
from datasets_build.engines.outcome import ENVIRONMENT, Outcome, no_extra

I = TypeVar("I")  # noqa: E741 - the item type
O = TypeVar("O")  # noqa: E741 - the outcome type
_WORKERS = min(8, os.cpu_count() or 1)


class IdleWorkers:
    """Processes that have nothing to do, with all that they have loaded, for the next call; until they are ended."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._ended = False

    def take(self) -> Worker:
        """One of them, or one that begins with its first call."""
        return self._workers.pop() if self._workers else Worker(environment=ENVIRONMENT)

    def put(self, worker: Worker) -> None:
        """Give one back that has no call; once they are ended, it is ended too."""
        if self._ended:
            worker.close()
        else:
            self._workers.append(worker)

    def end(self) -> None:
        """End them, and whoever comes back later."""
        self._ended = True
        for worker in self._workers:
            worker.close()
        self._workers.clear()


@dataclass(frozen=True, slots=True)
class Local:
    """Up to `workers` processes at a time, which keep as many processors busy; any number gives the same bytes.

    Without `idle`, each call begins and ends its own; with it, they go on from call to call, of one thread: the kernel
    ends them with the thread that began them.
    """

    workers: int
    idle: IdleWorkers | None = field(default=None, compare=False)

    def require(self, paths: Sequence[Path]) -> None:
        """Nothing to prove: workers of this machine see its files."""

    def cores(self, share: float) -> int:
        """One, except for a call that is so much of the work that others would have to wait for it."""
        return max(1, min(self.workers, round(share * self.workers)))

    def run_each(
        self,
        function: Callable[[I], O],
        items: Sequence[I],
        *,
        deadline_s: float,
        extra_s: Callable[[I], float] = no_extra,
    ) -> Iterator[Outcome[I, O]]:
        """As `run.Engine` says."""
        waiting, pool = deque(items), self.idle or IdleWorkers()
        idle = [pool.take() for _ in range(max(1, min(self.workers, len(items))))]
        busy: dict[Worker, I] = {}
        limits: dict[Worker, float] = {}
        try:
            while waiting or busy:
                while waiting and idle:
                    worker, item = idle.pop(), waiting.popleft()
                    busy[worker] = item
                    worker.submit(function, item)
                    limits[worker] = deadline_s + extra_s(item)
                    worker.deadline_at = time.monotonic() + limits[worker]
                for worker in _ended(list(busy)):
                    # Whoever is interrupted while it tells its result is busy, and ended: half of it is in the pipe.
                    outcome: Outcome[I, O] = _outcome(worker, busy[worker], limits[worker])
                    del busy[worker]
                    idle.append(worker)
                    yield outcome
        finally:
            for worker in busy:
                worker.close()
            for worker in idle:
                pool.put(worker)
            if self.idle is None:
                pool.end()


@contextmanager
def open_local(_out: Path, workers: int | None) -> Iterator[Local]:
    """The engine of this machine; without a number, a worker for each processor, up to 8."""
    idle = IdleWorkers()
    try:
        yield Local(workers or _WORKERS, idle)
    finally:
        idle.end()


def _ended(workers: Sequence[Worker]) -> list[Worker]:
    soonest = min(worker.deadline_at for worker in workers)
    ready = wait([worker.pipe for worker in workers], timeout=max(0.0, soonest - time.monotonic()))
    now = time.monotonic()
    return [worker for worker in workers if worker.pipe in ready or worker.deadline_at <= now]


def _outcome(worker: Worker, item: I, deadline_s: float) -> Outcome[I, O]:
    try:
        # The result is there or the deadline has passed: nothing to wait for.
        value: O = worker.collect(0.0)  # type: ignore[assignment]  # the child ran the function, so this is its O
    except WorkerError as error:
        if error.kind == "deadline":
            error = WorkerError("deadline", f"no result within {deadline_s:g} s")
        return Outcome(item, None, error)
    return Outcome(item, value, None)
