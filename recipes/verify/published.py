"""Do positions equal those of transformers, where the two rules are the same.

Under `origin`, one question before or behind one video is the conversation that `get_rope_index` was written for.
Behind a video that lasts longer than its picture is wide, transformers 5 goes on inside the video's own time;
`models.positions` goes on behind it, as the models were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.blocks import Block, Kind, derive
from models.layouts import LAYOUTS
from models.positions import SECOND_NS
from recipes.verify.bench import Bench
from recipes.verify.finding import Finding

# Grids of the made-up video, a second apart.
LONG = 4


def check_published(bench: Bench) -> Finding:
    """Positions under `origin` of a made-up video with a question before or behind it, against `get_rope_index`.

    Compared are all tokens up to the end of the video, and those behind one that is no longer than its picture is wide:
    behind a longer one, transformers 5 goes on inside the video's own time.
    """
    compared = 0
    for behind, count in ((False, LONG), (True, LONG), (True, _short(bench))):
        blocks = _made_up(bench, count, behind=behind)
        ours = derive(blocks, LAYOUTS["origin"], clock=bench.how.clock).positions
        token_ids = torch.tensor([token for block in blocks for token in block.token_ids])
        theirs = _published(bench, token_ids, blocks)
        last = max(place for place, block in enumerate(blocks) if block.grids)
        whole = count <= _short(bench)
        stop = len(token_ids) if whole else sum(len(block.token_ids) for block in blocks[: last + 1])
        different = (ours != theirs)[:, :stop].any(dim=0).nonzero()[:, 0].tolist()
        if different:
            place = different[0]
            words = (
                f"a question {'behind' if behind else 'before'} a video of {count} grids, token {place}: found "
                f"{tuple(ours[:, place].tolist())}, expected {tuple(theirs[:, place].tolist())} as transformers places "
                "it; compare the clock of the run's format with the model's configuration"
            )
            return Finding(check="positions", ok=False, words=words)
        compared += stop
    words = f"{compared} tokens of a question before and behind a made-up video stand as transformers places them"
    return Finding(check="positions", ok=True, words=words)


def _short(bench: Bench) -> int:
    """How many grids a second apart last no longer than a picture is wide or high."""
    grid = _pictures(bench).grids[0]
    rate = bench.how.clock.tokens_per_second
    return next((n for n in range(LONG, 1, -1) if (n - 1) * rate < max(grid.height, grid.width)), 1)


def _pictures(bench: Bench) -> Block:
    return next(block for example in bench.examples for block in example.blocks if block.grids)


def _made_up(bench: Bench, count: int, *, behind: bool) -> list[Block]:
    """A system turn, a question, and `count` grids a second apart."""
    prompts, frames = bench.writer.prompts, _pictures(bench)
    words, begin = prompts.text("What is it?"), prompts.system("")
    before, after = (begin, (*prompts.seam(), *words)) if behind else ((*words, *begin), prompts.seam())
    blocks = [Block(kind=Kind.SYSTEM, t0_ns=0, t1_ns=0, token_ids=before)]
    for place in range(count):
        grid = replace(frames.grids[0], t_ns=place * SECOND_NS)
        t1_ns = (place + 1) * SECOND_NS
        blocks.append(replace(frames, t0_ns=place * SECOND_NS, t1_ns=t1_ns, grids=(grid,), turn=0, passing=False))
    if after:
        end_ns = count * SECOND_NS
        blocks.append(Block(kind=Kind.QUERY, t0_ns=end_ns, t1_ns=end_ns, token_ids=after))
    return blocks


def _published(bench: Bench, token_ids: Tensor, blocks: Sequence[Block]) -> Tensor:
    """(3, L) of one made-up video, as the model's own class places it."""
    family, model = bench.writer.prompts.family, bench.learner.model
    grids = [grid for block in blocks for grid in block.grids]
    shape = torch.tensor([[len(grids), family.merge * grids[0].height, family.merge * grids[0].width]])
    ids = token_ids[None]
    kinds = torch.where(ids == family.video_id, 2, 0)
    step = torch.tensor([1.0])
    inner: Any = model if family.name == "qwen2_5_omni" else model.model
    ask: Callable[..., tuple[Tensor, Tensor]] = inner.get_rope_index
    if family.name == "qwen2_5_omni":
        return ask(ids, video_grid_thw=shape, second_per_grids=step)[0][:, 0]
    if family.name == "qwen3_vl":
        return ask(ids, kinds, video_grid_thw=shape)[0][:, 0]
    return ask(ids, kinds, video_grid_thw=shape, second_per_grid_ts=step)[0][:, 0]
