"""A window, a bounded host memory, and what is used is forgotten last."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.memory.policy import Change, Chunk, MemorySettings, RetrievalPolicy, UnknownChunkError, build_policy
from tests.laws import examples
from tests.models.memory.streams import Ledger, Recall, S, Tick, chunk, small, step, streams


def reference(events, rules):
    """(live, offloaded) of a whole history: the last N, and before them the most recently offloaded or recalled."""
    live, host, tokens = [], [], {}
    for event in events:
        leaving = []
        if isinstance(event, Chunk):
            live.append(event)
            tokens[event.key] = event.tokens
            while len(live) > rules.last:
                leaving.append(live.pop(0))
        now_ns = event.now_ns if isinstance(event, Tick) else event.t1_ns if isinstance(event, Chunk) else None
        while now_ns is not None and rules.window_ns and live and live[0].t1_ns <= now_ns - rules.window_ns:
            leaving.append(live.pop(0))
        if isinstance(event, Recall) and host:
            used = sorted(host)[event.place % len(host)]
            host.remove(used)
            host.append(used)
        host += [each.key for each in leaving]
        while sum(tokens[key] for key in host) * rules.chunk_bytes > rules.host_bytes:
            host.pop(0)
    return tuple(each.key for each in live), tuple(sorted(host))


@settings(max_examples=examples(50))
@given(
    events=streams(tokens=(1, 2, 3)),
    last=st.integers(1, 4),
    window_s=st.none() | st.just(3.0),
    host_bytes=st.integers(0, 90),
)
def test_the_policy_equals_a_recomputation_after_every_event(events, last, window_s, host_bytes):
    rules = MemorySettings(last=last, window_s=window_s, host_bytes=host_bytes, chunk_bytes=10)
    policy, ledger = build_policy("retrieval", settings=rules), Ledger()
    assert isinstance(policy, RetrievalPolicy)
    for index, event in enumerate(events):
        ledger.follow(event, step(policy, event))
        ledger.check(policy)
        assert (policy.live(), policy.offloaded()) == reference(events[: index + 1], rules)
        held = sum(ledger.tokens[key] for key in policy.offloaded()) * 10
        assert policy.host_bytes() == held <= host_bytes


def filled(count, **changes):
    policy = small("retrieval", **changes)
    return policy, [policy.observe(chunk(key)) for key in range(count)]


def test_chunks_pass_from_the_cache_to_the_host_and_out():
    policy, changes = filled(8)
    assert changes[2] == Change()
    assert changes[3] == Change(offload=(0,))
    assert changes[7] == Change(offload=(4,), drop=(0,))
    assert policy.live() == (5, 6, 7)
    assert policy.offloaded() == (1, 2, 3, 4)
    assert policy.host_bytes() == 80
    assert policy.nbytes() == 7 * 32


def test_what_answered_a_question_is_forgotten_later():
    policy, _ = filled(7)
    policy.recalled([0, 2])
    assert [policy.observe(chunk(key)).drop for key in range(7, 11)] == [(1,), (3,), (0,), (2,)]


def test_a_recall_of_the_window_is_nothing_and_of_the_unknown_an_error_that_notes_nothing():
    policy, _ = filled(8)
    policy.recalled([5, 7])
    policy.recalled([])
    with pytest.raises(UnknownChunkError, match="chunk 0 is neither live nor offloaded"):
        policy.recalled([1, 0])
    assert policy.observe(chunk(8)).drop == (1,)


def test_a_recall_is_not_carried_over_to_a_copy():
    policy, _ = filled(7)
    other = policy.copy()
    policy.recalled([0])
    assert policy.observe(chunk(7)).drop == (1,)
    assert other.observe(chunk(7)).drop == (0,)


def test_a_host_without_room_makes_it_a_plain_window():
    _, changes = filled(5, host_bytes=19)
    assert changes[3] == Change(evict=(0,))
    assert changes[4] == Change(evict=(1,))


def test_after_a_long_silence_only_what_fits_travels():
    policy, _ = filled(3, window_s=5.0, host_bytes=40)
    assert policy.expire(1000 * S) == Change(evict=(0,), offload=(1, 2))
    assert policy.live() == ()
    policy, _ = filled(5, window_s=50.0, host_bytes=40)
    assert policy.offloaded() == (0, 1)
    assert policy.expire(1000 * S) == Change(drop=(0, 1), evict=(2,), offload=(3, 4))
