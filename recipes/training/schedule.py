"""How the learning rate runs over the steps of a stage; a pure function, so that there is no state to save."""

from __future__ import annotations

import math

import torch

from recipes.settings import ModulesConfig, OptimConfig
from recipes.training.modules import module_config


def rate_share(step: int, steps: int, optim: OptimConfig) -> float:
    """The share of its greatest rate with which a part trains at a step.

    It rises by equal steps over the warm-up, reaches 1 at its last step, and then stays (`constant`) or falls to
    `least` at the end, in a straight line or along half a cosine.

    Args:
        step: from 0.
        steps: of the whole stage.
        optim: warm-up, form and least share.
    """
    warm = round(optim.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    if optim.schedule == "constant":
        return 1.0
    done = min((step - warm) / max(steps - warm, 1), 1.0)
    fallen = done if optim.schedule == "linear" else (1 - math.cos(math.pi * done)) / 2
    return 1.0 - (1.0 - optim.least) * fallen


def set_rates(optimizer: torch.optim.Optimizer, share: float, modules: ModulesConfig) -> dict[str, float]:
    """Gives each group of an optimizer its share of its part's rate; returns the rate of each part by name."""
    rates = {}
    for group in optimizer.param_groups:
        # From the settings each time: what a sharded checkpoint brings back of a group is its last rate alone.
        group["lr"] = module_config(modules, group["module"]).lr * share
        rates[str(group["module"])] = float(group["lr"])
    return rates
