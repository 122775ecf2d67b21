"""Does what is frozen get no gradient, and what trains one."""

from __future__ import annotations

import torch
from torch import nn

from recipes.data.batch import Batch
from recipes.training.objective import Objective
from recipes.verify.finding import Finding


def check_gradients(objective: Objective, batches: list[Batch]) -> Finding:
    """Takes all losses of some batches backward, and changes no weight."""
    carried = None
    for batch in batches:
        totals, found = objective(batch, 0, carried if batch.past else None, None)
        carried = found.cache
        totals.sum().backward()
    model: nn.Module = objective.learner.model
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad and weight.grad is not None]
    missing = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    broken = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and not bool(torch.isfinite(weight.grad).all())
    ]
    still = [
        name for name, weight in model.named_parameters() if weight.grad is not None and not bool(weight.grad.any())
    ]
    trained = sum(weight.requires_grad for weight in model.parameters())
    objective.zero_grad(set_to_none=True)
    for names, what in (
        (frozen, "are frozen and get a gradient; look at the freeze map"),
        (broken, "get a gradient that is not finite; look at the first batch"),
        (missing, "should train and are in no graph; look at the freeze map and at the mix"),
    ):
        if names:
            return Finding(check="gradients", ok=False, words=f"{len(names)} parameters, such as {names[0]}, {what}")
    words = f"{trained} parameters train, and nothing else gets a gradient"
    if still:
        words += f"; of {len(still)} it is 0 on these batches, such as {still[0]}"
    return Finding(check="gradients", ok=trained > len(still), words=words)
