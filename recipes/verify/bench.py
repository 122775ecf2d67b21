"""What the checks work on: a learner, its first examples with the scripts behind them, and what their grids show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import Cache

from models.blocks import Block
from models.layouts import LAYOUTS, Layout
from recipes.data.batch import Batch, Sights
from recipes.data.collate import collate
from recipes.data.example import Example
from recipes.data.features import Sightings
from recipes.data.rows import Format
from recipes.data.script import Script, Writer
from recipes.learner import Learner


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordingWriter(Writer):
    """Writes scripts down, and keeps them by the key of their example."""

    scripts: dict[str, Script] = field(default_factory=dict)

    def write(self, script: Script) -> Example:
        """As `Writer.write`."""
        self.scripts[script.key] = script
        # dataclasses with slots are made anew, so `super()` without arguments finds another class.
        return Writer.write(self, script)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """What is checked.

    Attributes:
        learner: with the freeze map of the stage.
        examples: of the first steps, each without its rival.
        writer: wrote them, and knows the script behind each.
        sightings: what their grids show.
        how: the format of batches.
    """

    learner: Learner
    examples: Sequence[Example]
    writer: RecordingWriter
    sightings: Sightings
    how: Format

    @property
    def layout(self) -> Layout:
        """What the layout of the format is to be, by its name."""
        return LAYOUTS[self.how.layout.name]

    def few(self) -> list[Example]:
        """The shortest example of each source."""
        found: dict[str, Example] = {}
        for example in sorted(self.examples, key=lambda example: example.tokens):
            found.setdefault(example.source, example)
        return list(found.values())

    def batches(self, rows: Sequence[Sequence[Example]]) -> list[Batch]:
        """Rows of examples as batches on the learner's device."""
        grids = {grid for row in rows for example in row for grid in example.grids}
        shown = self.sightings.shown(grids)
        return [batch.to(self.learner.backbone.device) for batch in collate(rows, shown, self.how)]

    def hidden(self, batches: Sequence[Batch]) -> Tensor:
        """States of all supervised rows, batch by batch, windows with what they carry on: float32 (S, width)."""
        carried: Cache | None = None
        found = []
        with torch.no_grad():
            for batch in batches:
                seen = self.learner(batch, carried if batch.past else None)
                carried = seen.cache
                found.append(seen.hidden.float())
        return torch.cat(found)

    def with_features(self, batch: Batch) -> Batch:
        """The same batch with features instead of pixels, each visual place on its own."""
        with torch.no_grad():
            features = self.learner.features(batch.sights)
        flat = torch.cat([features.embeds, *features.deepstack], dim=-1)[batch.sights.order]
        sizes = self.places(batch)
        order = torch.arange(len(flat), device=flat.device)
        empty = flat.new_empty(0, 0)
        return replace(batch, sights=Sights(patches=empty, shapes=(), features=flat, tokens=sizes, order=order))

    def places(self, batch: Batch) -> tuple[int, ...]:
        """Tokens of each grid at its visual place, in their order."""
        sizes: list[int] = []
        for row, block_of in enumerate(batch.block_of[:, batch.past :]):
            blocks = block_of[batch.visual[row]]
            sizes += torch.unique_consecutive(blocks, return_counts=True)[1].tolist()
        return tuple(sizes)


def difference(found: Tensor, expected: Tensor) -> float:
    """Greatest difference, as a share of the greatest value expected; 0 where both are empty."""
    if not found.numel():
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def sayers(example: Example) -> list[list[Block]]:
    """The blocks that say each thing said: one may go on over the end of a block."""
    found: list[list[Block]] = []
    open_run = False
    for block in example.blocks:
        if block.learn is not None:
            if not (open_run and block.learn[0] == 0):
                found.append([])
            found[-1].append(block)
        open_run = block.learn is not None and block.learn[1] == len(block.token_ids)
    return found
