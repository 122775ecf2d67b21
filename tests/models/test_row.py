"""Tests of a session's row: whatever is placed, held, joined, moved or taken out, each block keeps its own bytes."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import Features
from models.engine import Engine
from models.errors import ClosedError, PoolFullError, TimeError
from models.positions import Cursor
from models.row import Draft, Fed, Recalled, Row
from models.slots import SlotPool
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.small import FAMILIES, SECOND, backbone, frames_block, text_block

SLOTS = 40


def row_of(pool, observer=None):
    on = backbone()
    return Row(Engine(on, pool), clock=on.family.clock, observer=observer)


def new_row(*, slots=SLOTS, family="qwen2_5_vl", observer=None):
    on = backbone(family)
    return Row(Engine(on, SlotPool(on, slots=slots)), clock=on.family.clock, observer=observer)


def put(row, block, sees=(), *, at=0, logits=0):
    """Places a block and feeds it; returns its entry and the logits."""
    entry, _ = row.place(block, Cursor(next=at))
    [found] = row.run([Draft(entry=entry, sees=tuple(sees), logits=logits)])
    return entry, found


def held_bytes(row, slots):
    return [
        part[row.index, :, slots].clone() for layer in row.pool.pools for part in (layer.pool_keys, layer.pool_values)
    ]


def same(before, after):
    return all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


# Any life of blocks, against plain lists.


@dataclass
class Ledger:
    """What ought to be: the entries, who is held how often, who only waits for a hold to end, who is in host memory."""

    row: Row
    kept: dict[int, list] = field(default_factory=dict)
    holds: list[int] = field(default_factory=list)
    doomed: set[int] = field(default_factory=set)
    away: list[tuple] = field(default_factory=list)
    copied: set[int] = field(default_factory=set)

    def pick(self, choice, ids):
        ids = sorted(ids)
        return ids[choice % len(ids)] if ids else None

    @property
    def live(self):
        return set(self.kept) - self.doomed

    def enter(self, count, choice):
        sees = [key for place, key in enumerate(sorted(self.live)) if choice >> place & 1]
        if count > self.row.available:
            with pytest.raises(PoolFullError):
                self.row.place(text_block(count), Cursor())
            return
        entry, _ = put(self.row, text_block(count, first=10 + choice), sees, at=choice, logits=1)
        self.kept[entry.id] = held_bytes(self.row, entry.slots)

    def free(self, count, choice):
        key = self.pick(choice, self.live)
        if key is not None:
            before, freeable = self.row.available, self.row.freeable([key])
            self.row.free([key])
            assert self.row.available - before == freeable
            self.end(key)

    def end(self, key):
        if key in self.holds:
            self.doomed.add(key)
        else:
            del self.kept[key]
            self.doomed.discard(key)

    def hold(self, count, choice):
        key = self.pick(choice, self.live)
        if key is not None:
            self.row.hold([key])
            self.holds.append(key)

    def let_go(self, count, choice):
        if self.holds:
            key = self.holds.pop(choice % len(self.holds))
            self.row.let_go([key])
            if key in self.doomed:
                self.end(key)

    def revive(self, count, choice):
        # Of a block and its copy only one is ever seen: a reader of both would count its tokens twice.
        key = self.pick(choice, self.doomed - self.copied)
        if key is not None:
            self.row.revive([key])
            self.doomed.discard(key)

    def take_out(self, count, choice):
        key = self.pick(choice, self.live)
        if key is not None:
            entry = self.row.entry(key)
            self.away.append((entry, self.row.copy_out(key), self.kept[key]))
            self.row.free([key])
            self.copied.add(key)
            self.end(key)

    def put_back(self, count, choice):
        if not self.away:
            return
        place = choice % len(self.away)
        entry, stored, written = self.away[place]
        if len(entry.slots) > self.row.available:
            with pytest.raises(PoolFullError):
                self.row.put_back(entry, stored)
            return
        # Brought back once: a block that sees two copies weighs them twice, which one forward cannot.
        del self.away[place]
        back = self.row.put_back(entry, stored)
        assert back.id not in self.kept
        self.kept[back.id] = written

    def check(self):
        assert [entry.id for entry in self.row.live()] == sorted(self.live)
        slots = [slot for key in self.kept for slot in self.row.entry(key).slots.tolist()]
        assert len(slots) == len(set(slots)) == self.row.used
        assert self.row.available == SLOTS - len(slots)
        assert self.row.held == bool(self.holds)
        free = sum(len(self.row.entry(key).slots) for key in self.kept if key not in self.holds)
        assert self.row.freeable(self.kept) == free


ACTIONS = ["enter"] * 4 + ["free", "free", "hold", "let_go", "revive", "take_out", "put_back"]


@given(
    st.sampled_from(FAMILIES),
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 15), st.integers(0, 63)), max_size=24),
)
@settings(max_examples=examples(40), deadline=None)
def test_any_life_of_blocks_keeps_each_to_its_own_slots_bytes_and_view(family, steps):
    oracle = Oracle(backbone(family))
    ledger = Ledger(new_row(family=family, observer=oracle))
    calls = {name: getattr(ledger, name) for name in ACTIONS}
    for action, count, choice in [("enter", 5, 1), *steps]:
        calls[action](count, choice)
        ledger.check()
    for key, written in ledger.kept.items():
        assert same(written, held_bytes(ledger.row, ledger.row.entry(key).slots))
    # Every block saw what it was given, and nothing else.
    assert oracle.difference() <= 1e-4


def test_a_block_that_was_not_given_an_entry_does_not_see_it():
    row = new_row()
    first, _ = put(row, text_block(4))
    second, _ = put(row, text_block(4, first=90), at=4)
    looks = [put(row, text_block(3, first=50), sees, at=8, logits=3)[1] for sees in ([], [first.id], [second.id])]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (looks[one] - looks[other]).abs().max() > 1e-2
    both = [put(row, text_block(3, first=50), sees, at=8, logits=3)[1] for sees in ([0, 1], [1, 0])]
    torch.testing.assert_close(both[0], both[1], atol=1e-5, rtol=0)


def test_two_branches_from_the_same_blocks_do_not_see_each_other():
    row = new_row()
    base, _ = put(row, text_block(4))
    alone = put(row, text_block(3, first=50), [base.id], at=4, logits=3)[1]
    other, _ = put(row, text_block(6, first=80), [base.id], at=4)
    again = put(row, text_block(3, first=50), [base.id], at=4, logits=3)[1]
    torch.testing.assert_close(alone, again, atol=1e-5, rtol=0)
    told = put(row, text_block(3, first=50), [base.id, other.id], at=4, logits=3)[1]
    assert (told - alone).abs().max() > 1e-2


# Holding.


def test_a_held_block_keeps_its_slots_until_the_last_hold_ends_and_goes_once():
    row = new_row()
    entry, _ = put(row, text_block(6))
    row.hold([entry.id])
    row.hold([entry.id])
    row.free([entry.id])
    row.free([entry.id])
    assert (row.used, row.live(), row.freeable([entry.id])) == (6, (), 0)
    fresh, _ = put(row, text_block(5), at=9)
    assert not set(fresh.slots.tolist()) & set(entry.slots.tolist())
    row.let_go([entry.id])
    assert (row.used, row.held) == (11, True)
    row.let_go([entry.id])
    assert (row.used, row.held) == (5, False)
    with pytest.raises(KeyError):
        row.free([entry.id])
    assert row.used == 5


def test_a_block_that_is_let_go_without_a_free_stays():
    row = new_row()
    entry, _ = put(row, text_block(6))
    row.hold([entry.id])
    row.let_go([entry.id])
    assert row.live() == (entry,)
    row.hold([entry.id])
    row.free([entry.id])
    row.revive([entry.id])
    row.let_go([entry.id])
    assert row.live() == (entry,)


# Refusing.


def test_a_block_that_does_not_fit_or_runs_backwards_takes_nothing():
    row = new_row(slots=8)
    put(row, text_block(3))
    with pytest.raises(PoolFullError, match="6 slots are needed and 5 of 8"):
        row.place(text_block(6), Cursor())
    _, after = row.place(frames_block(9 * SECOND), Cursor(next=3))
    with pytest.raises(TimeError, match="backwards"):
        row.place(frames_block(0, height=1, width=1), after)
    assert row.used == 7
    assert [entry.id for entry in row.live()] == [0, 1]


def test_a_pool_has_one_row_for_each_session():
    pool = SlotPool(backbone(), slots=8, rows=2)
    rows = [row_of(pool), row_of(pool)]
    with pytest.raises(PoolFullError, match="all 2 rows"):
        row_of(pool)
    rows[0].close()
    assert row_of(pool).index == rows[0].index


def test_after_it_is_closed_a_row_does_nothing_to_the_session_that_has_it_now():
    pool = SlotPool(backbone(), slots=16)
    old = row_of(pool)
    entry, _ = put(old, text_block(5))
    stored = old.pool.copy_out(old.index, entry.slots)
    old.hold([entry.id])
    old.close()
    new = row_of(pool)
    fresh, _ = put(new, text_block(7, first=60))
    written = held_bytes(new, fresh.slots)
    old.close()
    old.free([entry.id])
    old.let_go([entry.id])
    for refused in (
        lambda: old.place(text_block(1), Cursor()),
        lambda: old.put_back(entry, stored),
        lambda: old.run([Draft(entry=entry, sees=())]),
        lambda: old.copy_out(entry.id),
        lambda: old.move(entry.id, delta=(1, 1, 1), cursor=Cursor()),
    ):
        with pytest.raises(ClosedError, match="open another"):
            refused()
    assert (new.used, new.live(), old.live()) == (7, (fresh,), ())
    assert same(written, held_bytes(new, fresh.slots))
    with pytest.raises(PoolFullError):
        row_of(pool)


def test_a_row_that_is_handed_on_shows_nothing_of_the_session_before():
    pool = SlotPool(backbone(), slots=SLOTS)
    old = row_of(pool)
    entry, _ = put(old, text_block(SLOTS))
    old.move(entry.id, delta=(5, 5, 5), cursor=Cursor(next=5))
    for layer in pool.pools:
        layer.pool_keys.fill_(3e3)
        layer.pool_values.fill_(1e20)
    old.close()
    clean = new_row()
    for row in (reused := row_of(pool), clean):
        assert (row.used, row.live(), row.held) == (0, (), False)
    for at in (0, 6):
        sees = range(at // 6)
        mine, other = (put(row, text_block(6, first=30 + at), sees, at=at, logits=6)[1] for row in (reused, clean))
        assert torch.equal(mine, other)
    # Slots that were moved by the session before have not moved in this one.
    moved = [row.move(1, delta=(2, 2, 2), cursor=Cursor(next=8)) for row in (reused, clean)]
    assert same(held_bytes(reused, moved[0].slots), held_bytes(clean, moved[1].slots))


# Joining, moving, leaving and coming back.


def test_joined_blocks_are_seen_as_their_parts_were():
    row = new_row()
    parts = [put(row, text_block(3, first=20 + 9 * k), range(k), at=3 * k)[0] for k in range(3)]
    before = put(row, text_block(4, first=70), [0, 1, 2], at=9, logits=4)[1]
    whole = text_block(9)
    joined = row.join([part.id for part in parts], whole)
    assert (joined.id, joined.block, joined.end) == (2, whole, 9)
    assert joined.slots.tolist() == [slot for part in parts for slot in part.slots.tolist()]
    assert torch.equal(joined.positions, torch.arange(9).expand(3, -1))
    assert row.after(joined) == Cursor(next=9)
    after = put(row, text_block(4, first=70), [joined.id], at=9, logits=4)[1]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=0)
    used = row.used
    row.free([joined.id])
    assert used - row.used == 9


def test_a_held_block_is_not_joined_and_nothing_changes():
    row = new_row()
    parts = [put(row, text_block(3), at=3 * k)[0] for k in range(2)]
    row.hold([1])
    with pytest.raises(AssertionError, match="held"):
        row.join([0, 1], text_block(6))
    assert row.live() == tuple(parts)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_that_moved_is_the_block_placed_there(family):
    row, there = new_row(family=family), new_row(family=family)
    entry, _ = put(row, frames_block(SECOND, before=2), at=20)
    other, _ = put(there, frames_block(SECOND, before=2), at=3)
    moved = row.move(entry.id, delta=(-17, -17, -17), cursor=other.cursor)
    row.turn()
    assert row.entry(entry.id) is moved
    assert torch.equal(moved.positions, other.positions)
    assert (moved.end, row.after(moved)) == (other.end, there.after(other))
    for mine, fresh in zip(held_bytes(row, moved.slots), held_bytes(there, other.slots), strict=True):
        torch.testing.assert_close(mine, fresh, atol=1e-5, rtol=1e-5)


def test_keys_turn_once_however_often_their_block_moved_and_not_at_all_when_it_is_freed():
    row = new_row()
    entry, _ = put(row, text_block(5), at=9)
    gone, _ = put(row, text_block(5), at=14)
    written = held_bytes(row, entry.slots)
    for delta in ((-2, -2, -2), (-3, -3, -3)):
        row.move(entry.id, delta=delta, cursor=Cursor(next=4))
    row.move(gone.id, delta=(-9, -9, -9), cursor=Cursor(next=5))
    row.free([gone.id])
    assert same(written, held_bytes(row, entry.slots))
    before = row.pool.bytes_moved
    row.copy_out(entry.id)
    after = row.pool.bytes_moved
    row.turn()
    assert row.pool.bytes_moved == after > before
    there = new_row()
    other, _ = put(there, text_block(5), at=4)
    for mine, fresh in zip(held_bytes(row, entry.slots), held_bytes(there, other.slots), strict=True):
        torch.testing.assert_close(mine, fresh, atol=1e-5, rtol=1e-5)


def test_a_block_that_comes_back_has_a_new_id_its_old_positions_and_bytes_and_is_told_of():
    told = []
    row = new_row(observer=told.append)
    entry, _ = put(row, text_block(6), at=4)
    row.move(entry.id, delta=(3, 3, 3), cursor=Cursor(next=7))
    row.turn()
    entry = row.entry(entry.id)
    written = held_bytes(row, entry.slots)
    stored = row.copy_out(entry.id)
    assert row.used == len(entry.slots)
    row.free([entry.id])
    assert row.used == 0
    put(row, text_block(4, first=90))
    back = row.put_back(entry, stored)
    assert (back.id, back.slots.tolist()) == (2, [4, 5, 6, 7, 8, 9])
    assert torch.equal(back.positions, entry.positions)
    assert same(written, held_bytes(row, back.slots))
    assert (type(told[-1]), told[-1].before, told[-1].after) == (Recalled, entry, back)


# Feeding.


def test_an_observer_hears_every_feed_in_order_with_what_it_saw():
    told = []
    row = new_row(observer=told.append)
    first, _ = put(row, text_block(4))
    entry, after = row.place(text_block(3), Cursor(next=4))
    last, _ = row.place(text_block(2), after)
    logits = row.run([Draft(entry=entry, sees=(first.id,), logits=1), Draft(entry=last, sees=(0, 1), logits=2)])
    assert [type(event) for event in told] == [Fed] * 3
    assert [event.entry for event in told] == [first, entry, last]
    assert [event.sees.tolist() for event in told] == [[], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6]]
    assert told[0].logits.shape == (0, 320)
    assert same(logits, [event.logits for event in told[1:]])
    row.observer = None
    put(row, text_block(1))
    assert len(told) == 3


def test_features_go_to_the_tokens_of_the_grids_alone():
    row = new_row(family="qwen3_vl")
    embeds = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    features = Features(embeds=embeds, deepstack=(embeds + 1,))
    entry, _ = row.place(frames_block(0, before=2), Cursor())
    draft = Draft(entry=entry, sees=(), features=features, logits=6)
    feed = row.feed(draft)
    assert feed.visual.tolist() == [False, False, True, True, True, True]
    assert row.feed(Draft(entry=entry, sees=())).visual is None
    seen = row.run([draft])[0]
    blind = row.run([Draft(entry=entry, sees=(), logits=6)])[0]
    # Tokens before the grid do not see it.
    torch.testing.assert_close(seen[:2], blind[:2], atol=1e-5, rtol=0)
    assert (seen[2:] - blind[2:]).abs().amax(1).min() > 1e-2


@given(st.integers(0, 50), st.integers(0, 3), st.integers(0, 9))
@settings(max_examples=examples(25), deadline=None)
def test_where_an_entry_ends_can_be_told_again(start, before, second):
    row = new_row()
    entry, after = row.place(frames_block(second * SECOND, before=before), Cursor(next=start))
    assert row.after(entry) == after
    assert after.next == entry.end == start + before + 2
