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


@dataclass(frozen=True, slots=True)
class Local:
    """Up to `workers` processes at a time, which keep as many processors busy; any number gives the same bytes.

    `kept` holds processes that have nothing to do for the next call, where somebody ends them; else each call ends its
    own.
    """

    workers: int
    kept: list[Worker] | None = field(default=None, compare=False)

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
        waiting = deque(items)
        idle = [self._worker() for _ in range(max(1, min(self.workers, len(items))))]
        busy: dict[Worker, I] = {}
        limits: dict[Worker, float] = {}
        try:
            while waiting or busy:
                while waiting and idle:
                    worker, item = idle.pop(), waiting.popleft()
                    worker.submit(function, item)
                    limits[worker] = deadline_s + extra_s(item)
                    worker.deadline_at = time.monotonic() + limits[worker]
                    busy[worker] = item
                for worker in _ended(list(busy)):
                    item = busy.pop(worker)
                    idle.append(worker)
                    yield _outcome(worker, item, limits[worker])
        finally:
            for worker in busy:
                worker.close()
            for worker in idle:
                self._keep(worker)

    def _worker(self) -> Worker:
        return self.kept.pop() if self.kept else Worker(environment=ENVIRONMENT)

    def _keep(self, worker: Worker) -> None:
        if self.kept is None:
            worker.close()
        else:
            self.kept.append(worker)


@contextmanager
def open_local(_out: Path, workers: int | None) -> Iterator[Local]:
    """The engine of this machine; without a number, a worker for each processor, up to 8."""
    kept: list[Worker] = []
    try:
        yield Local(workers or _WORKERS, kept)
    finally:
        for worker in kept:
            worker.close()


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
