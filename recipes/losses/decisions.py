"""Losses of the decision itself: cross entropy and focal, balanced by how often each state stands in the whole data."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.part import Part, weighted_sum
from recipes.losses.rows import STATES, DecisionRows, decision_logits

Balance = Literal["none", "inverse", "effective"]
FocalForm = Literal["softmax", "sigmoid"]


def class_weights(counts: Sequence[int], *, balance: Balance, beta: float = 0.9999) -> Tensor:
    """Weight of each state from its rows in the whole dataset; over the dataset the weights have mean 1.

    inverse: w_c = (sum_k n_k) / (n_c K), K states that occur, as maifoundations/Streamo has it, which however counts
    inside a micro-batch. effective: w_c proportional to (1 - beta) / (1 - beta^n_c) (Cui et al., "Class-balanced loss
    based on effective number of samples", CVPR 2019). A state that never occurs keeps 1.

    Args:
        counts: rows of silence, standby and respond in the dataset.
        balance: which form; `none` gives ones.
        beta: of the effective number, in [0, 1); 0 gives ones, near 1 it gives `inverse`.

    Returns:
        (3,) float64.

    Raises:
        RecipeError: not three counts, a negative one, or a beta outside [0, 1).
    """
    if len(counts) != STATES or min(counts) < 0 or not 0 <= beta < 1:
        raise RecipeError(
            f"class weights: found counts {tuple(counts)} and beta {beta}, expected {STATES} counts of at least 0 "
            "(silence, standby, respond) and 0 <= beta < 1"
        )
    rows = torch.tensor(counts, dtype=torch.float64)
    weights = torch.ones(STATES, dtype=torch.float64)
    found = rows > 0
    if balance == "none" or not bool(found.any()):
        return weights
    if balance == "inverse":
        weights[found] = 1 / rows[found]
    else:
        weights[found] = (1 - beta) / (1 - beta ** rows[found])
    weights[found] *= rows.sum() / (rows * weights)[found].sum()
    return weights


def row_weights(rows: DecisionRows, balance: Tensor) -> Tensor:
    """Returns (n,) the weight (3,) of each row's state, times that of its record; 0 on rows that are not learned."""
    return balance.to(rows.states.device)[rows.states] * rows.weight * rows.learned


def decision_loss(logits: Tensor, rows: DecisionRows, *, weights: Tensor) -> Part:
    """Cross entropy of the labelled states: L = - sum_t w_t log q_t(y_t) / sum_t w_t.

    Args:
        logits: (n, 3).
        rows: labels of the n rows.
        weights: (n,) of `row_weights`, or of `latency_weights`, which makes later misses cost more.

    Raises:
        RecipeError: shapes that do not fit.
    """
    logits = decision_logits(logits, rows)
    return weighted_sum(functional.cross_entropy(logits, rows.states, reduction="none"), weights)


def focal_loss(
    logits: Tensor, rows: DecisionRows, *, weights: Tensor, gamma: float = 2.0, form: FocalForm = "softmax"
) -> Part:
    """Focal loss of the labelled states (Lin et al., "Focal loss for dense object detection", ICCV 2017).

    softmax (maifoundations/Streamo): L = - sum_t w_t (1 - q_t(y_t))^gamma log q_t(y_t) / sum_t w_t.
    sigmoid (HumanMLLM/ViSpeak): each state by itself, yes or no with probability p_t of what is right, summed over
    the three: sum_c (1 - p_t)^gamma (- log p_t). The divisor leaves the focal factor out, which depends on the model.

    Args:
        logits: (n, 3).
        rows: labels of the n rows.
        weights: (n,) of `row_weights`: the alpha of each row's state.
        gamma: how much less a row counts that is right already; 0 gives cross entropy.
        form: three states that exclude each other, or three yes-or-no questions.

    Raises:
        RecipeError: shapes that do not fit, or a negative gamma.
    """
    logits = decision_logits(logits, rows)
    if gamma < 0:
        raise RecipeError(f"gamma: found {gamma}, expected at least 0")
    if form == "softmax":
        right = functional.log_softmax(logits, dim=-1).gather(1, rows.states[:, None])
    else:
        signs = 2 * functional.one_hot(rows.states, STATES).to(logits.dtype) - 1
        right = functional.logsigmoid(signs * logits)
    return weighted_sum(-(_wrong(right) ** gamma * right).sum(dim=-1), weights)


def _wrong(log_right: Tensor) -> Tensor:
    # 1 - p without cancellation; off zero, where a power below 1 has no slope.
    return (-torch.expm1(log_right)).clamp(min=torch.finfo(log_right.dtype).tiny)
