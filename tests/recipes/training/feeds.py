"""A data side of hand-made examples, and a whole run with it; as a program, one process of a run of several."""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, GradientState

from recipes.losses.settings import ConsistencyLoss, InteractionLoss, LatencyLoss, Losses, Ramp
from recipes.settings import (
    AlignConfig,
    DataConfig,
    MadeConfig,
    ModelConfig,
    ModuleConfig,
    ModulesConfig,
    OptimConfig,
    RunConfig,
)
from recipes.training.checkpoint import begin_digest
from recipes.training.cursor import Cursor, Fed
from recipes.training.logs import TIMED, read_curves
from recipes.training.loop import Job, make_accelerator, set_up, train
from recipes.training.stop import Stop
from tests.recipes.training.small import batches_of, example, in_windows, objective_of, pair, with_twin

LOSSES = Losses(
    consistency=ConsistencyLoss(decisions=0.5, tokens=0.25, features=0.05, ramp=Ramp(end=4)),
    latency=LatencyLoss(form="survival", delay=0.2),
    interaction=InteractionLoss(weight=0.5),
)
FULL = ModuleConfig(train="full", lr=3e-3)
MODULES = ModulesConfig(vision=FULL, merger=FULL, language=FULL, head=ModuleConfig(train="frozen"))
ADAPTED = ModulesConfig(merger=FULL, language=ModuleConfig(train="lora", lr=1e-2), lora_rank=2)


class ToyFeed:
    """Four rows a step out of seven, two to a micro-batch; a process takes every n-th of them."""

    EPOCH = 3

    def __init__(self, *, process=0, processes=1, hook=None):
        self.process, self.processes, self.hook = process, processes, hook
        self.pool = [
            [example("a", grids=3)],
            [with_twin(example("b", video="u", grids=3))],
            list(pair("p", video="w")),
            [in_windows(example("c", video="x", grids=3))],
            [example("d", video="y", grids=2), example("e", video="y", grids=4)],
            [example("f", video="z", grids=4, states=("silence", "standby", "standby", "respond"))],
            [in_windows(example("g", video="s", grids=2))],
        ]

    def steps(self, cursor):
        epoch, step = cursor.epoch, cursor.step
        while True:
            if self.hook is not None:
                self.hook(epoch * self.EPOCH + step)
            order = torch.randperm(len(self.pool), generator=torch.Generator().manual_seed(97 * epoch + step))[:4]
            rows = [self.pool[k] for k in order.tolist()][self.process :: self.processes]
            batches = [batch for k in range(0, len(rows), 2) for batch in batches_of(rows[k : k + 2])]
            step += 1
            if step == self.EPOCH:
                epoch, step = epoch + 1, 0
            skipped = tuple(f"bad{k}" for k in range(epoch))
            yield Fed(batches=tuple(batches), cursor=Cursor(epoch=epoch, step=step, skipped=skipped))


def config_of(out, *, steps=9, modules=MODULES, **more):
    stage = AlignConfig(
        steps=steps,
        modules=modules,
        losses=LOSSES,
        optim=OptimConfig(schedule="cosine", warmup=0.2, weight_decay=0.01),
        save_every=4,
        keep=2,
        log_every=1,
    )
    return RunConfig(
        out=str(out),
        seed=3,
        peak_tflops=0.01,
        model=ModelConfig(made=MadeConfig()),
        data=DataConfig(folders=("none",)),
        align=stage.model_copy(update=more),
    )


def fresh_accelerator() -> Accelerator:
    """As at the start of a program: a process keeps what it knows of others in class attributes."""
    if PartialState().num_processes == 1:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
    return make_accelerator()


def run(config, *, hook=None, stop=None, seed=5, objective=None):
    """One run, or what is left of it: how it ended, the digest of its weights, and its objective."""
    accelerator = fresh_accelerator()
    if objective is None:
        objective = objective_of(losses=config.align.losses, modules=config.align.modules, seed=seed)
    began = begin_digest(objective.learner.model)
    job = Job.of(config, "align")
    running = set_up(accelerator, objective, job)
    feed = ToyFeed(process=accelerator.process_index, processes=accelerator.num_processes, hook=hook)
    ended = train(running, feed, job, stop=Stop() if stop is None else stop, began=began)
    return ended, digest_of(objective), objective


def digest_of(objective):
    digest = hashlib.sha256()
    for name, weight in objective.learner.model.named_parameters():
        digest.update(name.encode() + weight.detach().numpy().tobytes())
    return digest.hexdigest()


def curves_of(config, stage="align"):
    """All that no clock decides."""
    lines = read_curves(Path(config.out) / stage)
    return [{name: value for name, value in line.items() if name not in TIMED} for line in lines]


def stopping_at(step, stop):
    """A hook that asks to stop while the data of a step is fetched."""

    def hook(at):
        if at == step:
            stop.signal = signal.SIGTERM

    return hook


def main():
    """`feeds.py OUT STEPS STOP_AT`: prints how it ended and the digest; STOP_AT below 0 never stops."""
    torch.set_num_threads(1)
    out, steps, at = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stop = Stop()
    asked = int(os.environ.get("RANK", "0")) == 1
    ended, digest, _ = run(
        replace_steps(config_of(out), steps), hook=stopping_at(at, stop) if asked else None, stop=stop
    )
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps({"step": ended.step, "stopped": ended.stopped, "digest": digest}))


def replace_steps(config, steps):
    return config.model_copy(update={"align": config.align.model_copy(update={"steps": steps})})


if __name__ == "__main__":
    main()
