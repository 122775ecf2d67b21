"""A stage on datasets that were really built, with its own feed; as a program, one process of a run of several."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from recipes.losses.settings import ConsistencyLoss, InteractionLoss, LatencyLoss, Losses, Ramp
from recipes.settings import (
    DataConfig,
    InteractConfig,
    ModelConfig,
    ModuleConfig,
    ModulesConfig,
    OptimConfig,
    PackConfig,
    RunConfig,
    StreamConfig,
)
from recipes.training import checkpoint
from recipes.training.loop import Job, set_up, train, with_references
from recipes.training.material import StageFeed, make_trainee, open_base, open_corpus, write_examples
from recipes.training.reference import reference_scores
from recipes.training.stop import Stop
from tests.recipes.data.lessons import build, drawn_scene
from tests.recipes.training.feeds import curves_of, fresh_accelerator
from tests.recipes.training.small import MADE

STEPS = 12
FULL, ADAPTED, FROZEN = ModuleConfig(train="full", lr=2e-3), ModuleConfig(train="lora", lr=5e-3), ModuleConfig()
# So large a share of the keys of attention is dropped that a step without its own random state shows.
DROPOUT = 0.2


def make_lessons(out: Path) -> Path:
    """Two short videos with all datasets about them, and a third that breaks off in the middle of its data."""
    # Films that hold something for every loss, such as an answer that may as well come a grid later.
    scenes = [drawn_scene(out / "videos", f"film-{k}", frames=100 - 10 * k, seed=k + 30) for k in range(3)]
    broken = out / "videos" / scenes[2].video.uri
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * (len(whole) // 3) :])
    return build(out, scenes)


def config_of(out, lessons, *, steps=STEPS) -> RunConfig:
    """Both stages begin with a model from nothing; their epochs are shorter than the stage."""
    common = {"steps": steps, "begin_with": "base", "save_every": 5, "keep": 20, "log_every": 1}
    common |= {"optim": OptimConfig(schedule="cosine", warmup=0.3, weight_decay=0.01)}
    stream = StreamConfig(
        **common,
        modules=ModulesConfig(vision=ADAPTED, merger=FULL, language=ADAPTED, head=FULL, lora_rank=2),
        mix={"sliding_window": 1.0, "incremental": 1.0, "realtime": 1.5, "frame_events": 0.5},
        # Neighbouring decisions have to agree, so all of them are learned.
        idle=1.0,
        pack=PackConfig(tokens=700, rows=3, micro=2),
        losses=Losses(
            consistency=ConsistencyLoss(features=0.05, tau=2.0, ramp=Ramp(begin=1, end=9)),
            latency=LatencyLoss(form="survival", delay=0.2, ramp=Ramp(end=8)),
        ),
        window_s=2.0,
        overlap_s=1.0,
        carry_s=1.0,
        twins=1.0,
    )
    # The tower does not learn, so that what it makes is kept beside the run and read again by the run that goes on.
    interact = InteractConfig(
        **common,
        modules=ModulesConfig(vision=FROZEN, merger=FROZEN, language=FULL, head=FULL),
        pack=PackConfig(tokens=450, rows=2, micro=1),
        losses=Losses(interaction=InteractionLoss(weight=0.5, ramp=Ramp(end=6))),
        window_s=4.0,
    )
    data = DataConfig(folders=(str(lessons),), max_pixels=784, min_pixels=784, max_skipped=1.0)
    model = ModelConfig(made=MADE)
    return RunConfig(out=str(out), seed=3, peak_tflops=0.01, model=model, data=data, stream=stream, interact=interact)


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """The feed of a stage: while the data of a step is fetched, the process is asked to stop, or dies."""

    feed: StageFeed
    stop: Stop
    stop_at: int | None
    die_at: int | None

    def steps(self, cursor):
        for number, fed in enumerate(self.feed.steps(cursor), cursor.step):
            if number == self.die_at:
                raise KeyboardInterrupt
            if number == self.stop_at:
                self.stop.signal = signal.SIGTERM
            yield fed


def run(config, stage, *, stop_at=None, die_at=None, dropout=DROPOUT):
    """What the script of a stage does, up to its package: how it ended, and its feed."""
    accelerator = fresh_accelerator()
    corpus = open_corpus(config, stage)
    base = open_base(config, stage, corpus)
    mix = write_examples(config, stage, corpus, base)
    trainee = make_trainee(config, stage, base, mix.counts)
    for layer in trainee.objective.learner.backbone.text.layers:
        layer.self_attn.attention_dropout = dropout
    job, stop = Job.of(config, stage), Stop()
    feed = StageFeed(config, stage, mix, corpus, trainee, accelerator=accelerator)
    running = set_up(accelerator, trainee.objective, job)
    if config.stage(stage).losses.interaction.weight > 0:
        running = with_references(running, reference_scores(running, feed.pairs(), job, began=trainee.began))
    interrupted = Interrupted(feed=feed, stop=stop, stop_at=stop_at, die_at=die_at)
    return train(running, interrupted, job, stop=stop, began=trainee.began), feed


def left_by(config, stage):
    """All that a finished stage leaves, in bits: weights, optimizer, random states, cursor and curves."""
    folder, steps = Path(config.out) / stage, config.stage(stage).steps
    last = checkpoint.folder_of(folder, steps)
    saved = checkpoint.read_saved(last)
    tensors = [torch.load(last / name, weights_only=True) for name in (checkpoint.OPTIMIZER, checkpoint.RANDOM)]
    return {
        "weights": (last / checkpoint.WEIGHTS).read_bytes(),
        "optimizer": bits(tensors[0]),
        "random": bits(tensors[1]),
        "cursor": saved.cursor,
        "processes": saved.processes,
        "curves": curves_of(config, stage),
    }


def bits(value):
    """The same with tensors as their type, shape and bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(part) for name, part in value.items()}
    return [bits(part) for part in value] if isinstance(value, list | tuple) else value


def main():
    """`staged.py LESSONS STAGE OUT:STOP_AT:DROPOUT…`: runs one behind the other; STOP_AT below 0 never stops.

    Prints how each ended.
    """
    torch.set_num_threads(1)
    lessons, stage, *runs = sys.argv[1:]
    told = []
    for words in runs:
        out, at, dropout = words.split(":")
        # One process is asked, and all stop.
        asked = int(at) >= 0 and int(os.environ.get("RANK", "0")) == 1
        ended, _ = run(config_of(out, lessons), stage, stop_at=int(at) if asked else None, dropout=float(dropout))
        told.append((ended.step, ended.stopped))
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
