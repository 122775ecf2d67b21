"""Tests of clips: whole ones enter, in one forward; the old one goes and is never seen by the new one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.positions import Cursor
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.small import FAMILIES, backbone
from tests.models.watching import arrival, track_of, watcher_of


def frames_fed(oracle):
    return [event for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]


@given(st.sampled_from(FAMILIES), st.integers(1, 4), st.integers(0, 11))
@settings(max_examples=examples(30), deadline=None)
def test_only_the_newest_whole_clip_lives_and_the_rest_waits(family, grids, count):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_of("clip", track, grids=grids)
    for key in range(count):
        watcher.absorb(arrival(key, family=family))
        whole = (key + 1) // grids
        assert watcher.ready().keys == tuple(range(max(0, whole - 1) * grids, whole * grids))
        assert [waiting.t0_ns for waiting in watcher.tail()] == [
            arrival(late).t0_ns for late in range(whole * grids, key + 1)
        ]
        size = len(frames_fed(oracle)[-1].entry.slots) if whole else 0
        assert track.row.used == len(track.row.entry(track.start()).slots) + size * grids * bool(whole)
        assert track.meter.evicted == max(0, whole - 1) * grids
        one = arrival(0, family=family).future.result().nbytes
        assert watcher.feature_bytes() == one * grids * bool(whole)
    assert (watcher.memory_bytes(), watcher.compact()) == (0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_sees_the_system_turn_and_itself_and_stands_right_behind(family):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_of("clip", track, grids=3)
    for key in range(9):
        watcher.absorb(arrival(key, family=family))
    fed = frames_fed(oracle)
    system, size = len(oracle.fed[0].entry.slots), len(fed[0].entry.slots)
    assert [len(event.sees) for event in fed] == [system, system + size, system + 2 * size] * 3
    firsts = [event.entry for event in fed[::3]]
    assert all(entry.cursor == Cursor(next=system) for entry in firsts)
    assert track.cursor.next == max(event.entry.end for event in fed[-3:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_is_the_same_whatever_was_watched_before(family):
    tracks = [track_of(family), track_of(family)]
    late, alone = (watcher_of("clip", track, grids=2) for track in tracks)
    for key in range(6):
        late.absorb(arrival(key, family=family))
    for key in (4, 5):
        alone.absorb(arrival(key, family=family))
    if family == "qwen3_vl":
        tracks[1].origin_ns = 0
    for key in (4, 5):
        one, other = (track.row.entry(w.ready().entries[key]) for track, w in zip(tracks, (late, alone), strict=True))
        assert torch.equal(one.positions, other.positions)
        for mine, fresh in zip(tracks[0].row.pool.pools, tracks[1].row.pool.pools, strict=True):
            torch.testing.assert_close(
                mine.pool_values[0, :, one.slots], fresh.pool_values[0, :, other.slots], atol=1e-5, rtol=0
            )


def test_a_clip_that_waits_costs_no_forward_and_no_features():
    oracle = Oracle(backbone())
    track = track_of(observer=oracle)
    watcher = watcher_of("clip", track, grids=4)
    came = [arrival(key, ready=False) for key in range(4)]
    for waiting in came[:3]:
        watcher.absorb(waiting)
    assert (oracle.fed, track.row.used, track.meter.seconds["vision_wait"]) == ([], 0, 0.0)
    for place, waiting in enumerate(came):
        waiting.future.set_result(arrival(place).future.result())
    watcher.absorb(came[3])
    assert len(frames_fed(oracle)) == 4
    assert track.meter.seconds["vision_wait"] > 0


def test_a_clip_larger_than_the_pool_is_refused_each_time_and_the_old_one_stays():
    track = track_of(slots=60)
    watcher = watcher_of("clip", track, grids=2)
    for key in range(2):
        watcher.absorb(arrival(key))
    remembered = watcher.ready()
    watcher.absorb(arrival(2, side=5))
    for _ in range(2):
        with pytest.raises(PoolFullError, match=r"a clip needs 50 slots; 30 are free .* lets go of 8"):
            watcher.absorb(arrival(3, side=5))
        assert watcher.ready().entries == remembered.entries
        assert len(watcher.tail()) == 1
    # A smaller one fits in the place of the old clip.
    watcher.absorb(arrival(3))
    assert watcher.ready().keys == (2, 3)


def test_the_old_clip_makes_room_for_the_new_one():
    track = track_of(slots=30)
    watcher = watcher_of("clip", track, grids=2)
    for key in range(2):
        watcher.absorb(arrival(key))
    room = track.row.available
    assert room < 8
    for key in range(2, 12):
        watcher.absorb(arrival(key))
        assert track.row.available == room
    assert watcher.ready().keys == (10, 11)


def test_a_clip_that_is_looked_at_lives_on_beside_the_new_one():
    track = track_of()
    watcher = watcher_of("clip", track, grids=2)
    for key in range(2):
        watcher.absorb(arrival(key))
    old = list(watcher.ready().entries.values())
    track.row.hold(old)
    for key in range(2, 4):
        watcher.absorb(arrival(key))
    assert not set(old) & {entry.id for entry in track.row.live()}
    both = track.row.used
    track.row.let_go(old)
    assert both - track.row.used == 8


def test_time_alone_takes_no_clip():
    track = track_of()
    watcher = watcher_of("clip", track, grids=1)
    watcher.absorb(arrival(0))
    watcher.expire(10**18)
    assert watcher.ready().keys == (0,)
