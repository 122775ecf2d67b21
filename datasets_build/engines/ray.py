"""The engine of a Ray cluster: each call is a task, which runs it in a killable worker process of its node.

This is the only file that imports Ray, and only when it is asked for. Ray itself repeats nothing: it repeats a task
that ran out of memory without end, and says nothing of the others. What is lost with a process or a node is called
again here, told in the log, and after `ATTEMPTS` is an error of its item.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from datasets_build.core.files import DataError
from datasets_build.core.stage import NODES
from datasets_build.core.worker import Worker, WorkerError
from datasets_build.engines.node import MARK, Demand, Reply, Request, tools, whole_code
from datasets_build.engines.outcome import Outcome, no_extra

log = logging.getLogger(__name__)
I = TypeVar("I")  # noqa: E741 - the item type
O = TypeVar("O")  # noqa: E741 - the outcome type

ATTEMPTS = 5
_GIVEN_UP = f"the process or its node was lost {ATTEMPTS} times"
# Calls in flight for each processor: one runs, one waits beside it. The rest stays here, out of the object store.
_AHEAD = 2
_SAMPLE = 32
_JOIN_S = 30.0
_ANSWER_S = 120.0
_LOOK_S = 5.0
_ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class _Call(Generic[I]):
    """One item on its way: the how manyeth it is, and how often it was tried."""

    item: I
    number: int
    attempt: int = 1


@contextmanager
def open_ray(out: Path, workers: int | None) -> Iterator[RayCluster]:
    """Join the cluster that RAY_ADDRESS names, or that runs on this machine, with proof that every node can take part.

    Args:
        out: the output folder, which every node must see; a mark lies in it while the cluster is held.
        workers: how many calls run at a time; None: one for each processor of the cluster.

    Raises:
        DataError: the package or the cluster is missing, or a node cannot take part; the message names it.
    """
    _join()
    try:
        with _marked(out) as mark:
            demand = Demand(code=whole_code(), tools=tools(), folder=Path.cwd(), out=out.absolute(), mark=mark)
            cluster = RayCluster(demand, workers)
            cluster.require(())
            yield cluster
    finally:
        # Ends what still runs, with its worker processes.
        _leave()


class RayCluster:
    """The nodes of a cluster that was joined. `demand` is what each must meet, also one that comes later."""

    def __init__(self, demand: Demand, workers: int | None) -> None:
        import ray

        self._demand, self._workers = demand, workers
        self._processors, self._looked_at = 0, float("-inf")
        self._task = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_on_node())

    def require(self, paths: Sequence[Path]) -> None:
        """Ask every node whether it takes part and sees a sample of these files as they are here.

        Raises:
            DataError: a node does not, or there is none.
        """
        import ray

        step = max(1, len(paths) // _SAMPLE)
        files = tuple((path.absolute(), path.stat().st_size) for path in paths[::step] if path.is_file())
        self._demand = replace(self._demand, files=files)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise DataError("--engine ray: no node of the cluster has a processor to give (ray start --num-cpus)")
        request = pickle.dumps(Request(self._demand))
        # All at once: each starts a process.
        asked = {node["NodeID"]: self._ask(node["NodeID"], request) for node in nodes}
        for node, answer in asked.items():
            self._judge(node, answer)

    def _ask(self, node: str, request: bytes) -> object:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        answer: object = self._task.options(num_cpus=0, scheduling_strategy=there, name="take part").remote(request)
        return answer

    def _judge(self, node: str, answer: object) -> None:
        import ray

        try:
            refusal = pickle.loads(ray.get(answer, timeout=_ANSWER_S)).refusal
        except (*_losses(), ray.exceptions.TaskUnschedulableError):
            log.warning("node %s went away before it took part", _name_of(node))
            return
        except ray.exceptions.GetTimeoutError:
            refusal = f"gave no answer within {_ANSWER_S:g} s"
        except ray.exceptions.RayTaskError as error:
            refusal = f"cannot run streamvl ({error.cause}); install it there, or put it in {_ROOT} as it lies here"
        if not refusal and not (self._demand.out / NODES / node).exists():
            refusal = f"wrote to another OUT at {self._demand.out}, expected a folder that all nodes share"
        if refusal:
            raise DataError(f"node {_name_of(node)}: {refusal}")

    def cores(self, share: float) -> int:  # noqa: ARG002 - the interface
        """One: so many does a task ask the cluster for."""
        return 1

    def run_each(
        self,
        function: Callable[[I], O],
        items: Sequence[I],
        *,
        deadline_s: float,
        extra_s: Callable[[I], float] = no_extra,
    ) -> Iterator[Outcome[I, O]]:
        """As `run.Engine` says. Raises DataError when a node that came later cannot take part."""
        import ray

        task = self._task.options(name=function.__name__)
        waiting = deque(_Call(item, number) for number, item in enumerate(items, start=1))
        flying: dict[object, _Call[I]] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < self._room():
                    call = waiting.popleft()
                    packed = pickle.dumps((function, call.item))
                    request = Request(self._demand, packed, deadline_s + extra_s(call.item))
                    flying[task.remote(pickle.dumps(request))] = call
                for answer in _ended(list(flying)):
                    call = flying.pop(answer)
                    try:
                        packed = ray.get(answer)
                    except _losses() as error:
                        _tell(call, error, f"{function.__name__}, item {call.number} of {len(items)}")
                        if call.attempt < ATTEMPTS:
                            waiting.append(replace(call, attempt=call.attempt + 1))
                        else:
                            yield Outcome(call.item, None, WorkerError("crashed", _GIVEN_UP))
                        continue
                    yield _outcome(call, pickle.loads(packed))
        finally:
            for answer in flying:
                ray.cancel(answer, force=True)

    def _room(self) -> int:
        """How many calls may be in flight; nodes come and go."""
        if self._workers is not None:
            return self._workers
        import ray

        if time.monotonic() - self._looked_at > _LOOK_S:
            self._processors = int(ray.cluster_resources().get("CPU", 0))
            self._looked_at = time.monotonic()
        return _AHEAD * max(1, self._processors)


def _losses() -> tuple[type[BaseException], ...]:
    """The errors that speak of a process or a node and not of what it ran."""
    from ray import exceptions as errors

    return (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.OutOfMemoryError)


def _join() -> None:
    address = os.environ.get("RAY_ADDRESS") or "auto"
    if address == "local" or "://" in address:
        raise DataError(f"RAY_ADDRESS={address}: expected HOST:PORT of a running cluster, or nothing to find it here")
    try:
        # In a process that can be killed first: Ray waits without end for a cluster that is gone, deaf to Ctrl-C.
        with Worker() as worker:
            worker.call(_JOIN_S, _knock)
    except WorkerError as error:
        said = " ".join(error.detail.split())[:300]
        raise DataError(
            f"--engine ray: cannot join a cluster at {address} ({said}); it needs the extra `ray` of streamvl, and "
            "`ray start --head` here or RAY_ADDRESS=HOST:PORT"
        ) from error
    _init()


def _knock() -> None:
    _init()
    _leave()


def _init() -> None:
    import ray

    # Never without an address: Ray would start a cluster of its own.
    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)


@contextmanager
def _marked(out: Path) -> Iterator[str]:
    """A word in OUT that only who sees this folder can read; nodes sign beside it."""
    mark = uuid.uuid4().hex
    folder = out / NODES
    try:
        folder.mkdir()
        (folder / MARK).write_text(mark)
        yield mark
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _on_node() -> Callable[[bytes], bytes]:
    """The one remote function. One inside another travels as code: what it needs of ours is found on its node."""
    root = _ROOT

    def on_node(request: bytes) -> bytes:
        import sys

        import ray

        if root not in sys.path:
            sys.path.insert(0, root)
        from datasets_build.engines.node import serve

        return serve(request, ray.get_runtime_context().get_node_id())

    return on_node


def _leave() -> None:
    import ray

    ray.shutdown()


def _name_of(node: str) -> str:
    """A node as `ray list nodes` has it: its name, which is its address where it was given none, and its id."""
    import ray

    names = [each["NodeName"] for each in ray.nodes() if each["NodeID"] == node]
    return " ".join([*names, node])


def _ended(flying: list[object]) -> list[object]:
    import ray

    # A while at most, so that nodes that came meanwhile get work.
    ray.wait(flying, num_returns=1, timeout=_LOOK_S, fetch_local=False)
    ended: list[object] = ray.wait(flying, num_returns=len(flying), timeout=0, fetch_local=False)[0]
    return ended


def _outcome(call: _Call[I], reply: Reply) -> Outcome[I, O]:
    if reply.refusal:
        raise DataError(f"node {_name_of(reply.node)}: {reply.refusal}; it came after the run had begun")
    if reply.disk is not None:
        # Not the item's fault: the next one would fail as well, so the run must stop.
        raise reply.disk
    value: O | None = reply.value  # type: ignore[assignment]  # the node ran the function, so this is its O
    return Outcome(call.item, value, reply.error)


def _tell(call: _Call[I], error: BaseException, what: str) -> None:
    then = f"called again, {call.attempt + 1} of {ATTEMPTS}" if call.attempt < ATTEMPTS else "given up"
    log.warning("%s: lost with its process or node (%s), %s", what, type(error).__name__, then)
