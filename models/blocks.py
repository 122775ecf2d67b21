"""A context is a list of blocks; ids, visibility, labels, packing and the cache plan follow from it and two policies.

The visibility between blocks is the specification: any schedule that feeds the blocks one after the other under it
gives the logits of one forward pass under it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from models.block import Block, BlockError, Kind
from models.errors import SettingsError
from models.layouts import Layout, VisibilityRule
from models.placing import Piece, placed, with_predicting_rows
from models.positions import Clock, Cursor

__all__ = ["NOT_LEARNED", "Block", "BlockError", "Context", "Kind", "derive", "pack"]

NOT_LEARNED = -100
_BEGIN = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What a model needs to see the blocks as one sequence of L tokens in N blocks and D documents.

    Attributes:
        blocks: In sequence order.
        arrival: int64 (N,), the rank of each block in the order in which the blocks arrived.
        token_ids: int64 (L,).
        positions: int64 (3, L), rows t, h, w.
        block_of: int64 (L,), the block of each token.
        sees: bool (N, N), row = the one who looks; the diagonal means causal inside the block.
        labels: int64 (L,), the token itself where it is supervised, else -100; the loss shifts them.
        loss_weights: float32 (L,), 0 where nothing is supervised.
        documents: int32 (D + 1,), cumulative lengths.
        max_seqlen: Tokens in the longest document.
    """

    blocks: tuple[Block, ...]
    arrival: Tensor
    token_ids: Tensor
    positions: Tensor
    block_of: Tensor
    sees: Tensor
    labels: Tensor
    loss_weights: Tensor
    documents: Tensor
    max_seqlen: int

    def __post_init__(self) -> None:
        count = len(self.blocks)
        if self.sees.shape != (count, count) or bool(self.sees.triu(1).any()):
            raise BlockError(
                f"Context: sees is {tuple(self.sees.shape)} for {count} blocks, or lets a block see a later one; "
                "expected a square that is false above its diagonal"
            )

    @property
    def packed_positions(self) -> Tensor:
        """int64 (4, L): row 0 counts each document from 0, rows 1 to 3 are t, h, w.

        transformers 5 reads row 0 of four rows as the borders of packed documents. A layout that restarts positions
        would be cut in two there if its own ids stood in row 0.
        """
        starts = self.documents[:-1].long()
        lengths = self.documents.diff().long()
        row = torch.arange(len(self.token_ids)) - starts.repeat_interleave(lengths)
        return torch.cat([row[None], self.positions])


def derive(
    blocks: Sequence[Block], layout: Layout, *, clock: Clock, cursor: Cursor = _BEGIN, window_ns: int | None = None
) -> Context:
    """Turn blocks into one document under a layout.

    Blocks arrive by the time at which they are known; blocks of one instant arrive in the order of the list. Where
    replies see the past, a reply sees exactly the blocks that arrived before it.

    Args:
        blocks: In any order of time; the order of the list decides between blocks of one instant.
        layout: The two policies.
        clock: The family's temporal rule.
        cursor: Where positions begin; replies that restart begin at their offset all the same.
        window_ns: What arrives so long after the end of a frames block, or longer, does not see it, unless it is
            pinned, as in a session whose memory is `window`; None: no frames are forgotten.

    Raises:
        BlockError: there are no blocks.
        SettingsError: the clock has an origin but the layout counts time by segments, or the window is none.
        TimeError: grids that run backwards in one vision segment.
    """
    if window_ns is not None and (type(window_ns) is not int or window_ns < 1):
        raise SettingsError(f"derive: window_ns is {window_ns!r}; expected an int of 1 or more, or None")
    if not blocks:
        raise BlockError("derive: the list of blocks is empty; expected at least one block")
    rule = layout.visibility
    arrived = sorted((block.known_ns, 2 * index + 1, index) for index, block in enumerate(blocks))
    ordered = [(blocks[index], (known_ns, tie)) for known_ns, tie, index in arrived]
    if rule.order == "frames_first":
        ordered.sort(key=lambda item: item[0].kind.said)
    pieces = placed(ordered, layout.positions, clock=_clock(blocks, layout, clock), cursor=cursor, window_ns=window_ns)
    if rule.predicting_row:
        pieces = with_predicting_rows(pieces, forgets=window_ns is not None)
    return _assembled(pieces, rule, window_ns)


def pack(contexts: Sequence[Context]) -> Context:
    """Put contexts one behind the other so that nothing sees across them; positions stay as they are.

    The first token of each document is no longer supervised: the row before it belongs to another document.

    Raises:
        BlockError: there are no contexts.
    """
    if not contexts:
        raise BlockError("pack: the list of contexts is empty; expected at least one context")
    ends = list(accumulate(len(context.blocks) for context in contexts))
    before = [0, *ends[:-1]]
    sees = torch.zeros(ends[-1], ends[-1], dtype=torch.bool)
    for start, stop, context in zip(before, ends, contexts, strict=True):
        sees[start:stop, start:stop] = context.sees
    lengths = torch.cat([context.documents.diff() for context in contexts])
    documents = torch.cat([torch.zeros(1, dtype=torch.int32), lengths.cumsum(0, dtype=torch.int32)])
    labels = torch.cat([context.labels for context in contexts])
    loss_weights = torch.cat([context.loss_weights for context in contexts])
    first = documents[:-1].long()
    labels[first] = NOT_LEARNED
    loss_weights[first] = 0
    return Context(
        blocks=tuple(block for context in contexts for block in context.blocks),
        arrival=torch.cat([context.arrival + offset for context, offset in zip(contexts, before, strict=True)]),
        token_ids=torch.cat([context.token_ids for context in contexts]),
        positions=torch.cat([context.positions for context in contexts], dim=1),
        block_of=torch.cat([context.block_of + offset for context, offset in zip(contexts, before, strict=True)]),
        sees=sees,
        labels=labels,
        loss_weights=loss_weights,
        documents=documents,
        max_seqlen=max(context.max_seqlen for context in contexts),
    )


def _clock(blocks: Sequence[Block], layout: Layout, clock: Clock) -> Clock:
    """The clock with its origin at the first grid where the layout counts time through the whole stream."""
    if layout.positions.clock == "segment":
        if clock.origin_ns is not None:
            raise SettingsError(
                f"layout {layout.name}: counts time by segments, but the clock has its origin at {clock.origin_ns} ns; "
                "leave origin_ns out, or use a layout whose clock is stream"
            )
        return clock
    stays = [grid.t_ns for block in blocks if not block.passing for grid in block.grids]
    times = stays or [grid.t_ns for block in blocks for grid in block.grids]
    return clock if clock.origin_ns is not None or not times else replace(clock, origin_ns=min(times))


def _assembled(pieces: Sequence[Piece], rule: VisibilityRule, window_ns: int | None) -> Context:
    """One document of placed pieces."""
    blocks = tuple(piece.block for piece in pieces)
    order = sorted(range(len(pieces)), key=lambda index: pieces[index].when)
    arrival = torch.tensor(order).argsort()
    token_ids = torch.tensor([token for block in blocks for token in block.token_ids])
    labels = torch.full_like(token_ids, NOT_LEARNED)
    loss_weights = torch.zeros(len(token_ids))
    at = 0
    for block in blocks:
        if block.learn is not None:
            span = slice(at + block.learn[0], at + block.learn[1])
            labels[span] = token_ids[span]
            loss_weights[span] = block.loss_weight
        at += len(block.token_ids)
    return Context(
        blocks=blocks,
        arrival=arrival,
        token_ids=token_ids,
        positions=torch.cat([piece.positions for piece in pieces], dim=1),
        block_of=torch.arange(len(blocks)).repeat_interleave(torch.tensor([len(block.token_ids) for block in blocks])),
        sees=_sees(pieces, arrival, rule) & ~_forgotten(pieces, window_ns),
        labels=labels,
        loss_weights=loss_weights,
        documents=torch.tensor([0, at], dtype=torch.int32),
        max_seqlen=at,
    )


def _sees(pieces: Sequence[Piece], arrival: Tensor, rule: VisibilityRule) -> Tensor:
    """Who may see whom, bool (N, N), row = the one who looks."""
    blocks = [piece.block for piece in pieces]
    count = len(blocks)
    earlier = torch.ones(count, count, dtype=torch.bool).tril(-1) & _in_sight(pieces)
    said = torch.tensor([block.kind.said for block in blocks])
    frames = torch.tensor([block.kind is Kind.FRAMES for block in blocks])
    queries = torch.tensor([block.kind is Kind.QUERY for block in blocks])
    by_reply = earlier if rule.replies_see == "all" else earlier & (arrival[None, :] < arrival[:, None])
    by_input = earlier
    if not rule.frames_see_text:
        late = _late(blocks)
        if rule.queries_see == "all":
            hidden = frames[:, None] & (late & ~frames)[None, :]
        else:
            hidden = said[None, :] | (frames[:, None] & (late & queries)[None, :])
        by_input = earlier & ~hidden
    return torch.where(said[:, None], by_reply, by_input) | torch.eye(count, dtype=torch.bool)


def _forgotten(pieces: Sequence[Piece], window_ns: int | None) -> Tensor:
    """Which frames are out of memory when a block arrives, bool (N, N), row = the one who looks."""
    if window_ns is None:
        return torch.zeros(len(pieces), len(pieces), dtype=torch.bool)
    arrived = torch.tensor([piece.when[0] for piece in pieces])
    ends = torch.tensor([piece.block.t1_ns for piece in pieces])
    kept = torch.tensor([piece.block.pinned or piece.block.kind is not Kind.FRAMES for piece in pieces])
    return (arrived[:, None] - ends[None, :] >= window_ns) & ~kept[None, :]


def _in_sight(pieces: Sequence[Piece]) -> Tensor:
    """Whom a turn leaves in sight, bool (N, N): what passes is seen by its own turn alone, a copy goes before it."""
    turn = torch.tensor([piece.block.turn for piece in pieces])
    passing = torch.tensor([piece.block.passing for piece in pieces])
    seen = ~passing[None, :] | (turn[:, None] == turn[None, :])
    for column, piece in enumerate(pieces):
        for copied in piece.hidden_from:
            seen[turn == copied, column] = False
    return seen


def _late(blocks: Sequence[Block]) -> Tensor:
    """Which blocks came after the first frames that they know of, bool (N,); frames themselves count as late."""
    # Turns that have seen frames, or text that has; 0 is the document.
    came: set[int] = set()
    late = []
    for block in blocks:
        late.append(block.kind is Kind.FRAMES or bool(came & {0, block.turn}))
        if late[-1]:
            came.add(block.turn if block.passing else 0)
    return torch.tensor(late)
