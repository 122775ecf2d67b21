"""What every engine gives: one outcome for each item, from a call in a worker process with a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from datasets_build.core.worker import WorkerError

I = TypeVar("I")  # noqa: E741 - the item type
O = TypeVar("O")  # noqa: E741 - the outcome type

# Arrow's own pool keeps what it frees, so a long video would leave a worker larger than a short one. Matrices here are
# so small that threads of NumPy's would cost more than they do.
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Outcome(Generic[I, O]):
    """What became of one item: a value, or the error that ended its call."""

    item: I
    value: O | None
    error: WorkerError | None


def no_extra(_item: object) -> float:
    """The same deadline for every item."""
    return 0.0
