"""Laws that every memory policy keeps on every stream."""

import numpy as np
import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st

from models.errors import SettingsError, TimeError
from models.memory.policy import POLICIES, Change, Chunk, MemorySettings, build_policy
from tests.laws import examples
from tests.models.memory.streams import SMALL, Ledger, S, Tick, chunk, small, state, step, streams, told

NAMES = sorted(SMALL)
every_policy = pytest.mark.parametrize("name", NAMES)
BOUNDED = [name for name in NAMES if name != "all"]
bounded = pytest.mark.parametrize("name", BOUNDED)
few = settings(max_examples=examples(25))


def fed(policy, events):
    return [told(step(policy, event)) for event in events]


@few
@given(events=streams(tokens=(2, 2, 3)))
def test_every_key_is_live_offloaded_or_ended_once_and_time_orders_the_live(events):
    for name in NAMES:
        note(name)
        policy, ledger = small(name), Ledger()
        for event in events:
            ledger.follow(event, step(policy, event))
            ledger.check(policy)


@every_policy
def test_the_ledger_sees_a_policy_that_keeps_silent(name):
    # The guard itself: drop one reported end and the books no longer balance.
    policy, ledger, silenced = small(name), Ledger(), 0
    for key in range(40):
        event = chunk(key, level=(key // 3) % 2 * 200, direction=key // 3, seed=key)
        change = step(policy, event)
        ends = [*change.evict, *change.offload, *change.drop, *change.merge]
        if ends:
            silenced += 1
            ledger.follow(event, Change())
            with pytest.raises(AssertionError):
                ledger.check(policy)
            break
        ledger.follow(event, change)
        ledger.check(policy)
    assert silenced == (name != "all")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (Change(evict=(5,)), "ends where it is not"),
        (Change(evict=(0, 0)), "ends where it is not"),
        (Change(drop=(0,)), "ends where it is not"),
        (Change(offload=(9,)), "not live"),
        (Change(offload=(0,), evict=(0,)), "not live"),
    ],
)
def test_the_ledger_refuses_ends_that_cannot_be(change, complaint):
    ledger = Ledger()
    with pytest.raises(AssertionError, match=complaint):
        ledger.follow(chunk(0), change)


@few
@given(events=streams(max_size=45))
def test_live_tokens_and_own_bytes_stay_under_the_stated_bound(events):
    for name in BOUNDED:
        note(name)
        policy, ledger = small(name), Ledger()
        bound = policy.max_tokens(chunk_tokens=2)
        assert bound is not None
        for event in events:
            ledger.follow(event, step(policy, event))
            assert sum(ledger.tokens[key] for key in policy.live()) <= bound
            assert policy.nbytes() <= 4_000


@few
@given(events=streams(max_size=45, tokens=(1, 2, 3)), budget=st.integers(9, 16))
def test_a_token_budget_holds_for_every_policy(events, budget):
    for name in BOUNDED:
        note(name)
        policy, ledger = small(name, max_tokens=budget), Ledger()
        assert policy.max_tokens(chunk_tokens=3) <= budget
        for event in events:
            ledger.follow(event, step(policy, event))
            ledger.check(policy)
            assert sum(ledger.tokens[key] for key in policy.live()) <= budget


@bounded
def test_a_chunk_larger_than_the_budget_is_refused_and_changes_nothing(name):
    policy = small(name, max_tokens=12)
    policy.observe(chunk(0))
    before = state(policy)
    with pytest.raises(SettingsError, match="max_tokens is 12"):
        policy.observe(chunk(1, tokens=13))
    assert state(policy) == before


@few
@given(events=streams(), cut=st.integers(0, 30))
def test_the_same_stream_gives_the_same_changes_and_a_copy_goes_on_alone(events, cut):
    for name in NAMES:
        note(name)
        straight, broken = small(name), small(name)
        expected = fed(straight, events)
        assert fed(broken, events[:cut]) == expected[:cut]
        frozen = broken.copy()
        before = state(frozen)
        assert fed(broken, events[cut:]) == expected[cut:]
        assert state(frozen) == before
        assert fed(frozen, events[cut:]) == expected[cut:]
        assert state(frozen) == state(straight)


@few
@given(events=streams(), late_ns=st.integers(1, 5 * S))
def test_time_that_runs_backwards_is_refused_and_changes_nothing(events, late_ns):
    for name in NAMES:
        note(name)
        policy, untouched = small(name), small(name)
        fed(policy, events), fed(untouched, events)
        chunks = [event for event in events if isinstance(event, Chunk)]
        if not chunks:
            return
        newest, before = chunks[-1], state(policy)
        late = [
            chunk(newest.key + 1, t0_ns=newest.t0_ns - late_ns, span_ns=late_ns + 3 * S),
            chunk(newest.key, t0_ns=newest.t1_ns),
        ]
        if newest.t1_ns - newest.t0_ns > 1:
            late.append(chunk(newest.key + 1, t0_ns=newest.t0_ns, span_ns=newest.t1_ns - newest.t0_ns - 1))
        for wrong in late:
            with pytest.raises(TimeError):
                policy.observe(wrong)
        with pytest.raises(TimeError, match="nanoseconds"):
            policy.expire(1.5)
        assert state(policy) == before
        following = chunk(newest.key + 1, t0_ns=newest.t1_ns)
        assert told(policy.observe(following)) == told(untouched.observe(following))


@every_policy
def test_frames_that_outlive_their_array_change_nothing(name):
    shared, kept = small(name), small(name)
    for key in range(30):
        clean = chunk(key, level=key * 37 % 256, direction=key // 4, seed=key)
        dirty = chunk(key, level=key * 37 % 256, direction=key // 4, seed=key)
        assert told(shared.observe(dirty)) == told(kept.observe(clean))
        # The caller reuses its buffers, as a camera loop does.
        dirty.thumbnail[:] = 0
        dirty.features.fill_(-1.0)


@bounded
@pytest.mark.parametrize("window_s", [5.0])
def test_a_silent_stream_runs_dry_except_for_what_has_no_age(name, window_s):
    policy = small(name, window_s=window_s)
    for key in range(12):
        policy.observe(chunk(key, level=key % 3 * 100, direction=key, seed=key))
    policy.expire(10_000 * S)
    left = {"star_stream": 3, "semantic": 3}.get(name, 0)
    assert len(policy.live()) == left
    # And the next chunk is taken as ever.
    policy.observe(chunk(12, t0_ns=20_000 * S))
    assert policy.live()[-1] == 12


@every_policy
def test_a_tick_that_comes_too_early_changes_nothing(name):
    policy = small(name)
    for key in range(12):
        policy.observe(chunk(key, direction=key, seed=key))
    before = state(policy)
    assert told(step(policy, Tick(now_ns=-100 * S))) == told(Change())
    assert state(policy) == before


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("window", 10_000),
        ("retrieval", 10_000),
        ("star_stream", 10_000),
        ("semantic", 2_000),
        ("clusters", 2_000),
        pytest.param("semantic", 10_000, marks=pytest.mark.slow),
        pytest.param("clusters", 10_000, marks=pytest.mark.slow),
    ],
)
def test_a_long_stream_needs_no_more_memory_than_its_first_thousand_chunks(name, count):
    policy = small(name, window_s=None)
    pictures = [chunk(0, level=level, seed=level).thumbnail for level in range(0, 256, 5)]
    looks = [chunk(0, direction=index // 3, seed=index).features for index in range(97)]
    early, late = 0, 0
    for key in range(count):
        picture, features = pictures[key * 7 % len(pictures)], looks[key % len(looks)]
        span = {"t0_ns": key * S, "t1_ns": key * S + S}
        change = policy.observe(Chunk(key=key, tokens=2, thumbnail=picture, features=features, **span))
        assert all(torch.isfinite(merged.features).all() for merged in change.merge)
        if key < 1000:
            early = max(early, policy.nbytes())
        else:
            late = max(late, policy.nbytes())
    assert 0 < late <= early


@few
@given(
    events=streams(),
    kind=st.sampled_from([torch.bfloat16, torch.float16, torch.float64]),
)
def test_features_of_any_precision_are_taken(events, kind):
    for name in BOUNDED:
        note(name)
        policy, ledger = small(name), Ledger()
        for event in events:
            if isinstance(event, Chunk):
                event = Chunk(
                    key=event.key,
                    t0_ns=event.t0_ns,
                    t1_ns=event.t1_ns,
                    tokens=event.tokens,
                    thumbnail=event.thumbnail,
                    features=event.features.to(kind),
                )
            change = step(policy, event)
            assert all(merged.features.dtype == kind for merged in change.merge)
            ledger.follow(event, change)
            ledger.check(policy)


@every_policy
def test_zero_and_not_finite_features_do_no_harm(name):
    policy, ledger = small(name), Ledger()
    for key in range(40):
        value = [0.0, float("nan"), float("inf"), 1.0][key % 4]
        event = Chunk(
            key=key,
            t0_ns=key,
            t1_ns=key + 1,
            tokens=2,
            thumbnail=np.zeros((2, 2, 3), np.uint8),
            features=torch.full((2, 3), value),
        )
        ledger.follow(event, policy.observe(event))
        ledger.check(policy)


def test_only_policies_that_judge_by_features_ask_for_them():
    needing = {name for name in NAMES if small(name).needs_features}
    assert needing == {"clusters", "semantic"}
    for name in NAMES:
        bare = Chunk(key=0, t0_ns=0, t1_ns=1, tokens=2, thumbnail=np.zeros((2, 2, 3), np.uint8))
        policy = small(name)
        if name in needing:
            with pytest.raises(SettingsError, match="needs_features"):
                policy.observe(bare)
            assert policy.live() == ()
        else:
            assert policy.observe(bare) == Change()
            assert policy.live() == (0,)


def test_every_name_builds_and_an_unknown_one_names_the_choices():
    limits = MemorySettings(last=3)
    for name in POLICIES:
        policy = build_policy(name, settings=limits)
        assert policy.live() == policy.offloaded() == ()
        assert policy.nbytes() == 0
    with pytest.raises(SettingsError, match="all, clusters, retrieval, star_stream, window"):
        build_policy("stars", settings=limits)


@pytest.mark.parametrize(
    ("name", "times"), [("all", 1), ("window", 1), ("retrieval", 1), ("star_stream", 2), ("clusters", 3)]
)
def test_what_a_policy_must_keep_is_what_it_refuses_to_do_without(name, times):
    def observed(max_tokens, count):
        policy = build_policy(name, settings=MemorySettings(last=2, cluster_size=3, max_tokens=max_tokens))
        for key in range(count):
            policy.observe(chunk(key, tokens=4))
        return policy

    least = observed(None, 1).least_tokens(chunk_tokens=4)
    assert least == 4 * times
    assert len(observed(least, 3).live()) >= 1
    if name != "all":
        with pytest.raises(SettingsError, match=f"must keep {least} tokens, but max_tokens is {least - 1}"):
            observed(least - 1, 3)
