"""The blocks of one session in its row of the pool: taking slots, feeding, freeing, holding."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.backbone import Features
from models.blocks import Block
from models.engine import Engine, Feed
from models.errors import ClosedError
from models.positions import Clock, Cursor, place
from models.slots import Shift, SlotPool, Stored

NO_SLOTS = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """A block that has slots.

    Attributes:
        id: rising with the order of entry, unique in the session.
        block: the block itself.
        slots: int64 (tokens,).
        positions: int64 (3, tokens), as of now.
        cursor: where its positions began.
    """

    id: int
    block: Block
    slots: Tensor
    positions: Tensor
    cursor: Cursor

    @property
    def end(self) -> int:
        """Greatest position of the block, plus one."""
        return int(self.positions.max()) + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fed:
    """What one feed of a forward was: enough to rebuild the whole run as one forward under its visibility mask.

    Attributes:
        row: row of the pool.
        entry: the block with its slots and positions at that time.
        sees: int64, the slots that it saw, besides those of its own earlier tokens.
        features: its vision features, if any.
        logits: float32 (tokens asked for, vocabulary).
    """

    row: int
    entry: Entry
    sees: Tensor
    features: Features | None
    logits: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recalled:
    """A block that came back from host memory: the slots it had, and those it has now.

    Attributes:
        row: row of the pool.
        before, after: the entry as it was taken out, and as it is back.
    """

    row: int
    before: Entry
    after: Entry


Event = Fed | Recalled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """A block placed for the next forward, with what it sees."""

    entry: Entry
    sees: tuple[int, ...]
    features: Features | None = None
    logits: int = 0


class Row:
    """One session's share of a pool.

    Args:
        engine: runs the forwards.
        clock: the family's temporal rule.
        observer: told of every feed and every recall, in order; for records and proofs.

    Raises:
        PoolFullError: every row of the pool has its session.
    """

    def __init__(self, engine: Engine, *, clock: Clock, observer: Callable[[Event], None] | None = None) -> None:
        self.engine = engine
        self.clock = clock
        self.observer = observer
        self.index = engine.pool.open_row()
        self._entries: dict[int, Entry] = {}
        self._holds: dict[int, int] = {}
        self._doomed: set[int] = set()
        self._owed: dict[int, Draft] = {}
        self._turns: dict[int, Shift] = {}
        self._next = 0
        self._closed = False

    @property
    def pool(self) -> SlotPool:
        """The pool that the row belongs to."""
        return self.engine.pool

    @property
    def used(self) -> int:
        """Slots that hold tokens."""
        # The pool may have handed the row to another session.
        return 0 if self._closed else self.pool.used(self.index)

    @property
    def available(self) -> int:
        """Slots that are free."""
        return self.pool.slots - self.used

    def entry(self, key: int) -> Entry:
        """The entry with this id."""
        return self._entries[key]

    def close(self) -> None:
        """Gives the row back to the pool."""
        if not self._closed:
            self._closed = True
            self.pool.close_row(self.index)
            self._entries.clear()
            self._owed.clear()
            self._turns.clear()

    def place(self, block: Block, cursor: Cursor) -> tuple[Entry, Cursor]:
        """Takes slots and positions for a block, before it is fed; returns where the next block goes.

        Raises:
            PoolFullError: too few slots are free; nothing is taken.
            TimeError: a grid runs backwards in its vision segment.
            ClosedError: the row was given back.
        """
        self._check_open()
        positions, after = place(len(block.token_ids), block.grids, cursor=cursor, clock=self.clock)
        slots = self.pool.place(self.index, len(block.token_ids))
        entry = Entry(id=self._next, block=block, slots=slots, positions=positions, cursor=cursor)
        self._next += 1
        self._entries[entry.id] = entry
        return entry, after

    def after(self, entry: Entry) -> Cursor:
        """Where positions go on behind an entry."""
        block = entry.block
        return place(len(block.token_ids), block.grids, cursor=entry.cursor, clock=self.clock)[1]

    @property
    def owed(self) -> tuple[Draft, ...]:
        """The drafts that are owed to the cache, in order of entry."""
        return tuple(self._owed[key] for key in sorted(self._owed))

    def owe(self, draft: Draft) -> None:
        """Remembers a placed block until a forward has fed it or `free` gave its slots back.

        Its slots, its positions and what it sees are fixed, so that it may be fed again where a forward has failed.
        """
        self._owed[draft.entry.id] = draft

    def run(self, drafts: Sequence[Draft]) -> list[Tensor]:
        """Feeds placed blocks in one forward; returns the logits that each asked for.

        Raises:
            ClosedError: the row was given back.
        """
        logits = self.engine.forward([self.feed(draft) for draft in drafts])
        self.note(drafts, logits)
        return logits

    def feed(self, draft: Draft) -> Feed:
        """The engine's view of a draft, for a forward over several sessions.

        Raises:
            ClosedError: the row was given back.
        """
        self._check_open()
        self.turn()
        block = draft.entry.block
        visual = None
        if draft.features is not None:
            visual = torch.zeros(len(block.token_ids), dtype=torch.bool)
            for grid in block.grids:
                visual[grid.start : grid.stop] = True
        return Feed(
            row=self.index,
            token_ids=torch.tensor(block.token_ids, dtype=torch.int64),
            positions=draft.entry.positions,
            slots=draft.entry.slots,
            sees=self.slots_of(draft.sees),
            features=draft.features,
            visual=visual,
            logits=draft.logits,
        )

    def note(self, drafts: Sequence[Draft], logits: Sequence[Tensor]) -> None:
        """Tells the observer what was fed; it is owed no more."""
        for draft in drafts:
            self._owed.pop(draft.entry.id, None)
        if self.observer is None:
            return
        for draft, values in zip(drafts, logits, strict=True):
            sees = self.slots_of(draft.sees)
            self.observer(Fed(row=self.index, entry=draft.entry, sees=sees, features=draft.features, logits=values))

    def slots_of(self, ids: Iterable[int]) -> Tensor:
        """The slots of some entries: int64 (tokens,)."""
        parts = [self._entries[key].slots for key in ids]
        return torch.cat(parts) if parts else NO_SLOTS

    def join(self, ids: Sequence[int], block: Block) -> Entry:
        """Makes one entry of several that follow each other, so that later blocks look at them as one."""
        assert not any(self._holds.get(key) for key in ids), "an entry that is held cannot be joined"
        self.turn()
        parts = [self._entries.pop(key) for key in ids]
        entry = Entry(
            id=parts[-1].id,
            block=block,
            slots=torch.cat([part.slots for part in parts]),
            positions=torch.cat([part.positions for part in parts], dim=1),
            cursor=parts[0].cursor,
        )
        self._entries[entry.id] = entry
        return entry

    def free(self, ids: Iterable[int]) -> None:
        """Frees the slots of entries; an entry that is held keeps them until the last hold ends."""
        if self._closed:
            return
        for key in ids:
            if self._holds.get(key):
                self._doomed.add(key)
            else:
                self._owed.pop(key, None)
                self._turns.pop(key, None)
                self.pool.free(self.index, self._entries.pop(key).slots)

    def freeable(self, ids: Iterable[int]) -> int:
        """How many slots `free` of these entries would give back at once."""
        return sum(len(self._entries[key].slots) for key in ids if not self._holds.get(key))

    def hold(self, ids: Iterable[int]) -> None:
        """Keeps entries alive for a branch or a snapshot, whatever memory decides."""
        for key in ids:
            self._holds[key] = self._holds.get(key, 0) + 1

    def let_go(self, ids: Iterable[int]) -> None:
        """Ends a hold; what was freed meanwhile goes now."""
        for key in ids:
            self._holds[key] -= 1
            if not self._holds[key]:
                del self._holds[key]
                if key in self._doomed:
                    self._doomed.discard(key)
                    self.free([key])

    def revive(self, ids: Iterable[int]) -> None:
        """Takes back a `free` of entries that a hold has kept alive."""
        self._doomed.difference_update(ids)

    @property
    def held(self) -> bool:
        """Whether a branch or a snapshot keeps entries alive."""
        return bool(self._holds)

    def held_beside(self, ids: Iterable[int]) -> bool:
        """Whether anything else is held, or anything by others too, than these, each of them held once."""
        once = Counter(ids)
        return any(count > once[key] for key, count in self._holds.items())

    def copy_out(self, key: int) -> Stored:
        """Copies an entry's keys and values to host memory; its slots stay taken until `free`.

        Raises:
            ClosedError: the row was given back.
        """
        self._check_open()
        assert key not in self._owed, "a block that was never fed has no keys to copy"
        self.turn()
        return self.pool.copy_out(self.index, self._entries[key].slots)

    def put_back(self, entry: Entry, stored: Stored) -> Entry:
        """Gives an entry that was taken out new slots and a new id; its positions are kept.

        Raises:
            PoolFullError: too few slots are free.
            ClosedError: the row was given back.
        """
        self._check_open()
        slots = self.pool.place(self.index, len(entry.slots))
        try:
            self.pool.put_back(self.index, slots, stored)
        except BaseException:
            self.pool.free(self.index, slots)
            raise
        back = replace(entry, id=self._next, slots=slots)
        self._next += 1
        self._entries[back.id] = back
        if self.observer is not None:
            self.observer(Recalled(row=self.index, before=entry, after=back))
        return back

    def move(self, key: int, *, delta: Shift, cursor: Cursor) -> Entry:
        """Moves an entry's positions; its keys turn with them before anything looks at them.

        Raises:
            ClosedError: the row was given back.
        """
        self._check_open()
        assert key not in self._owed, "a block that was never fed has no keys to turn"
        old = self._entries[key]
        before = self._turns.get(key, (0, 0, 0))
        self._turns[key] = (before[0] + delta[0], before[1] + delta[1], before[2] + delta[2])
        moved = replace(old, positions=old.positions + torch.tensor(delta)[:, None], cursor=cursor)
        self._entries[key] = moved
        return moved

    def turn(self) -> None:
        """Turns the keys of what was moved; where memory runs out, the next call goes on from there."""
        for key, delta in list(self._turns.items()):
            self.pool.rebase(self.index, self._entries[key].slots, delta)
            del self._turns[key]

    def _check_open(self) -> None:
        # The pool may have handed the row to another session.
        if self._closed:
            raise ClosedError("the session is closed; open another with model.session()")

    def live(self) -> tuple[Entry, ...]:
        """All entries that hold slots and were not freed, in order of entry; holds may keep others alive."""
        return tuple(self._entries[key] for key in sorted(self._entries) if key not in self._doomed)
