"""One number from many losses, each divided by its own weight over all micro-batches and processes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from recipes.errors import RecipeError
from recipes.losses.part import Part


def compute_parts(terms: Mapping[str, Callable[[], Part]], scales: Mapping[str, float]) -> dict[str, Part]:
    """Computes the losses whose scale is above 0; the others are not even called.

    Args:
        terms: how each loss of this stage is computed.
        scales: what each is multiplied with at this step (`Losses.scales`), the same in every process.

    Raises:
        RecipeError: a loss that has no scale.
    """
    _check_named("scale", terms, scales)
    return {name: term() for name, term in terms.items() if scales[name] > 0}


def combine(
    parts: Mapping[str, Part], weights: Mapping[str, Tensor], *, scales: Mapping[str, float], processes: int = 1
) -> Tensor:
    """What a micro-batch adds to the loss: sum_k scale_k total_k / weight_k, with weights of the whole global batch.

    Added over micro-batches and processes it is the loss of one big batch, however that was cut.

    Args:
        parts: of this micro-batch; at least one.
        weights: (): of each loss, summed over all micro-batches and processes. Where it is 0 the loss adds 0.
        scales: what each loss is multiplied with.
        processes: by how many the gradients are divided afterwards, as DistributedDataParallel does.

    Returns:
        () with a graph.

    Raises:
        RecipeError: no part, or one without weight or scale.
    """
    if not parts:
        raise RecipeError("losses: none is switched on; give at least one a weight above 0")
    _check_named("weight", parts, weights)
    _check_named("scale", parts, scales)
    values = []
    for name, part in parts.items():
        whole = weights[name].to(part.total)
        values.append(part.total / torch.where(whole > 0, whole, 1.0) * scales[name])
    return torch.stack(values).sum() * processes


def _check_named(what: str, wanted: Mapping[str, object], given: Mapping[str, object]) -> None:
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        raise RecipeError(f"losses: no {what} for {', '.join(missing)}; found {', '.join(sorted(given)) or 'none'}")
