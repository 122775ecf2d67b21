"""Does what is frozen get no gradient, and what trains one: as the settings say, not as the weights themselves say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from recipes.data.batch import Batch
from recipes.settings import ModulesConfig
from recipes.training.modules import module_config, module_of
from recipes.training.objective import Objective
from recipes.verify.finding import Finding


def check_gradients(
    objective: Objective, batches: Sequence[Batch], modules: ModulesConfig, *, steps: Sequence[int] = (0,)
) -> Finding:
    """Takes all losses of some batches backward, and changes no weight.

    Args:
        objective: the model with its losses.
        batches: of the stage.
        modules: the freeze map that the settings ask for.
        steps: of the optimizer, one after the other; ramps decide which losses count at each.
    """
    for step in steps:
        try:
            _backward(objective, batches, step)
            finding = _found(objective.learner.model, modules)
        finally:
            objective.zero_grad(set_to_none=True)
        if not finding.ok:
            return replace(finding, words=f"{finding.words} (step {step})")
    return finding


def _backward(objective: Objective, batches: Sequence[Batch], step: int) -> None:
    carried = None
    for batch in batches:
        totals, found = objective(batch, step, carried if batch.past else None, None)
        carried = found.cache
        totals.sum().backward()


def _found(model: nn.Module, modules: ModulesConfig) -> Finding:
    weights = list(model.named_parameters())
    wanted = {name for name, _ in weights if _trains(name, modules)}
    trains = {name for name, weight in weights if weight.requires_grad}
    graded = {name: weight.grad for name, weight in weights if weight.grad is not None}
    broken = [name for name, grad in graded.items() if not bool(torch.isfinite(grad).all())]
    still = [name for name, grad in graded.items() if not bool(grad.any())]
    for names, what in (
        (sorted(trains - wanted), "are frozen in the settings and would train; look at the freeze map (modules)"),
        (sorted(wanted - trains), "should train and are frozen; look at the freeze map (modules)"),
        (sorted(set(graded) - wanted), "are frozen and get a gradient; something beside the losses writes it"),
        (broken, "get a gradient that is not finite; look at the weights that training begins with, and at the losses"),
        (sorted(wanted - set(graded)), "should train and are in no graph; look at the freeze map and at the mix"),
    ):
        if names:
            return Finding(check="gradients", ok=False, words=f"{len(names)} parameters, such as {names[0]}, {what}")
    words = f"{len(wanted)} parameters train, and nothing else gets a gradient"
    if still:
        words += f"; of {len(still)} it is 0 on these batches, such as {still[0]}"
    if len(still) == len(wanted):
        words += ": nothing would be learned; look at the losses and at the mix"
    return Finding(check="gradients", ok=len(wanted) > len(still), words=words)


def _trains(name: str, modules: ModulesConfig) -> bool:
    """Whether a parameter is to train: of a part with adapters, those alone."""
    how = module_config(modules, module_of(name)).train
    adapter = ".lora_" in name
    return how == "full" or (how == "lora" and adapter)
