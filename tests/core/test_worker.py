import os
import pickle
import signal
import subprocess
import sys
import time

import psutil
import pytest

from datasets_build.core.worker import Worker, WorkerError
from tests.engines.calls import PATIENCE_S, double, fill_the_disk, hang, refuse, segfault, stumble


def pid_of(_):
    return os.getpid()


def variable(name):
    return os.environ.get(name)


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


def test_how_a_call_ended_is_not_told_in_the_words_of_one_before_it():
    with Worker() as worker:
        with pytest.raises(WorkerError, match="KeyError"):
            worker.call(PATIENCE_S, stumble, None)
        with pytest.raises(WorkerError) as caught:
            worker.call(PATIENCE_S, kill_itself, None)
        assert str(caught.value) == "the process ended with SIGKILL"


def kill_itself(_):
    os.kill(os.getpid(), signal.SIGKILL)


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


def test_an_error_travels_whole():
    found = pickle.loads(pickle.dumps(WorkerError("deadline", "no result within 1 s")))
    assert (type(found), found.kind, found.detail) == (WorkerError, "deadline", "no result within 1 s")
