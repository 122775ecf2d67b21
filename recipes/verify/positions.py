"""Do positions equal the reference: docs/layouts.md read anew, block by block.

The reading shares no code with `models.placing`: for each block it looks at all blocks that exist for it, which is slow
and plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import torch

from models.blocks import Block, Kind
from models.positions import SECOND_NS
from recipes.data.batch import Batch
from recipes.data.example import Example
from recipes.verify.bench import Bench
from recipes.verify.finding import Finding, seconds

Triple = tuple[int, int, int]
# When a block arrives: its time, and its place in the list, doubled so that a last token fits in between.
When = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of the table in docs/layouts.md, as far as positions go."""

    reply: Literal["continue", "restart", "shared"] = "continue"
    offset: int = 0
    stream: bool = False
    beside: bool = False
    frames_first: bool = False
    predicts: bool = False


RULES: dict[str, Rule] = {
    "origin": Rule(frames_first=True),
    "batch": Rule(reply="restart", frames_first=True),
    "group": Rule(reply="restart", frames_first=True, predicts=True),
    "gap": Rule(reply="restart", offset=10_000, frames_first=True, predicts=True),
    "overlap": Rule(frames_first=True, predicts=True),
    "overlap_shared": Rule(reply="shared", frames_first=True, predicts=True),
    "branch": Rule(beside=True),
    "interleave": Rule(stream=True),
}


@dataclass(slots=True, kw_only=True)
class _Laid:
    """A block with the positions of its tokens.

    Attributes:
        block: which; of a reply, perhaps a part.
        when: it arrives.
        line: the count that it stands in.
        ids: of each token.
        segment: base and begin of the vision segment that is open behind it; None: text closed it.
        anchor: arrival of the frames at which a reply began, under `shared`.
    """

    block: Block
    when: When
    line: Literal["video", "beside", "said"]
    ids: list[Triple] = field(default_factory=list)
    segment: tuple[int, int] | None = None
    anchor: When | None = None

    @property
    def top(self) -> int:
        return max(map(max, self.ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where one token should stand.

    Attributes:
        token_id: its id.
        ids: t, h, w.
        block: that it is a part of.
        when: it arrives.
    """

    token_id: int
    ids: Triple
    block: Block
    when: When


def expected(blocks: Sequence[Block], layout: str, *, rate: Fraction) -> list[Token]:
    """All tokens of a document in the order of its sequence, each with its position.

    Args:
        blocks: as they were written down.
        layout: a name in `RULES`.
        rate: temporal positions a second.
    """
    rule = RULES[layout]
    whens = [(_arrives(block), 2 * place + 1) for place, block in enumerate(blocks)]
    order = sorted(range(len(blocks)), key=lambda place: whens[place])
    if rule.frames_first:
        order.sort(key=lambda place: _is_said(blocks[place]))
    reading = _Reading(rule=rule, rate=rate, blocks=blocks)
    laid: list[_Laid] = []
    for place in order:
        laid.append(reading.lay(blocks[place], whens[place], laid))
    if rule.predicts:
        laid = _with_last_tokens(laid)
    return [
        Token(token_id=token_id, ids=ids, block=one.block, when=one.when)
        for one in laid
        for token_id, ids in zip(one.block.token_ids, one.ids, strict=True)
    ]


def _arrives(block: Block) -> int:
    return block.t1_ns if block.kind is Kind.FRAMES else block.t0_ns


def _is_said(block: Block) -> bool:
    return block.kind in (Kind.REPLY, Kind.DECISION)


def _exists(other: Block, block: Block) -> bool:
    """What passes exists for its own turn alone."""
    return not other.passing or other.turn == block.turn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The rule for one document."""

    rule: Rule
    rate: Fraction
    blocks: Sequence[Block]

    def lay(self, block: Block, when: When, before: Sequence[_Laid]) -> _Laid:
        """A block behind those before it in the sequence."""
        known = [other for other in before if _exists(other.block, block)]
        laid = _Laid(block=block, when=when, line=self._line(block, known))
        mates = [other for other in known if other.line == laid.line]
        if laid.line == "video":
            start = _behind(mates)
            laid.segment = mates[-1].segment if mates else None
        elif laid.line == "beside":
            start = _behind(known)
        elif self.rule.reply == "restart":
            start = max([self.rule.offset, *(other.top + 1 for other in mates)])
        else:
            start, laid.anchor = self._shared(laid, known)
            if mates and mates[-1].anchor == laid.anchor:
                start = mates[-1].ids[-1][0] + 1
        self._number(laid, start)
        return laid

    def _line(self, block: Block, known: Sequence[_Laid]) -> Literal["video", "beside", "said"]:
        if _is_said(block) and self.rule.reply != "continue":
            return "said"
        late = any(other.block.kind is Kind.FRAMES or other.line == "beside" for other in known)
        return "beside" if self.rule.beside and late and block.kind is not Kind.FRAMES else "video"

    def _shared(self, laid: _Laid, known: Sequence[_Laid]) -> tuple[int, When]:
        """Where a reply begins that lies beside its newest frames, and when those arrived."""
        arrived = [other for other in known if other.when < laid.when and not _is_said(other.block)]
        frames = [other for other in arrived if other.block.kind is Kind.FRAMES]
        if frames:
            newest = max(frames, key=lambda other: other.when)
            return newest.ids[0][0], newest.when
        if arrived:
            return _behind(arrived), max(other.when for other in arrived)
        return 0, (-1, -1)

    def _number(self, laid: _Laid, start: int) -> None:
        """Gives a block's tokens their positions, from `start` on."""
        following = start
        grids = {grid.start: grid for grid in laid.block.grids}
        place = 0
        while place < len(laid.block.token_ids):
            grid = grids.get(place)
            if grid is None:
                laid.ids.append((following,) * 3)
                laid.segment = None
                following, place = following + 1, place + 1
                continue
            if laid.segment is None or self.rule.stream or not self.rate:
                laid.segment = (following, self._origin(laid.block) if self.rule.stream else grid.t_ns)
            base, since_ns = laid.segment
            ticks = int(Fraction(grid.t_ns - since_ns, SECOND_NS) * self.rate // 1)
            new = [
                (base + ticks, base + row, base + column) for row in range(grid.height) for column in range(grid.width)
            ]
            laid.ids += new
            following, place = max(following, *(max(ids) + 1 for ids in new)), place + len(new)

    def _origin(self, block: Block) -> int:
        """The first grid that stays; a passing one that is older counts from itself."""
        stays = [grid.t_ns for other in self.blocks if not other.passing for grid in other.grids]
        every = stays or [grid.t_ns for other in self.blocks for grid in other.grids]
        own = [grid.t_ns for grid in block.grids] if block.passing else []
        return min([min(every), *own])


def _behind(laid: Sequence[_Laid]) -> int:
    """The greatest position so far plus one."""
    return max((other.top + 1 for other in laid), default=0)


def _with_last_tokens(laid: Sequence[_Laid]) -> list[_Laid]:
    """The last token of a reply arrives just before the next reply; a turn that passes holds a copy of it."""
    before: dict[int, _Laid] = {}
    parts: dict[int, list[_Laid]] = {}
    followers: dict[int, list[int]] = {}
    for place, one in enumerate(laid):
        said = [k for k in range(place) if _is_said(laid[k].block) and _exists(laid[k].block, one.block)]
        if _is_said(one.block) and said:
            followers.setdefault(said[-1], []).append(place)
    for place, after in followers.items():
        one = laid[place]
        stays = [k for k in after if one.block.passing or not laid[k].block.passing][:1]
        cut = any(_inputs(laid, laid[k]) != _inputs(laid, one) for k in stays)
        for k in after:
            if k not in stays and (cut or _inputs(laid, laid[k]) != _inputs(laid, one)):
                before[k] = _last(one, laid[k], passing=True)
        if cut:
            head = replace(one, block=one.block.part(0, len(one.ids) - 1), ids=one.ids[:-1]) if one.ids[1:] else None
            parts[place] = [*([head] if head else []), _last(one, laid[stays[0]], passing=one.block.passing)]
    return [
        part
        for place, one in enumerate(laid)
        for part in (*([before[place]] if place in before else []), *parts.get(place, [one]))
    ]


def _inputs(laid: Sequence[_Laid], said: _Laid) -> set[When]:
    """The input that something said sees."""
    return {
        other.when
        for other in laid
        if not _is_said(other.block) and other.when < said.when and _exists(other.block, said.block)
    }


def _last(one: _Laid, after: _Laid, *, passing: bool) -> _Laid:
    """The last token of a reply, as it arrives just before another; a copy passes with that."""
    count = len(one.ids)
    block = replace(one.block.part(count - 1, count), turn=after.block.turn, passing=passing)
    return replace(one, block=block, ids=one.ids[-1:], when=(after.when[0], after.when[1] - 1))


def check_positions(bench: Bench, rows: Sequence[Sequence[Example]]) -> Finding:
    """Positions of rows as training feeds them against the reading of docs/layouts.md.

    Args:
        bench: the learner and the format.
        rows: examples that share a row.
    """
    layout, tokens = bench.layout.name, 0
    for row in rows:
        wanted = [_fed(example, layout, bench.how.clock.tokens_per_second) for example in row]
        wrong = _mismatch(bench.batches([row]), [(example, part) for example, part in zip(row, wanted, strict=True)])
        if wrong:
            return Finding(check="positions", ok=False, words=f"{wrong}, under layout {layout}; {_TODO}")
        tokens += sum(map(len, wanted))
    words = f"{tokens} tokens of {sum(map(len, rows))} examples stand where layout {layout} puts them"
    return Finding(check="positions", ok=True, words=words)


_TODO = "train with the layout of docs/layouts.md, and look at what changed positions between blocks and batch"


def _fed(example: Example, layout: str, rate: Fraction) -> list[Token]:
    tokens = expected(example.blocks, layout, rate=rate)
    return sorted(tokens, key=lambda token: token.when) if example.cuts else tokens


def _mismatch(batches: Sequence[Batch], wanted: Sequence[tuple[Example, Sequence[Token]]]) -> str:
    """What is wrong with one row, in words; empty: nothing."""
    ids = torch.cat([batch.token_ids[0] for batch in batches]).tolist()
    found = torch.cat([batch.positions[:, 0] for batch in batches], dim=1).T.tolist()
    at = 0
    for example, tokens in wanted:
        for place, token in enumerate(tokens):
            got = (ids[at], tuple(found[at])) if at < len(ids) else None
            if got != (token.token_id, token.ids):
                return (
                    f"{example.source}: token {place} of {example.key}, in its {token.block.kind} at "
                    f"{seconds(token.block.t0_ns)}: found (token, position) {got}, expected "
                    f"{(token.token_id, token.ids)}"
                )
            at += 1
    if at != len(ids):
        example = wanted[-1][0]
        return f"{example.source}: the row of {example.key}: found {len(ids)} tokens, expected {at}"
    return ""
