"""Does the longest step fit: it goes first, not at step 40,000."""

from __future__ import annotations

import resource

import torch

from recipes.data.batch import Batch
from recipes.training.objective import Objective
from recipes.verify.finding import Finding

_MIB = 2**20


def check_memory(objective: Objective, batch: Batch) -> Finding:
    """Takes one batch forward and backward, and tells what it took."""
    device = objective.learner.backbone.device
    rows, tokens = batch.token_ids.shape
    words = f"the largest batch found, {rows} × {tokens} tokens: "
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        totals, _ = objective(batch, 0, None, None)
        totals.sum().backward()
    except (torch.OutOfMemoryError, MemoryError) as error:
        return Finding(
            check="memory",
            ok=False,
            words=f"{words}does not fit ({error}); lower pack.tokens or pack.micro, or set model.checkpointing",
        )
    finally:
        objective.zero_grad(set_to_none=True)
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) // _MIB
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Finding(check="memory", ok=True, words=f"{words}fits, peak {peak} MiB (without the optimizer's state)")
