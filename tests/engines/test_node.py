import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from datasets_build.core.stage import NODES, code_digest, output_folder
from datasets_build.core.worker import WorkerError
from datasets_build.engines import node
from datasets_build.engines.node import Demand, Reply, Request, refusal_of, serve, tools, whole_code
from tests.engines.calls import PATIENCE_S, double, fill_the_disk, refuse, segfault


@pytest.fixture
def demand(tmp_path, monkeypatch):
    """What this machine meets."""
    out, film = tmp_path / "out", tmp_path / "film.mp4"
    (out / NODES).mkdir(parents=True)
    (out / NODES / "mark").write_text("m")
    film.write_bytes(b"12345")
    # Put back afterwards: a node goes where the command was typed.
    monkeypatch.chdir(Path.cwd())
    yield Demand(whole_code(), tools(), tmp_path, out, "m", ((film, 5),))
    refusal_of.cache_clear()
    node._WORKER.close()


def test_a_node_like_this_machine_takes_part_and_signs(demand):
    assert refusal_of(demand, "n1") == ""
    assert (demand.out / NODES / "n1").read_text() == "m"
    assert Path.cwd() == demand.folder


def remove(path):
    path.unlink()


PLANTS = {
    "does not have the folder": lambda d: replace(d, folder=d.out / "gone"),
    "runs other code of streamvl": lambda d: replace(d, code="0" * 12),
    "has av .*, expected 1.0": lambda d: replace(d, tools=tuple((n, "1.0" if n == "av" else v) for n, v in d.tools)),
    "does not see OUT": lambda d: replace(d, out=d.folder / "elsewhere"),
    "sees another OUT": lambda d: replace(d, mark="other"),
    "cannot read .*film.mp4": lambda d: (d.files[0][0].unlink(), d)[1],
    "sees another .*film.mp4 of 5 bytes, expected 6": lambda d: replace(d, files=((d.files[0][0], 6),)),
    "cannot write to OUT": lambda d: ((d.out / NODES / "n1").mkdir(), d)[1],
}


@pytest.mark.parametrize("said", PLANTS)
def test_a_node_that_differs_says_how(demand, said):
    planted = PLANTS[said](demand)
    import re

    assert re.search(said, refusal_of(planted, "n1"))
    # And it runs nothing.
    reply = answered(Request(planted, pickle.dumps((double, 2)), PATIENCE_S))
    assert re.search(said, reply.refusal)
    assert (reply.value, reply.node) == (None, "n1")


def answered(request) -> Reply:
    return pickle.loads(serve(pickle.dumps(request), "n1"))


def test_only_asking_runs_nothing(demand):
    assert answered(Request(demand)) == Reply(node="n1")
    assert node._WORKER.pid is None


def test_calls_end_as_on_one_machine(demand):
    def reply(function, limit_s=PATIENCE_S):
        return answered(Request(demand, pickle.dumps((function, 21)), limit_s))

    assert reply(double).value == 42
    child = node._WORKER.pid
    found = reply(refuse).error
    assert (type(found), found.kind, found.detail) == (WorkerError, "raised", "a.mp4: not a video")
    assert node._WORKER.pid == child != os.getpid()
    assert reply(fill_the_disk).disk.strerror == "No space left on device"
    found = reply(segfault).error
    assert (found.kind, found.detail) == ("crashed", "the process ended with SIGSEGV: last words")
    found = reply(double, 0.0).error
    assert (found.kind, found.detail) == ("deadline", "no result within 0 s")


def test_the_code_is_that_of_every_file():
    assert whole_code() != code_digest("engines")
    assert dict(tools())["av"] != "absent"


def test_the_rest_of_a_killed_run_goes_with_the_next(tmp_path):
    (tmp_path / NODES).mkdir()
    (tmp_path / NODES / "mark").write_text("old")
    with output_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []
