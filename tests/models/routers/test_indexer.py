"""The learned router: it learns what raw cosine cannot see, the same way each time, and survives its file."""

import math

import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from models.errors import FrameError, PackageError, QuestionError, SettingsError
from models.router import Candidate, choose
from models.routers.indexer import TEMPERATURE, Example, Indexer, info_nce, train_indexer
from models.routers.similarity import CosineCoarse, CosineFine, CrossAttention
from tests.laws import examples
from tests.models.routers.questions import DIM, features, hidden_task, memories, queries, random_rotation


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recall(router, examples, *, top_k):
    found = [
        len(set(choose(router, e.query, e.candidates, top_k=top_k)) & set(e.relevant)) / len(e.relevant)
        for e in examples
    ]
    return sum(found) / len(found)


@pytest.mark.slow
def test_training_lifts_recall_from_chance_where_raw_cosine_fails():
    rotation = random_rotation(16, 9)
    taught = hidden_task(128, rotation=rotation, seed=1)
    held_back = hidden_task(40, rotation=rotation, seed=2)
    indexer = Indexer(query_dim=16, frame_dim=16, width=16)
    chance = 2 / 12
    assert recall(indexer, held_back, top_k=2) < 2 * chance
    for raw in (CosineCoarse(), CosineFine(), CrossAttention()):
        assert recall(raw, held_back, top_k=2) < 2 * chance
    losses = train_indexer(indexer, taught, steps=80, lr=3e-2, seed=0)
    assert len(losses) == 80
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert recall(indexer, held_back, top_k=2) > 0.9


def test_the_same_seed_learns_the_same_weights_and_another_seed_others():
    taught = hidden_task(12, rotation=random_rotation(DIM, 3), seed=4)

    def learned(seed):
        indexer = Indexer(query_dim=DIM, frame_dim=DIM, width=4, seed=1)
        return train_indexer(indexer, taught, steps=8, lr=1e-2, seed=seed, batch=5), indexer.state_dict()

    losses, weights = learned(7)
    again, same = learned(7)
    assert losses == again
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert learned(8)[0] != losses
    first, second = (Indexer(query_dim=DIM, frame_dim=DIM, width=4, seed=seed) for seed in (1, 2))
    assert not torch.equal(first.W_q, second.W_q)


def test_training_draws_on_no_global_generator():
    taught = hidden_task(4, rotation=random_rotation(DIM, 3), seed=4)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_indexer(Indexer(query_dim=DIM, frame_dim=DIM, width=4), taught, steps=2, lr=1e-2, seed=0)
    assert torch.equal(torch.rand(3), expected)


def cosine(a, b):
    lengths = float(a.norm() * b.norm())
    return float(a @ b) / lengths if lengths else 0.0


def slow_score(indexer, query, patches):
    words = query.double() @ indexer.W_q.detach().double().T
    turned = patches.double() @ indexer.W_k.detach().double().T
    return sum(max(cosine(word, patch) for patch in turned) for word in words) / len(words)


@settings(max_examples=examples(25))
@given(query=queries, candidates=memories())
def test_scores_are_their_formula_and_depend_on_their_frame_alone(query, candidates):
    indexer = Indexer(query_dim=DIM, frame_dim=DIM, width=5)
    scores = indexer.scores(query, candidates)
    assert scores.dtype == torch.float32
    assert not scores.requires_grad
    assert torch.allclose(scores, indexer(query, candidates).detach(), atol=1e-5)
    for score, candidate in zip(scores.tolist(), candidates, strict=True):
        assert score == float(indexer.scores(query, [candidate])[0])
        if candidate.features.shape[0]:
            assert score == pytest.approx(slow_score(indexer, query, candidate.features), abs=1e-4)
        else:
            assert score == -math.inf


@settings(max_examples=examples(25))
@given(query=queries, candidates=memories(least_tokens=1), with_empty=memories(max_size=2))
def test_gradients_stay_finite_beside_empty_and_zero_frames(query, candidates, with_empty):
    extra = [Candidate(key=100 + i, t_ns=0, features=c.features[:0]) for i, c in enumerate(with_empty)]
    if not candidates:
        return
    indexer = Indexer(query_dim=DIM, frame_dim=DIM, width=5)
    info_nce(indexer(query * 0 if len(candidates) == 3 else query, [*candidates, *extra]), (0,)).backward()
    assert torch.isfinite(indexer.W_q.grad).all()
    assert torch.isfinite(indexer.W_k.grad).all()


def test_the_loss_is_the_mean_over_positives_outside_the_log():
    scores = torch.tensor([0.5, 0.1, 0.4, -math.inf])
    shares = [math.exp(s / TEMPERATURE) for s in (0.5, 0.1, 0.4)]
    expected = -(math.log(shares[0] / sum(shares)) + math.log(shares[1] / sum(shares))) / 2
    assert float(info_nce(scores, (0, 1))) == pytest.approx(expected, rel=1e-5)
    # One positive far behind costs although the other is first: inside the log it would cost nothing.
    assert float(info_nce(scores, (0, 1))) > 3
    best = torch.tensor([1.0, 1.0, -1.0])
    assert float(info_nce(best, (0, 1))) == pytest.approx(math.log(2), abs=1e-6)


def test_an_indexer_survives_its_file(tmp_path):
    indexer = Indexer(query_dim=3, frame_dim=5, width=4, seed=6)
    path = tmp_path / "indexer.safetensors"
    indexer.save(path)
    indexer.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["indexer.safetensors"]
    back = Indexer.load(path)
    query, candidates = features(1, 2, 3), [Candidate(key=0, t_ns=0, features=features(2, 4, 5))]
    assert torch.equal(back.scores(query, candidates), indexer.scores(query, candidates))
    assert all(torch.equal(back.state_dict()[name], weight) for name, weight in indexer.state_dict().items())


@pytest.mark.parametrize(
    "weights",
    [
        {"W_q": torch.zeros(4, 3)},
        {"W_q": torch.zeros(4, 3), "W_k": torch.zeros(5, 3)},
        {"W_q": torch.zeros(4), "W_k": torch.zeros(4, 3)},
        {"W_q": torch.zeros(4, 3), "W_k": torch.zeros(4, 3), "bias": torch.zeros(4)},
    ],
)
def test_a_file_of_other_weights_is_refused(tmp_path, weights):
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(PackageError, match=r"expected W_q \(width, query_dim\) and W_k"):
        Indexer.load(tmp_path / "other.safetensors")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    Indexer(query_dim=2, frame_dim=2, width=2).save(whole)
    content = whole.read_bytes()
    for size in range(0, len(content), 7):
        part.write_bytes(content[:size])
        with pytest.raises(PackageError, match="no indexer can be read"):
            Indexer.load(part)
    with pytest.raises(PackageError, match="absent"):
        Indexer.load(tmp_path / "absent")


def test_wrong_widths_and_empty_questions_are_refused():
    indexer = Indexer(query_dim=3, frame_dim=5, width=4)
    frame = Candidate(key=0, t_ns=0, features=torch.ones(2, 5))
    with pytest.raises(SettingsError, match="the query is 5 wide, the indexer was made for 3"):
        indexer.scores(torch.ones(1, 5), [frame])
    with pytest.raises(FrameError, match="features are 3 wide, expected 5"):
        indexer.scores(torch.ones(1, 3), [Candidate(key=0, t_ns=0, features=torch.ones(2, 3))])
    with pytest.raises(QuestionError):
        indexer.scores(torch.ones(0, 3), [frame])
    with pytest.raises(SettingsError, match="each must be 1 or more"):
        Indexer(query_dim=3, frame_dim=0, width=4)


@pytest.mark.parametrize("relevant", [(), (2,), (-1,), (0, 0), (1,)])
def test_an_example_that_teaches_nothing_is_refused(relevant):
    candidates = tuple(Candidate(key=k, t_ns=k, features=torch.ones(1 - k, 4)) for k in range(2))
    Example(query=torch.ones(1, 4), candidates=candidates, relevant=(0,))
    with pytest.raises(SettingsError, match="expected one or more distinct indices of the 2 candidates"):
        Example(query=torch.ones(1, 4), candidates=candidates, relevant=relevant)


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch": 0}, {"lr": 0.0}, {"lr": -1.0}])
def test_numbers_that_cannot_train_are_refused(change):
    taught = hidden_task(2, rotation=random_rotation(DIM, 3), seed=4)
    indexer = Indexer(query_dim=DIM, frame_dim=DIM, width=4)
    numbers = {"steps": 1, "lr": 1e-2, "seed": 0} | change
    with pytest.raises(SettingsError, match="must all be positive"):
        train_indexer(indexer, taught, **numbers)
    with pytest.raises(SettingsError, match="no examples"):
        train_indexer(indexer, [], steps=1, lr=1e-2, seed=0)
