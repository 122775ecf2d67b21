import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from datasets_build.core.files import DataError
from datasets_build.core.worker import Worker, WorkerError
from datasets_build.run import run_each

# No test waits this long: it only has to outlast the start of a child on the busiest machine.
PATIENCE_S = 300


def double(value):
    return 2 * value


def pid_of(_):
    return os.getpid()


def variable(name):
    return os.environ.get(name)


def segfault(_):
    print("last words", flush=True)
    ctypes.string_at(0)


def hang(_):
    # A native call that holds on, as a decoder's does; Python cannot interrupt it.
    ctypes.CDLL(None).sleep(600)


def refuse(_):
    raise DataError("a.mp4: not a video")


def stumble(_):
    raise KeyError("x")


def fill_the_disk(_):
    with Path("/dev/full").open("wb", buffering=0) as out:
        out.write(b"x")


def fate(item):
    return {"ok": double, "crash": segfault, "hang": hang, "raise": stumble}[item.split("-")[0]](1)


def test_a_call_gives_its_result():
    with Worker() as worker:
        assert worker.call(PATIENCE_S, double, 21) == 42
        first = worker.call(PATIENCE_S, pid_of, None)
        assert worker.call(PATIENCE_S, pid_of, None) == first == worker.pid != os.getpid()


def test_a_crash_costs_the_child_only_and_says_how():
    with Worker() as worker:
        with pytest.raises(WorkerError, match="SIGSEGV: last words") as caught:
            worker.call(PATIENCE_S, segfault, None)
        assert caught.value.kind == "crashed"
        assert worker.call(PATIENCE_S, double, 1) == 2


def test_a_hang_costs_the_child_only():
    with Worker() as worker:
        worker.call(PATIENCE_S, double, 1)
        child = psutil.Process(worker.pid)
        with pytest.raises(WorkerError, match=r"no result within 0\.5 s") as caught:
            worker.call(0.5, hang, None)
        assert caught.value.kind == "deadline"
        assert not child.is_running()
        assert worker.call(PATIENCE_S, double, 1) == 2


def test_errors_come_back_in_words():
    with Worker() as worker:
        with pytest.raises(WorkerError, match=r"^a\.mp4: not a video$") as caught:
            worker.call(PATIENCE_S, refuse, None)
        assert caught.value.kind == "raised"
        with pytest.raises(WorkerError, match="KeyError: 'x'"):
            worker.call(PATIENCE_S, stumble, None)


def test_a_full_disk_is_nobodys_fault_but_stops_the_run():
    with Worker() as worker, pytest.raises(OSError, match="No space left"):
        worker.call(PATIENCE_S, fill_the_disk, None)
    with pytest.raises(OSError, match="No space left"):
        list(run_each(fill_the_disk, [1, 2], workers=1, deadline_s=PATIENCE_S))


def test_a_worker_is_recycled():
    with Worker(max_calls=2) as worker:
        pids = [worker.call(PATIENCE_S, pid_of, None) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_worker_that_died_between_calls_is_replaced():
    with Worker() as worker:
        child = worker.call(PATIENCE_S, pid_of, None)
        os.kill(child, signal.SIGKILL)
        # Dead, and left for the worker to find.
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert worker.call(PATIENCE_S, double, 4) == 8


def test_a_child_sees_its_environment():
    with Worker(environment={"STREAMVL_TEST": "seen"}) as worker:
        assert worker.call(PATIENCE_S, variable, "STREAMVL_TEST") == "seen"


def is_dead(process):
    """Gone, or dead and not collected: in a container the first process may collect nobody."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_children_die_with_their_parent():
    code = (
        "import time\nfrom tests.core.test_worker import Worker, double, hang\n"
        f"w = Worker()\nw.call({PATIENCE_S}, double, 1)\nw.submit(hang, None)\n"
        "print(w.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    limit = time.monotonic() + PATIENCE_S / 2
    while time.monotonic() < limit and not is_dead(child):
        time.sleep(0.01)
    assert is_dead(child)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_past_crashes_hangs_and_errors(workers):
    items = ["ok-1", "crash-1", "hang-1", "raise-1", "ok-2", "ok-3"]
    # Only what hangs meets its deadline: a child may take long to start.
    run = run_each(
        fate, items, workers=workers, deadline_s=1, extra_s=lambda item: PATIENCE_S * (not item.startswith("hang"))
    )
    outcomes = {outcome.item: outcome for outcome in run}
    assert sorted(outcomes) == sorted(items)
    kinds = {item: outcome.error.kind if outcome.error else outcome.value for item, outcome in outcomes.items()}
    assert kinds == {"ok-1": 2, "ok-2": 2, "ok-3": 2, "crash-1": "crashed", "hang-1": "deadline", "raise-1": "raised"}


def long(item):
    time.sleep(item)
    return item


def test_an_item_may_have_a_longer_deadline():
    outcomes = list(run_each(long, [1.0], workers=1, deadline_s=0.1, extra_s=lambda item: PATIENCE_S * item))
    assert [outcome.value for outcome in outcomes] == [1.0]


def test_nothing_to_do_is_nothing():
    assert list(run_each(double, [], workers=2, deadline_s=1)) == []


def test_leaving_early_kills_the_workers():
    # Tests before this one may have left children of their own, as decoders that stay open.
    others = psutil.Process().children()
    run = run_each(fate, ["ok-1", "hang-1"], workers=2, deadline_s=PATIENCE_S)
    next(run)
    children = [child for child in psutil.Process().children() if child not in others]
    assert len(children) == 2
    run.close()
    assert not any(child.is_running() for child in children)
