"""Choosing: the best by score, ordered by time, the same whatever the order they came in."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FrameError, PackageError, QuestionError, SettingsError
from models.router import ROUTERS, Candidate, RouterSettings, build_router, choose
from models.routers.indexer import Indexer
from tests.laws import examples
from tests.models.routers.questions import DIM, features, memories, queries

NAMES = ("cos_sim_coarse", "cos_sim_fine", "cross_attn", "indexer", "random", "recency")
QUERY = torch.ones(1, DIM)
every_router = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def routers(tmp_path_factory):
    path = tmp_path_factory.mktemp("router") / "indexer.safetensors"
    Indexer(query_dim=DIM, frame_dim=DIM, width=4).save(path)
    return {name: build_router(name, settings=RouterSettings(seed=3, indexer=path)) for name in NAMES}


class Told:
    """A router that scores by a table."""

    def __init__(self, table):
        self.table = table

    def scores(self, query, candidates):
        return torch.tensor([self.table[candidate.key] for candidate in candidates], dtype=torch.float32)


def at(*times_ns):
    return [Candidate(key=k, t_ns=t_ns, features=torch.ones(1, DIM)) for k, t_ns in enumerate(times_ns)]


@settings(max_examples=examples(50))
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-math.inf, 0.0, 0.5, 1.0])), max_size=8),
    top_k=st.integers(1, 9),
    shuffle=st.randoms(use_true_random=False),
)
def test_choose_is_its_definition_in_any_order(rows, top_k, shuffle):
    candidates = at(*(t_ns for t_ns, _ in rows))
    table = {key: score for key, (_, score) in enumerate(rows)}
    fit = [key for key in table if table[key] > -math.inf]
    # Better first; of equals the newer, of equally new the greater key.
    ranked = sorted(fit, key=lambda key: (-table[key], -rows[key][0], -key))[:top_k]
    expected = tuple(sorted(ranked, key=lambda key: (rows[key][0], key)))
    shuffle.shuffle(candidates)
    assert choose(Told(table), QUERY, candidates, top_k=top_k) == expected


def test_ties_go_to_the_newer_and_the_answer_is_in_time_order():
    assert choose(Told([1.0, 1.0, 1.0, 0.0]), QUERY, at(30, 10, 20, 40), top_k=2) == (2, 0)


@every_router
@settings(max_examples=examples(25))
@given(query=queries, candidates=memories(), top_k=st.integers(1, 5), shuffle=st.randoms(use_true_random=False))
def test_every_router_gives_finite_scores_and_a_choice_that_order_does_not_change(
    routers, name, query, candidates, top_k, shuffle
):
    router = routers[name]
    scores = router.scores(query, candidates)
    assert scores.shape == (len(candidates),)
    assert scores.dtype == torch.float32
    assert not scores.isnan().any()
    chosen = choose(router, query, candidates, top_k=top_k)
    assert len(set(chosen)) == len(chosen) <= top_k
    times = {candidate.key: candidate.t_ns for candidate in candidates}
    assert [times[key] for key in chosen] == sorted(times[key] for key in chosen)
    mixed = candidates.copy()
    shuffle.shuffle(mixed)
    if name != "cross_attn":  # its softmax sums over frames, so order may move the last bit of near ties
        assert choose(router, query, mixed, top_k=top_k) == chosen


@every_router
def test_every_router_takes_no_candidates_and_zero_vectors(routers, name):
    router = routers[name]
    assert choose(router, QUERY, [], top_k=3) == ()
    zeros = [Candidate(key=k, t_ns=k, features=torch.zeros(k, DIM)) for k in range(4)]
    for query in (QUERY, torch.zeros(2, DIM)):
        scores = router.scores(query, zeros)
        assert not scores.isnan().any()
        assert 3 in choose(router, query, zeros, top_k=4)
    with pytest.raises(QuestionError):
        choose(router, torch.ones(0, DIM), zeros, top_k=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "recency")])
def test_routers_that_look_find_the_frame_shown_and_refuse_what_is_not_finite(routers, name):
    router = routers[name]
    frames = [Candidate(key=k, t_ns=k, features=features(k, 3)) for k in range(6)]
    if name != "indexer":
        assert choose(router, 5 * frames[2].features, frames, top_k=1) == (2,)
    broken = Candidate(key=9, t_ns=9, features=torch.full((1, DIM), float("nan")))
    with pytest.raises(FrameError, match="its score is NaN"):
        choose(router, QUERY, [*frames, broken], top_k=2)


@pytest.mark.parametrize("top_k", [0, -1, 2.0, None, True])
def test_top_k_is_a_count(top_k):
    with pytest.raises(SettingsError, match="top_k is"):
        choose(Told([0.0]), QUERY, at(1), top_k=top_k)


def test_a_key_that_occurs_twice_is_refused():
    with pytest.raises(SettingsError, match=r"candidates \[0, 0\]: a key occurs twice"):
        choose(Told([0.0]), QUERY, at(1) + at(2), top_k=1)


def test_names_are_fixed_and_an_unknown_one_names_the_choices(tmp_path):
    assert tuple(sorted(ROUTERS)) == NAMES
    with pytest.raises(SettingsError, match="cos_sim_coarse, cos_sim_fine, cross_attn, indexer, random, recency"):
        build_router("cross-attn", settings=RouterSettings())
    with pytest.raises(SettingsError, match=r"SaveOptions\(router_weights=path\)"):
        build_router("indexer", settings=RouterSettings())
    with pytest.raises(PackageError, match="gone"):
        build_router("indexer", settings=RouterSettings(indexer=tmp_path / "gone"))
