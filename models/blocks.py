"""A context is a list of blocks; ids, visibility, labels, packing and the cache plan follow from it and two policies.

The visibility between blocks is the specification: any schedule that feeds the blocks one after the other under it
gives the logits of one forward pass under it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

import torch
from torch import Tensor

from models.errors import SettingsError, StreamError, TimeError
from models.layouts import Layout, PositionRule, VisibilityRule
from models.positions import Clock, Cursor, Grid, check_grids, place

NOT_LEARNED = -100
_BEGIN = Cursor()

# When a block arrived: the time at which it is known, then its place among blocks of that instant.
When = tuple[int, int]


class BlockError(StreamError):
    """A block or a list of blocks contradicts itself."""


class Kind(StrEnum):
    """What a block is. The model says replies and decisions; all else is its input."""

    SYSTEM = "system"
    FRAMES = "frames"
    QUERY = "query"
    REPLY = "reply"
    DECISION = "decision"

    @property
    def said(self) -> bool:
        """Whether the model itself says such a block."""
        return self in (Kind.REPLY, Kind.DECISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of tokens that become visible together.

    Attributes:
        kind: What it is.
        t0_ns: Where its half-open span begins. A text block is known from this instant on.
        t1_ns: Where its span ends, behind all its frames. A frames block is known from this instant on.
        token_ids: All its tokens, with wrapper text and the pads of its grids.
        grids: The video inside it, by rising start; only in input.
        feature: Key of its vision features; empty: none.
        pinned: Memory policies never drop it, and the cache plan keeps it to the end of its document.
        learn: Half-open token offsets that are supervised; None: nothing.
        loss_weight: Weight of each supervised token.
    """

    kind: Kind
    t0_ns: int
    t1_ns: int
    token_ids: tuple[int, ...]
    grids: tuple[Grid, ...] = ()
    feature: str = ""
    pinned: bool = False
    learn: tuple[int, int] | None = None
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        where = f"{self.kind} block at {self.t0_ns} ns"
        if type(self.t0_ns) is not int or type(self.t1_ns) is not int or self.t1_ns < self.t0_ns:
            raise TimeError(
                f"{where}: span [{self.t0_ns!r}, {self.t1_ns!r}); "
                "expected ints of nanoseconds, the end not before the start"
            )
        if not self.token_ids:
            raise BlockError(f"{where}: holds no tokens; leave it out of the list")
        if self.grids and self.kind.said:
            raise BlockError(f"{where}: holds {len(self.grids)} grids, but what the model says is text")
        check_grids(len(self.token_ids), self.grids)
        if self.kind is Kind.FRAMES:
            for grid in self.grids:
                if not self.t0_ns <= grid.t_ns < self.t1_ns:
                    raise TimeError(
                        f"{where}: a grid at {grid.t_ns} ns lies outside its span [{self.t0_ns}, {self.t1_ns}); "
                        "end the span behind its last frame"
                    )
        if self.learn is not None and not 0 <= self.learn[0] < self.learn[1] <= len(self.token_ids):
            raise BlockError(
                f"{where}: learn is {self.learn}; expected a span inside [0, {len(self.token_ids)}), or None"
            )
        if not 0 <= self.loss_weight < float("inf"):
            raise BlockError(f"{where}: loss_weight is {self.loss_weight}; expected a finite weight of 0 or more")

    @property
    def known_ns(self) -> int:
        """When all of it has arrived: the end of the span for frames, its begin for text."""
        return self.t1_ns if self.kind is Kind.FRAMES else self.t0_ns


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A block with its place in the order of arrival and, once placed, its positions (3, tokens)."""

    block: Block
    when: When
    positions: Tensor


def derive(blocks: Sequence[Block], layout: Layout, *, clock: Clock, cursor: Cursor = _BEGIN) -> Context:
    """Turn blocks into one document under a layout.

    Blocks arrive by the time at which they are known; blocks of one instant arrive in the order of the list. Where
    replies see the past, a reply sees exactly the blocks that arrived before it.

    Args:
        blocks: In any order of time; the order of the list decides between blocks of one instant.
        layout: The two policies.
        clock: The family's temporal rule.
        cursor: Where positions begin; replies that restart begin at their offset all the same.

    Raises:
        BlockError: there are no blocks.
        SettingsError: the clock has an origin but the layout counts time by segments.
        TimeError: grids that run backwards in one vision segment.
    """
    if not blocks:
        raise BlockError("derive: the list of blocks is empty; expected at least one block")
    rule = layout.visibility
    arrived = sorted((block.known_ns, 2 * index + 1, index) for index, block in enumerate(blocks))
    ordered = [(blocks[index], (known_ns, tie)) for known_ns, tie, index in arrived]
    if rule.order == "frames_first":
        ordered.sort(key=lambda item: item[0].kind.said)
    pieces = _placed(ordered, layout.positions, clock=_clock(blocks, layout, clock), cursor=cursor)
    if rule.predicting_row:
        pieces = _with_predicting_rows(pieces)
    return _assembled(pieces, rule)


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
    times = [grid.t_ns for block in blocks for grid in block.grids]
    return clock if clock.origin_ns is not None or not times else replace(clock, origin_ns=min(times))


def _placed(ordered: Sequence[tuple[Block, When]], rule: PositionRule, *, clock: Clock, cursor: Cursor) -> list[_Piece]:
    """Give positions to blocks in sequence order."""
    heard, beside, spoken, anchor = cursor, cursor, Cursor(next=rule.offset), -1
    # Where a reply begins under `shared`: at the newest frames, and before any frames behind the input so far.
    anchors = [((min(when for _, when in ordered)[0], 0), cursor.next)]
    frames_came = False
    pieces = []
    for block, when in ordered:
        if block.kind.said and rule.reply != "continue":
            newest = bisect_left(anchors, (when, -1)) - 1
            if rule.reply == "shared" and newest != anchor:
                anchor, spoken = newest, Cursor(next=anchors[newest][1])
            positions, spoken = place(len(block.token_ids), (), cursor=spoken, clock=clock)
        elif rule.beside and frames_came and block.kind is not Kind.FRAMES:
            behind = Cursor(next=max(heard.next, beside.next))
            positions, beside = place(len(block.token_ids), block.grids, cursor=behind, clock=clock)
        else:
            positions, heard = place(len(block.token_ids), block.grids, cursor=heard, clock=clock)
            if block.kind is Kind.FRAMES:
                frames_came = True
                anchors.append((when, int(positions[0, 0])))
            elif not frames_came:
                anchors.append((when, heard.next))
        pieces.append(_Piece(block=block, when=when, positions=positions))
    return pieces


def _with_predicting_rows(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Make the last token of a reply a block that arrives just before the next reply, if input arrives between them."""
    inputs = sorted(piece.when for piece in pieces if not piece.block.kind.said)
    following = [*pieces[1:], None]
    done = []
    for piece, after in zip(pieces, following, strict=True):
        said = piece.block.kind.said and after is not None
        if after is None or not said or bisect_left(inputs, piece.when) == bisect_left(inputs, after.when):
            done.append(piece)
            continue
        at = len(piece.block.token_ids) - 1
        when = (after.when[0], after.when[1] - 1)
        if at:
            done.append(replace(piece, block=_cut(piece.block, 0, at), positions=piece.positions[:, :at]))
        tail = _cut(piece.block, at, at + 1)
        tail = replace(tail, t0_ns=after.block.t0_ns, t1_ns=max(piece.block.t1_ns, after.block.t0_ns))
        done.append(_Piece(block=tail, when=when, positions=piece.positions[:, at:]))
    return done


def _cut(block: Block, start: int, stop: int) -> Block:
    """The tokens [start, stop) of a block without grids, with what is supervised of them."""
    learn = None
    if block.learn is not None:
        span = max(block.learn[0], start) - start, min(block.learn[1], stop) - start
        learn = span if span[0] < span[1] else None
    return replace(block, token_ids=block.token_ids[start:stop], learn=learn)


def _assembled(pieces: Sequence[_Piece], rule: VisibilityRule) -> Context:
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
        sees=_sees(blocks, arrival, rule),
        labels=labels,
        loss_weights=loss_weights,
        documents=torch.tensor([0, at], dtype=torch.int32),
        max_seqlen=at,
    )


def _sees(blocks: Sequence[Block], arrival: Tensor, rule: VisibilityRule) -> Tensor:
    """Who may see whom, bool (N, N), row = the one who looks."""
    count = len(blocks)
    earlier = torch.ones(count, count, dtype=torch.bool).tril(-1)
    said = torch.tensor([block.kind.said for block in blocks])
    frames = torch.tensor([block.kind is Kind.FRAMES for block in blocks])
    queries = torch.tensor([block.kind is Kind.QUERY for block in blocks])
    by_reply = earlier if rule.replies_see == "all" else earlier & (arrival[None, :] < arrival[:, None])
    by_input = earlier
    if not rule.frames_see_text:
        late = frames.cumsum(0) > 0
        if rule.queries_see == "all":
            hidden = frames[:, None] & (late & ~frames)[None, :]
        else:
            hidden = said[None, :] | (frames[:, None] & (late & queries)[None, :])
        by_input = earlier & ~hidden
    return torch.where(said[:, None], by_reply, by_input) | torch.eye(count, dtype=torch.bool)
