"""Clusters against a slow reference that keeps every member for ever, and the arithmetic of their means."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from models.memory.policy import Chunk, MemorySettings, build_policy
from tests.laws import examples
from tests.models.memory.streams import DIM, Ledger, S, chunk, small


def mean(members):
    return torch.stack([member.features.double() for member in members]).mean(0)


def alike(first, second):
    """Mean token cosine of two groups' means, in float64; groups of other token counts are not comparable."""
    a, b = mean(first), mean(second)
    if a.shape != b.shape:
        return -math.inf
    return float(torch.nn.functional.cosine_similarity(a, b, dim=-1).mean())


def reference(chunks, rules):
    """(closed, open) groups of a whole history from its first chunk, and how near the closest decision was."""
    groups, closed, margin = [], [], math.inf
    for each in chunks:
        likeness = alike(groups[-1], [each]) if groups else -math.inf
        margin = min(margin, abs(likeness - rules.cluster_match))
        if groups and len(groups[-1]) < rules.cluster_size and likeness >= rules.cluster_match:
            groups[-1] = [*groups[-1], each]
        else:
            groups.append([each])
        if len(groups) > rules.cluster_buffer:
            closed.append(groups.pop(0))
        if len(closed) > rules.clusters:
            near = [alike(a, b) for a, b in pairwise(closed)]
            if max(near, default=-math.inf) == -math.inf:
                closed.pop(0)
                continue
            ranked = sorted(near)[-2:]
            margin = min(margin, ranked[-1] - ranked[0] if len(ranked) == 2 else math.inf)
            best = near.index(max(near))
            closed[best : best + 2] = [closed[best] + closed[best + 1]]
    return closed, groups, margin


def rules(**changes):
    base = MemorySettings(clusters=3, cluster_buffer=2, cluster_size=3, cluster_match=0.6)
    return MemorySettings.from_json(base.to_json() | changes)


class Followed:
    """A policy, what a session holds of it, and for each live key the members that went in."""

    def __init__(self, chosen):
        self.policy = build_policy("clusters", settings=chosen)
        self.ledger = Ledger()
        self.members, self.features = {}, {}

    def observe(self, event):
        change = self.policy.observe(event)
        self.ledger.follow(event, change)
        self.ledger.check(self.policy)
        self.members[event.key], self.features[event.key] = [event], event.features
        for merged in change.merge:
            self.members[merged.key] = [member for key in merged.of for member in self.members[key]]
            self.features[merged.key] = merged.features
        return change


walks = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6), st.sampled_from([2, 2, 2, 3])), max_size=25)


@settings(max_examples=examples(50))
@given(walk=walks, capacity=st.integers(1, 4), buffer=st.integers(1, 3), match=st.sampled_from([0.4, 0.8]))
def test_the_incremental_clusters_equal_a_recomputation_after_every_chunk(walk, capacity, buffer, match):
    chosen = rules(clusters=capacity, cluster_buffer=buffer, cluster_match=match)
    followed, chunks = Followed(chosen), []
    for key, (direction, seed, tokens) in enumerate(walk):
        chunks.append(chunk(key, direction=direction, seed=seed, tokens=tokens))
        closed, groups, margin = reference(chunks, chosen)
        assume(margin > 1e-4)  # nearer decisions may fall either way in float32
        followed.observe(chunks[-1])
        expected = [[member.key for member in group] for group in closed]
        expected += [[member.key] for group in groups for member in group]
        live = followed.policy.live()
        assert [[member.key for member in followed.members[key]] for key in live] == expected
        for key in live:
            whole = mean(followed.members[key])
            assert torch.allclose(followed.features[key].double(), whole, atol=1e-5)


def looks(directions):
    """One chunk a second, each exactly along an axis."""
    return [
        Chunk(
            key=key,
            t0_ns=key * S,
            t1_ns=key * S + S,
            tokens=2,
            thumbnail=chunk(0).thumbnail,
            features=torch.eye(DIM)[direction].expand(2, DIM),
        )
        for key, direction in enumerate(directions)
    ]


def run(directions, **changes):
    followed = Followed(rules(**changes))
    return followed, [followed.observe(event) for event in looks(directions)]


def test_a_cluster_closes_into_one_chunk_with_the_mean_of_its_members_and_their_whole_span():
    followed, changes = run([0, 0, 1, 1, 2])
    (merged,) = changes[-1].merge
    assert (merged.key, merged.of, merged.t0_ns, merged.t1_ns) == (-1, (0, 1), 0, 2 * S)
    assert torch.equal(merged.features, torch.eye(DIM)[0].expand(2, DIM))
    assert followed.policy.live() == (-1, 2, 3, 4)


def test_a_full_cluster_takes_no_more_however_alike():
    followed, _ = run([0] * 7)
    assert followed.policy.live() == (-1, 3, 4, 5, 6)


def test_a_cluster_of_one_stays_the_chunk_it_was():
    followed, changes = run([0, 1, 2, 3])
    assert not any(change.merge or change.evict for change in changes)
    assert followed.policy.live() == (0, 1, 2, 3)


def test_what_comes_back_is_a_new_cluster_so_that_spans_never_overlap():
    followed, _ = run([0, 0, 1, 1, 0, 0, 1, 1])
    spans = [followed.ledger.spans[key] for key in followed.policy.live()]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_full_list_merges_the_two_neighbours_most_alike_and_no_others():
    # Closed in order: axes 0, 1, 1 (a full cluster, then its like), 2; only the pair along axis 1 is alike.
    followed, _ = run([0, 1, 1, 1, 1, 2, 3], cluster_buffer=1)
    assert [[m.key for m in followed.members[key]] for key in followed.policy.live()] == [[0], [1, 2, 3, 4], [5], [6]]


def test_a_merge_changes_how_alike_its_neighbours_are_on_both_sides():
    # Angles in degrees; the third merge hangs on the likeness of 40 to the mean of 70 and 85, and not to 70.
    followed = Followed(rules(clusters=3, cluster_buffer=1, cluster_match=1.0))
    merges = []
    for key, angle in enumerate([5, 40, 70, 85, 130, 300]):
        turn = math.radians(angle)
        event = Chunk(
            key=key,
            t0_ns=key * S,
            t1_ns=key * S + S,
            tokens=1,
            thumbnail=chunk(0).thumbnail,
            features=torch.tensor([[math.cos(turn), math.sin(turn)]]),
        )
        merges += [merged.of for merged in followed.observe(event).merge]
    assert merges == [(2, 3), (0, 1)]


def test_a_merge_weighs_each_side_by_the_chunks_in_it():
    followed, changes = run([0, 0, 0, 1, 2], clusters=1, cluster_buffer=1)
    assert [merged.of for change in changes for merged in change.merge] == [(0, 1, 2), (-1, 3)]
    assert torch.allclose(followed.features[-2][0], torch.tensor([0.75, 0.25, 0, 0, 0, 0]))


def test_a_chunk_made_and_merged_again_in_one_call_never_enters_the_cache():
    followed, changes = run([0, 0, 0, 1, 1, 1, 2], clusters=1, cluster_buffer=1)
    (merged,) = changes[-1].merge
    assert merged.of == (-1, 3, 4, 5)
    assert (merged.t0_ns, merged.t1_ns) == (0, 6 * S)
    assert followed.policy.live() == (merged.key, 6)


def test_a_list_that_cannot_merge_loses_its_oldest():
    followed = Followed(rules(clusters=2, cluster_buffer=1))
    changes = [followed.observe(chunk(key, direction=0, seed=key, tokens=1 + key % 2)) for key in range(6)]
    assert [change.evict for change in changes] == [(), (), (), (0,), (1,), (2,)]


def test_a_cluster_leaves_with_its_last_chunk():
    followed, _ = run([0, 0, 1], window_s=2.0)
    assert followed.policy.expire(3 * S).evict == ()
    assert followed.policy.expire(4 * S).evict == (0, 1)
    assert followed.policy.expire(5 * S).evict == (2,)
    assert followed.policy.live() == ()


def test_a_mean_of_many_stays_exact():
    # The mean moves by shares: a bfloat16 one would stand still after a few hundred, a sum lose its last digits.
    policy = build_policy("clusters", settings=rules(cluster_size=10**6, cluster_buffer=1))
    generator = torch.Generator().manual_seed(0)
    values = 100 + torch.rand(1500, 1, DIM, generator=generator)
    for key, value in enumerate(values):
        policy.observe(Chunk(key=key, t0_ns=key, t1_ns=key + 1, tokens=1, thumbnail=chunk(0).thumbnail, features=value))
    change = policy.observe(
        Chunk(key=1500, t0_ns=1500, t1_ns=1501, tokens=1, thumbnail=chunk(0).thumbnail, features=-torch.ones(1, DIM))
    )
    error = (change.merge[0].features.double() - values.double().mean(0)).abs().max()
    assert error < 1e-4


def test_bfloat16_features_come_back_as_bfloat16_from_a_float32_mean():
    followed = Followed(rules(cluster_buffer=1))
    for key, value in enumerate([1.0, 1.0078125, 1.015625, -1.0]):
        change = followed.observe(
            Chunk(
                key=key,
                t0_ns=key,
                t1_ns=key + 1,
                tokens=1,
                thumbnail=chunk(0).thumbnail,
                features=torch.full((1, 2), value, dtype=torch.bfloat16),
            )
        )
    (merged,) = change.merge
    assert merged.features.dtype == torch.bfloat16
    assert merged.features.tolist() == [[1.0078125, 1.0078125]]


def test_a_budget_below_one_full_cluster_is_refused_by_the_first_chunk():
    policy = small("clusters", max_tokens=5)
    with pytest.raises(SettingsError, match="must keep 6 tokens, but max_tokens is 5"):
        policy.observe(chunk(0))
    assert policy.live() == ()


def test_a_budget_merges_the_past_before_it_loses_it():
    followed, changes = run([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], max_tokens=10)
    assert not any(change.evict for change in changes)
    assert followed.policy.live()[-3:] == (9, 10, 11)
    assert {m.key for key in followed.policy.live() for m in followed.members[key]} == set(range(12))
