"""The specification as code: everything a session fed, as one forward pass under its visibility mask."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.backbone import Backbone, Features, Visual
from models.row import Event, Fed, Recalled

SECOND_NS = 1_000_000_000


def drawn_frames(count: int, *, seed: int = 0, size: tuple[int, int] = (24, 32)) -> list[np.ndarray]:
    """Frames uint8 (height, width, 3), a bright square that wanders over noise."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        frame = rng.integers(0, 80, (*size, 3), dtype=np.uint8)
        top, left = (3 * index) % (size[0] - 8), (5 * index) % (size[1] - 8)
        frame[top : top + 8, left : left + 8] = (index * 37) % 256
        frames.append(frame)
    return frames


@dataclass
class Oracle:
    """Listens to a session and knows every token it fed, what it saw, and the logits it gave.

    It follows slots, not blocks: whoever wrote a slot last is who a later token sees there.
    """

    backbone: Backbone
    embeds: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    deepstack: list[Tensor] = field(default_factory=list)
    visual: list[bool] = field(default_factory=list)
    sees: list[set[int]] = field(default_factory=list)
    owner: dict[int, int] = field(default_factory=dict)
    tokens_of: dict[int, list[int]] = field(default_factory=dict)
    logits: list[tuple[int, Tensor]] = field(default_factory=list)
    fed: list[Fed] = field(default_factory=list)
    # Feeds of one forward are reported together, but all of them wrote before any of them looked.
    _written: dict[int, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Recalled):
            tokens = self.tokens_of[event.before.id]
            self.tokens_of[event.after.id] = tokens
            self.owner.update(zip(event.after.slots.tolist(), tokens, strict=True))
            return
        self.fed.append(event)
        start = len(self.embeds)
        block = event.entry.block
        tokens = list(range(start, start + len(block.token_ids)))
        seen = {self.owner[slot] for slot in event.sees.tolist()}
        embeds = self.backbone.embed(torch.tensor(block.token_ids)).clone()
        visual = torch.zeros(len(tokens), dtype=torch.bool)
        for grid in block.grids:
            visual[grid.start : grid.stop] = True
        if event.features is not None:
            embeds[visual] = event.features.embeds
            self.deepstack += [torch.stack(layers) for layers in zip(*event.features.deepstack, strict=True)]
        self.embeds += list(embeds)
        self.positions += list(event.entry.positions.T)
        self.visual += visual.tolist()
        self.sees += [seen | set(tokens[: place + 1]) for place in range(len(tokens))]
        self.tokens_of[event.entry.id] = tokens
        self.owner.update(zip(event.entry.slots.tolist(), tokens, strict=True))
        count = len(event.logits)
        self.logits += [(tokens[place - count], row) for place, row in enumerate(event.logits, start=len(tokens))]

    def one_forward(self) -> Tensor:
        """Logits float32 (tokens, vocabulary) of one pass over everything ever fed, evicted blocks included."""
        count = len(self.embeds)
        mask = torch.full((count, count), torch.finfo(self.backbone.dtype).min, dtype=self.backbone.dtype)
        for row, seen in enumerate(self.sees):
            mask[row, sorted(seen)] = 0
        visual = None
        if self.deepstack:
            layers = torch.stack(self.deepstack, dim=1)
            visual = Visual(rows=torch.tensor(self.visual)[None], deepstack=tuple(layers))
        positions = torch.stack(self.positions, dim=1)[:, None]
        with torch.inference_mode():
            hidden = self.backbone.hidden(torch.stack(self.embeds)[None], positions, mask[None, None], None, visual)
            return self.backbone.head(hidden)[0].float()

    def difference(self) -> float:
        """Greatest difference between any logits the session used and those of the one forward."""
        whole = self.one_forward()
        assert self.logits, "the session never asked for logits"
        return max(float((whole[token] - row).abs().max()) for token, row in self.logits)


def features_of(oracle: Oracle) -> list[Features]:
    """The vision features that were fed, in order."""
    return [event.features for event in oracle.fed if event.features is not None]
