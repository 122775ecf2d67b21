"""A stage on built datasets that is stopped or killed goes on to the very bits of one that never was."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipes.data.feed import Feed as StepFeed
from recipes.data.feed import Share, Stock
from recipes.errors import SkipLimitError
from recipes.training import checkpoint
from tests.recipes.training.feeds import curves_of
from tests.recipes.training.staged import DROPOUT, STEPS, config_of, left_by, make_lessons, run

ROOT = Path(__file__).resolve().parents[3]
BOTH = pytest.mark.parametrize("stage", ["stream", "interact"])
# What has to be part of some step, so that the state of a run is all that it can be.
TERMS = {
    "stream": {"answer", "decision", "consistency.decisions", "consistency.tokens", "consistency.features"}
    | {"latency.survival", "latency.delay"},
    "interact": {"answer", "decision", "interaction"},
}
SOURCES = {
    "stream": {"sliding_window", "incremental", "realtime", "frame_events"},
    "interact": {"dialogue", "preference"},
}


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    return make_lessons(tmp_path_factory.mktemp("lessons") / "out")


@pytest.fixture(scope="module")
def whole_of(lessons, tmp_path_factory):
    """What an uninterrupted run of a stage leaves, and its feed; each made once."""
    made = {}

    def whole(stage):
        if stage not in made:
            config = config_of(tmp_path_factory.mktemp(stage), lessons)
            ended, feed = run(config, stage)
            assert (ended.step, ended.stopped) == (STEPS, False)
            made[stage] = left_by(config, stage), feed
        return made[stage]

    return whole


def stops_of(plan, stage):
    """Five steps by chance behind which a run stops: three inside an epoch, two with which an epoch ends."""
    chance = random.Random(stage)
    ends = [step for step in range(STEPS - 1) if plan.cursor(step + 1).epoch > plan.cursor(step).epoch]
    inside = [step for step in range(STEPS - 1) if step not in ends]
    return sorted(chance.sample(ends, 2) + chance.sample(inside, 3))


@pytest.mark.parametrize(("stage", "stops"), [("stream", (1,)), ("interact", (1, 3))])
def test_a_run_that_stops_ends_as_one_that_never_did(lessons, tmp_path, stage, stops):
    once, late = (config_of(tmp_path / name, lessons, steps=stops[-1] + 2) for name in ("once", "late"))
    _, feed = run(once, stage)
    if stage == "interact":
        # It dies behind the scores of its reference, which are there when it begins again.
        with pytest.raises(KeyboardInterrupt):
            run(late, stage, die_at=0)
    for at in stops:
        ended, _ = run(late, stage, stop_at=at)
        assert (ended.step, ended.stopped) == (at + 1, True)
    # Behind the second step data is inside the first epoch, behind the fourth inside the next.
    assert [feed.plan.cursor(step).epoch for step in (0, 2, 4)] == [0, 0, 1]
    run(late, stage)
    assert left_by(late, stage) == left_by(once, stage)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("draw", range(5))
def test_wherever_a_run_stops_it_ends_as_one_that_never_did(whole_of, lessons, tmp_path, stage, draw):
    left, feed = whole_of(stage)
    at = stops_of(feed.plan, stage)[draw]
    config = config_of(tmp_path, lessons)
    ended, _ = run(config, stage, stop_at=at)
    assert (ended.step, ended.stopped) == (at + 1, True)
    assert [line["step"] for line in curves_of(config, stage)] == list(range(1, at + 2))
    run(config, stage)
    assert left_by(config, stage) == left


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("at", [0, 3, 8])
def test_a_killed_run_ends_as_one_that_was_not(whole_of, lessons, tmp_path, stage, at):
    left, _ = whole_of(stage)
    config = config_of(tmp_path, lessons)
    with pytest.raises(KeyboardInterrupt):
        run(config, stage, die_at=at)
    found = checkpoint.newest(tmp_path / stage)
    assert (found[1].step if found else 0) == at // 5 * 5
    run(config, stage)
    assert left_by(config, stage) == left


@pytest.mark.slow
@BOTH
def test_the_run_holds_all_that_a_checkpoint_has_to_keep(whole_of, stage):
    left, feed = whole_of(stage)
    lines = left["curves"]
    assert {name for line in lines for name in line["losses"]} == TERMS[stage]
    assert {name for line in lines for name in line["sources"]} == SOURCES[stage]
    skipped = [line["skipped"] for line in lines]
    assert skipped == sorted(skipped)
    assert skipped[-1] > skipped[0]
    assert left["cursor"].epoch >= 3
    stops = stops_of(feed.plan, stage)
    assert len(set(stops)) == 5
    assert all(line["loss"] == line["loss"] for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "ends"), [(0.34, False), (0.32, True)])
def test_two_processes_may_skip_as_much_as_one(whole_of, share, ends):
    left, feed = whole_of("interact")
    examples, bad, ended = feed._mix.examples, left["cursor"].skipped, 0
    assert (len(examples), len(bad)) == (6, 2)
    for rank in range(2):
        mine = Share(rank=rank, world=2)
        stock = Stock(examples=examples, plan=feed.plan, sightings=feed.sightings, how=feed.format)
        with StepFeed(stock, share=mine, workers=0, max_skipped=share, skipped=bad) as steps:
            try:
                assert len(list(steps.steps(0, STEPS))) == STEPS
            except SkipLimitError:
                ended += 1
    assert bool(ended) == ends


def spoil_random(path):
    states = torch.load(path / checkpoint.RANDOM, weights_only=True)
    states[0]["torch"] = torch.Generator().manual_seed(99).get_state()
    torch.save(states, path / checkpoint.RANDOM)


def spoil_optimizer(path):
    state = torch.load(path / checkpoint.OPTIMIZER, weights_only=True)
    state["state"][0]["exp_avg"] *= 1.01
    torch.save(state, path / checkpoint.OPTIMIZER)


def spoil_cursor(path):
    content = json.loads((path / checkpoint.STATE).read_text())
    content["cursor"]["step"] -= 1
    (path / checkpoint.STATE).write_text(json.dumps(content))


def spoil_skips(path):
    content = json.loads((path / checkpoint.STATE).read_text())
    content["cursor"]["skipped"] = ["another"]
    (path / checkpoint.STATE).write_text(json.dumps(content))


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [spoil_random, spoil_optimizer, spoil_cursor, spoil_skips])
def test_a_part_of_the_state_that_is_not_given_back_is_seen(whole_of, lessons, tmp_path, spoil):
    left, _ = whole_of("interact")
    config = config_of(tmp_path, lessons)
    run(config, "interact", stop_at=6)
    path, saved = checkpoint.newest(tmp_path / "interact")
    spoil(path)
    assert checkpoint.newest(tmp_path / "interact")[1].step == saved.step == 7
    run(config, "interact")
    assert left_by(config, "interact") != left


def launched(lessons, stage, runs):
    """How runs in two processes under accelerate's launcher ended; each is a folder, a stop or -1, and a dropout."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(ROOT / "recipes" / "accelerate" / "cpu2.yaml"), "--main_process_port", "0"]
    command += ["--num_cpu_threads_per_process", "1", "--quiet", str(ROOT / "tests/recipes/training/staged.py")]
    command += [str(lessons), stage, *(f"{out}:{at}:{dropout}" for out, at, dropout in runs)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
@BOTH
def test_two_processes_go_on_bit_for_bit_and_have_the_losses_of_one(whole_of, lessons, tmp_path, stage):
    stops = stops_of(whole_of(stage)[1].plan, stage)
    plain = tmp_path / "plain"
    first = [(tmp_path / "once", -1, DROPOUT), (plain, -1, 0.0)]
    first += [(tmp_path / f"at{at}", at, DROPOUT) for at in stops]
    assert launched(lessons, stage, first) == [[STEPS, False]] * 2 + [[at + 1, True] for at in stops]
    # Other processes go on.
    assert launched(lessons, stage, [(tmp_path / f"at{at}", -1, DROPOUT) for at in stops]) == [[STEPS, False]] * 5
    left = left_by(config_of(tmp_path / "once", lessons), stage)
    assert left["processes"] == 2
    # Each process has random states of its own.
    assert left["random"][0]["torch"] != left["random"][1]["torch"]
    for at in stops:
        assert left_by(config_of(tmp_path / f"at{at}", lessons), stage) == left
    alone = config_of(tmp_path / "alone", lessons)
    run(alone, stage, dropout=0.0)
    same_losses(curves_of(alone, stage), curves_of(config_of(plain, lessons), stage))


def same_losses(one, two):
    """Of each step, to the error of sums in another order."""
    for here, there in zip(one, two, strict=True):
        for name in ("step", "tokens", "supervised", "skipped"):
            assert there[name] == here[name]
        for name in ("loss", "losses", "sources", "grad_norm"):
            # A divergence of two nearly equal distributions is a small difference of large numbers.
            assert there[name] == pytest.approx(here[name], rel=1e-3, abs=1e-6)
