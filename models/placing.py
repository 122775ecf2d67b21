"""Blocks in sequence order get their positions, and the rows that predict a reply become blocks of their own.

A passing block is placed where its turn stands at that moment; every other line goes on as if it had never been.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.block import Block, Kind
from models.layouts import PositionRule
from models.positions import Clock, Cursor, place

# When a block arrived: the time at which it is known, then its place among blocks of that instant.
When = tuple[int, int]
Ordered = Sequence[tuple[Block, When]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A block with its place in the order of arrival and its positions.

    Attributes:
        block: The block, or a part of it.
        when: When it arrived.
        positions: int64 (3, tokens).
        hidden_from: Turns that do not see it, because they hold a copy of it.
    """

    block: Block
    when: When
    positions: Tensor
    hidden_from: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Where a count goes on; `anchor`: the frames at which the last reply began, under `shared`."""

    cursor: Cursor
    anchor: When | None = None
    stamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchor:
    """Where replies begin under `shared` from a moment on.

    Attributes:
        when: the moment.
        position: where they begin.
        frames: whether there are frames; else text that came before all frames.
        until_ns: when memory lets them go; None: never.
    """

    when: When
    position: int
    frames: bool = False
    until_ns: int | None = None


class _Lines:
    """The counts of a document, and those of its turns while they hold passing blocks."""

    def __init__(self, rule: PositionRule, clock: Clock, cursor: Cursor, *, first: When, window_ns: int | None) -> None:
        self._rule = rule
        self._clock = clock
        begin = _Line(cursor=cursor)
        self._lines = {"heard": begin, "beside": begin, "spoken": _Line(cursor=Cursor(next=rule.offset))}
        self._own: dict[tuple[int, str], _Line] = {}
        # Where a reply begins under `shared`: at the newest frames, and before any frames behind the input so far.
        self._anchors: dict[int, list[_Anchor]] = {0: [_Anchor(when=(first[0], 0), position=cursor.next)]}
        self._window_ns = window_ns
        # Turns that have seen frames; 0 is the document.
        self._came: set[int] = set()
        self._stamp = 0

    def place(self, block: Block, when: When) -> Tensor:
        """Positions int64 (3, tokens) of the next block in sequence order."""
        if block.kind.said and self._rule.reply != "continue":
            return self._place_spoken(block, when)
        came = bool(self._came & {0, block.turn})
        if self._rule.beside and came and block.kind is not Kind.FRAMES:
            behind = max(self._line("heard", block).cursor.next, self._line("beside", block).cursor.next)
            if not block.passing:
                self._came.add(0)
            return self._put("beside", block, Cursor(next=behind))
        positions = self._put("heard", block, self._line("heard", block).cursor)
        known_to = block.turn if block.passing else 0
        if block.kind is Kind.FRAMES:
            self._came.add(known_to)
            until_ns = None if self._window_ns is None or block.pinned else block.t1_ns + self._window_ns
            anchor = _Anchor(when=when, position=int(positions[0, 0]), frames=True, until_ns=until_ns)
            self._anchors.setdefault(known_to, []).append(anchor)
        elif not came:
            anchor = _Anchor(when=when, position=self._line("heard", block).cursor.next)
            self._anchors.setdefault(known_to, []).append(anchor)
        return positions

    def _place_spoken(self, block: Block, when: When) -> Tensor:
        line = self._line("spoken", block)
        newest = self._newest(block, when) if self._rule.reply == "shared" else None
        if newest is not None and newest.when != line.anchor:
            return self._put("spoken", block, Cursor(next=newest.position), anchor=newest.when)
        return self._put("spoken", block, line.cursor, anchor=None if newest is None else newest.when)

    def _newest(self, block: Block, when: When) -> _Anchor | None:
        """The newest frames that had arrived before a reply, unless all frames are forgotten by then."""
        found: list[_Anchor] = []
        gone = False
        for known_to in {0, block.turn}:
            anchors = self._anchors.get(known_to, [])
            for at in range(bisect_left(anchors, when, key=lambda anchor: anchor.when) - 1, -1, -1):
                anchor = anchors[at]
                if anchor.until_ns is None or when[0] < anchor.until_ns:
                    found.append(anchor)
                    break
                gone = True
        newest = max(found, key=lambda anchor: anchor.when, default=None)
        # Behind forgotten frames nothing begins where only text had come.
        return None if newest is None or (gone and not newest.frames) else newest

    def _line(self, name: str, block: Block) -> _Line:
        """Where a count goes on for a block: behind what it sees of it."""
        line, own = self._lines[name], self._own.get((block.turn, name))
        if own is None or (own.stamp < line.stamp and own.cursor.next < line.cursor.next):
            return line
        return own

    def _put(self, name: str, block: Block, cursor: Cursor, *, anchor: When | None = None) -> Tensor:
        clock, times = self._clock, [grid.t_ns for grid in block.grids]
        if block.passing and clock.origin_ns is not None and times:
            # Older than all frames that stay: it counts from itself.
            clock = replace(clock, origin_ns=min(clock.origin_ns, *times))
        positions, after = place(len(block.token_ids), block.grids, cursor=cursor, clock=clock)
        self._stamp += 1
        line = _Line(cursor=after, anchor=anchor, stamp=self._stamp)
        if block.turn:
            self._own[block.turn, name] = line
        if not block.passing:
            self._lines[name] = line
        return positions


def placed(
    ordered: Ordered, rule: PositionRule, *, clock: Clock, cursor: Cursor, window_ns: int | None = None
) -> list[Piece]:
    """Give positions to blocks in sequence order.

    Args:
        ordered: The blocks, each with its place in the order of arrival.
        rule: Where positions go.
        clock: The family's temporal rule, with its origin where the rule counts through the whole stream.
        cursor: Where positions begin.
        window_ns: After so long frames are forgotten, and no reply begins where they stand.

    Raises:
        TimeError: grids that run backwards in one vision segment.
    """
    lines = _Lines(rule, clock, cursor, first=min(when for _, when in ordered), window_ns=window_ns)
    return [Piece(block=block, when=when, positions=lines.place(block, when)) for block, when in ordered]


class _Inputs:
    """When input arrived, for the document and for each turn that holds some of its own."""

    def __init__(self, pieces: Sequence[Piece], *, forgets: bool) -> None:
        self._forgets = forgets
        self._times: dict[int, list[When]] = {}
        for piece in pieces:
            if not piece.block.kind.said:
                self._times.setdefault(piece.block.turn if piece.block.passing else 0, []).append(piece.when)
        for times in self._times.values():
            times.sort()

    def parts(self, said: Piece, after: Piece) -> bool:
        """Whether what is said next sees other input than what was said before."""
        forgot = self._forgets and said.when[0] != after.when[0]
        if forgot or self._count(0, said.when) != self._count(0, after.when):
            return True
        own, others = said.block.turn, after.block.turn
        if own == others:
            return own > 0 and self._count(own, said.when) != self._count(own, after.when)
        return bool((own and self._count(own, said.when)) or (others and self._count(others, after.when)))

    def _count(self, turn: int, when: When) -> int:
        return bisect_left(self._times.get(turn, []), when)


def with_predicting_rows(pieces: Sequence[Piece], *, forgets: bool = False) -> list[Piece]:
    """Make the last token of a reply a block that arrives just before the next reply, if input arrives between them.

    A turn that passes holds a copy of that token, and does not see the token itself.

    Args:
        pieces: In sequence order.
        forgets: Whether frames are forgotten as time passes; then what the next reply sees changes with time alone.
    """
    inputs, followers = _Inputs(pieces, forgets=forgets), _followers(pieces)
    # What goes before a piece in the sequence, and what a piece becomes.
    before: dict[int, Piece] = {}
    done: list[Piece] = []
    for index, piece in enumerate(pieces):
        if index in before:
            done.append(before[index])
        after = followers.get(index, [])
        stays = [other for other in after if piece.block.passing or not pieces[other].block.passing][:1]
        cut = bool(stays) and inputs.parts(piece, pieces[stays[0]])
        # Where it is cut off it arrives too late for what passes before.
        copies = [other for other in after if other not in stays and (cut or inputs.parts(piece, pieces[other]))]
        if not cut and not copies:
            done.append(piece)
            continue
        head, tail = _cut(piece)
        for other in copies:
            before[other] = _arriving(tail, pieces[other], passing=True)
        if cut:
            tail = _arriving(tail, pieces[stays[0]], passing=piece.block.passing)
        hidden = frozenset(pieces[other].block.turn for other in copies)
        done += [*head, replace(tail, hidden_from=hidden)]
    return done


def _followers(pieces: Sequence[Piece]) -> dict[int, list[int]]:
    """For each thing said, by its index, what is said next: in the document, and in turns that pass."""
    followers: dict[int, list[int]] = {}
    newest: dict[int, int] = {}
    for index, piece in enumerate(pieces):
        block = piece.block
        if not block.kind.said:
            continue
        seen = max(newest.get(0, -1), newest.get(block.turn, -1))
        if seen >= 0:
            followers.setdefault(seen, []).append(index)
        newest[block.turn if block.passing else 0] = index
    return followers


def _cut(piece: Piece) -> tuple[list[Piece], Piece]:
    """All tokens but the last one, if there are any, and the last one."""
    block, at = piece.block, len(piece.block.token_ids) - 1
    head = [replace(piece, block=block.part(0, at), positions=piece.positions[:, :at])] if at else []
    return head, replace(piece, block=block.part(at, at + 1), positions=piece.positions[:, at:])


def _arriving(tail: Piece, after: Piece, *, passing: bool) -> Piece:
    """The last token of a reply as it arrives just before the next reply, seeing what that sees."""
    block = tail.block
    moved = replace(
        block,
        t0_ns=after.block.t0_ns,
        t1_ns=max(block.t1_ns, after.block.t0_ns),
        turn=after.block.turn,
        passing=passing,
        learn=None if passing and not block.passing else block.learn,
    )
    return replace(tail, block=moved, when=(after.when[0], after.when[1] - 1))
