"""Tests of the slot pool: what is handed out, what stays in place, and what a moved key is worth."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine import Engine, Feed
from models.errors import ClosedError, PoolFullError, SettingsError
from models.slots import VIEW_STEP, SlotLayer, SlotPool, rotary_axes, rotate, row_span
from tests.laws import examples
from tests.models.small import FAMILIES, backbone

SLOTS = 150
NONE = torch.empty(0, dtype=torch.int64)
FEW = settings(max_examples=examples(30), deadline=None)
shifts = st.tuples(*[st.integers(-40, 60)] * 3)


def slots_of(*places):
    return torch.tensor(places, dtype=torch.int64)


@cache
def bfloat16_backbone():
    return backbone(dtype=torch.bfloat16)


def drawn_pool(*, slots=24, rows=1, dtype=torch.float32, seed=0):
    """A pool whose every byte has been written."""
    pool = SlotPool(backbone(dtype=dtype), slots=slots, rows=rows)
    generator = torch.Generator().manual_seed(seed)
    for layer in pool.pools:
        for tensor in (layer.pool_keys, layer.pool_values):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return pool


def keys(pool, places, row=0):
    return torch.stack([layer.pool_keys[row, :, places] for layer in pool.pools])


def bytes_of(pool):
    return [
        (tensor.data_ptr(), tensor.clone()) for layer in pool.pools for tensor in (layer.pool_keys, layer.pool_values)
    ]


def same_bytes(before, pool):
    return all(
        pointer == now_pointer and torch.equal(kept, now)
        for (pointer, kept), (now_pointer, now) in zip(before, bytes_of(pool), strict=True)
    )


# Handing out.


steps = st.lists(st.tuples(st.integers(0, 1), st.one_of(st.integers(1, 70), st.none()), st.integers(0, 5)), max_size=25)


@given(steps)
@FEW
def test_slots_are_handed_out_once_lowest_first_and_each_row_for_itself(steps):
    pool = SlotPool(backbone(), slots=SLOTS, rows=2)
    size, held = pool.nbytes, [[], []]
    for row, tokens, which in steps:
        taken = {slot for block in held[row] for slot in block}
        if tokens is None:
            if held[row]:
                pool.free(row, slots_of(*held[row].pop(which % len(held[row]))))
        elif tokens > SLOTS - len(taken):
            with pytest.raises(PoolFullError, match=f"{tokens} slots are needed and {SLOTS - len(taken)} of {SLOTS}"):
                pool.place(row, tokens)
        else:
            given_out = pool.place(row, tokens).tolist()
            assert given_out == [slot for slot in range(SLOTS) if slot not in taken][:tokens]
            held[row].append(given_out)
        for index in range(2):
            used = {slot for block in held[index] for slot in block}
            assert pool.used(index) == len(used)
            view = pool.view_length(max(used, default=0))
            assert max(used, default=0) < view <= SLOTS
            assert view == SLOTS or view % VIEW_STEP == 0
            assert view - VIEW_STEP <= max(used, default=0)
    assert pool.nbytes == size
    assert pool.bytes_moved == 0


def test_a_slot_cannot_be_freed_twice_or_before_it_is_taken():
    pool = SlotPool(backbone(), slots=8)
    taken = pool.place(0, 3)
    with pytest.raises(AssertionError, match="freed twice"):
        pool.free(0, slots_of(5))
    pool.free(0, taken[1:])
    with pytest.raises(AssertionError, match="freed twice"):
        pool.free(0, taken)
    assert pool.used(0) == 1


def test_rows_are_handed_out_once_and_come_back_empty():
    pool = SlotPool(backbone(), slots=8, rows=3)
    assert [pool.open_row() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(PoolFullError, match="all 3 rows"):
        pool.open_row()
    pool.place(1, 8)
    pool.rebase(1, slots_of(0, 1), (4, 4, 4))
    pool.close_row(1)
    assert pool.used(1) == 0
    with pytest.raises(ClosedError, match="row 1"):
        pool.close_row(1)
    assert pool.open_row() == 1
    assert pool.copy_out(1, pool.place(1, 2)).shift == (0, 0, 0)


def test_a_pool_has_rows_and_slots():
    for sizes in ({"slots": 0}, {"slots": 4, "rows": 0}):
        with pytest.raises(SettingsError, match="at least 1"):
            SlotPool(backbone(), **sizes)


def test_a_pool_counts_its_bytes():
    pool = SlotPool(backbone(), slots=10, rows=3)
    # 2 layers, keys and values, 2 heads of 16 numbers of 4 bytes.
    assert pool.bytes_per_slot == 2 * 2 * 2 * 16 * 4
    assert pool.nbytes == 30 * pool.bytes_per_slot
    assert pool.slots == 10
    assert SlotPool(bfloat16_backbone(), slots=10, rows=3).nbytes == pool.nbytes // 2


def test_a_row_span_covers_its_rows():
    assert row_span([2]) == range(2, 3)
    assert row_span([4, 1, 4]) == range(1, 5)


# Staying in place.


def test_eviction_moves_no_byte():
    pool = drawn_pool(slots=64, rows=2)
    blocks = [pool.place(0, 9) for _ in range(6)]
    before = bytes_of(pool)
    for block in (blocks[0], blocks[3], blocks[5]):
        pool.free(0, block)
    assert same_bytes(before, pool)
    assert pool.bytes_moved == 0
    # The check itself sees a byte that moves.
    pool.pools[1].pool_values[1, 0, 0, 0] += 1
    assert not same_bytes(before, pool)


def test_holes_between_blocks_serve_as_well_as_slots_in_a_row():
    positions = torch.arange(9).expand(3, -1)
    holed, whole = SlotPool(backbone(), slots=18), SlotPool(backbone(), slots=18)
    singles = [holed.place(0, 1) for _ in range(18)]
    holed.free(0, torch.cat(singles[1::2]))
    # All nine free slots, none beside another, take a block of nine.
    assert feed(holed, backbone(), positions).tolist() == list(range(1, 18, 2))
    feed(whole, backbone(), positions)
    in_holes, in_a_row = keys(holed, slots_of(*range(1, 18, 2))), keys(whole, slots_of(*range(9)))
    torch.testing.assert_close(in_holes, in_a_row, atol=1e-5, rtol=1e-5)
    with pytest.raises(PoolFullError):
        holed.place(0, 1)
    assert holed.bytes_moved == 0


def test_a_layer_needs_a_plan_and_answers_what_transformers_asks():
    layer = SlotLayer((1, 2, 40, 16), dtype=torch.float32, device=torch.device("cpu"))
    states = torch.ones(1, 2, 3, 16)
    with pytest.raises(AssertionError, match="without a plan"):
        layer.update(states, states)
    layer.lazy_initialization(states, states)
    assert layer.get_max_length() == 40
    assert layer.get_seq_length() == 0
    assert layer.get_mask_sizes(3) == (0, 0)


def feed(pool, on, positions, *, row=0, first=20):
    """Feeds some tokens at positions (3, n) for themselves; returns their slots."""
    count = positions.shape[1]
    taken = pool.place(row, count)
    token_ids = torch.arange(first, first + count)
    Engine(on, pool).forward([Feed(row=row, token_ids=token_ids, positions=positions, slots=taken, sees=NONE)])
    return taken


def test_the_plan_ends_with_the_forward_also_when_it_fails():
    pool = SlotPool(backbone(), slots=8)
    feed(pool, backbone(), torch.arange(3).expand(3, -1))
    assert all(layer.write is None for layer in pool.pools)
    with pytest.raises(IndexError):
        Engine(backbone(), pool).forward(
            [
                Feed(
                    row=0,
                    token_ids=torch.tensor([10**6]),
                    positions=torch.zeros(3, 1),
                    slots=pool.place(0, 1),
                    sees=NONE,
                )
            ]
        )
    assert all(layer.write is None for layer in pool.pools)


# Out and back.


@given(st.lists(shifts, max_size=3), st.lists(shifts, max_size=2), st.sampled_from([torch.float32, torch.bfloat16]))
@FEW
def test_a_block_comes_back_bit_for_bit_and_moves_on_as_if_it_had_stayed(before, after, dtype):
    pool, twin = (drawn_pool(rows=2, dtype=dtype) for _ in range(2))
    places = pool.place(0, 5)
    assert torch.equal(twin.place(0, 5), places)
    for delta in before:
        pool.rebase(0, places, delta)
        twin.rebase(0, places, delta)
    stored = pool.copy_out(0, places)
    pool.free(0, places)
    # Others write where it was.
    for layer in pool.pools:
        layer.pool_keys[0] = 7
        layer.pool_values[0] = 7
    pool.place(0, 2)
    back = pool.place(0, 5)
    pool.put_back(0, back, stored)
    assert back.tolist() == [2, 3, 4, 5, 6]
    for delta in after:
        pool.rebase(0, back, delta)
        twin.rebase(0, places, delta)
    assert torch.equal(keys(pool, back), keys(twin, places))
    for layer, other in zip(pool.pools, twin.pools, strict=True):
        assert torch.equal(layer.pool_values[0, :, back], other.pool_values[0, :, places])


def test_what_was_taken_out_does_not_follow_the_pool_and_knows_its_bytes():
    pool = drawn_pool()
    places = pool.place(0, 4)
    stored = pool.copy_out(0, places)
    kept = stored.keys.clone()
    pool.pools[0].pool_keys.zero_()
    assert torch.equal(stored.keys, kept)
    assert stored.nbytes == 4 * pool.bytes_per_slot
    assert pool.used(0) == 4
    pool.rebase(0, places, (1, 2, 3))
    moved = pool.copy_out(0, places)
    assert moved.shift == (1, 2, 3)
    assert moved.nbytes == 4 * pool.bytes_per_slot


def test_bytes_moved_counts_what_goes_out_comes_back_and_turns():
    pool = drawn_pool()
    places = pool.place(0, 3)
    stored = pool.copy_out(0, places)
    assert pool.bytes_moved == 3 * pool.bytes_per_slot
    pool.put_back(0, places, stored)
    assert pool.bytes_moved == 6 * pool.bytes_per_slot
    size = pool.nbytes
    pool.rebase(0, places, (0, 0, 0))
    assert (pool.nbytes, pool.bytes_moved) == (size, 6 * pool.bytes_per_slot)
    pool.rebase(0, places, (1, 0, 0))
    # The keys, which are half of a slot, and their copies.
    assert pool.bytes_moved == 9 * pool.bytes_per_slot
    # The first keys of the whole pool, once.
    assert pool.nbytes == size * 3 // 2
    pool.rebase(0, places, (1, 0, 0))
    assert pool.nbytes == size * 3 // 2
    assert pool.bytes_moved == 21 * pool.bytes_per_slot // 2


def test_a_block_moves_as_one_and_nothing_else_moves():
    pool = drawn_pool()
    first, second = pool.place(0, 3), pool.place(0, 3)
    others = keys(pool, second)
    values = pool.pools[0].pool_values.clone()
    pool.rebase(0, first, (5, 0, 2))
    assert torch.equal(keys(pool, second), others)
    assert torch.equal(pool.pools[0].pool_values, values)
    with pytest.raises(AssertionError, match="move together"):
        pool.rebase(0, slots_of(2, 3), (1, 1, 1))


def test_a_slot_that_is_taken_anew_has_not_moved_yet():
    pool = drawn_pool()
    places = pool.place(0, 3)
    pool.rebase(0, places, (5, 5, 5))
    pool.free(0, places)
    again = pool.place(0, 3)
    fresh = torch.randn(2, 2, 3, 16)
    for layer, states in zip(pool.pools, fresh, strict=True):
        layer.pool_keys[0, :, again] = states
    assert pool.copy_out(0, again).shift == (0, 0, 0)
    pool.rebase(0, again, (2, 2, 2))
    frequencies = backbone().text.rotary_emb.inv_freq
    assert torch.equal(keys(pool, again), rotate(fresh, torch.full((8,), 2), frequencies))


# Rotating.

frequencies = 1 / 10_000 ** (torch.arange(8) / 8)
moves = st.lists(st.integers(-500, 500), min_size=8, max_size=8).map(torch.tensor)


@given(moves, moves, st.integers(0, 2**31))
@FEW
def test_two_rotations_add_up_and_a_rotation_keeps_lengths(first, second, seed):
    given_keys = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(seed))
    twice = rotate(rotate(given_keys, first, frequencies), second, frequencies)
    torch.testing.assert_close(twice, rotate(given_keys, first + second, frequencies), atol=1e-5, rtol=0)
    torch.testing.assert_close(twice.norm(dim=-1), given_keys.norm(dim=-1), atol=1e-5, rtol=0)
    assert torch.equal(rotate(given_keys, 0 * first, frequencies), given_keys)
    assert rotate(given_keys.bfloat16(), first, frequencies).dtype == torch.bfloat16


def relative(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


def exactly(given_keys, steps):
    angle = frequencies.double() * steps
    first, second = given_keys.double().chunk(2, dim=-1)
    return torch.cat((first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()), dim=-1)


@pytest.mark.parametrize("times", [1, 10, 1000])
def test_a_thousand_moves_in_bfloat16_round_once(times):
    pool = drawn_pool(dtype=torch.bfloat16)
    places = pool.place(0, 6)
    start = keys(pool, places)
    iterated = start
    for _ in range(times):
        pool.rebase(0, places, (-3, -3, -3))
        iterated = rotate(iterated, torch.full((8,), -3), frequencies)
    exact = exactly(start, -3 * times)
    assert relative(keys(pool, places), exact) < 0.0025
    # What the pool must not do: rounding enters with each move.
    if times == 1000:
        assert relative(iterated, exact) > 40 * relative(keys(pool, places), exact)
    elif times == 10:
        assert relative(iterated, exact) > 2 * relative(keys(pool, places), exact)


@given(st.lists(shifts, min_size=1, max_size=6))
@FEW
def test_any_moves_equal_one_move_by_their_sum(deltas):
    pool, twin = drawn_pool(dtype=torch.bfloat16), drawn_pool(dtype=torch.bfloat16)
    places = pool.place(0, 4)
    twin.place(0, 4)
    for delta in deltas:
        pool.rebase(0, places, delta)
    twin.rebase(0, places, tuple(sum(axis) for axis in zip(*deltas, strict=True)))
    assert torch.equal(keys(pool, places), keys(twin, places))


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_that_moved_are_the_keys_that_the_model_computes_there(family):
    # All tokens move alike, so that what they see of one another stays, and the keys of every layer can be compared.
    on = backbone(family)
    positions = torch.stack([torch.arange(6), torch.arange(6) % 3, torch.arange(6) // 3]) + 4
    delta = (31, -4, 17)
    pool, there = SlotPool(on, slots=16), SlotPool(on, slots=16)
    places = feed(pool, on, positions)
    feed(there, on, positions + torch.tensor(delta)[:, None])
    pool.rebase(0, places, delta)
    torch.testing.assert_close(keys(pool, places), keys(there, places), atol=1e-5, rtol=1e-5)
    # Axes that are mixed up would show.
    pool.rebase(0, places, (-31, 4, -17))
    pool.rebase(0, places, (17, -4, 31))
    assert float((keys(pool, places) - keys(there, places)).abs().max()) > 0.1


def test_the_axes_are_those_of_the_two_ways_of_transformers():
    assert rotary_axes(backbone("qwen2_5_vl")).tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert rotary_axes(backbone("qwen2_5_omni")).tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    # Sections 4, 2, 2 interleaved: t h w t h w, then time alone.
    assert rotary_axes(backbone("qwen3_vl")).tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
