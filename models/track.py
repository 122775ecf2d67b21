"""The video's own line in the cache: the system turn, then frames; questions run beside it and never enter it."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.backbone import Features
from models.blocks import Block, Kind
from models.memory.records import Chunk, Merged
from models.metrics import Meter
from models.positions import Cursor, Grid, place
from models.prompts import Prompts
from models.row import Draft, Entry, Row

# A prefill of more tokens than this runs in several forwards: its mask and activations stay small, and of the square of
# attention little is computed that causality hides.
FORWARD_TOKENS = 1024
# Where positions are set back or would pass their limit, frames further apart than this begin a new vision segment.
SEGMENT_GAP_NS = 60_000_000_000
LEAST_GAP_NS = 1_000_000_000
# So many grids that were lost are remembered, the newest ones.
LOST = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """One temporal grid that has come in and is being encoded.

    Attributes:
        key: rising with time, unique in the session.
        t0_ns, last_ns: presentation times of its first and its last frame.
        height, width: its size in tokens.
        thumbnail: uint8 (h, w, 3), a small picture of its last frame.
        future: its vision features.
    """

    key: int
    t0_ns: int
    last_ns: int
    height: int
    width: int
    thumbnail: npt.NDArray[np.uint8]
    future: Future[Features]

    def chunk(self, features: Features | None, *, tokens: int) -> Chunk:
        """What the memory policy is told; `tokens`: slots that it takes with the text around it."""
        return Chunk(
            key=self.key,
            t0_ns=self.t0_ns,
            t1_ns=self.last_ns + 1,
            tokens=tokens,
            thumbnail=self.thumbnail,
            features=None if features is None else flat(features),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A grid whose features are known, ready for the cache; with its own cursor where it takes another's place."""

    t0_ns: int
    last_ns: int
    height: int
    width: int
    features: Features
    cursor: Cursor | None = None


def _none(until_ns: int | None) -> Sequence[int]:  # noqa: ARG001 - frames see no text at any time
    return ()


def flat(features: Features) -> Tensor:
    """All features of a grid side by side, (tokens, width times layers), so that a mean is a mean of all of them."""
    return torch.cat([features.embeds, *features.deepstack], dim=-1) if features.deepstack else features.embeds


def scene_of(arrival: Arrival, features: Features) -> Scene:
    """An arrival with its features."""
    return Scene(
        t0_ns=arrival.t0_ns, last_ns=arrival.last_ns, height=arrival.height, width=arrival.width, features=features
    )


def merged_scene(merged: Merged, member: Entry, parts: int) -> Scene:
    """A merged chunk that takes the place, size and position of its first member; `parts` undoes `flat`."""
    grid = member.block.grids[0]
    pieces = merged.features.chunk(parts, dim=-1)
    return Scene(
        t0_ns=merged.t0_ns,
        last_ns=merged.t1_ns - 1,
        height=grid.height,
        width=grid.width,
        features=Features(embeds=pieces[0], deepstack=tuple(pieces[1:])),
        cursor=member.cursor,
    )


class Track:
    """The system turn and the frames of one session.

    Args:
        row: the session's row.
        prompts: writes the text around frames.
        meter: counts.
        system_prompt: text of the system turn.
        position_limit: frames that would pass it by their distance in time begin a new vision segment instead.

    Attributes:
        text: the entries of questions, and of what else stands in the line, that frames of a time see.
        in_line: whether replies stand in the line too, between frames.
    """

    def __init__(self, row: Row, prompts: Prompts, meter: Meter, *, system_prompt: str, position_limit: int) -> None:
        self.row = row
        self.prompts = prompts
        self.meter = meter
        self.origin_ns = 0
        self.cursor = Cursor()
        self.system: int | None = None
        self.text: Callable[[int | None], Sequence[int]] = _none
        self.in_line = False
        # Ends of the grids that came in and will never be seen: the tower failed, or there is no room for them.
        self.lost: deque[int] = deque(maxlen=LOST)
        self._system_prompt = system_prompt
        self._limit = position_limit

    def begin(self, t_ns: int) -> None:
        """Notes when the first frame comes, from which texts and, under some layouts, positions count time."""
        self.origin_ns = t_ns
        self._count_from(t_ns)

    def _count_from(self, t_ns: int) -> None:
        if self.row.clock.origin_ns is not None:
            self.row.clock = replace(self.row.clock, origin_ns=t_ns)

    def start(self) -> int:
        """Feeds the system turn once; returns its entry's id. Where that fails, the next forward feeds it.

        Raises:
            PoolFullError: the pool is smaller than the system turn.
        """
        if self.system is None:
            tokens = self.prompts.system(self._system_prompt)
            block = Block(kind=Kind.SYSTEM, t0_ns=0, t1_ns=0, token_ids=tokens, pinned=True)
            entry, self.cursor = self.row.place(block, self.cursor)
            self.system = entry.id
            self.row.owe(Draft(entry=entry, sees=()))
            self.settle()
        return self.system

    def block(self, scene: Arrival | Scene) -> Block:
        """The block of a grid, with the text around it."""
        tokens = scene.height * scene.width
        text = self.prompts.frames(tokens, t0_ns=scene.t0_ns - self.origin_ns, last_ns=scene.last_ns - self.origin_ns)
        grid = Grid(start=text.grid_start, height=scene.height, width=scene.width, t_ns=scene.t0_ns)
        return Block(
            kind=Kind.FRAMES, t0_ns=scene.t0_ns, t1_ns=scene.last_ns + 1, token_ids=text.token_ids, grids=(grid,)
        )

    def tokens(self, scene: Arrival | Scene) -> int:
        """Slots that a grid takes with the text around it."""
        return len(self.block(scene).token_ids)

    def place(self, scenes: Sequence[Scene], *, sees: Sequence[int], cursor: Cursor) -> tuple[list[Draft], Cursor]:
        """Places grids one after the other, each seeing the entries given and the grids before it.

        They are owed to the cache until they are fed or freed. A grid far behind the one before it, in time, begins a
        new vision segment where it would pass the limit.

        Raises:
            PoolFullError: too few slots are free; none of the grids is placed then.
        """
        drafts: list[Draft] = []
        seen = list(sees)
        try:
            for scene in scenes:
                entry, after = self.row.place(self.block(scene), scene.cursor or self._near(scene, cursor))
                cursor = after if scene.cursor is None else cursor
                drafts.append(Draft(entry=entry, sees=tuple(seen), features=scene.features))
                seen.append(entry.id)
        except BaseException:
            self.row.free([draft.entry.id for draft in drafts])
            raise
        for draft in drafts:
            self.row.owe(draft)
        return drafts, cursor

    def _near(self, scene: Scene, cursor: Cursor) -> Cursor:
        segment = cursor.segment
        if segment is None or scene.t0_ns - segment.last_ns <= SEGMENT_GAP_NS:
            return cursor
        far = segment.base + self.row.clock.ticks(scene.t0_ns - segment.t0_ns)
        return Cursor(next=cursor.next) if far > self._limit else cursor

    def run(self, drafts: Sequence[Draft]) -> list[Tensor]:
        """Feeds drafts that are placed, in as few forwards as their size allows, as prefill.

        What is owed since a forward failed goes before them.
        """
        given = {draft.entry.id for draft in drafts}
        owed = [draft for draft in self.row.owed if draft.entry.id not in given]
        results: list[Tensor] = []
        for batch in _batches([*owed, *drafts]):
            with self.meter.time("prefill"):
                results += self.row.run(batch)
            self.meter.prefill_tokens += sum(len(draft.entry.slots) for draft in batch)
        return results[len(owed) :]

    def give_up(self, last_ns: int) -> None:
        """Notes that a grid that came in will never be in the cache; once, whoever finds it."""
        if last_ns not in self.lost:
            self.lost.append(last_ns)
            self.meter.dropped += 1

    def settle(self) -> None:
        """Feeds what is owed, before memory evicts or moves what it is to see."""
        if self.row.owed:
            self.run([])

    def compact(self, frames: Sequence[int]) -> int:
        """Gives the live frames the positions that they would have in a context of their own, behind the system turn.

        Frames that were seen more than a minute apart begin a new vision segment, so that what memory left out takes no
        positions; where that is not enough to come well below the limit, frames closer to each other do. Text in the
        line moves with them, and a clock that counts through the stream begins anew at the oldest frame. Returns by how
        much the end of the context moved.
        """
        end, gap_ns = self.cursor.next, SEGMENT_GAP_NS
        entries = [self.row.entry(key) for key in frames]
        if entries:
            self._count_from(entries[0].block.grids[0].t_ns)
        if self.in_line:
            entries += [self.row.entry(key) for key in self.text(None)]
            entries.sort(key=lambda entry: (entry.block.known_ns, entry.id))
        cursors = self._line_up(entries, gap_ns)
        # Else the next chunk would pass the limit again, and each one after it would turn every key.
        while cursors[-1].next > self._limit // 2 and gap_ns > LEAST_GAP_NS:
            gap_ns //= 2
            cursors = self._line_up(entries, gap_ns)
        for entry, cursor in zip(entries, cursors, strict=False):
            fresh, _ = place(len(entry.block.token_ids), entry.block.grids, cursor=cursor, clock=self.row.clock)
            self._move(entry, fresh, cursor)
        self.cursor = cursors[-1]
        self.meter.rebases += 1
        return self.cursor.next - end

    def _line_up(self, entries: Sequence[Entry], gap_ns: int) -> list[Cursor]:
        """Where each entry would begin if wider gaps than this began a new segment, and where the next one would."""
        after = Cursor(next=self.row.entry(self.start()).end)
        begins: list[Cursor] = []
        last_ns: int | None = None
        for entry in entries:
            block = entry.block
            if last_ns is not None and block.t0_ns - last_ns > gap_ns:
                after = Cursor(next=after.next)
            # Like positions, from beginning to beginning: a merged grid may end where the newest one begins.
            last_ns = block.t0_ns
            begins.append(after)
            _, after = place(len(block.token_ids), block.grids, cursor=after, clock=self.row.clock)
        return [*begins, after]

    def _move(self, entry: Entry, fresh: Tensor, cursor: Cursor) -> None:
        # A grid and the text around it all count from the cursor, so the whole block moves by one step per axis.
        steps = fresh - entry.positions
        assert (steps == steps[:, :1]).all(), "a block moves as one"
        delta = (int(steps[0, 0]), int(steps[1, 0]), int(steps[2, 0]))
        if any(delta) or cursor != entry.cursor:
            self.row.move(entry.id, delta=delta, cursor=cursor)


def _batches(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """Splits drafts, in order, into forwards of at most so many tokens or of one draft."""
    batches: list[list[Draft]] = []
    size = 0
    for draft in drafts:
        tokens = len(draft.entry.slots)
        if not batches or size + tokens > FORWARD_TOKENS:
            batches.append([])
            size = 0
        batches[-1].append(draft)
        size += tokens
    return batches
