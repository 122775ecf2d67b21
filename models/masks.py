"""The visibility of a context as masks: dense, additive, for flex_attention, and as a picture."""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from models.blocks import Context

TILE = 128


def visible(context: Context) -> Tensor:
    """Who sees whom, token by token: bool (L, L), row = query, column = key."""
    block_of = context.block_of
    own = block_of[:, None] == block_of[None, :]
    return torch.where(own, own.tril(), context.sees[block_of][:, block_of])


def additive(context: Context, dtype: torch.dtype) -> Tensor:
    """The dense mask to be added to attention scores: (1, 1, L, L) of `dtype`, 0 where visible, else its least value.

    transformers takes it as `attention_mask={"full_attention": …}` under eager and sdpa attention.
    """
    seen = visible(context)
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[None, None]


def flex_block_mask(context: Context, device: torch.device) -> BlockMask:
    """The same visibility for `flex_attention`, without ever building (L, L).

    Counts the visible pairs of each tile of 128 x 128 from the tokens that each block has in each tile, so that empty
    tiles are skipped and full ones are computed without the mask function; O(N^2 L / 128) instead of O(L^2).
    """
    pairs = _pairs_in_tiles(context)
    full = pairs == TILE * TILE
    some = (pairs > 0) & ~full
    counts, indices = _by_row(some, device)
    full_counts, full_indices = _by_row(full, device)
    block_of, sees = context.block_of.to(device), context.sees.to(device)

    def mask_mod(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        looker, seen = block_of[query], block_of[key]
        return torch.where(looker == seen, key <= query, sees[looker, seen])

    length = len(context.token_ids)
    return BlockMask.from_kv_blocks(
        counts,
        indices,
        full_counts,
        full_indices,
        BLOCK_SIZE=TILE,
        mask_mod=mask_mod,
        seq_lengths=(length, length),
    )


def draw(context: Context) -> str:
    r"""A picture of the mask: a row for each block that looks, a column for each block that is seen.

    `#` sees, `\` sees itself causally, `.` does not see; then the temporal positions of the first and last token.
    """
    names = _names(context)
    width = max(len(name) for name in names)
    lines = [" " * width + " " + " ".join(f"{name:>{width}}" for name in names)]
    temporal = context.positions[0]
    for row, name in enumerate(names):
        marks = ["\\" if row == column else "#" if seen else "." for column, seen in enumerate(context.sees[row])]
        ids = temporal[context.block_of == row].tolist()
        span = f"{ids[0]}" if ids[0] == ids[-1] else f"{ids[0]}-{ids[-1]}"
        lines.append(f"{name:<{width}} " + " ".join(f"{mark:>{width}}" for mark in marks) + f"   t {span}")
    return "\n".join(lines) + "\n"


def _names(context: Context) -> list[str]:
    """A letter for the kind of each block and its number among those of its kind."""
    seen: dict[str, int] = {}
    names = []
    for block in context.blocks:
        letter = block.kind.value[0].upper()
        seen[letter] = seen.get(letter, 0) + 1
        names.append(f"{letter}{seen[letter]}")
    return names


def _pairs_in_tiles(context: Context) -> Tensor:
    """How many (query, key) pairs of each tile are visible: float64 (tiles, tiles)."""
    length, blocks = len(context.token_ids), len(context.blocks)
    tiles = -(-length // TILE)
    # float64 counts these integers exactly and, unlike int64, has a fast matrix product.
    share = torch.zeros(tiles, blocks, dtype=torch.float64)
    share.index_put_(
        (torch.arange(length) // TILE, context.block_of), torch.ones((), dtype=torch.float64), accumulate=True
    )
    others = context.sees.double().fill_diagonal_(0)
    pairs = share @ others @ share.T + (share @ share.T).tril(-1)
    pairs.diagonal().add_((share * (share + 1) / 2).sum(1))
    return pairs


def _by_row(tiles: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each row of tiles how many are set, int32 (1, 1, rows), and all, set ones first, (1, 1, rows, columns)."""
    order = tiles.int().argsort(dim=-1, descending=True, stable=True)
    return tiles.sum(-1).int()[None, None].to(device), order.int()[None, None].to(device)
