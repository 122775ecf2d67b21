"""The model as training calls it: a batch in, hidden states of its supervised rows out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from models.backbone import Backbone, Features, Visual
from models.tower import Tower
from recipes.data.batch import Batch, Sights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a forward found.

    Attributes:
        hidden: (S, width), the state behind the last norm at each supervised row.
        cache: keys and values to carry on, without gradient; None where nobody asked.
    """

    hidden: Tensor
    cache: Cache | None


class Learner(nn.Module):
    """Stock modules, called with positions, masks and features of ours.

    Args:
        model: of one of the families; which parameters learn is the caller's to say.
        checkpointing: compute activations of the decoder anew in the backward pass, except in windows that carry keys
            and values on.
    """

    def __init__(self, model: PreTrainedModel, *, checkpointing: bool = False) -> None:
        super().__init__()
        learns = {name: weight.requires_grad for name, weight in model.named_parameters()}
        self.backbone = Backbone(model)
        for name, weight in model.named_parameters():
            weight.requires_grad_(learns[name])
        self.model = model
        if checkpointing:
            self.backbone.text.activation_checkpointing_enable({"use_reentrant": False})
        self.tower = Tower(self.backbone)

    @property
    def width(self) -> int:
        """Of the decoder's hidden states."""
        return self.backbone.width

    def forward(self, batch: Batch, carried: Cache | None = None) -> Seen:
        """One pass over a batch.

        Args:
            batch: rows of packed documents, or one window of a document.
            carried: keys and values of the windows before it, `batch.past` tokens of them.
        """
        token_ids = batch.token_ids
        embeds = self.backbone.embed(token_ids)
        visual = None
        if len(batch.sights.order):
            features = self.features(batch.sights)
            at = batch.visual.nonzero(as_tuple=True)
            embeds = embeds.index_put(at, features.embeds[batch.sights.order].to(embeds.dtype))
            if features.deepstack:
                deep = tuple(part[batch.sights.order].to(embeds.dtype) for part in features.deepstack)
                visual = Visual(rows=batch.visual, deepstack=deep)
        cache = carried
        if cache is None and batch.carries:
            cache = DynamicCache()
        # Layers that compute activations anew drop a cache without a word, so beside one they keep them.
        self.backbone.text.train(self.training and cache is None)
        hidden = self.backbone.hidden(embeds, batch.positions, batch.mask(embeds.dtype), cache, visual)
        chosen = hidden.flatten(0, 1)[batch.rows]
        return Seen(hidden=chosen, cache=_detached(cache) if batch.carries else None)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits over the vocabulary: (S, width) to (S, vocabulary)."""
        logits: Tensor = self.backbone.head(hidden)
        return logits

    def features(self, sights: Sights) -> Features:
        """Features of all grids, one behind the other."""
        if not sights.shapes:
            parts = torch.split(sights.features, self.width, dim=-1)
            return Features(embeds=parts[0], deepstack=tuple(parts[1:]))
        sizes = [rows * columns for rows, columns in sights.shapes]
        found = self.tower.forward(torch.split(sights.patches, sizes), sights.shapes)
        deep = tuple(torch.cat(parts) for parts in zip(*(part.deepstack for part in found), strict=True))
        return Features(embeds=torch.cat([part.embeds for part in found]), deepstack=deep)


def _detached(cache: Cache | None) -> Cache | None:
    """The same keys and values without a way back to the forward that made them."""
    if cache is None:
        return None
    kept = DynamicCache()
    layers: list[Any] = list(cache.layers)  # their type leaves keys and values out
    for layer, part in enumerate(layers):
        kept.update(part.keys.detach(), part.values.detach(), layer)
    return kept
