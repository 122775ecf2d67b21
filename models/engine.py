"""One forward of the decoder over a slot pool: blocks of one or several sessions, each with what it may see."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone import Backbone, Features, Visual
from models.slots import SlotPool, Write, row_span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feed:
    """Tokens that enter the cache in one forward.

    Attributes:
        row: row of the pool, one per session.
        token_ids: int64 (n,).
        positions: int64 (3, n).
        slots: int64 (n,), taken from the pool for these tokens.
        sees: int64, the slots that every token of the feed sees besides itself and the feed's earlier tokens; slots of
            another feed of the same forward may be among them.
        features: vision features of the visual tokens, or None.
        visual: bool (n,), the visual tokens; None without features.
        logits: how many of the last tokens need logits; 0 for none.
    """

    row: int
    token_ids: Tensor
    positions: Tensor
    slots: Tensor
    sees: Tensor
    features: Features | None = None
    visual: Tensor | None = None
    logits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a feed stands in the padded batch."""

    batch: int
    start: int


class Engine:
    """Runs feeds through the decoder.

    Args:
        backbone: the model.
        pool: where keys and values live.
    """

    def __init__(self, backbone: Backbone, pool: SlotPool) -> None:
        self.backbone = backbone
        self.pool = pool

    @torch.inference_mode()
    def forward(self, feeds: Sequence[Feed]) -> list[Tensor]:
        """One pass over all feeds; rows of a ragged batch are padded and masked.

        Returns:
            For each feed float32 logits (feed.logits, vocabulary), on the decoder's device.
        """
        span = row_span([feed.row for feed in feeds])
        places, width = _arrange(feeds, span)
        length = self.pool.view_length(_last_slot(feeds))
        device, dtype = self.backbone.device, self.backbone.dtype
        embeds = torch.zeros(len(span), width, self.backbone.width, dtype=dtype, device=device)
        positions = torch.zeros(3, len(span), width, dtype=torch.int64)
        for feed, place in zip(feeds, places, strict=True):
            here = slice(place.start, place.start + len(feed.token_ids))
            embeds[place.batch, here] = self._embeds(feed)
            positions[:, place.batch, here] = feed.positions
        mask = visibility(feeds, places, shape=(len(span), width, length))
        additive = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
        self.pool.plan(_write(feeds, places, span, shape=(width, length), device=device))
        try:
            hidden = self.backbone.hidden(
                embeds,
                positions.to(device),
                additive[:, None].to(device),
                self.pool,
                self._visual(feeds, places, (len(span), width)),
            )
        finally:
            self.pool.plan(None)
        return [self._logits(hidden, feed, place) for feed, place in zip(feeds, places, strict=True)]

    def _embeds(self, feed: Feed) -> Tensor:
        embeds = self.backbone.embed(feed.token_ids)
        if feed.features is not None and feed.visual is not None:
            embeds = embeds.clone()
            embeds[feed.visual.to(embeds.device)] = feed.features.embeds.to(embeds.device, embeds.dtype)
        return embeds

    def _visual(self, feeds: Sequence[Feed], places: Sequence[_Place], shape: tuple[int, int]) -> Visual | None:
        seen = [
            (feed, place)
            for feed, place in zip(feeds, places, strict=True)
            if feed.features and feed.features.deepstack
        ]
        if not seen:
            return None
        # The decoder reads features in the order of the batch's rows, which the order of the feeds need not be.
        seen.sort(key=lambda pair: (pair[1].batch, pair[1].start))
        rows = torch.zeros(shape, dtype=torch.bool)
        for feed, place in seen:
            assert feed.visual is not None
            rows[place.batch, place.start : place.start + len(feed.visual)] = feed.visual
        layers = zip(*(feed.features.deepstack for feed, _ in seen if feed.features), strict=True)
        device = self.backbone.device
        return Visual(
            rows=rows.to(device), deepstack=tuple(torch.cat([part.to(device) for part in layer]) for layer in layers)
        )

    def _logits(self, hidden: Tensor, feed: Feed, place: _Place) -> Tensor:
        end = place.start + len(feed.token_ids)
        logits: Tensor = self.backbone.head(hidden[place.batch, end - feed.logits : end])
        return logits.float()


def _arrange(feeds: Sequence[Feed], span: range) -> tuple[list[_Place], int]:
    """Puts the feeds of each row one after the other; returns their places and the width of the batch."""
    ends = [0] * len(span)
    places = []
    for feed in feeds:
        batch = feed.row - span.start
        places.append(_Place(batch=batch, start=ends[batch]))
        ends[batch] += len(feed.token_ids)
    return places, max(ends)


def _last_slot(feeds: Sequence[Feed]) -> int:
    """The last slot that a feed writes or sees."""
    return max(int(slots.max()) for feed in feeds for slots in (feed.slots, feed.sees) if len(slots))


def visibility(feeds: Sequence[Feed], places: Sequence[_Place], *, shape: tuple[int, int, int]) -> Tensor:
    """Who sees which slot: bool (batch, width, slots)."""
    mask = torch.zeros(shape, dtype=torch.bool)
    # A padded place must look at something, or its softmax is undefined; nobody looks at it.
    mask[:, :, 0] = True
    for feed, place in zip(feeds, places, strict=True):
        rows = mask[place.batch, place.start : place.start + len(feed.token_ids)]
        rows[:, 0] = False
        rows[:, feed.sees] = True
        own = torch.ones(len(feed.token_ids), len(feed.token_ids), dtype=torch.bool).tril()
        rows[:, feed.slots] = own
    return mask


def _write(
    feeds: Sequence[Feed], places: Sequence[_Place], span: range, *, shape: tuple[int, int], device: torch.device
) -> Write:
    """Where the tokens of `shape` (width of the batch, slots looked at) go."""
    width, length = shape
    pairs = list(zip(feeds, places, strict=True))
    batch = torch.cat([torch.full((len(feed.slots),), place.batch) for feed, place in pairs]).to(device)
    place = torch.cat([torch.arange(place.start, place.start + len(feed.slots)) for feed, place in pairs])
    slots = torch.cat([feed.slots for feed in feeds])
    return Write(
        first_row=span.start,
        length=length,
        slots=slots.to(device),
        rows=batch + span.start,
        batch=batch,
        place=place.to(device),
        single=len(span) == 1 and len(slots) == width,
    )
