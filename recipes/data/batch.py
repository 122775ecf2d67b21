"""A batch: rows of packed documents as tensors, with the frames that they show and what each supervised row is for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recipes.losses.rows import DecisionRows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sights:
    """The grids of a batch, each content once.

    Attributes:
        patches: float32 (patches, 3 * temporal * patch²) of all grids that the tower must encode, one behind the other.
        shapes: (rows, columns) of each of them, in patches.
        features: (tokens, width * parts) of all grids whose features are known, with deepstack parts side by side;
            exactly one of the two is not empty.
        tokens: how many tokens each grid takes.
        order: int64 (visual tokens,), which token of these grids stands at each visual place of the batch.
    """

    patches: Tensor
    shapes: tuple[tuple[int, int], ...]
    features: Tensor
    tokens: tuple[int, ...]
    order: Tensor

    def to(self, device: torch.device) -> Sights:
        """The same on a device."""
        return replace(
            self,
            patches=self.patches.to(device, non_blocking=True),
            features=self.features.to(device, non_blocking=True),
            order=self.order.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions(DecisionRows):
    """The decisions of a batch, n of them, in the order of rows, documents (numbered through the batch) and time.

    Those of the worse trace of a pair are not `learned`: they teach by comparison alone.

    Attributes:
        at: int64 (n,), which supervised row decides.
        still: bool (n,), whether the picture has hardly changed by the next decision of the document.
    """

    at: Tensor
    still: Tensor

    def to(self, device: torch.device) -> Decisions:
        """The same on a device."""
        return Decisions(
            at=self.at.to(device),
            states=self.states.to(device),
            document=self.document.to(device),
            segment=self.segment.to(device),
            time_s=self.time_s.to(device),
            evidence_s=self.evidence_s.to(device),
            window_s=self.window_s.to(device),
            learned=self.learned.to(device),
            weight=self.weight.to(device),
            still=self.still.to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """R rows of L tokens with S supervised rows.

    Attributes:
        keys: of the examples of each row.
        token_ids: int64 (R, L).
        positions: int64 (3, R, L).
        past: tokens of earlier windows of the same document whose keys and values are carried on; 0 for most.
        carries: whether the next batch goes on with this one's keys and values.
        block_of: int64 (R, past + L), each token's block within its row; padding is a block of its own.
        sees: bool (R, N, N), row = the block that looks; the diagonal means causal inside the block.
        visual: bool (R, L), where features go.
        sights: what they show.
        rows: int64 (S,), places in the flattened (R * L) whose hidden state predicts a supervised token.
        targets: int64 (S,), that token.
        weights: float32 (S,), of each in the cross entropy; 0 for decisions that are taken after a grid.
        answer: int64 (S,), number of the thing said, through the batch.
        said_at_s: float64 (S,), when it is said, and `evidence_s` (S,) when it could have been known.
        source: int64 (S,), place in `sources`.
        sources: names of curves.
        decisions: the rows that decide.
        twins: int64 (k, 2), supervised rows that say the same word, one grid apart: before, after.
        rivals: int64 (p, 2), documents of a chosen and of a rejected trace.
        utilities: float64 (p, 2), what they are worth.
        worded: bool (p,), whether the two differ in what is said or shown; else they differ in timing alone.
        document: int64 (S,), document of each supervised row.
        text: bool (S,), rows that say words; the others decide.
        tokens: how many tokens are no padding.
    """

    keys: tuple[tuple[str, ...], ...]
    token_ids: Tensor
    positions: Tensor
    past: int
    carries: bool
    block_of: Tensor
    sees: Tensor
    visual: Tensor
    sights: Sights
    rows: Tensor
    targets: Tensor
    weights: Tensor
    answer: Tensor
    said_at_s: Tensor
    evidence_s: Tensor
    source: Tensor
    sources: tuple[str, ...]
    decisions: Decisions
    twins: Tensor
    rivals: Tensor
    utilities: Tensor
    worded: Tensor
    document: Tensor
    text: Tensor
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return replace(
            self,
            token_ids=self.token_ids.to(device, non_blocking=True),
            positions=self.positions.to(device, non_blocking=True),
            block_of=self.block_of.to(device, non_blocking=True),
            sees=self.sees.to(device, non_blocking=True),
            visual=self.visual.to(device, non_blocking=True),
            sights=self.sights.to(device),
            rows=self.rows.to(device),
            targets=self.targets.to(device),
            weights=self.weights.to(device),
            answer=self.answer.to(device),
            said_at_s=self.said_at_s.to(device),
            evidence_s=self.evidence_s.to(device),
            source=self.source.to(device),
            decisions=self.decisions.to(device),
            twins=self.twins.to(device),
            rivals=self.rivals.to(device),
            utilities=self.utilities.to(device),
            worded=self.worded.to(device),
            document=self.document.to(device),
            text=self.text.to(device),
        )

    def mask(self, dtype: torch.dtype) -> Tensor:
        """What is added to attention scores: (R, 1, L, past + L) of `dtype`, 0 where visible, else its least value."""
        lookers = self.block_of[:, self.past :]
        count = self.block_of.shape[1]
        place = torch.arange(count, device=self.block_of.device)
        own = (lookers[:, :, None] == self.block_of[:, None, :]) & (place[None, self.past :, None] >= place)
        row = torch.arange(len(lookers), device=lookers.device)[:, None, None]
        other = self.sees[row, lookers[:, :, None], self.block_of[:, None, :]]
        seen = own | (other & (lookers[:, :, None] != self.block_of[:, None, :]))
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)[
            :, None
        ]
