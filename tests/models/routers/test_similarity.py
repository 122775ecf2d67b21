"""Untrained routers against their formulas, and the published attention score that is one for every frame."""

import math

import pytest
import torch
from hypothesis import given, settings

from models.router import Candidate
from models.routers.similarity import CosineCoarse, CosineFine, CrossAttention
from tests.laws import examples
from tests.models.routers.questions import features, memories, queries


def cosine(a, b):
    """Cosine in float64; a zero vector is at right angles to all."""
    a, b = a.double(), b.double()
    lengths = float(a.norm() * b.norm())
    return float(a @ b) / lengths if lengths else 0.0


def slow_coarse(query, patches):
    return cosine(query.double().mean(0), patches.double().mean(0))


def slow_fine(query, patches):
    return sum(max(cosine(word, patch) for patch in patches) for word in query) / len(query)


@pytest.mark.parametrize(("router", "slow"), [(CosineCoarse(), slow_coarse), (CosineFine(), slow_fine)])
@settings(max_examples=examples(25))
@given(query=queries, candidates=memories())
def test_cosine_scores_are_their_formulas(router, slow, query, candidates):
    scores = router.scores(query, candidates)
    assert scores.shape == (len(candidates),)
    assert scores.dtype == torch.float32
    for score, candidate in zip(scores.tolist(), candidates, strict=True):
        if candidate.features.shape[0]:
            assert score == pytest.approx(slow(query, candidate.features), abs=1e-5)
        else:
            assert score == -math.inf


@pytest.mark.parametrize("router", [CosineCoarse(), CosineFine()])
@settings(max_examples=examples(25))
@given(query=queries, candidates=memories())
def test_a_cosine_score_depends_on_its_frame_alone_to_the_last_bit(router, query, candidates):
    whole = router.scores(query, candidates).tolist()
    assert whole == [float(router.scores(query, [candidate])[0]) for candidate in candidates]
    assert whole[::-1] == router.scores(query, candidates[::-1]).tolist()


def attention_share(query, candidates):
    """One softmax over all patches of all frames for each word, in float64; the words' mean of each frame's sum."""
    patches = torch.cat([candidate.features.double() for candidate in candidates])
    weights = torch.softmax(query.double() @ patches.T / math.sqrt(query.shape[1]), dim=1)
    parts = weights.split([candidate.features.shape[0] for candidate in candidates], dim=1)
    return [float(part.sum(1).mean()) for part in parts]


@settings(max_examples=examples(25))
@given(query=queries, candidates=memories(scales=(1.0, 3.0, 0.0, 1e-20)))
def test_attention_scores_are_the_log_of_shares_of_one_softmax(query, candidates):
    scores = CrossAttention().scores(query, candidates)
    assert scores.dtype == torch.float32
    assert scores.shape == (len(candidates),)
    if not any(candidate.features.shape[0] for candidate in candidates):
        assert scores.tolist() == [-math.inf] * len(candidates)
        return
    assert float(scores.exp().sum()) == pytest.approx(1.0, abs=1e-4)
    expected = attention_share(query, candidates)
    assert scores.exp().tolist() == pytest.approx(expected, abs=1e-4)
    assert [score == -math.inf for score in scores.tolist()] == [c.features.shape[0] == 0 for c in candidates]


def test_the_published_attention_score_is_one_for_every_frame_and_ours_tells_them_apart():
    query = features(1, 3)
    candidates = [Candidate(key=seed, t_ns=seed, features=features(seed, 5)) for seed in range(2, 9)]
    published = [
        torch.softmax(query @ candidate.features.T / math.sqrt(8), dim=1).sum(dim=1).mean().item()
        for candidate in candidates
    ]
    assert published == pytest.approx([1.0] * 7, abs=1e-6)
    ours = CrossAttention().scores(query, candidates)
    assert ours.max() - ours.min() > 0.1
    assert len(set(ours.tolist())) == 7


def test_attention_finds_the_frame_that_holds_the_words():
    query = 10 * features(1, 2)
    candidates = [Candidate(key=seed, t_ns=seed, features=features(seed, 4)) for seed in range(2, 9)]
    holding = Candidate(key=99, t_ns=0, features=torch.cat([features(50, 2), query]))
    scores = CrossAttention().scores(query, [*candidates[:3], holding, *candidates[3:]])
    assert int(scores.argmax()) == 3


def test_attention_keeps_apart_frames_whose_share_float32_cannot_hold():
    query = torch.tensor([[40.0, 0.0]])
    values = [10.0, 1.0, 0.5, 0.0]
    candidates = [Candidate(key=k, t_ns=0, features=torch.tensor([[value, 0.0]])) for k, value in enumerate(values)]
    scores = CrossAttention().scores(query, candidates).tolist()
    assert attention_share(query, candidates)[3] < 1e-45
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
