import os

import psutil
import pytest

from datasets_build.engines import local
from datasets_build.engines.local import Local
from datasets_build.run import open_engine
from tests.engines.calls import FATES, PATIENCE_S, disk, fate, fates, longer, many, nothing


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_past_crashes_hangs_and_errors(workers):
    assert fates(Local(workers)) == [
        ["crash-1", ["crashed", "the process ended with SIGSEGV: last words"]],
        ["hang-1", ["deadline", "no result within 1 s"]],
        ["large-1", "1000000 bytes"],
        ["ok-1", 2],
        ["ok-2", 2],
        ["ok-3", 2],
        ["raise-1", ["raised", "KeyError: 'x'"]],
        ["refuse-1", ["raised", "a.mp4: not a video"]],
    ]
    assert len(FATES) == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_begin_than_there_are_workers(workers):
    assert many(Local(workers)) == [workers, [2 * item for item in range(60)]]


def test_an_item_may_have_a_longer_deadline():
    assert longer(Local(1)) == [1.0]


def test_nothing_to_do_is_nothing():
    assert nothing(Local(2)) == []


def test_a_full_disk_is_nobodys_fault_but_stops_the_run():
    assert disk(Local(1)) == "No space left on device"


def test_leaving_early_kills_the_workers():
    # Tests before this one may have left children of their own, as decoders that stay open.
    others = psutil.Process().children()
    run = Local(2).run_each(fate, ["ok-1", "hang-1"], deadline_s=PATIENCE_S)
    next(run)
    children = [child for child in psutil.Process().children() if child not in others]
    assert len(children) == 2
    run.close()
    assert not any(child.is_running() for child in children)


def test_an_opened_engine_keeps_its_workers_from_call_to_call_and_ends_them(tmp_path):
    others = psutil.Process().children()

    def ours():
        return {child.pid for child in psutil.Process().children() if child not in others}

    with open_engine("local", tmp_path, 2) as engine:
        pids = []
        for items in (["ok-1", "ok-2"], ["ok-3"], ["ok-1", "ok-2"]):
            assert [outcome.value for outcome in engine.run_each(fate, items, deadline_s=PATIENCE_S)] == [2] * len(
                items
            )
            pids.append(ours())
        assert len(pids[0]) == 2
        assert pids[0] == pids[1] == pids[2]
        # Whoever dies or hangs is gone; its place is taken, and what another call left busy is not given away.
        (crashed,) = engine.run_each(fate, ["crash-1"], deadline_s=PATIENCE_S)
        assert crashed.error.kind == "crashed"
        run = engine.run_each(fate, ["ok-1", "hang-1"], deadline_s=PATIENCE_S)
        next(run)
        run.close()
        assert [outcome.value for outcome in engine.run_each(fate, ["ok-1", "ok-2"], deadline_s=PATIENCE_S)] == [2, 2]
        assert len(ours()) == 2
        left = ours()
    assert len(left) == 2
    assert ours() == set()


def test_a_worker_whose_result_was_not_taken_whole_is_not_handed_out_again(tmp_path, monkeypatch):
    taken, taking = [], local._outcome

    def interrupted(worker, item, deadline_s):
        taken.append(worker)
        if len(taken) == 1:
            raise KeyboardInterrupt
        return taking(worker, item, deadline_s)

    monkeypatch.setattr(local, "_outcome", interrupted)
    with open_engine("local", tmp_path, 1) as engine:
        with pytest.raises(KeyboardInterrupt):
            next(engine.run_each(fate, ["large-1"], deadline_s=PATIENCE_S))
        assert [outcome.value for outcome in engine.run_each(fate, ["ok-1"], deadline_s=PATIENCE_S)] == [2]
    assert taken[0] is not taken[1]
    assert [worker.pid for worker in taken] == [None, None]


def test_a_call_that_outlives_its_engine_leaves_no_worker(tmp_path):
    others = psutil.Process().children()
    with open_engine("local", tmp_path, 2) as engine:
        run = engine.run_each(fate, ["ok-1", "ok-2", "ok-3"], deadline_s=PATIENCE_S)
        next(run)
    # Its consumer failed, and something still holds the call: it ends when that is let go.
    run.close()
    assert [outcome.value for outcome in engine.run_each(fate, ["ok-1"], deadline_s=PATIENCE_S)] == [2]
    assert [child for child in psutil.Process().children() if child not in others] == []


def test_it_is_opened_by_name(tmp_path):
    with open_engine("local", tmp_path, 3) as engine:
        assert engine == Local(3)
        # Of files that are not there no worker of this machine need know.
        engine.require([tmp_path / "gone"])
    with open_engine("local", tmp_path) as engine:
        assert engine == Local(min(8, os.cpu_count()))
    assert list(tmp_path.iterdir()) == []


def test_a_worker_is_a_core_and_what_is_most_of_the_work_has_more():
    two = Local(2)
    assert [two.cores(share) for share in (0.0, 0.1, 0.5, 0.9, 1.0)] == [1, 1, 1, 2, 2]
    assert [Local(1).cores(share) for share in (0.1, 1.0)] == [1, 1]
    assert Local(8).cores(0.25) == 2
