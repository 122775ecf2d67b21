"""Interaction quality: of two whole traces, decisions and texts, the one that served the user better should win."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.part import Part, check_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Scores of p pairs of traces under one model.

    Attributes:
        chosen: (p,) l of each better trace.
        rejected: (p,) l of the worse one of the same pair.
    """

    chosen: Tensor
    rejected: Tensor

    def __post_init__(self) -> None:
        """Check shapes.

        Raises:
            RecipeError: not one score of each per pair.
        """
        check_rows(len(self.chosen), {"chosen": self.chosen, "rejected": self.rejected})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a user got from a trace.

    Attributes:
        quality: of each answer that was due, in [0, 1]; 0 for one that never came.
        delay_s: seconds from its evidence to its begin, at least 0.
        false: responses with nothing to say.
        duplicate: responses that said again what had been said.
        late: responses that went on after the user had cut in.
    """

    quality: tuple[float, ...]
    delay_s: tuple[float, ...]
    false: int = 0
    duplicate: int = 0
    late: int = 0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            RecipeError: not one delay per quality, or a number out of range.
        """
        if len(self.quality) != len(self.delay_s):
            raise RecipeError(f"outcome: found {len(self.quality)} qualities and {len(self.delay_s)} delays")
        in_range = all(0 <= quality <= 1 for quality in self.quality) and all(delay >= 0 for delay in self.delay_s)
        if not in_range or min(self.false, self.duplicate, self.late) < 0:
            raise RecipeError(f"outcome: found {self}, expected qualities in [0, 1], delays and counts of at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a user would pay.

    Attributes:
        scale_s: seconds of delay after which an answer's worth has fallen by e.
        false: price of a response with nothing to say.
        duplicate: price of saying it again.
        late: price of going on after the user cut in.
    """

    scale_s: float = 5.0
    false: float = 0.5
    duplicate: float = 0.5
    late: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            RecipeError: a scale that is not positive, or a negative price.
        """
        if self.scale_s <= 0 or min(self.false, self.duplicate, self.late) < 0:
            raise RecipeError(f"prices: found {self}, expected positive seconds and prices of at least 0")


def utility(outcome: Outcome, prices: Prices) -> float:
    """Worth of a trace: u = sum_e quality_e exp(-delay_e / s) - c_f #false - c_d #duplicate - c_i #late.

    Near the area under the proactive curve (PAUC, arXiv 2507.09313), with a price on what should not have been said.
    """
    answers = zip(outcome.quality, outcome.delay_s, strict=True)
    earned = sum(quality * math.exp(-delay / prices.scale_s) for quality, delay in answers)
    paid = prices.false * outcome.false + prices.duplicate * outcome.duplicate + prices.late * outcome.late
    return earned - paid


def trace_means(values: Tensor, trace: Tensor, traces: int) -> Tensor:
    """Returns (traces,) the mean of values (k,) over each trace, whose number (k,) int64 they bear; 0 of none."""
    check_rows(len(values), {"values": values, "trace": trace})
    sums = values.new_zeros(traces).index_add(0, trace, values)
    counts = values.new_zeros(traces).index_add(0, trace, torch.ones_like(values))
    return sums / counts.clamp(min=1)


def trace_scores(decisions: Tensor, texts: Tensor, *, nu: float | Tensor = 1.0) -> Tensor:
    """Score of a whole trace: l(tau) = (1/N_dec) sum_t log q_t(a_t) + nu (1/N_tok) sum_i log p(token_i).

    Each mean is by itself (`trace_means`). Timing differs in a handful of tokens, which one mean over the sequence,
    as preference losses over text take it, drowns; and neither a longer trace nor a longer text gains by its length.

    Args:
        decisions: (traces,) mean log q of the decisions taken.
        texts: (traces,) mean log p of the text tokens said; 0 where nothing was said.
        nu: weight of the text, as a tensor one for each trace: 0 for pairs that differ in timing alone, whose text is
            to stay.

    Returns:
        (traces,).
    """
    return decisions + nu * texts


def interaction_loss(
    policy: Pairs, reference: Pairs, *, gap: Tensor, beta: float = 2.0, eta: float = 0.5, mu: float = 0.2
) -> Part:
    """Preference between traces with a margin by utility, and a guard that keeps the better trace likely.

    L = - log sigma(beta [(l_w - l_w^ref) - (l_l - l_l^ref)] - eta (u_w - u_l)) - mu l_w

    Direct preference optimisation (Rafailov et al., NeurIPS 2023) on length-normalised scores (SimPO, Meng et al.,
    NeurIPS 2024) with an offset (ODPO, Amini et al., 2024). The last term is the negative log-likelihood of the better
    trace: without it both may lose likelihood (Razin et al., "Unintentional unalignment", 2024).

    Args:
        policy: scores under the model that learns.
        reference: scores under the model it began from; taken without gradients.
        gap: (p,) u_w - u_l, at least 0, without a graph.
        beta: how sharply scores decide.
        eta: margin per unit of utility.
        mu: weight of the likelihood of the better trace, about 0.1 to 0.3.

    Raises:
        RecipeError: shapes that do not fit, or a pair whose worse trace is the better one.
    """
    rows = len(policy.chosen)
    check_rows(rows, {"policy": policy.rejected, "reference": reference.chosen, "gap": gap})
    if bool((gap < 0).any()):
        raise RecipeError(f"gap: found {gap.tolist()}, expected at least 0; exchange the two traces of a pair")
    better = policy.chosen - reference.chosen.detach()
    worse = policy.rejected - reference.rejected.detach()
    margin = beta * (better - worse) - eta * gap
    total = (-functional.logsigmoid(margin) - mu * policy.chosen).sum()
    return Part(total=total, weight=total.new_tensor(float(rows)))
