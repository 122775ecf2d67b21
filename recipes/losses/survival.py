"""Latency without alignment: when the model first responds is a random time, and any moment of the window will do.

A step's hazard h_t = q_t[respond] is the chance to respond there, given silence so far. No single row has to be the
right one, as in the losses of transducers (Shinohara and Watanabe; Kang et al., "Delay-penalized transducer",
arXiv 2211.00490), and a tilt makes earlier rows of the window worth more.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.episodes import Episodes
from recipes.losses.part import Part, check_rows
from recipes.losses.rows import RESPOND, DecisionRows, decision_logits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Log-probabilities of the first response inside each window that is whole, one line per episode.

    Attributes:
        log_first: (e, w) log P(T = t | T >= t_e), -inf where an episode has no such row.
        delay_s: (e, w) seconds since the evidence, 0 there.
        row: (e, w) int64, the decision row; 0 there.
        held: (e, w) bool, whether there is a row; the first of each line is.
    """

    log_first: Tensor
    delay_s: Tensor
    row: Tensor
    held: Tensor


def log_hazards(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns log h and log(1 - h), each (n,), of logits (n, 3), exact where h is near 0 or 1."""
    logs = functional.log_softmax(logits, dim=-1)
    return logs[:, RESPOND], torch.logaddexp(logs[:, 0], logs[:, 1])


def windows(logits: Tensor, rows: DecisionRows, grouped: Episodes) -> Windows:
    """Lays windows side by side and runs log P(T=t | T>=t_e) = log h_t + sum_{t_e<=s<t} log(1 - h_s) along each.

    Args:
        logits: (n, 3).
        rows: the decision rows.
        grouped: their episodes.

    Raises:
        RecipeError: shapes that do not fit.
    """
    log_h, log_stay = log_hazards(decision_logits(logits, rows))
    at = grouped.window.nonzero().squeeze(1)
    owners, sizes = torch.unique_consecutive(grouped.number[at], return_counts=True)
    longest = int(sizes.max()) if len(sizes) else 1
    column = torch.arange(longest, device=at.device)
    held = column < sizes[:, None]
    first = sizes.cumsum(0) - sizes
    row = at[(first[:, None] + column).clamp(max=max(len(at) - 1, 0))] if len(owners) else held.long()
    row = torch.where(held, row, 0)
    stay = torch.where(held, log_stay[row], 0.0)
    waited = torch.cat([torch.zeros_like(stay[:, :1]), stay.cumsum(dim=1)[:, :-1]], dim=1)
    log_first = torch.where(held, log_h[row] + waited, -torch.inf)
    return Windows(
        log_first=log_first,
        delay_s=torch.where(held, grouped.delay_s[row], 0.0).to(waited.dtype),
        row=row,
        held=held,
    )


def survival_loss(
    logits: Tensor,
    rows: DecisionRows,
    *,
    grouped: Episodes,
    lam: float = 0.1,
    gamma: float = 0.3,
    log_probs: Tensor | None = None,
) -> Part:
    """Negative log-likelihood of staying silent until the evidence, and of responding somewhere in the window.

    L = - sum_{s<t_e} log(1 - h_s) - log sum_{t in window} P(T=t | T>=t_e) exp(-lam (t - t_e)) p(y | V<=t)^gamma

    over the number of rows before evidence plus the number of windows, the terms of this likelihood. With one row per
    window and lam = gamma = 0 it is the binary cross entropy of responding. The delay is in seconds at any frame rate.

    Args:
        logits: (n, 3); silence and standby together are to stay silent. `decision_loss` tells them apart.
        rows: the decision rows.
        grouped: their `episodes`; a censored window gives nothing.
        lam: price of delay, per second, 0.1 to 5. Its own price is false starts: watch their rate as it rises.
        gamma: how much it matters whether the answer could be said well at that row, in [0, 1].
        log_probs: (n,) log p(y | V<=t), mean per token, with a graph or without; None leaves the factor out. Where an
            answer was tried on one row of its window alone, give that value on all of them.

    Raises:
        RecipeError: shapes that do not fit, or a negative lam or gamma.
    """
    if min(lam, gamma) < 0:
        raise RecipeError(f"survival loss: found lam {lam} and gamma {gamma}, expected at least 0")
    logits = decision_logits(logits, rows)
    _, log_stay = log_hazards(logits)
    false_starts = -torch.where(grouped.before, log_stay, 0.0).sum()
    laid = windows(logits, rows, grouped)
    worth = laid.log_first - lam * laid.delay_s
    if log_probs is not None and gamma > 0:
        check_rows(len(rows), {"log_probs": log_probs})
        said = gamma * log_probs.to(worth.dtype)[laid.row]
        worth = worth + torch.where(laid.held, said, 0.0)
    total = false_starts - torch.logsumexp(worth, dim=1).sum()
    return Part(total=total, weight=(grouped.before.sum() + len(worth)).to(total.dtype))


def delay_loss(logits: Tensor, rows: DecisionRows, *, grouped: Episodes, rho: float = 0.1) -> Part:
    """Expected delay of a response that falls in the window: L = E[D | T in window] + rho Var[D | T in window].

    D is in seconds since the evidence. The mean over windows that are whole; a differentiable average lagging, as
    fairseq's utils/latency.py has for text.

    Args:
        logits: (n, 3).
        rows: the decision rows.
        grouped: their `episodes`.
        rho: price of the variance, per second.

    Raises:
        RecipeError: shapes that do not fit, or a negative rho.
    """
    if rho < 0:
        raise RecipeError(f"rho: found {rho}, expected at least 0")
    laid = windows(logits, rows, grouped)
    chances = torch.softmax(laid.log_first, dim=1)
    mean = (chances * laid.delay_s).sum(dim=1)
    spread = (chances * (laid.delay_s - mean[:, None]).square()).sum(dim=1)
    total = (mean + rho * spread).sum()
    return Part(total=total, weight=total.new_tensor(float(len(mean))))
