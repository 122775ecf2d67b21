"""Run one function over many videos in killable worker processes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from datasets_build.core.worker import Worker, WorkerError

I = TypeVar("I")  # noqa: E741 - the item type
O = TypeVar("O")  # noqa: E741 - the outcome type


# Arrow's own pool keeps what it frees, so a long video would leave a worker larger than a short one.
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


@dataclass(frozen=True, slots=True)
class Outcome(Generic[I, O]):
    """What became of one item: a value, or the error that ended its call."""

    item: I
    value: O | None
    error: WorkerError | None


def no_extra(_item: object) -> float:
    """The same deadline for every item."""
    return 0.0


def run_each(
    function: Callable[[I], O],
    items: Sequence[I],
    *,
    workers: int,
    deadline_s: float,
    extra_s: Callable[[I], float] = no_extra,
) -> Iterator[Outcome[I, O]]:
    """Call `function(item)` for every item in up to `workers` processes and yield outcomes as they end.

    A call that crashes its process or outlives `deadline_s + extra_s(item)` yields an `Outcome` with an error; the
    others go on.     The order of outcomes depends on timing: callers that write must key by item, not by arrival.
    """
    waiting = deque(items)
    idle = [Worker(environment=ENVIRONMENT) for _ in range(max(1, min(workers, len(items))))]
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
        for worker in [*idle, *busy]:
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
