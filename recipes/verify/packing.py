"""Does an example teach the same whether it stands alone or is packed with others."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recipes.data.example import Example
from recipes.verify.bench import Bench, difference
from recipes.verify.finding import Finding

# Products of other shapes round otherwise; float32 here, since bfloat16 has two digits.
CLOSE = 1e-4
CLOSE_HALF = 5e-2


def check_packing(bench: Bench, row: Sequence[Example]) -> Finding:
    """States of supervised rows, packed and alone.

    Args:
        bench: the learner.
        row: examples that share a row, or one alone.
    """
    whole = bench.hidden(bench.batches([row]))
    alone = torch.cat([bench.hidden(bench.batches([[example]])) for example in row])
    found = difference(whole, alone)
    close = CLOSE if bench.learner.backbone.dtype == torch.float32 else CLOSE_HALF
    words = f"{len(row)} examples in a row of {sum(example.tokens for example in row)} tokens: "
    if found <= close:
        return Finding(check="packing", ok=True, words=f"{words}packed equals unpacked to {found:.1e}")
    words += (
        f"packed differs from unpacked by {found:.1e} ({', '.join(example.key for example in row[:3])}); documents "
    )
    return Finding(check="packing", ok=False, words=words + "see each other, or their positions move")
