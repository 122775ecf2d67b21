"""Latency with the machine in it: tokens that a measured profile would finish too late teach to answer in fewer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.errors import RecipeError
from recipes.losses.part import Part, check_rows, weighted_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How long a machine takes to answer, measured at some lengths of context; between them it is linear.

    Attributes:
        context: tokens in the context, rising; at least one.
        first_s: seconds to the first token (TTFT) at each.
        token_s: seconds per further token (TPOT) at each.
    """

    context: tuple[int, ...]
    first_s: tuple[float, ...]
    token_s: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check lengths and order.

        Raises:
            RecipeError: no measurement, lists of different lengths, contexts that do not rise, or negative seconds.
        """
        rising = all(low < high for low, high in zip(self.context, self.context[1:], strict=False))
        if not self.context or not rising or not len(self.context) == len(self.first_s) == len(self.token_s):
            raise RecipeError(
                f"profile: found contexts {self.context} with {len(self.first_s)} and {len(self.token_s)} times, "
                "expected rising contexts and two times for each"
            )
        if min(*self.first_s, *self.token_s) < 0:
            raise RecipeError(f"profile: found negative seconds in {self.first_s} or {self.token_s}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """When the tokens of answers are wanted.

    Attributes:
        begin_s: (m,) floating, time of the row on which the token's answer begins.
        context: (m,) tokens of context there.
        place: (m,) int64, the token's place in its answer, from 0.
        deadline_s: (m,) floating, until when the token should be out; inf for no hurry.
    """

    begin_s: Tensor
    context: Tensor
    place: Tensor
    deadline_s: Tensor

    def __post_init__(self) -> None:
        """Check shapes.

        Raises:
            RecipeError: tensors of different lengths.
        """
        check_rows(
            len(self.begin_s),
            {
                "begin_s": self.begin_s,
                "context": self.context,
                "place": self.place,
                "deadline_s": self.deadline_s,
            },
        )


def finish_s(timing: Timing, profile: Profile) -> Tensor:
    """Returns (m,) seconds at which each token is out: f_i = t_resp + TTFT(context) + TPOT(context) i."""
    first = _between(timing.context, profile.context, profile.first_s)
    each = _between(timing.context, profile.context, profile.token_s)
    return timing.begin_s + first + each * timing.place


def lateness(timing: Timing, profile: Profile, *, scale_s: float = 1.0) -> Tensor:
    """Returns (m,) sigmoid((f_i - deadline_i) / s) of tokens past their deadline; 0 of the others.

    Raises:
        RecipeError: a scale that is not positive.
    """
    if scale_s <= 0:
        raise RecipeError(f"scale_s: found {scale_s}, expected positive seconds")
    over = finish_s(timing, profile) - timing.deadline_s
    return torch.where(over > 0, torch.sigmoid(over / scale_s), 0.0)


def deadline_weights(timing: Timing, profile: Profile, *, gain: float = 1.0, scale_s: float = 1.0) -> Tensor:
    """Factor of each answer token's weight: 1 + k sigmoid((f_i - deadline_i) / s) past its deadline, else 1.

    Times the rows' own weights it goes into the cross entropy, which is divided by the sum of weights. Late tokens, the
    end of the answer above all, are learned better than early ones of the same answer.

    Args:
        timing: of the m supervised rows.
        profile: of the machine that will serve.
        gain: k, at least 0.
        scale_s: s, seconds.

    Returns:
        (m,) at least 1, without a graph.

    Raises:
        RecipeError: a negative gain, or a scale that is not positive.
    """
    if gain < 0:
        raise RecipeError(f"gain: found {gain}, expected at least 0")
    return 1 + gain * lateness(timing, profile, scale_s=scale_s)


def length_loss(log_end: Tensor, timing: Timing, profile: Profile, *, scale_s: float = 1.0) -> Part:
    """Prior on short answers under load: at tokens past the deadline the answer should rather end.

    L = - sum_i v_i log p_i(end) / sum_i v_i, with v the `lateness`. In time it adds nothing.

    Args:
        log_end: (m,) log-probability that the answer ends at this row, with a graph.
        timing: of the m rows.
        profile: of the machine that will serve.
        scale_s: seconds.

    Raises:
        RecipeError: shapes that do not fit, or a scale that is not positive.
    """
    return weighted_sum(-log_end, lateness(timing, profile, scale_s=scale_s))


def _between(context: Tensor, knots: Sequence[int], values: Sequence[float]) -> Tensor:
    # Piecewise linear; flat outside of what was measured.
    known = torch.tensor(knots, dtype=torch.float64, device=context.device)
    times = torch.tensor(values, dtype=torch.float64, device=context.device)
    asked = context.double().clamp(min=known[0], max=known[-1])
    high = torch.searchsorted(known, asked).clamp(min=1, max=max(len(known) - 1, 1))
    if len(known) == 1:
        return times.expand(len(context))
    low = high - 1
    share = (asked - known[low]) / (known[high] - known[low])
    return times[low] + share * (times[high] - times[low])
