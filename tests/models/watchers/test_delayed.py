"""Tests of frames that wait for a question: chosen as they come, fed once asked for, reused by what is asked next."""

from concurrent.futures import CancelledError
from itertools import takewhile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.memory.policy import MemorySettings, build_policy
from models.row import Draft
from models.watchers.delayed import Delayed
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.small import FAMILIES, SECOND, backbone, text_block
from tests.models.watching import arrival, features_for, track_of, watcher_of

KNOBS = MemorySettings(
    last=3, star_capacity=2, stream_capacity=2, clusters=2, cluster_buffer=1, cluster_size=2, cluster_match=0.3,
    host_bytes=100, chunk_bytes=10,
)  # fmt: skip
MEMORIES = ("all", "window", "star_stream", "clusters", "retrieval")


def watching(family="qwen2_5_vl", *, memory="window", slots=512):
    oracle = Oracle(backbone(family))
    track = track_of(family, slots=slots, observer=oracle)
    return Delayed(track, build_policy(memory, settings=KNOBS)), oracle


def frames_fed(oracle):
    return [event for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]


def ask(watcher):
    track, remembered = watcher.track, watcher.ready()
    entry, _ = track.row.place(text_block(3, first=60), track.cursor)
    sees = (track.start(), *(remembered.entries[key] for key in remembered.keys))
    [logits] = track.row.run([Draft(entry=entry, sees=sees, logits=3)])
    track.row.free([entry.id])
    return logits


# Filling.


@given(
    st.sampled_from(FAMILIES), st.sampled_from(MEMORIES),
    st.lists(st.one_of(st.integers(0, 2), st.integers(0, 2), st.just("ask")), max_size=14),
)  # fmt: skip
@settings(max_examples=examples(25), deadline=None)
def test_a_question_sees_what_one_pass_over_the_chosen_frames_would_give(family, memory, script):
    watcher, oracle = watching(family, memory=memory)
    track, policy, key = watcher.track, build_policy(memory, settings=KNOBS), 0
    for step in [0, *script, "ask"]:
        if step != "ask":
            fed = len(oracle.fed)
            came = arrival(key, family=family, like=step, level=120 * step)
            policy.observe(came.chunk(came.future.result(), tokens=track.tokens(came)))
            watcher.absorb(came)
            assert len(oracle.fed) == fed, "nothing is fed before a question"
            key += 1
            continue
        kept = [entry for _, entry in watcher._filled]
        fed = len(frames_fed(oracle))
        remembered = watcher.ready()
        assert remembered.keys == policy.live()
        # Only what comes behind the common beginning is fed.
        entries = list(remembered.entries.values())
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(kept, entries, strict=False))))
        assert len(frames_fed(oracle)) - fed == len(entries) - same
        system = len(track.row.entry(track.start()).slots)
        seen = 0
        for entry in map(track.row.entry, entries):
            [event] = [event for event in frames_fed(oracle) if event.entry.id == entry.id]
            assert len(event.sees) == system + seen
            seen += len(entry.slots)
        assert track.row.used == system + seen
        logits = ask(watcher)
    assert oracle.difference() <= 1e-4
    fresh = Delayed(track_of(family), build_policy("all", settings=KNOBS))
    fresh._chosen = dict(watcher._chosen)
    # What a watcher fills that has never seen another frame or question.
    torch.testing.assert_close(logits, ask(fresh), atol=1e-4, rtol=0)
    assert torch.equal(
        torch.cat([watcher.track.row.entry(entry).positions for entry in watcher.ready().entries.values()], dim=1),
        torch.cat([fresh.track.row.entry(entry).positions for entry in fresh.ready().entries.values()], dim=1),
    )


def test_a_follow_up_feeds_the_new_frames_alone_and_one_without_new_frames_nothing():
    watcher, oracle = watching(memory="all")
    for key in range(3):
        watcher.absorb(arrival(key))
    watcher.ready()
    assert len(frames_fed(oracle)) == 3
    before = watcher.track.row.live()
    watcher.ready()
    assert len(frames_fed(oracle)) == 3
    for key in (3, 4):
        watcher.absorb(arrival(key))
    entries = watcher.ready().entries
    assert [event.entry.id for event in frames_fed(oracle)[3:]] == [entries[3], entries[4]]
    assert watcher.track.row.live()[: len(before)] == before


def test_when_the_beginning_is_gone_all_is_filled_anew_behind_the_system_turn():
    watcher, oracle = watching(memory="window")
    for key in range(3):
        watcher.absorb(arrival(key))
    old = list(watcher.ready().entries.values())
    watcher.absorb(arrival(3))
    new = watcher.ready()
    assert new.keys == (1, 2, 3)
    assert not set(old) & set(new.entries.values())
    assert len(frames_fed(oracle)) == 6
    first = watcher.track.row.entry(new.entries[1])
    assert first.cursor.next == watcher.track.row.entry(watcher.track.start()).end
    assert first.cursor.segment is None


# Encoding.


def test_features_are_waited_for_at_the_question_and_not_before():
    watcher, oracle = watching()
    came = [arrival(key, ready=False) for key in range(2)]
    for one in came:
        watcher.absorb(one)
    assert (watcher.feature_bytes(), watcher.track.meter.seconds["vision_wait"]) == (0, 0.0)
    came[0].future.set_result(features_for("qwen2_5_vl", 4, 0))
    assert watcher.feature_bytes() == 4 * 64 * 4
    came[1].future.set_result(features_for("qwen2_5_vl", 4, 1))
    assert watcher.ready().keys == (0, 1)
    assert watcher.feature_bytes() == 2 * 4 * 64 * 4
    assert [event.features for event in frames_fed(oracle)] == [one.future.result() for one in came]


def test_a_policy_that_judges_by_features_waits_for_them_at_once():
    watcher, _ = watching(memory="clusters")
    assert watcher.policy.needs_features
    watcher.absorb(arrival(0))
    assert watcher.track.meter.seconds["vision_wait"] > 0


def test_frames_let_go_before_their_turn_are_dropped_and_never_encoded():
    watcher, oracle = watching()
    came = [arrival(key, ready=False) for key in range(5)]
    for one in came:
        watcher.absorb(one)
    assert [one.future.cancelled() for one in came] == [True, True, False, False, False]
    assert watcher.track.meter.evicted == 2
    for one in came[2:]:
        one.future.set_result(features_for("qwen2_5_vl", 4, one.key))
    assert watcher.ready().keys == (2, 3, 4)
    assert [event.entry.block.t0_ns for event in frames_fed(oracle)] == [2 * SECOND, 3 * SECOND, 4 * SECOND]


def test_time_that_passes_lets_frames_go():
    track = track_of()
    watcher = watcher_of("delayed", track, memory="window", window_s=5.0)
    came = [arrival(key, ready=False) for key in range(3)]
    for one in came:
        watcher.absorb(one)
    watcher.expire(60 * SECOND)
    assert all(one.future.cancelled() for one in came)
    assert track.meter.evicted == 3
    assert watcher.ready().keys == ()


def test_a_saved_state_still_gets_the_features_of_frames_let_go_since():
    watcher, _ = watching()
    came = [arrival(key, ready=False) for key in range(9)]
    for one in came[:3]:
        watcher.absorb(one)
    saved = watcher.save()
    for one in came[3:]:
        watcher.absorb(one)
    # Frames that only the newer state knew are given up; those of the saved one are not.
    assert [one.future.cancelled() for one in came] == [False] * 3 + [True] * 3 + [False] * 3
    for one in came[:3]:
        one.future.set_result(features_for("qwen2_5_vl", 4, one.key))
    for back in (saved.save(), saved.save()):
        back.absorb(arrival(20))
        assert back.ready().keys == (1, 2, 20)
        watcher.track.row.free([entry for _, entry in back._filled])
        watcher.track.cursor = type(watcher.track.cursor)(next=watcher.track.row.entry(watcher.track.start()).end)


def test_a_frame_that_was_given_up_elsewhere_is_no_frame_without_features():
    watcher, _ = watching()
    one = arrival(0, ready=False)
    watcher.absorb(one)
    one.future.cancel()
    assert watcher.feature_bytes() == 0
    with pytest.raises(CancelledError):
        watcher.ready()


def test_a_tower_that_failed_is_told_of_at_the_question_not_when_bytes_are_counted():
    watcher, _ = watching()
    good, broken = arrival(0), arrival(1, ready=False)
    broken.future.set_exception(RuntimeError("out of memory, say"))
    for one in (good, broken):
        watcher.absorb(one)
    assert watcher.feature_bytes() == good.future.result().nbytes
    with pytest.raises(RuntimeError, match="out of memory"):
        watcher.ready()


# Merged frames.


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_frames_are_fed_as_one_grid_with_the_mean_of_all_layers(family):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_of(
        "delayed", track, memory="clusters", clusters=1, cluster_buffer=1, cluster_size=2, cluster_match=0.0
    )
    came = [arrival(key, family=family, like=0) for key in range(3)]
    for one in came:
        watcher.absorb(one)
    remembered = watcher.ready()
    assert remembered.keys == (-1, 2)
    parts = [one.future.result() for one in came]
    torch.testing.assert_close(remembered.features[-1].embeds, (parts[0].embeds + parts[1].embeds) / 2)
    assert len(remembered.features[-1].deepstack) == len(parts[0].deepstack)
    for layer, one, other in zip(
        remembered.features[-1].deepstack, parts[0].deepstack, parts[1].deepstack, strict=True
    ):
        torch.testing.assert_close(layer, (one + other) / 2)
    block = track.row.entry(remembered.entries[-1]).block
    assert (block.t0_ns, block.t1_ns) == (came[0].t0_ns, came[1].last_ns + 1)
    assert watcher.feature_bytes() == 2 * parts[0].nbytes
    ask(watcher)
    assert oracle.difference() <= 1e-4


# No room.


def test_a_choice_that_does_not_fit_leaves_the_last_fill_in_the_cache():
    watcher, oracle = watching(memory="all", slots=22 + 4 * 4 + 3)
    for key in range(4):
        watcher.absorb(arrival(key))
    before = ask(watcher)
    live, fed = watcher.track.row.live(), len(frames_fed(oracle))
    watcher.absorb(arrival(4))
    for _ in range(2):
        with pytest.raises(PoolFullError, match="chosen grids need 4 slots; 3 are free and the last choice lets go of"):
            watcher.ready()
        assert (watcher.track.row.live(), len(frames_fed(oracle))) == (live, fed)
    [last] = [entry for key, entry in watcher._filled if key == 3]
    assert watcher.track.cursor == watcher.track.row.after(watcher.track.row.entry(last))
    watcher._forget([4])
    torch.testing.assert_close(ask(watcher), before, atol=1e-5, rtol=0)
    assert len(frames_fed(oracle)) == fed
