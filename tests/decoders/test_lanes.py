import contextlib
import ctypes
import multiprocessing
import os
import threading
import time

import psutil
import pytest

from datasets_build.core.worker import WorkerError
from datasets_build.decoders import lanes
from datasets_build.decoders.lanes import Lane, Lanes, StartError
from tests.decoders.fake import not_installed, pid_of, ready

# Outlasts whatever a busy machine does; no test waits this long.
PATIENCE_S = 300


@pytest.fixture
def lane():
    made = Lane(ready, {"LANE": "yes"})
    yield made
    made.close()


def environment(name):
    return os.environ.get(name)


def hang():
    ctypes.CDLL(None).sleep(600)


def segfault():
    ctypes.string_at(0)


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def test_calls_share_one_child_that_is_not_this_process(lane):
    first = lane.call(PATIENCE_S, pid_of)
    assert lane.call(PATIENCE_S, pid_of) == first == lane.pid != os.getpid()
    assert lane.call(PATIENCE_S, environment, "LANE") == "yes"


def test_a_hang_costs_the_child_and_the_next_call_works(lane):
    first = lane.call(PATIENCE_S, pid_of)
    with pytest.raises(WorkerError) as caught:
        lane.call(0.3, hang)
    assert caught.value.kind == "deadline"
    assert not psutil.pid_exists(first)
    assert lane.call(PATIENCE_S, pid_of) != first


def test_a_crash_costs_the_child_and_the_next_call_works(lane):
    with pytest.raises(WorkerError) as caught:
        lane.call(PATIENCE_S, segfault)
    assert caught.value.kind == "crashed"
    assert "SIGSEGV" in caught.value.detail
    assert lane.call(PATIENCE_S, pid_of) == lane.pid


def test_a_library_that_is_missing_is_told_apart_from_a_file_that_is_bad():
    lane = Lane(not_installed, {})
    with pytest.raises(StartError, match="No module named 'fake'"):
        lane.call(PATIENCE_S, pid_of)
    assert lane.pid is None
    lane.close()


def test_children_are_recycled(lane, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_CALLS", 3)
    pids = [lane.call(PATIENCE_S, pid_of) for _ in range(7)]
    assert [len({*pids[:3]}), len({*pids[3:6]})] == [1, 1]
    assert len(set(pids)) == 3


def test_the_child_outlives_the_thread_that_first_asked(lane):
    # The kernel kills a worker with the thread that started it: a short-lived one must not be that thread.
    seen = []
    thread = threading.Thread(target=lambda: seen.append(lane.call(PATIENCE_S, pid_of)))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert lane.call(PATIENCE_S, pid_of) == seen[0]


def test_threads_take_turns(lane):
    lane.call(PATIENCE_S, pid_of)
    results = []
    threads = [threading.Thread(target=lambda: results.append(lane.call(PATIENCE_S, nap, 0.05))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 5
    assert len(set(results)) == 1


def test_waiting_for_a_turn_is_not_counted_as_hanging(lane):
    lane.call(PATIENCE_S, pid_of)
    # On a busy machine a short deadline may pass by itself; if waiting counted, no deadline here would be long enough.
    for deadline_s in (0.5, 5.0, 50.0):
        slow = threading.Thread(target=lane.call, args=(PATIENCE_S, nap, 2 * deadline_s))
        slow.start()
        time.sleep(0.1)
        with contextlib.suppress(WorkerError):
            assert lane.call(deadline_s, pid_of) == lane.pid
            break
        slow.join()
    else:
        pytest.fail("a call that waited for its turn was taken for one that hangs")
    slow.join()


def test_a_lane_is_made_once_per_name_and_ends_with_all():
    own = Lanes()
    one = own.get("a", lambda: Lane(ready, {}))
    assert own.get("a", lambda: Lane(not_installed, {})) is one
    other = own.get("b", lambda: Lane(ready, {}))
    pids = [one.call(PATIENCE_S, pid_of), other.call(PATIENCE_S, pid_of)]
    own.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    again = own.get("a", lambda: Lane(ready, {}))
    assert again.call(PATIENCE_S, pid_of) not in pids
    own.close()


SHARED = Lanes()


def _ask_shared(out):
    out.put(SHARED.get("fork", lambda: Lane(ready, {})).call(PATIENCE_S, pid_of))
    SHARED.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_starts_its_own_and_leaves_the_parents_alone():
    mine = SHARED.get("fork", lambda: Lane(ready, {})).call(PATIENCE_S, pid_of)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=_ask_shared, args=(answers,)) for _ in range(2)]
    for child in children:
        child.start()
    theirs = [answers.get(timeout=PATIENCE_S) for _ in children]
    for child in children:
        child.join(PATIENCE_S)
        assert child.exitcode == 0
    assert len({mine, *theirs}) == 3
    assert SHARED.get("fork", lambda: Lane(not_installed, {})).call(PATIENCE_S, pid_of) == mine
    SHARED.close()
