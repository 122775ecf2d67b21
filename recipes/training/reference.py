"""Scores of the traces of all pairs under the model that a stage begins with: made once, kept with the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch import Tensor

from datasets_build.core.files import DataError, read_json, write_bytes
from recipes.data.batch import Batch
from recipes.errors import CheckpointError
from recipes.training.blank import blank_batch
from recipes.training.checkpoint import essential_digest
from recipes.training.loop import Job
from recipes.training.step import References, Running
from recipes.training.terms import documents_of

FILE = "reference.json"


def reference_scores(running: Running, batches: Iterable[Batch], job: Job, *, began: str) -> References:
    """Of each trace, (2,) mean log-probability of its decisions and of its words; from the folder where they are there.

    It must be called before a checkpoint is loaded. All processes call it, each with its share of the pairs.

    Args:
        running: the model with the weights that the stage begins with.
        batches: with the pairs of this process.
        job: the stage; scores of other settings are refused.
        began: fingerprint of those weights; scores of others are refused too.

    Raises:
        CheckpointError: the folder holds scores of another configuration, or they cannot be read.
    """
    path, digest = job.folder / FILE, f"{essential_digest(job.settings, job.stage)}/{began}"
    if path.exists():
        return _read(path, digest)
    # At the last step every ramp is over.
    mine = _score(running, list(batches), step=job.config.steps)
    shared = gather_object([mine]) if running.accelerator.num_processes > 1 else [mine]
    scores = {key: pair for part in shared for key, pair in part.items()}
    if running.accelerator.is_main_process:
        job.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps({"digest": digest, "scores": scores}, sort_keys=True).encode())
    running.accelerator.wait_for_everyone()
    return {key: torch.tensor(pair) for key, pair in scores.items()}


def _score(running: Running, batches: list[Batch], *, step: int) -> dict[str, list[float]]:
    accelerator = running.accelerator
    counts = gather_object([len(batches)]) if accelerator.num_processes > 1 else [len(batches)]
    scores: dict[str, list[float]] = {}
    # Without dropout: scores are facts, and making them must not move what is drawn by chance, nor must reading them.
    running.model.eval()
    for k in range(max(counts)):
        # A process that has fewer passes blanks: shards of weights travel only where all take part.
        batch = batches[k].to(accelerator.device) if k < len(batches) else blank_batch(accelerator.device)
        with torch.no_grad():
            _, found = running.model(batch, step)
        traces: Tensor = found.traces.cpu()
        scores |= dict(zip(documents_of(batch), traces.tolist(), strict=False))
    running.model.train()
    return scores


def _read(path: Path, digest: str) -> References:
    try:
        content = read_json(path)
    except DataError as error:
        raise CheckpointError(f"{error}; delete it, and it is made anew") from error
    scores = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(scores, dict):
        raise CheckpointError(f"{path}: holds no scores; delete it, and it is made anew")
    if content.get("digest") != digest:
        raise CheckpointError(
            f"{path}: was made with other settings or for another model; delete {path.parent} to begin the stage anew"
        )
    return {key: torch.tensor(pair) for key, pair in scores.items()}
