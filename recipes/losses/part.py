"""What every loss returns: a sum and what it is to be divided by, so that micro-batches and processes add up first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A loss that is not divided yet: its value is `total / weight`, each summed over all micro-batches and processes.

    A mean of means would give a micro-batch with one supervised row as much say as one with a thousand. For the sum of
    weights to be known before the first backward pass, a weight follows from labels, times and gates, never from the
    model: call a loss on zeros to learn it.

    Attributes:
        total: () with a graph, also where nothing is supervised: then it is 0 and gives gradients of 0.
        weight: () without a graph; 0 where nothing is supervised.
    """

    total: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        """Check that both are scalars and that the weight is no function of the model.

        Raises:
            RecipeError: a tensor with more than one number, or a weight with a gradient.
        """
        if self.total.shape or self.weight.shape:
            raise RecipeError(
                f"part of a loss: found total {tuple(self.total.shape)} and weight {tuple(self.weight.shape)}, "
                "expected two scalars; sum over the rows"
            )
        if self.weight.requires_grad:
            raise RecipeError("part of a loss: its weight depends on the model; it must follow from the labels alone")

    def mean(self) -> Tensor:
        """Returns total / weight () of this part alone; 0 where nothing is supervised."""
        return self.total / torch.where(self.weight > 0, self.weight, 1.0)


def weighted_sum(values: Tensor, weights: Tensor) -> Part:
    """Sums what rows cost, each with its weight.

    Args:
        values: (n,) with a graph. A row of weight 0 counts for nothing even if its value is infinite.
        weights: (n,) at least 0, without a graph.

    Raises:
        RecipeError: another shape, which would broadcast to n x n without a word.
    """
    check_rows(len(values), {"values": values, "weights": weights})
    kept = torch.where(weights > 0, values, 0.0)
    return Part(total=(kept * weights.to(values.dtype)).sum(), weight=weights.to(values.dtype).sum())


def add_parts(parts: Sequence[Part]) -> Part:
    """Adds the parts that one loss gave on several micro-batches; at least one."""
    return Part(
        total=torch.stack([part.total for part in parts]).sum(),
        weight=torch.stack([part.weight for part in parts]).sum(),
    )


def check_rows(rows: int, tensors: Mapping[str, Tensor]) -> None:
    """Checks that tensors have one number per row.

    Raises:
        RecipeError: one has another shape; the message names it.
    """
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != (rows,):
            raise RecipeError(f"{name}: found shape {tuple(tensor.shape)}, expected ({rows},), one number per row")
