"""Do positions equal the reference: docs/layouts.md read anew, block by block, and the rule of transformers.

The reading shares no code with `models.placing`: for each block it looks at all blocks that exist for it, which is slow
and plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor

from models.blocks import Block, Kind, derive
from models.layouts import LAYOUTS
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
                before[k] = _last(one, laid[k].when)
        if cut:
            head = replace(one, block=one.block.part(0, len(one.ids) - 1), ids=one.ids[:-1]) if one.ids[1:] else None
            parts[place] = [*([head] if head else []), _last(one, laid[stays[0]].when)]
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


def _last(one: _Laid, after: When) -> _Laid:
    """The last token of a reply, as it arrives just before another."""
    count = len(one.ids)
    return replace(one, block=one.block.part(count - 1, count), ids=one.ids[-1:], when=(after[0], after[1] - 1))


def check_positions(bench: Bench, rows: Sequence[Sequence[Example]]) -> list[Finding]:
    """Positions of rows as training feeds them against the reading of docs/layouts.md, then against transformers.

    Args:
        bench: the learner and the format.
        rows: examples that share a row.
    """
    layout, tokens = bench.layout.name, 0
    for row in rows:
        wanted = [_fed(example, layout, bench.how.clock.tokens_per_second) for example in row]
        wrong = _mismatch(bench.batches([row]), [(example, part) for example, part in zip(row, wanted, strict=True)])
        if wrong:
            return [Finding(check="positions", ok=False, words=f"{wrong}, under layout {layout}; {_TODO}")]
        tokens += sum(map(len, wanted))
    words = f"{tokens} tokens of {sum(map(len, rows))} examples stand where layout {layout} puts them"
    return [Finding(check="positions", ok=True, words=words), check_published(bench)]


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


def check_published(bench: Bench) -> Finding:
    """Positions under `origin` of a made-up video with a question before or behind it, against `get_rope_index`.

    Compared are all tokens up to the end of the video, and those behind one that is no longer than its picture is wide:
    behind a longer one, transformers 5 goes on inside the video's own time.
    """
    compared = 0
    for behind, count in ((False, 4), (True, 4), (True, _short(bench))):
        blocks = _made_up(bench, count, behind=behind)
        ours = derive(blocks, LAYOUTS["origin"], clock=bench.how.clock).positions
        token_ids = torch.tensor([token for block in blocks for token in block.token_ids])
        theirs = _published(bench, token_ids, blocks)
        last = max(place for place, block in enumerate(blocks) if block.grids)
        whole = count <= _short(bench)
        stop = len(token_ids) if whole else sum(len(block.token_ids) for block in blocks[: last + 1])
        different = (ours != theirs)[:, :stop].any(dim=0).nonzero()[:, 0].tolist()
        if different:
            place = different[0]
            words = (
                f"a question {'behind' if behind else 'before'} a video of {count} grids, token {place}: found "
                f"{tuple(ours[:, place].tolist())}, expected {tuple(theirs[:, place].tolist())} as transformers places "
                "it; compare the clock of the run's format with the model's configuration"
            )
            return Finding(check="positions", ok=False, words=words)
        compared += stop
    words = f"{compared} tokens of a question before and behind a made-up video stand as transformers places them"
    return Finding(check="positions", ok=True, words=words)


def _short(bench: Bench) -> int:
    """How many grids a second apart last no longer than a picture is wide or high."""
    grid = _pictures(bench).grids[0]
    rate = bench.how.clock.tokens_per_second
    return next((n for n in range(4, 1, -1) if (n - 1) * rate < max(grid.height, grid.width)), 1)


def _pictures(bench: Bench) -> Block:
    return next(block for example in bench.examples for block in example.blocks if block.grids)


def _made_up(bench: Bench, count: int, *, behind: bool) -> list[Block]:
    """A system turn, a question, and `count` grids a second apart."""
    prompts, frames = bench.writer.prompts, _pictures(bench)
    words, begin = prompts.text("What is it?"), prompts.system("")
    before, after = (begin, (*prompts.seam(), *words)) if behind else ((*words, *begin), prompts.seam())
    blocks = [Block(kind=Kind.SYSTEM, t0_ns=0, t1_ns=0, token_ids=before)]
    for place in range(count):
        grid = replace(frames.grids[0], t_ns=place * SECOND_NS)
        t1_ns = (place + 1) * SECOND_NS
        blocks.append(replace(frames, t0_ns=place * SECOND_NS, t1_ns=t1_ns, grids=(grid,), turn=0, passing=False))
    if after:
        end_ns = count * SECOND_NS
        blocks.append(Block(kind=Kind.QUERY, t0_ns=end_ns, t1_ns=end_ns, token_ids=after))
    return blocks


def _published(bench: Bench, token_ids: Tensor, blocks: Sequence[Block]) -> Tensor:
    """(3, L) of one made-up video, as the model's own class places it."""
    family, model = bench.writer.prompts.family, bench.learner.model
    grids = [grid for block in blocks for grid in block.grids]
    shape = torch.tensor([[len(grids), family.merge * grids[0].height, family.merge * grids[0].width]])
    ids = token_ids[None]
    kinds = torch.where(ids == family.video_id, 2, 0)
    step = torch.tensor([1.0])
    inner: Any = model if family.name == "qwen2_5_omni" else model.model
    ask: Callable[..., tuple[Tensor, Tensor]] = inner.get_rope_index
    if family.name == "qwen2_5_omni":
        return ask(ids, video_grid_thw=shape, second_per_grids=step)[0][:, 0]
    if family.name == "qwen3_vl":
        return ask(ids, kinds, video_grid_thw=shape)[0][:, 0]
    return ask(ids, kinds, video_grid_thw=shape, second_per_grid_ts=step)[0][:, 0]
