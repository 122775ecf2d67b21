import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipes.errors import CheckpointError, DivergedError
from recipes.training.checkpoint import checkpoints, newest
from recipes.training.logs import CURVES
from recipes.training.stop import Stop
from tests.recipes.training.feeds import ADAPTED, config_of, curves_of, replace_steps, run, stopping_at
from tests.recipes.training.small import objective_of

ROOT = Path(__file__).resolve().parents[3]
STEPS = 7


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its configuration, the digest of its weights, and its curves."""
    config = config_of(tmp_path_factory.mktemp("whole"), steps=STEPS)
    ended, digest, _ = run(config)
    assert (ended.step, ended.stopped) == (STEPS, False)
    return config, digest, curves_of(config)


@pytest.mark.parametrize(
    "at", [pytest.param(at, marks=[pytest.mark.slow] * (at not in (1, 4))) for at in (0, 1, 3, 4, 5)]
)
def test_a_stopped_run_goes_on_to_the_same_weights_and_curves(whole, tmp_path, at):
    _, digest, curves = whole
    config = config_of(tmp_path, steps=STEPS)
    stop = Stop()
    ended, early, _ = run(config, hook=stopping_at(at, stop), stop=stop)
    assert (ended.step, ended.stopped) == (at + 1, True)
    assert early != digest
    ended, late, _ = run(config)
    assert (ended.step, ended.stopped) == (STEPS, False)
    assert late == digest
    assert curves_of(config) == curves


def test_a_killed_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    _, digest, curves = whole
    config = config_of(tmp_path, steps=STEPS)

    def killed(step):
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, hook=killed)
    # It had written lines behind its checkpoint, and the power went off in the middle of one.
    path = tmp_path / "align" / CURVES
    assert [line["step"] for line in curves_of(config)] == [1, 2, 3, 4, 5, 6]
    with path.open("a") as file:
        file.write('{"step": 7, "lo')
    assert newest(tmp_path / "align")[1].step == 4
    assert run(config)[1] == digest
    assert curves_of(config) == curves


def test_a_finished_stage_is_not_trained_again(whole):
    config, digest, curves = whole

    def never(step):
        raise AssertionError("asked for data")

    ended, again, _ = run(config, hook=never)
    assert (ended.step, again) == (STEPS, digest)
    assert curves_of(config) == curves


def test_curves_tell_each_loss_source_and_state(whole):
    _, _, curves = whole
    assert [line["step"] for line in curves] == list(range(1, STEPS + 1))
    names = {name for line in curves for name in line["losses"]}
    assert names >= {
        "answer",
        "decision",
        "consistency.decisions",
        "consistency.tokens",
        "latency.survival",
        "interaction",
    }
    assert {source for line in curves for source in line["sources"]} == {"captions", "realtime"}
    assert {state for line in curves for state in line["decisions"]} == {"silence", "standby", "respond"}
    assert curves[0]["lr"].keys() == {"vision", "merger", "language"}
    assert curves[-1]["loss"] < curves[0]["loss"]
    assert [line["skipped"] for line in curves] == [0, 0, 1, 1, 1, 2, 2]


def test_what_is_frozen_stays_and_adapters_resume(tmp_path):
    config = config_of(tmp_path, steps=3, modules=ADAPTED)
    stop = Stop()
    run(config, hook=stopping_at(1, stop), stop=stop)
    _, late, objective = run(config)
    _, once, began = run(config_of(tmp_path / "once", steps=3, modules=ADAPTED))
    assert late == once
    kept = {name for name, weight in objective.named_parameters() if not weight.requires_grad}
    fresh = dict(began.named_parameters())
    assert all(torch.equal(fresh[name], weight) for name, weight in objective.named_parameters() if name in kept)
    assert any("lora_B" in name and weight.abs().sum() > 0 for name, weight in objective.named_parameters())


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_its_checkpoint(tmp_path, where):
    config = config_of(tmp_path, steps=STEPS, save_every=2)
    objective = objective_of(losses=config.align.losses, modules=config.align.modules)

    def spoil(step):
        if step == 3:
            with torch.no_grad():
                objective.learner.backbone.text.norm.weight.fill_(float("nan") if where == "loss" else 1e30)

    with pytest.raises(DivergedError, match=r"step 4: the loss is .* on the batch of (\w+[, /]*)+"):
        run(config, hook=spoil, objective=objective)
    assert [path.name for path in checkpoints(tmp_path / "align")] == ["checkpoint-000002"]
    assert [line["step"] for line in curves_of(config)] == [1, 2, 3]


def test_more_steps_go_on_and_another_rate_is_refused(whole, tmp_path):
    config = config_of(tmp_path, steps=2)
    run(config)
    assert run(replace_steps(config, 3))[0].step == 3
    other = config.align.model_copy(update={"optim": config.align.optim.model_copy(update={"clip": 0.5})})
    with pytest.raises(CheckpointError, match=r"align\.optim\.clip: 1\.0 → 0\.5"):
        run(config.model_copy(update={"align": other}))


def test_another_model_is_refused(tmp_path):
    config = config_of(tmp_path, steps=1, modules=ADAPTED)
    run(config)
    with pytest.raises(CheckpointError, match="the model or the data that the stage began with has changed"):
        run(config, seed=6)


def processes(out, steps, at):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    command += [str(ROOT / "tests/recipes/training/feeds.py"), str(out), str(steps), str(at)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_processes_train_as_one_and_resume_bit_for_bit(whole, tmp_path):
    _, _, curves = whole
    plain = processes(tmp_path / "plain", STEPS, -1)
    assert (plain["step"], plain["stopped"]) == (STEPS, False)
    two = curves_of(config_of(tmp_path / "plain", steps=STEPS))
    for one, other in zip(curves, two, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["losses"] == pytest.approx(one["losses"], rel=1e-4)
        assert other["sources"] == pytest.approx(one["sources"], rel=1e-5)
        assert other["decisions"].keys() == one["decisions"].keys()
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
        assert (other["tokens"], other["supervised"]) == (one["tokens"], one["supervised"])
    for at in (0, 1, 3, 4, 5):
        out = tmp_path / f"at{at}"
        stopped = processes(out, STEPS, at)
        # The first step is fetched before the signal is there in both, later ones while the step before it runs.
        assert (stopped["step"], stopped["stopped"]) == (at + 1, True)
        assert processes(out, STEPS, -1) == plain
        assert curves_of(config_of(out, steps=STEPS)) == two
        shutil.rmtree(out)
