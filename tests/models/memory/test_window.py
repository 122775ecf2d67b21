"""The window against its definition, which looks at all that ever happened."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from models.memory.policy import Change, Chunk, MemorySettings, build_policy
from tests.laws import examples
from tests.models.memory.streams import S, Tick, chunk, step, streams


def definition(events, *, last, window_ns, max_tokens):
    """Keys never pushed out: at no moment since was a chunk beyond the last N, the budget or the window."""
    seen, dead = [], set()
    for event in events:
        if isinstance(event, Chunk):
            seen.append(event)
        elif not isinstance(event, Tick):
            continue
        now_ns = event.t1_ns if isinstance(event, Chunk) else event.now_ns
        for index, old in enumerate(seen):
            newer = seen[index:]
            if last is not None and len(newer) > last:
                dead.add(old.key)
            if max_tokens is not None and sum(each.tokens for each in newer) > max_tokens:
                dead.add(old.key)
            if window_ns is not None and old.t1_ns <= now_ns - window_ns:
                dead.add(old.key)
    return tuple(each.key for each in seen if each.key not in dead)


@settings(max_examples=examples(50))
@given(
    events=streams(tokens=(1, 2, 3)),
    last=st.none() | st.integers(1, 6),
    window_s=st.none() | st.sampled_from([0.5, 2.0, 25.0]),
    max_tokens=st.none() | st.integers(3, 9),
)
def test_the_window_is_what_its_definition_says_after_every_event(events, last, window_s, max_tokens):
    limits = MemorySettings(last=last, window_s=window_s, max_tokens=max_tokens)
    if last is None and window_s is None and max_tokens is None:
        with pytest.raises(SettingsError, match="window has no limit"):
            build_policy("window", settings=limits)
        return
    policy = build_policy("window", settings=limits)
    for index, event in enumerate(events):
        step(policy, event)
        known = definition(events[: index + 1], last=last, window_ns=limits.window_ns, max_tokens=max_tokens)
        assert policy.live() == known


def test_the_last_two_stay():
    policy = build_policy("window", settings=MemorySettings(last=2))
    assert [policy.observe(chunk(key)).evict for key in range(4)] == [(), (), (0,), (1,)]
    assert policy.live() == (2, 3)
    assert policy.nbytes() == 64


def test_a_chunk_leaves_at_the_moment_its_end_is_a_window_old():
    policy = build_policy("window", settings=MemorySettings(window_s=3.0))
    policy.observe(chunk(0))  # ends at 1 s
    assert policy.expire(4 * S - 1) == Change()
    assert policy.expire(4 * S) == Change(evict=(0,))
    assert policy.expire(4 * S) == Change()


def test_the_newest_chunk_outlives_any_window_when_it_arrives():
    policy = build_policy("window", settings=MemorySettings(window_s=1e-9))
    for key in range(3):
        policy.observe(chunk(key))
        assert policy.live() == (key,)


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"last": 5}, 50),
        ({"max_tokens": 33}, 33),
        ({"last": 5, "max_tokens": 33}, 33),
        ({"last": 3, "max_tokens": 33}, 30),
        ({"window_s": 9.0}, None),
        ({"window_s": 9.0, "last": 2}, 20),
    ],
)
def test_a_pool_can_be_sized_when_anything_but_time_limits(limits, most):
    for name in ("window", "retrieval"):
        assert build_policy(name, settings=MemorySettings(**limits)).max_tokens(chunk_tokens=10) == most
