"""Does the heaviest batch fit: it goes first, not at step 40,000."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from recipes.data.batch import Batch
from recipes.data.example import Example
from recipes.training.objective import Objective
from recipes.verify.finding import Finding

_MIB = 2**20
Row = tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What goes through the decoder at once.

    Attributes:
        rows: what becomes one batch, or the windows of one document.
        places: tokens of it with padding; what activations grow with.
        pairs: who could see whom: rows x tokens x tokens with those that are carried; what the mask grows with.
        grids: pictures that the tower encodes.
    """

    rows: tuple[Row, ...]
    places: int
    pairs: int
    grids: int


def loads(steps: Iterable[Sequence[Row]], micro: int) -> list[Load]:
    """All batches of some steps on one process, as `recipes.data.feed` makes them; of windows, the heaviest one.

    Args:
        steps: rows of each, with both traces of a pair.
        micro: rows that go through together.
    """
    found = []
    for rows in steps:
        for begin in range(0, len(rows), micro):
            together = rows[begin : begin + micro]
            whole = tuple(row for row in together if not row[0].cuts)
            found += [_whole(whole)] if whole else []
            found += [_in_windows(row) for row in together if row[0].cuts]
    return found


def _whole(rows: tuple[Row, ...]) -> Load:
    longest = max(sum(example.tokens for example in row) for row in rows)
    return Load(
        rows=rows,
        places=len(rows) * longest,
        pairs=len(rows) * longest**2,
        grids=len({grid for row in rows for example in row for grid in example.grids}),
    )


def _in_windows(row: Row) -> Load:
    """The heaviest window in each respect: a late one looks at all tokens before it."""
    blocks = row[0].blocks
    edges = [0, *row[0].cuts, len(blocks)]
    sizes = [sum(len(block.token_ids) for block in blocks[begin:end]) for begin, end in pairwise(edges)]
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    return Load(
        rows=(row,),
        places=max(sizes),
        pairs=max(size * end for size, end in zip(sizes, ends, strict=True)),
        grids=max(len([1 for block in blocks[begin:end] if block.grids]) for begin, end in pairwise(edges)),
    )


def heaviest(found: Sequence[Load]) -> list[Load]:
    """The batch with the most places, the one with the most pairs, and the one with the most pictures, each once."""
    chosen = [
        max(found, key=lambda load: (load.places, load.pairs)),
        max(found, key=lambda load: (load.pairs, load.places)),
        max(found, key=lambda load: (load.grids, load.places)),
    ]
    return list({id(load): load for load in chosen}.values())


def check_memory(objective: Objective, heavy: Sequence[Sequence[Batch]], *, of: int, step: int = 0) -> Finding:
    """Takes the heaviest batches forward and backward, windows with the cache that they carry, and tells what it took.

    Args:
        objective: the model with its losses.
        heavy: each one batch, or all windows of one document in order.
        of: among how many batches they are the heaviest.
        step: of the optimizer; late, so that all losses count.
    """
    device = objective.learner.backbone.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    told: list[str] = []
    for batches in heavy:
        told.append(_shape(batches))
        try:
            _there_and_back(objective, batches, step)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            words = (
                f"a batch of {told[-1]}, among the heaviest of {of}, does not fit ({_first_line(error)}); "
                "lower pack.tokens or pack.micro (of windows, max_s or carry_s), or set model.checkpointing"
            )
            return Finding(check="memory", ok=False, words=words)
        finally:
            objective.zero_grad(set_to_none=True)
    peak, room, moments = _peak(device), _room(device), _moments(objective)
    shapes = "; ".join(dict.fromkeys(told))
    fits = peak + moments <= room
    words = (
        f"the heaviest of {of} batches, {shapes}: {'fits' if fits else 'does not fit beside the optimizer'}, peak "
        f"{peak // _MIB} MiB and {moments // _MIB} MiB of an optimizer's moments, of {room // _MIB} MiB"
    )
    if not fits:
        words += "; shard them (recipes/accelerate/fsdp2.yaml, zero2.yaml), train fewer modules, or LoRA"
    return Finding(check="memory", ok=fits, words=words)


def _peak(device: torch.device) -> int:
    """The most that was held at once, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _room(device: torch.device) -> int:
    """What the device has, bytes."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _moments(objective: Objective) -> int:
    """What AdamW keeps on one device, bytes: two numbers for each one that trains, as wide as it."""
    return sum(2 * weight.numel() * weight.element_size() for weight in objective.parameters() if weight.requires_grad)


def _lacks_memory(error: Exception) -> bool:
    """On a CPU, torch has no error of its own for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__


def _shape(batches: Sequence[Batch]) -> str:
    """As in `4 × 1536 tokens`; of windows, the one with the longest past."""
    last = batches[-1]
    rows, tokens = last.token_ids.shape
    told = f"{rows} × {tokens} tokens"
    return f"{told} behind {last.past} that are carried ({last.keys[0][0]})" if last.past else told


def _there_and_back(objective: Objective, batches: Sequence[Batch], step: int) -> None:
    """Forward and backward of batches in their order; gradients add up, as in a step."""
    carried = None
    for batch in batches:
        totals, found = objective(batch, step, carried if batch.past else None, None)
        totals.sum().backward()
        carried = found.cache
