"""The specification of a stream whose positions are set back: every forward again, over keys turned once.

Whatever was fed is fed again alone, through a plain cache that holds the keys of what it saw as they would be if they
had been written at the positions of that moment. Nothing of slots, masks or moved keys takes part.
"""

import torch
from transformers import DynamicCache

from models.backbone import Visual
from models.row import Fed
from models.slots import rotary_axes


class Replay:
    """Listens to a session; `difference` is the greatest between its logits and those of the replay.

    Args:
        session: observed from now on.
        backbone: of the session's model.
    """

    def __init__(self, session, backbone):
        self.backbone = backbone
        self.row = session._state.row
        self.difference = 0.0
        self.compared = 0
        self.highest = 0
        self._axes = rotary_axes(backbone)
        self._frequencies = backbone.text.rotary_emb.inv_freq.double()
        # By layer and slot: keys without rotation, in float64, and values; whoever wrote a slot last is there.
        shape = self.row.pool.pools[0].pool_keys.shape
        self._raw = [torch.zeros(shape[2], shape[1], shape[3], dtype=torch.float64) for _ in self.row.pool.pools]
        self._values = [torch.zeros(shape[2], shape[1], shape[3]) for _ in self.row.pool.pools]
        self._now = torch.zeros(shape[2], 3, dtype=torch.int64)
        session.observe(self)

    def __call__(self, event):
        assert isinstance(event, Fed), "no block comes back from host memory here"
        count, slots = len(event.entry.slots), event.entry.slots
        for entry in self.row._entries.values():
            self._now[entry.slots] = entry.positions.T
        # A slot may be named twice; it is looked at once.
        seen = event.sees.unique()
        cache = DynamicCache()
        for layer, (raw, values) in enumerate(zip(self._raw, self._values, strict=True)):
            if len(seen):
                keys = self._turned(raw[seen], self._now[seen]).float()
                cache.update(keys.transpose(0, 1)[None], values[seen].transpose(0, 1)[None], layer)
        hidden = self._forward(event, cache, len(seen))
        for layer, (raw, values) in enumerate(zip(self._raw, self._values, strict=True)):
            kept = cache.layers[layer]
            raw[slots] = self._turned(kept.keys[0, :, len(seen) :].transpose(0, 1), -event.entry.positions.T)
            values[slots] = kept.values[0, :, len(seen) :].transpose(0, 1)
        self.highest = max(self.highest, int(event.entry.positions.max()))
        if len(event.logits):
            mine = self.backbone.head(hidden[0, count - len(event.logits) :]).float()
            self.difference = max(self.difference, float((mine - event.logits).abs().max()))
            self.compared += 1

    @torch.inference_mode()
    def _forward(self, event, cache, seen):
        block, count = event.entry.block, len(event.entry.slots)
        embeds = self.backbone.embed(torch.tensor(block.token_ids)).clone()
        visual = None
        if event.features is not None:
            rows = torch.zeros(count, dtype=torch.bool)
            for grid in block.grids:
                rows[grid.start : grid.stop] = True
            embeds[rows] = event.features.embeds
            if event.features.deepstack:
                visual = Visual(rows=rows[None], deepstack=event.features.deepstack)
        hidden_from = torch.ones(count, seen + count, dtype=torch.bool).triu(seen + 1)
        mask = torch.zeros(hidden_from.shape).masked_fill_(hidden_from, torch.finfo(torch.float32).min)
        return self.backbone.hidden(embeds[None], event.entry.positions[:, None], mask[None, None], cache, visual)

    def _turned(self, keys, positions):
        """Keys (tokens, heads, width) turned by positions (tokens, 3), in float64.

        Source: RoFormer, arXiv 2104.09864, equation 34.
        """
        angle = (self._frequencies * positions[:, self._axes])[:, None]
        first, second = keys.double().chunk(2, dim=-1)
        cos, sin = angle.cos(), angle.sin()
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
