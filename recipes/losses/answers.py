"""Log-probabilities of the supervised text rows, a chunk at a time: the logits of all rows never exist at once."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from recipes.errors import RecipeError
from recipes.losses.part import check_rows
from recipes.losses.rows import widened

CHUNK = 1024


def target_log_probs(
    hidden: Tensor, project: Callable[[Tensor], Tensor], *, targets: Tensor, chunk: int = CHUNK
) -> Tensor:
    """Log-probabilities of the target tokens from hidden states, never holding more than `chunk` rows of logits.

    Each chunk's logits are dropped after use and computed again in the backward pass, as in the fused linear cross
    entropy of linkedin/Liger-Kernel and "Cut Your Losses" (arXiv 2411.09009). Values and gradients are those of
    `log_softmax(project(hidden))`.

    Args:
        hidden: (m, d) states of the supervised rows.
        project: (k, d) → (k, V), the output projection; the same for the same input.
        targets: (m,) int64 below V.
        chunk: rows at a time.

    Returns:
        (m,) with a graph; float32, or float64 where the logits are.

    Raises:
        RecipeError: shapes that do not fit, or a chunk below 1.
    """
    check_rows(len(hidden), {"targets": targets})
    if chunk < 1:
        raise RecipeError(f"chunk: found {chunk}, expected at least 1 row")

    def one(states: Tensor, wanted: Tensor) -> Tensor:
        return -functional.cross_entropy(widened(project(states)), wanted, reduction="none")

    pieces = []
    # Without rows one empty chunk still passes through the projection: its weights keep their place in the graph.
    for start in range(0, max(len(hidden), 1), chunk):
        here = slice(start, start + chunk)
        piece: Tensor = checkpoint(one, hidden[here], targets[here], use_reentrant=False, preserve_rng_state=False)
        pieces.append(piece)
    return torch.cat(pieces)
