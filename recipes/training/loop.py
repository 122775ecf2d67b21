"""The loop of a stage: resume, take steps, save, and end where it should or was asked to."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, broadcast_object_list, gather_object

from recipes.errors import CheckpointError
from recipes.settings import RunConfig, StageConfig, StageName
from recipes.training import checkpoint
from recipes.training.cursor import Cursor, Feed
from recipes.training.flops import FlopsModel
from recipes.training.logs import Journal, Noted
from recipes.training.modules import parameter_groups, shares
from recipes.training.objective import Objective
from recipes.training.peak import peak_of
from recipes.training.random_state import random_state, restore_random_state, seed_all
from recipes.training.schedule import rate_share, set_rates
from recipes.training.step import References, Running, gather_sources, take_step
from recipes.training.stop import Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which stage of which run trains, and where.

    Attributes:
        stage: its name.
        config: the stage's settings.
        settings: all of the run's, by full path, for checkpoints.
        folder: of the stage: checkpoints, curves and package.
        seed: of all that is random.
        peak_tflops: of each device; 0 takes it from a data sheet or measures it (`peak_of`).
    """

    stage: StageName
    config: StageConfig
    settings: Mapping[str, str]
    folder: Path
    seed: int
    peak_tflops: float

    @classmethod
    def of(cls, run: RunConfig, stage: StageName) -> Job:
        """The job of a stage of a run."""
        return cls(
            stage=stage,
            config=run.stage(stage),
            settings=checkpoint.settings_of(run),
            folder=Path(run.out) / stage,
            seed=run.seed,
            peak_tflops=run.peak_tflops,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a stage ended: after which step, and whether it was asked to stop before its last one."""

    step: int
    stopped: bool


def make_accelerator() -> Accelerator:
    """Accelerate as its launcher or torchrun set it up: a CPU where there is no GPU."""
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[ddp])
    deepspeed = accelerator.state.deepspeed_plugin
    if deepspeed is not None:
        # It asks for what only a loader of accelerate's would tell it.
        deepspeed.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
    return accelerator


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether weights and the optimizer's state are spread over processes."""
    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def set_up(accelerator: Accelerator, objective: Objective, job: Job) -> Running:
    """Model and optimizer as accelerate wants them; says what trains."""
    seed_all(job.seed + accelerator.process_index)
    learner, config = objective.learner, job.config
    flops = FlopsModel(objective)
    if accelerator.is_main_process:
        for share in shares(learner.model, config.modules):
            log.info("%s", share)
    optim = config.optim
    optimizer = torch.optim.AdamW(
        parameter_groups(learner.model, config.modules, optim), betas=(optim.beta1, optim.beta2), eps=optim.eps
    )
    model, wrapped = accelerator.prepare(objective.train(), optimizer)
    return Running(
        accelerator=accelerator, objective=objective, model=model, optimizer=wrapped, clip=optim.clip, flops=flops
    )


def train(running: Running, feed: Feed, job: Job, *, stop: Stop, began: str) -> Ended:
    """Trains a stage from its newest checkpoint, or from its beginning, to its last step.

    Args:
        running: of `set_up`.
        feed: the data side.
        job: the stage.
        stop: whether somebody asked to stop; then the step that runs is finished and saved.
        began: fingerprint of the weights that the stage begins with (`checkpoint.begin_digest`), taken before `set_up`.

    Raises:
        DivergedError: a loss is not finite; the last checkpoint stays.
        CheckpointError: the newest checkpoint belongs to another run.
    """
    accelerator, config = running.accelerator, job.config
    step, cursor = resume(running, job, began=began)
    if step >= config.steps:
        return Ended(step=step, stopped=False)
    peak = peak_of(accelerator.device, _compute_dtype(running), configured=job.peak_tflops)
    if accelerator.is_main_process:
        log.info("peak of a device: %.3g TFLOP/s, %s", peak.flops / 1e12, peak.source)
    every = peak.times(accelerator.num_processes)
    journal = Journal(job.folder, steps=config.steps, every=config.log_every, peak=every)
    if not accelerator.is_main_process:
        return _steps(running, feed, job, journal=None, begin=_Begin(step=step, cursor=cursor, began=began), stop=stop)
    with journal.opened(step, f"stage {job.stage}"):
        return _steps(
            running, feed, job, journal=journal, begin=_Begin(step=step, cursor=cursor, began=began), stop=stop
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begin:
    step: int
    cursor: Cursor
    began: str


def _steps(running: Running, feed: Feed, job: Job, *, journal: Journal | None, begin: _Begin, stop: Stop) -> Ended:
    config, step = job.config, begin.step
    waiting = time.monotonic()
    for fed in feed.steps(begin.cursor):
        waited = time.monotonic() - waiting
        rates = set_rates(running.optimizer, rate_share(step, config.steps, config.optim), config.modules)
        taken = take_step(running, fed.batches, step=step, stop=bool(stop))
        step += 1
        due = step % config.log_every == 0 or step == config.steps
        sources = gather_sources(running.accelerator, taken.sources) if due else {}
        skipped = len(whole_cursor(running.accelerator, fed.cursor).skipped) if due else 0
        if journal is not None:
            noted = Noted(step=step, taken=taken, rates=rates, sources=sources, skipped=skipped)
            journal.note(noted, waited_s=waited)
        if step % config.save_every == 0 or step == config.steps or taken.stop:
            if journal is not None:
                journal.flush()
            save(running, job, step=step, cursor=whole_cursor(running.accelerator, fed.cursor), began=begin.began)
        if step == config.steps or taken.stop:
            return Ended(step=step, stopped=taken.stop and step < config.steps)
        waiting = time.monotonic()
    raise CheckpointError(f"stage {job.stage}: the data ended after step {step} of {config.steps}")


def whole_cursor(accelerator: Accelerator, cursor: Cursor) -> Cursor:
    """The cursor with what any process has skipped."""
    if accelerator.num_processes == 1:
        return cursor
    skipped = {key for part in gather_object([list(cursor.skipped)]) for key in part}
    return Cursor(epoch=cursor.epoch, step=cursor.step, skipped=tuple(sorted(skipped)))


def _compute_dtype(running: Running) -> torch.dtype:
    if running.accelerator.mixed_precision == "bf16":
        return torch.bfloat16
    return running.objective.learner.backbone.dtype


def save(running: Running, job: Job, *, step: int, cursor: Cursor, began: str) -> None:
    """Writes a checkpoint; all processes call it, and it appears when it is whole."""
    accelerator = running.accelerator
    states = gather_object([random_state()]) if accelerator.num_processes > 1 else [random_state()]
    if accelerator.is_main_process:
        checkpoint.begin(job.folder, step)
    accelerator.wait_for_everyone()
    aside = checkpoint.part_of(job.folder, step)
    sharded = is_sharded(accelerator)
    if sharded:
        accelerator.save_state(str(aside / checkpoint.SHARDS))
    elif accelerator.is_main_process:
        checkpoint.write_weights(aside, running.objective.learner.model, running.optimizer)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        checkpoint.write_random(aside, states)
        saved = checkpoint.Saved(
            stage=job.stage,
            step=step,
            cursor=cursor,
            settings=job.settings,
            began=began,
            processes=accelerator.num_processes,
            sharded=sharded,
            files={},
        )
        checkpoint.publish(aside, saved, keep=job.config.keep)
    accelerator.wait_for_everyone()


def resume(running: Running, job: Job, *, began: str) -> tuple[int, Cursor]:
    """Goes back to the newest checkpoint that is whole: the step after it, and where the data stands.

    Raises:
        CheckpointError: it belongs to another run, architecture or way of sharding.
    """
    accelerator = running.accelerator
    found = [checkpoint.newest(job.folder)]
    if accelerator.num_processes > 1:
        # One process looks, so that all go on from the same one.
        found = broadcast_object_list(found)
    if found[0] is None:
        return 0, Cursor()
    path, saved = found[0]
    changed = checkpoint.check_same(saved, path, settings=job.settings, began=began, stage=job.stage)
    if saved.sharded != is_sharded(accelerator) or (saved.sharded and saved.processes != accelerator.num_processes):
        here = f"{accelerator.num_processes} processes {'with' if is_sharded(accelerator) else 'without'} shards"
        there = f"{saved.processes} processes {'with' if saved.sharded else 'without'} shards"
        raise CheckpointError(f"{path}: was saved by {there}, expected {here}; go on with the same accelerate config")
    if saved.sharded:
        accelerator.load_state(str(path / checkpoint.SHARDS))
    else:
        checkpoint.put_weights(path, running.objective.learner.model)
        checkpoint.put_optimizer(path, running.optimizer)
    state = checkpoint.read_random(path, accelerator.process_index)
    if state is not None:
        restore_random_state(state)
    if accelerator.is_main_process:
        log.info("goes on from %s, step %d%s", path, saved.step, f"; changed: {'; '.join(changed)}" if changed else "")
    return saved.step, saved.cursor


def with_references(running: Running, references: References | None) -> Running:
    """The same with reference scores."""
    return Running(
        accelerator=running.accelerator,
        objective=running.objective,
        model=running.model,
        optimizer=running.optimizer,
        clip=running.clip,
        flops=running.flops,
        references=references,
    )
