"""Does an example teach the same whether it stands alone, is packed with others, or is carried over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recipes.data.example import Example
from recipes.verify.bench import Bench, difference
from recipes.verify.finding import Finding, seconds

# Products of other shapes round otherwise; float32 here, since bfloat16 has two digits.
CLOSE = 1e-4
CLOSE_HALF = 5e-2


def check_packing(bench: Bench, row: Sequence[Example]) -> Finding:
    """States of supervised rows, packed and alone.

    Args:
        bench: the learner.
        row: examples that share a row, or one alone.
    """
    tokens = sum(example.tokens for example in row)
    words = f"{len(row)} examples in a row of {tokens} tokens: "
    whole, at = bench.hidden(bench.batches([row])), 0
    worst, where = 0.0, ""
    for example in row:
        alone = bench.hidden(bench.batches([[example]]))
        packed = whole[at : at + len(alone)]
        at += len(alone)
        if len(packed) != len(alone):
            worst, where = float("inf"), _named(example)
            break
        found = difference(packed, alone)
        if found > worst:
            worst, where = found, _named(example)
    if worst <= _close(bench) and at == len(whole):
        return Finding(check="packing", ok=True, words=f"{words}packed equals unpacked to {worst:.1e}")
    words += (
        f"packed differs from unpacked by {worst:.1e} ({where}); documents see each other, or their positions move: "
        "look at the visibility and the positions of packed rows"
    )
    return Finding(check="packing", ok=False, words=words)


def check_carried(bench: Bench, example: Example) -> Finding:
    """States of supervised rows, carried over windows and in one forward.

    Args:
        bench: the learner.
        example: one that is cut at windows.
    """
    words = f"{example.source}: {len(example.cuts) + 1} windows of {example.key}: "
    if bench.layout.visibility.replies_see == "all":
        words += (
            f"under layout {bench.layout.name} each reply sees the whole video, which windows cannot show; leave "
            f"{example.source} out of the mix, or take a layout whose replies see the past"
        )
        return Finding(check="carried", ok=False, words=words)
    carried, places = _by_answer(bench, example)
    whole, expected = _by_answer(bench, replace(example, cuts=()))
    if not torch.equal(places, expected):
        words += f"found {len(places)} supervised rows, expected {len(expected)}, as in one forward: cuts lose some"
        return Finding(check="carried", ok=False, words=words)
    found = difference(carried, whole)
    if found <= _close(bench):
        return Finding(check="carried", ok=True, words=f"{words}carried equals whole to {found:.1e}")
    said = example.said[int(places[(carried - whole).abs().amax(dim=1).argmax()])]
    words += (
        f"carried differs from whole by {found:.1e} ({said.task} said at {seconds(said.t_ns)}); keys and values that "
        "are carried are not those of one forward: look at the cache, at positions and at the mask of windows"
    )
    return Finding(check="carried", ok=False, words=words)


def _by_answer(bench: Bench, example: Example) -> tuple[Tensor, Tensor]:
    """States (S, width) of one example with the thing said that each is a part of (S,), in the order of these."""
    batches = bench.batches([[example]])
    hidden = bench.hidden(batches)
    places, order = torch.sort(torch.cat([batch.answer for batch in batches]), stable=True)
    return hidden[order], places


def _close(bench: Bench) -> float:
    return CLOSE if bench.learner.backbone.dtype == torch.float32 else CLOSE_HALF


def _named(example: Example) -> str:
    """Which example, and from when on it says something."""
    return f"{example.source}: {example.key}, said from {seconds(example.said[0].t_ns)} on"
