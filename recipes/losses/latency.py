"""Latency in the weights: a decision costs more the closer it is to being a false start, or the later it comes."""

import torch
from torch import Tensor

from recipes.errors import RecipeError
from recipes.losses.rows import RESPOND, DecisionRows


def latency_weights(
    rows: DecisionRows, *, alpha: float = 1.0, beta: float = 1.0, tau_s: float = 2.0, scale_s: float = 1.0
) -> Tensor:
    """Factor of each decision row's weight, from its time to the evidence t_e.

    silence and standby before t_e: 1 + beta exp(-(t_e - t) / s), a false start just before the evidence is the likely
    one. respond: 1 + alpha min((t - t_e) / tau, 1), later misses cost more. Other rows 1. Times `row_weights`, as the
    weights of `decision_loss`, it is the weighted cross entropy sum w CE / sum w. Targets that change weigh more, as
    in StreamYOLO's trend-aware loss (Yang et al., CVPR 2022).

    Args:
        rows: the decision rows.
        alpha: how much a late response adds at most.
        beta: how much a silence just before the evidence adds.
        tau_s: lateness from which a response weighs no more, seconds.
        scale_s: seconds before the evidence after which the extra weight of silence falls by e.

    Returns:
        (n,) at least 1; the labels and times alone decide.

    Raises:
        RecipeError: a setting that is negative, or a scale of 0.
    """
    if min(alpha, beta) < 0 or min(tau_s, scale_s) <= 0:
        raise RecipeError(
            f"latency weights: found alpha {alpha}, beta {beta}, tau_s {tau_s}, scale_s {scale_s}, expected alpha and "
            "beta of at least 0 and positive seconds"
        )
    late = rows.time_s - rows.evidence_s
    missed = 1 + alpha * (late / tau_s).clamp(min=0, max=1)
    waiting = 1 + beta * torch.exp(late.clamp(max=0) / scale_s) * (late < 0)
    return torch.where(rows.states == RESPOND, missed, waiting)
