"""How much each token of a batch sees, from the visibility of its blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from recipes.data.batch import Batch


def visible_keys(batch: Batch) -> Tensor:
    """How many tokens each token sees, itself and those of carried windows included: int64 (R, L).

    It is the number of entries of its row of `Batch.mask` that let something through, without building the mask.
    """
    sizes = _sizes(batch.block_of, batch.sees.shape[1])
    lookers = batch.block_of[:, batch.past :]
    row = torch.arange(len(lookers), device=lookers.device)[:, None]
    others = batch.sees & ~torch.eye(batch.sees.shape[1], dtype=torch.bool, device=lookers.device)
    seen = (others * sizes[:, None, :]).sum(-1)[row, lookers]
    return seen + _places(batch.block_of)[:, batch.past :] + 1


def real_tokens(batch: Batch) -> Tensor:
    """Which tokens are no padding: bool (R, L). A block of padding sees nothing, not even as a block itself."""
    lookers = batch.block_of[:, batch.past :]
    row = torch.arange(len(lookers), device=lookers.device)[:, None]
    return batch.sees[row, lookers, lookers]


def _sizes(block_of: Tensor, blocks: int) -> Tensor:
    """Tokens of each block: int64 (R, N)."""
    sizes = torch.zeros(len(block_of), blocks, dtype=torch.int64, device=block_of.device)
    return sizes.scatter_add_(1, block_of, torch.ones_like(block_of))


def _places(block_of: Tensor) -> Tensor:
    """How many tokens of its own block stand before each token: int64 like `block_of`."""
    order = torch.sort(block_of, dim=1, stable=True)
    count = block_of.shape[1]
    index = torch.arange(count, device=block_of.device).expand_as(block_of)
    fresh = torch.ones_like(block_of, dtype=torch.bool)
    fresh[:, 1:] = order.values[:, 1:] != order.values[:, :-1]
    begins = torch.where(fresh, index, torch.zeros_like(index)).cummax(dim=1).values
    return torch.empty_like(block_of).scatter_(1, order.indices, index - begins)
