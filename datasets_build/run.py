"""Run one function over many videos in killable worker processes: of this machine, or of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from datasets_build.engines.local import open_local
from datasets_build.engines.outcome import Outcome, no_extra
from datasets_build.engines.ray import open_ray

I = TypeVar("I")  # noqa: E741 - the item type
O = TypeVar("O")  # noqa: E741 - the outcome type
EngineName = Literal["local", "ray"]


class Engine(Protocol):
    """Where the processes are that do the work; which one it is changes no byte of what comes out."""

    def require(self, paths: Sequence[Path]) -> None:
        """Prove that whoever works will read these files as they are here. Raises DataError where one does not."""
        ...

    def cores(self, share: float) -> int:
        """How many processors a call may keep busy, one at least, that is this share (0..1) of all the work."""
        ...

    def run_each(
        self,
        function: Callable[[I], O],
        items: Sequence[I],
        *,
        deadline_s: float,
        extra_s: Callable[[I], float] = no_extra,
    ) -> Iterator[Outcome[I, O]]:
        """Call `function(item)` for every item, each in a worker process, and yield outcomes as they end.

        A call that crashes its process or outlives `deadline_s + extra_s(item)` yields an `Outcome` with an error; the
        others go on. The order of outcomes depends on timing: callers that write must key by item, not by arrival.
        A call may be made twice where a machine is lost, so what it writes must come whole or not at all.
        """
        ...


_ENGINES: Mapping[EngineName, Callable[[Path, int | None], AbstractContextManager[Engine]]] = {
    "local": open_local,
    "ray": open_ray,
}


def open_engine(name: EngineName, out: Path, workers: int | None = None) -> AbstractContextManager[Engine]:
    """The engine of that name, held for a stage that writes to OUT.

    Args:
        name: `local`, or `ray`: the cluster that RAY_ADDRESS names, or that runs on this machine.
        out: the output folder, held by `output_folder`; every machine at work must see it.
        workers: how many calls run at a time; None: what the machine or the cluster has room for.

    Raises:
        DataError: the cluster or its package is not there, or one of its nodes cannot take part; nothing was begun.
    """
    return _ENGINES[name](out, workers)
