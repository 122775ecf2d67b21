"""Tests of frames that enter as they come: the cache holds what the policy says, and what left comes back as it was."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.memory.policy import MemorySettings, build_policy
from models.positions import Cursor
from models.row import Draft
from models.watchers.incremental import Incremental
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.small import FAMILIES, SECOND, backbone, text_block
from tests.models.watching import arrival, held, track_of, watcher_of

KNOBS = MemorySettings(
    last=2, window_s=20.0, star_capacity=2, stream_capacity=2, clusters=2, cluster_buffer=1, cluster_size=2,
    cluster_match=0.3, chunk_bytes=10,
)  # fmt: skip
MEMORIES = {
    "all": ("all", KNOBS),
    "window": ("window", KNOBS),
    "star_stream": ("star_stream", KNOBS),
    "semantic": ("star_stream", MemorySettings(star_capacity=2, stream_capacity=1, semantic=True)),
    "clusters": ("clusters", KNOBS),
    "clusters in tokens": ("clusters", MemorySettings(max_tokens=14, cluster_size=3, cluster_match=0.0)),
    "retrieval": ("retrieval", KNOBS),
}


def watcher_with(track, name, *, keep=True):
    memory, knobs = MEMORIES[name]
    # Room for two grids and a half on the host, for three and a half in tokens, whatever text is around a grid.
    grid = track.tokens(arrival(0))
    knobs = replace(knobs, host_bytes=25 * grid, max_tokens=None if knobs.max_tokens is None else 7 * grid // 2)
    return Incremental(track, build_policy(memory, settings=knobs), keep_features=keep)


def ask(watcher, extra=()):
    """Logits of a question over all that is remembered, which goes again."""
    track, remembered = watcher.track, watcher.ready()
    entry, _ = track.row.place(text_block(3, first=60), track.cursor)
    sees = (track.start(), *extra, *(remembered.entries[key] for key in remembered.keys))
    [logits] = track.row.run([Draft(entry=entry, sees=sees, logits=3)])
    track.row.free([entry.id])
    return logits


def steps(longest=14):
    frame = st.tuples(st.sampled_from([SECOND, SECOND, 9 * SECOND, 70 * SECOND]), st.integers(0, 2))
    return st.lists(st.one_of(frame, frame, frame, st.just("tick"), st.just("recall")), max_size=longest)


# The cache is what the policy says.


@given(st.sampled_from(FAMILIES), st.sampled_from(sorted(MEMORIES)), steps())
@settings(max_examples=examples(35), deadline=None)
def test_the_cache_holds_what_the_policy_says_and_each_grid_saw_what_lived_before_it(family, name, script):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_with(track, name)
    policy = watcher.policy.copy()
    now, key, gone = 0, 0, 0
    for step in [(SECOND, 0), *script]:
        if step == "tick":
            now += 30 * SECOND
            change = policy.expire(now)
            watcher.expire(now)
            gone += len(change.evict) + len(change.drop)
        elif step == "recall":
            keys = policy.offloaded()[:2]
            track.row.free(watcher.recall(keys))
        else:
            now += step[0]
            came = arrival(key, family=family, t_ns=now, like=step[1], level=120 * step[1])
            change = policy.observe(came.chunk(came.future.result(), tokens=track.tokens(came)))
            fed = len(oracle.fed)
            watcher.absorb(came)
            check_sight(track, oracle.fed[fed:])
            gone += len(change.evict) + len(change.drop)
            key += 1
        check_same(watcher, policy)
        assert track.meter.evicted == gone
    ask(watcher)
    assert oracle.difference() <= 1e-4


def check_same(watcher, policy):
    track, remembered = watcher.track, watcher.ready()
    assert remembered.keys == policy.live() == watcher.policy.live()
    assert sorted(watcher.offloaded) == sorted(policy.offloaded())
    assert watcher.memory_bytes() == policy.nbytes()
    live = {entry.id: entry for entry in track.row.live() if entry.block.kind is Kind.FRAMES}
    assert sorted(live) == sorted(remembered.entries.values())
    times = [live[remembered.entries[key]].block.t0_ns for key in remembered.keys]
    assert times == sorted(set(times))
    assert track.row.used == sum(len(entry.slots) for entry in track.row.live())
    assert set(remembered.features) == set(remembered.keys)
    assert watcher.feature_bytes() == sum(features.nbytes for features in remembered.features.values())


def check_sight(track, events):
    """The newest grid, and any merged before it, saw the system turn and what lives and is earlier."""
    live = {entry.id: entry for entry in track.row.live()}
    for event in events:
        if event.entry.id not in live or event.entry.block.kind is Kind.SYSTEM:
            continue
        earlier = [
            entry
            for entry in live.values()
            if entry.block.t0_ns < event.entry.block.t0_ns or entry.block.kind is Kind.SYSTEM
        ]
        slots = [slot for entry in earlier for slot in entry.slots.tolist()]
        assert set(event.sees.tolist()) >= set(slots)
        assert not set(event.sees.tolist()) & set(event.entry.slots.tolist())


def test_evicting_moves_no_byte_of_what_stays():
    track = track_of()
    watcher = watcher_with(track, "window")
    for key in range(4):
        watcher.absorb(arrival(key))
    stays = watcher.ready().entries[3]
    before = held(track, [stays])
    watcher.absorb(arrival(4))
    assert watcher.ready().keys == (3, 4)
    assert all(map(torch.equal, held(track, [stays]), before))
    assert track.row.pool.bytes_moved == 0


def test_features_are_kept_only_where_a_router_asks_for_them():
    for keep in (True, False):
        watcher = watcher_with(track_of(), "retrieval", keep=keep)
        for key in range(5):
            watcher.absorb(arrival(key))
        assert (watcher.feature_bytes() > 0) == keep
        assert all((kept.features is not None) == keep for kept in watcher.offloaded.values())
        kept = next(iter(watcher.offloaded.values()))
        assert kept.nbytes == kept.stored.nbytes + (4 * 64 * 4 if keep else 0)


# Merged grids.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_grid_is_the_mean_of_its_members_in_the_place_of_the_first(family):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_of(
        "incremental", track, memory="clusters", clusters=3, cluster_buffer=1, cluster_size=2, cluster_match=0.0
    )
    came = [arrival(key, family=family, like=0) for key in range(5)]
    firsts = {}
    for one in came:
        watcher.absorb(one)
        firsts[one.key] = track.row.entry(watcher.ready().entries[one.key])
    remembered = watcher.ready()
    assert remembered.keys == (-1, -2, 4)
    for key, members in ((-1, (0, 1)), (-2, (2, 3))):
        entry = track.row.entry(remembered.entries[key])
        parts = [came[member].future.result() for member in members]
        torch.testing.assert_close(remembered.features[key].embeds, (parts[0].embeds + parts[1].embeds) / 2)
        for layer, one, other in zip(
            remembered.features[key].deepstack, parts[0].deepstack, parts[1].deepstack, strict=True
        ):
            torch.testing.assert_close(layer, (one + other) / 2)
        assert torch.equal(entry.positions, firsts[members[0]].positions)
        assert (entry.block.t0_ns, entry.block.t1_ns) == (came[members[0]].t0_ns, came[members[1]].last_ns + 1)
        assert entry.block.token_ids[-4:] == firsts[members[0]].block.token_ids[-4:]
    # A merged grid has seen the past alone.
    merged = [event for event in oracle.fed if event.entry.id == remembered.entries[-1]]
    assert [len(event.sees) for event in merged] == [len(oracle.fed[0].entry.slots)]
    ask(watcher)
    assert oracle.difference() <= 1e-4


# Host memory.


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_called_back_has_the_same_keys_and_values(family):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_with(track, "retrieval")
    written = {}
    for key in range(6):
        watcher.absorb(arrival(key, family=family))
        entry = watcher.ready().entries[key]
        written[key] = (held(track, [entry]), track.row.entry(entry).positions)
    assert tuple(watcher.offloaded) == (2, 3)
    used = track.row.used
    back = watcher.recall([3, 2])
    for key, entry in zip((3, 2), back, strict=True):
        assert all(map(torch.equal, held(track, [entry]), written[key][0]))
        assert torch.equal(track.row.entry(entry).positions, written[key][1])
    # They are beside the cache's own, and may be called again.
    assert watcher.ready().keys == (4, 5)
    without, told = ask(watcher), ask(watcher, back)
    assert (without - told).abs().max() > 1e-3
    track.row.free(back)
    assert track.row.used == used
    again = watcher.recall([2, 3])
    torch.testing.assert_close(ask(watcher, again[::-1]), told, atol=1e-5, rtol=0)
    assert oracle.difference() <= 1e-4


def test_grids_that_do_not_all_fit_are_not_called_back_at_all():
    track = track_of(slots=60)
    watcher = watcher_with(track, "retrieval")
    for key in range(5):
        watcher.absorb(arrival(key))
    keys = tuple(watcher.offloaded)
    assert len(keys) == 2
    filler, _ = track.row.place(text_block(track.row.available - 6), track.cursor)
    used, live = track.row.used, track.row.live()
    with pytest.raises(PoolFullError):
        watcher.recall(keys)
    assert (track.row.used, track.row.live(), tuple(watcher.offloaded)) == (used, live, keys)
    track.row.free([filler.id])
    assert len(watcher.recall(keys)) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_what_left_before_positions_were_set_back_comes_back_in_front_of_the_rest(family):
    track = track_of(family)
    watcher = watcher_with(track, "retrieval")
    for key in range(5):
        watcher.absorb(arrival(key, family=family, t_ns=key * 5 * SECOND))
    apart = [track.row.entry(watcher.ready().entries[key]).positions for key in (3, 4)]
    moved = watcher.compact()
    assert moved < 0
    assert len(watcher.offloaded) == 2
    assert all(kept.delta == moved for kept in watcher.offloaded.values())
    assert watcher.compact() == 0
    now = [track.row.entry(watcher.ready().entries[key]).positions for key in (3, 4)]
    assert torch.equal(now[1][0] - now[0][0], apart[1][0] - apart[0][0])
    first = track.row.entry(track.start()).end
    away = [kept.entry for kept in watcher.offloaded.values()]
    for old, key in zip(away, watcher.recall(tuple(watcher.offloaded)), strict=True):
        entry = track.row.entry(key)
        assert first <= int(entry.positions.min()) <= int(now[0].min())
        # All three axes of a block move alike, so that its own shape stays.
        assert len((entry.positions - old.positions).unique()) == 1


def test_a_called_back_block_moves_with_the_end_of_the_context():
    track = track_of()
    watcher = watcher_with(track, "retrieval")
    for key in range(3):
        watcher.absorb(arrival(key, t_ns=key * SECOND))
    [kept] = watcher.offloaded.values()
    # Far out, where a stream that was set back before has begun.
    watcher.offloaded = {0: type(kept)(entry=kept.entry, stored=kept.stored, features=kept.features, delta=0)}
    [plain] = watcher.recall([0])
    assert torch.equal(track.row.entry(plain).positions, kept.entry.positions)
    first = track.row.entry(track.start()).end
    for delta in (-1, -10_000):
        watcher.offloaded = {0: type(kept)(entry=kept.entry, stored=kept.stored, features=kept.features, delta=delta)}
        [back] = watcher.recall([0])
        assert int(track.row.entry(back).positions.min()) == max(first, int(kept.entry.positions.min()) + delta)


# Refusals.


def test_a_grid_that_only_fits_when_memory_lets_go_fits():
    track = track_of(slots=30)
    watcher = watcher_of("incremental", track, memory="window", last=2)
    for key in range(8):
        watcher.absorb(arrival(key))
        assert track.row.available <= 30 - 22
    assert watcher.ready().keys == (6, 7)
    with pytest.raises(PoolFullError, match="a grid needs 16 slots; 0 are free and memory lets go of 4"):
        watcher.absorb(arrival(8, side=4))
    assert watcher.ready().keys == (6, 7)
    assert watcher.policy.live() == (6, 7)
    watcher.absorb(arrival(8))
    assert watcher.ready().keys == (7, 8)


def test_a_merge_that_finds_no_room_is_put_off_whole():
    track = track_of(slots=22 + 12)
    watcher = watcher_of(
        "incremental", track, memory="clusters", clusters=3, cluster_buffer=1, cluster_size=2, cluster_match=0.0
    )
    for key in range(2):
        watcher.absorb(arrival(key, like=0))
    entries = list(watcher.ready().entries.values())
    track.row.hold(entries)
    before = [(entry.id, entry.slots.tolist()) for entry in track.row.live()]
    # The members are looked at and keep their slots: merged and new grid would take eight.
    with pytest.raises(PoolFullError, match="a grid needs 8 slots; 4 are free and memory lets go of 0"):
        watcher.absorb(arrival(2, like=0))
    assert [(entry.id, entry.slots.tolist()) for entry in track.row.live()] == before
    assert watcher.ready().keys == (0, 1)
    track.row.let_go(entries)
    watcher.absorb(arrival(2, like=0))
    assert watcher.ready().keys == (-1, 2)


def test_a_grid_that_is_held_by_a_branch_lives_on_for_it_alone():
    track = track_of()
    watcher = watcher_with(track, "window")
    watcher.absorb(arrival(0))
    [old] = watcher.ready().entries.values()
    track.row.hold([old])
    before = held(track, [old])
    for key in range(1, 5):
        watcher.absorb(arrival(key))
    assert watcher.ready().keys == (3, 4)
    assert all(map(torch.equal, held(track, [old]), before))
    used = track.row.used
    track.row.let_go([old])
    assert used - track.row.used == 4


def test_the_end_of_the_line_is_behind_the_newest_grid_even_if_it_is_all_that_lives():
    track = track_of()
    watcher = watcher_of("incremental", track, memory="window", last=1)
    for key in range(3):
        watcher.absorb(arrival(key))
    [entry] = watcher.ready().entries.values()
    assert track.cursor == track.row.after(track.row.entry(entry))
    assert isinstance(track.cursor, Cursor)
    assert track.cursor.segment is not None
    assert track.cursor.segment.t0_ns == 0
