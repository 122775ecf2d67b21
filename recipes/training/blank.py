"""A batch in which nothing is learned, for a process that has fewer of them than another."""

from __future__ import annotations

import torch

from recipes.data.batch import Batch, Decisions, Sights


def blank_batch(device: torch.device) -> Batch:
    """One row of one token that nothing supervises: every loss of it is 0 over 0."""
    none = torch.empty(0, dtype=torch.int64, device=device)
    real = torch.empty(0, dtype=torch.float64, device=device)
    one = torch.zeros(1, 1, dtype=torch.int64, device=device)
    return Batch(
        keys=((),),
        token_ids=one,
        positions=one.expand(3, 1, 1).clone(),
        past=0,
        carries=False,
        block_of=one,
        sees=torch.ones(1, 1, 1, dtype=torch.bool, device=device),
        visual=torch.zeros(1, 1, dtype=torch.bool, device=device),
        sights=Sights(
            patches=torch.empty(0, 0, device=device),
            shapes=(),
            features=torch.empty(0, 0, device=device),
            tokens=(),
            order=none,
        ),
        rows=none,
        targets=none,
        weights=real.float(),
        answer=none,
        said_at_s=real,
        evidence_s=real,
        source=none,
        sources=(),
        decisions=Decisions(
            at=none,
            states=none,
            document=none,
            segment=none,
            time_s=real,
            evidence_s=real,
            window_s=real,
            learned=none.bool(),
            weight=real,
            still=none.bool(),
        ),
        twins=none.reshape(0, 2),
        rivals=none.reshape(0, 2),
        utilities=real.reshape(0, 2),
        worded=none.bool(),
        document=none,
        text=none.bool(),
        tokens=0,
    )
