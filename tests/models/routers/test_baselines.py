"""Recency and chance, told from their definitions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import QuestionError
from models.router import Candidate, choose
from models.routers.baselines import RandomChoice, Recency
from tests.laws import examples
from tests.models.routers.questions import DIM, memories, queries

QUERY = torch.ones(1, DIM)


@settings(max_examples=examples(25))
@given(query=queries, candidates=memories())
def test_recency_ranks_by_time_then_key(query, candidates):
    scores = Recency().scores(query, candidates)
    assert scores.dtype == torch.float32
    for first, one in zip(scores.tolist(), candidates, strict=True):
        older = sum((other.t_ns, other.key) < (one.t_ns, one.key) for other in candidates)
        assert first == older


def test_recency_tells_nanoseconds_apart_that_float32_cannot():
    now_ns = 10**18
    candidates = [Candidate(key=k, t_ns=now_ns + k, features=torch.ones(1, DIM)) for k in range(5)]
    assert len({float(torch.tensor(float(c.t_ns))) for c in candidates}) == 1
    assert choose(Recency(), QUERY, candidates, top_k=2) == (3, 4)


@settings(max_examples=examples(25))
@given(query=queries, candidates=memories(), seed=st.integers(0, 2**40))
def test_chance_depends_on_seed_and_key_alone(query, candidates, seed):
    scores = RandomChoice(seed).scores(query, candidates)
    assert ((scores >= 0) & (scores < 1)).all()
    alone = [float(RandomChoice(seed).scores(QUERY, [candidate])[0]) for candidate in candidates]
    assert scores.tolist() == alone


def test_chance_is_even_and_seeds_differ():
    candidates = [Candidate(key=k, t_ns=k, features=torch.ones(1, DIM)) for k in range(2000)]
    scores = RandomChoice(1).scores(QUERY, candidates)
    assert abs(float(scores.mean()) - 0.5) < 0.03
    assert abs(float(scores.var()) - 1 / 12) < 0.01
    other = RandomChoice(2).scores(QUERY, candidates)
    assert abs(float(torch.corrcoef(torch.stack([scores, other]))[0, 1])) < 0.1
    neighbours = torch.corrcoef(torch.stack([scores[:-1], scores[1:]]))[0, 1]
    assert abs(float(neighbours)) < 0.1


@pytest.mark.parametrize("router", [Recency(), RandomChoice(0)])
def test_even_these_ask_for_a_question(router):
    with pytest.raises(QuestionError):
        router.scores(torch.zeros(0, DIM), [])
