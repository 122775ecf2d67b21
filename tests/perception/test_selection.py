from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.selection import Place, Selector, choose_offline, choose_online

BOTH = pytest.mark.parametrize("choose", [choose_online, choose_offline])


def unit(*values):
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def random_vectors(n, seed, dimensions=8):
    rng = np.random.default_rng(seed)
    return np.stack([unit(*rng.normal(size=dimensions)) for _ in range(n)]).astype(np.float16)


def places(n, *, step_s=1.0, shot_of=lambda k: 0):
    starts = {}
    return [
        Place(int(k * step_s * NS_PER_S), shot_of(k), starts.setdefault(shot_of(k), int(k * step_s * NS_PER_S)))
        for k in range(n)
    ]


def kept(chosen):
    return [at for at, choice in enumerate(chosen) if choice is not None]


@st.composite
def cases(draw):
    n, length = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    step_s = draw(st.sampled_from([0.3, 1.0, 7.0]))
    config = KeyframesConfig(
        threshold=draw(st.sampled_from([0.0, 0.1, 0.5])),
        per_minute=draw(st.integers(1, 8)),
        per_shot=draw(st.integers(1, 6)),
        memory=draw(st.sampled_from([1, 64])),
    )
    return places(n, step_s=step_s, shot_of=lambda k: k // length), random_vectors(n, draw(st.integers(0, 99))), config


@BOTH
@given(cases())
def test_budgets_hold_in_every_minute_and_every_shot(choose, case):
    where, vectors, config = case
    taken = kept(choose(where, vectors, config))
    shots = [where[at].shot for at in taken]
    assert all(shots.count(shot) <= config.per_shot for shot in shots)
    firsts = {min(k for k, place in enumerate(where) if place.shot == shot) for shot in set(shots)}
    times = [where[at].t_ns for at in taken if at not in firsts]
    for start in times:
        assert sum(start <= t < start + 60 * NS_PER_S for t in times) <= config.per_minute


@BOTH
@given(cases())
def test_the_first_of_each_shot_is_kept(choose, case):
    where, vectors, config = case
    chosen = choose(where, vectors, config)
    firsts = [0, *(k for k in range(1, len(where)) if where[k].shot != where[k - 1].shot)]
    assert all(chosen[k] is not None and chosen[k].reason == "first" for k in firsts)


@BOTH
@given(cases())
def test_the_same_again_chooses_the_same(choose, case):
    assert choose(*case) == choose(*case)


@given(cases(), st.integers(0, 60))
def test_online_decides_on_a_prefix_as_on_the_whole(case, cut_off):
    where, vectors, config = case
    whole = choose_online(where, vectors, config)
    assert choose_online(where[:cut_off], vectors[:cut_off], config) == whole[:cut_off]


@given(cases(), st.sampled_from([0.05, 0.2, 0.7]))
def test_a_larger_threshold_keeps_a_part_of_what_a_smaller_one_keeps(case, more):
    where, vectors, config = case
    stricter = config.model_copy(update={"threshold": config.threshold + more})
    assert set(kept(choose_offline(where, vectors, stricter))) <= set(kept(choose_offline(where, vectors, config)))


@BOTH
@given(cases())
def test_what_is_kept_as_novel_is_novel(choose, case):
    where, vectors, config = case
    for before, choice in zip([None, *where], choose(where, vectors, config), strict=False):
        if choice is not None and choice.reason == "novelty" and before is not None:
            assert choice.novelty >= config.threshold


def radius(vectors, taken):
    """How far (in chord length, a metric) the worst candidate is from the nearest kept one."""
    wide = vectors.astype(np.float64)
    return max(np.linalg.norm(wide[taken] - vector, axis=1).min() for vector in wide)


def equal_budget(seed, n=50):
    vectors, where = random_vectors(n, seed), places(n, step_s=0.1)
    online = kept(choose_online(where, vectors, KeyframesConfig(threshold=0.4, per_minute=12)))
    offline = kept(choose_offline(where, vectors, KeyframesConfig(threshold=0.0, per_minute=len(online) - 1)))
    assert len(offline) == len(online)
    return radius(vectors, online), radius(vectors, offline)


@given(st.integers(0, 10_000))
def test_offline_is_never_twice_as_far_as_online_at_equal_budget(seed):
    # Gonzalez: within twice the best that so many centres can do.
    online, offline = equal_budget(seed)
    assert offline <= 2 * online + 1e-3


def test_offline_covers_better_than_online_at_equal_budget():
    found = np.array([equal_budget(seed) for seed in range(60)])
    assert found[:, 1].mean() < found[:, 0].mean()
    assert (found[:, 1] <= found[:, 0] + 1e-3).mean() >= 0.9


@given(st.integers(0, 1000), st.integers(1, 6))
def test_offline_is_the_farthest_point_by_definition(seed, more):
    vectors, where = random_vectors(20, seed), places(20, step_s=0.1)
    taken = [0]
    for _ in range(more):
        wide = vectors.astype(np.float32)
        distance = [min(1 - float(wide[k] @ wide[old]) for old in taken) for k in range(20)]
        taken.append(max((k for k in range(20) if k not in taken), key=lambda k: (distance[k], -k)))
    chosen = kept(choose_offline(where, vectors, KeyframesConfig(threshold=0.0, per_minute=more)))
    assert chosen == sorted(taken)


def test_of_equals_the_earliest_is_taken():
    vectors = np.stack([unit(1, 0), unit(0, 1), unit(0, 1), unit(0, 1)]).astype(np.float16)
    chosen = choose_offline(places(4), vectors, KeyframesConfig(threshold=0.06))
    assert kept(chosen) == [0, 1]


def test_what_was_seen_is_not_kept_again():
    vectors = np.stack([unit(1, 0), unit(0, 1), unit(1, 0.01), unit(0.01, 1)])
    chosen = choose_online(places(4), vectors, KeyframesConfig())
    assert kept(chosen) == [0, 1]
    assert chosen[0].novelty == 2.0
    assert chosen[1].novelty == pytest.approx(1.0)


def test_a_shots_first_frame_is_always_kept():
    vectors = np.stack([unit(1, 0)] * 3)
    chosen = choose_online(places(3, shot_of=lambda k: k), vectors, KeyframesConfig())
    assert [choice.reason for choice in chosen] == ["first"] * 3
    assert chosen[2].novelty == pytest.approx(0.0, abs=1e-6)


@BOTH
def test_the_first_of_a_shot_that_lies_far_inside_is_no_first(choose):
    where = [Place(0, 0, 0), Place(9 * NS_PER_S, 1, 6 * NS_PER_S), Place(12 * NS_PER_S, 2, 12 * NS_PER_S)]
    vectors = np.stack([unit(1, 0)] * 3)
    assert [choice.reason for choice in choose(where, vectors, KeyframesConfig())] == ["first", "novelty", "first"]


def test_the_budget_is_used():
    config = KeyframesConfig(per_minute=5, threshold=0.0)
    chosen = kept(choose_online(places(200), random_vectors(200, 0, 32), config))
    assert len(chosen) >= 15


def test_a_long_still_stretch_is_not_left_without_a_keyframe():
    where, config = places(10, step_s=5.0), KeyframesConfig(max_gap_s=20.0)
    chosen = choose_online(where, np.stack([unit(1, 0)] * 10), config)
    assert [where[at].t_ns // NS_PER_S for at in kept(chosen)] == [0, 20, 40]
    assert [chosen[at].reason for at in kept(chosen)] == ["first", "gap", "gap"]


def test_the_memory_is_bounded():
    vectors = np.stack([unit(1, 0), unit(0, 1), unit(1, 0)])
    assert kept(choose_online(places(3), vectors, KeyframesConfig(memory=1))) == [0, 1, 2]
    assert kept(choose_online(places(3), vectors, KeyframesConfig(memory=2))) == [0, 1]


def test_no_candidates_are_no_choices():
    assert choose_offline([], np.zeros((0, 4), np.float16), KeyframesConfig()) == []
    assert Selector(KeyframesConfig()).choose(Place(0, 0, 0), unit(1, 0)) is not None
    assert all(
        early <= late
        for early, late in pairwise(kept(choose_offline(places(9), random_vectors(9, 3), KeyframesConfig())))
    )
