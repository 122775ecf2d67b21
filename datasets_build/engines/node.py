"""What runs on a node of a cluster: prove that it works on the same files with the same code, then call in a worker.

Nothing here knows what kind of cluster it is.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from datasets_build.core.progress import tool_versions
from datasets_build.core.stage import NODES, code_digest
from datasets_build.core.worker import Worker, WorkerError
from datasets_build.engines.outcome import ENVIRONMENT

MARK = "mark"
_TOOLS = ("av", "decord", "torchcodec", "opencv-python-headless", "scenedetect-headless", "open-clip-torch", "torch")
_READERS = ("numpy", "pyarrow", "pysubs2", "pydantic")
# One child for each process of the cluster, kept between calls; it starts at the first.
_WORKER = Worker(environment=ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Demand:
    """What a node must have in common with the command: code, tools, OUT with its `mark`, and files with their sizes.

    `folder` is where the command was typed: relative paths begin there.
    """

    code: str
    tools: tuple[tuple[str, str], ...]
    folder: Path
    out: Path
    mark: str
    files: tuple[tuple[Path, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A pickled `(function, item)` with its deadline; without one, only whether the node takes part is asked."""

    demand: Demand
    call: bytes | None = None
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: a value, the error that ended it, a full disk, or why the node took no part."""

    value: object = None
    error: WorkerError | None = None
    disk: OSError | None = None
    refusal: str = ""
    node: str = ""


def whole_code() -> str:
    """The digest of every source file of the package."""
    return code_digest("")


def tools() -> tuple[tuple[str, str], ...]:
    """The versions of what decodes and reads, by name."""
    return tuple(sorted(tool_versions(*_TOOLS, *_READERS).items()))


def serve(request: bytes, node: str) -> bytes:
    """Answer a pickled Request with a pickled Reply; a call runs in this process's worker, as on a machine alone."""
    return pickle.dumps(_reply(pickle.loads(request), node), protocol=pickle.HIGHEST_PROTOCOL)


def _reply(request: Request, node: str) -> Reply:
    # A node that came after the run began is held to the same.
    refusal = refusal_of(request.demand, node)
    if refusal or request.call is None:
        return Reply(refusal=refusal, node=node)
    function, item = pickle.loads(request.call)
    try:
        return Reply(value=_WORKER.call(request.limit_s, function, item))
    except WorkerError as error:
        return Reply(error=error)
    except OSError as error:
        return Reply(disk=error)


@lru_cache(maxsize=8)
def refusal_of(demand: Demand, node: str) -> str:
    """Why this node cannot take part, empty where it can; it then works in the command's folder and has signed OUT."""
    try:
        os.chdir(demand.folder)
    except OSError as error:
        return f"does not have the folder {demand.folder}, where the command was typed ({error.strerror})"
    if whole_code() != demand.code:
        return f"runs other code of streamvl in {_place()}, digest {whole_code()}, expected {demand.code}"
    for (name, found), (_, expected) in zip(tools(), demand.tools, strict=True):
        if found != expected:
            return f"has {name} {found}, expected {expected}"
    return _blind(demand) or _unsigned(demand, node)


def _place() -> Path:
    return Path(__file__).resolve().parents[1]


def _blind(demand: Demand) -> str:
    mark = demand.out / NODES / MARK
    try:
        if mark.read_text() != demand.mark:
            return f"sees another OUT at {demand.out}, expected a folder that all nodes share"
    except OSError as error:
        return f"does not see OUT at {demand.out}, expected a folder that all nodes share ({error.strerror})"
    for path, size in demand.files:
        try:
            found = path.stat().st_size
        except OSError as error:
            return f"cannot read {path}, expected files that all nodes share ({error.strerror})"
        if found != size:
            return f"sees another {path} of {found} bytes, expected {size}"
    return ""


def _unsigned(demand: Demand, node: str) -> str:
    try:
        (demand.out / NODES / node).write_text(demand.mark)
    except OSError as error:
        return f"cannot write to OUT at {demand.out} ({error.strerror})"
    return ""
