"""Which block enters the cache when, which slots become free after it, and how many are needed at most."""

from dataclasses import dataclass

import torch

from models.blocks import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a cache plan.

    Attributes:
        block: Index of the block that is fed.
        frees: Blocks whose slots are free after it.
        live_tokens: Slots in use while it runs, its own among them.
    """

    block: int
    frees: tuple[int, ...]
    live_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlan:
    """In which order blocks are fed, when their slots become free, and how many slots are needed at most."""

    steps: tuple[Step, ...]
    peak_slots: int


def plan(context: Context) -> CachePlan:
    """Say in which order to feed the blocks, and free each block's slots after the last one that sees it.

    Blocks are fed as they arrived, so that a reply can be said while frames still come; only where a block sees one
    that arrives later (the layouts that show the whole video to a reply) they are fed in sequence order. Each step sees
    of the live blocks what `context.sees` says; a pinned block stays to the end of its document.
    """
    count = len(context.blocks)
    step_of = context.arrival
    if bool((context.sees & (step_of[None, :] > step_of[:, None])).any()):
        step_of = torch.arange(count)
    last = torch.where(context.sees, step_of[:, None], step_of[None, :]).amax(0)
    sizes = [len(block.token_ids) for block in context.blocks]
    ends = _document_ends(context)
    dying: list[list[int]] = [[] for _ in range(count)]
    for index, block in enumerate(context.blocks):
        dying[ends[index] if block.pinned else int(last[index])].append(index)
    steps, live, peak = [], 0, 0
    for step, index in enumerate(step_of.argsort().tolist()):
        live += sizes[index]
        peak = max(peak, live)
        steps.append(Step(block=index, frees=tuple(dying[step]), live_tokens=live))
        live -= sum(sizes[freed] for freed in dying[step])
    return CachePlan(steps=tuple(steps), peak_slots=peak)


def _document_ends(context: Context) -> list[int]:
    """For each block the last step of its document; documents are fed one after the other."""
    last_block = context.block_of[context.documents[1:].long() - 1]
    return last_block[torch.searchsorted(last_block, torch.arange(len(context.blocks)))].tolist()
