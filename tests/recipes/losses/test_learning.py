"""Losses at work on models of a few numbers: what they promise about training, not only about one gradient."""

import math
from functools import cache
from itertools import pairwise

import torch

from recipes.losses.consistency import decision_consistency, gates
from recipes.losses.decisions import decision_loss, row_weights
from recipes.losses.episodes import episodes
from recipes.losses.rows import RESPOND, DecisionRows
from recipes.losses.survival import delay_loss, log_hazards, survival_loss
from tests.recipes.losses.labelled import packed, rows

EVEN = torch.ones(3, dtype=torch.float64)


def streams(count: int) -> tuple[DecisionRows, torch.Tensor]:
    """Documents of 12 rows with one answer due somewhere, and what a noisy eye says of its evidence (n,)."""
    state = torch.Generator().manual_seed(0)
    begins = torch.randint(3, 7, (count,), generator=state).tolist()
    labels = packed(*[rows("s" * 12, evidence_s=float(begin), window_s=float(begin + 4)) for begin in begins])
    seen = labels.time_s - labels.evidence_s + 1.0
    return labels, seen + 1.2 * torch.randn(len(labels), generator=state).double()


def hazards(model: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Logits (n, 3) of a model of two numbers: how sure the eye must be, and how sharply it tells."""
    still = torch.zeros_like(seen)
    return torch.stack([still, still - 4, model[0] * seen + model[1]], dim=-1)


@cache
def trained(lam: float) -> tuple[float, float]:
    """Mean delay in seconds, and share of documents with a false start, after training with a price of delay."""
    labels, seen = streams(60)
    grouped, model = episodes(labels), torch.tensor([0.5, -1.0]).double().requires_grad_()
    optimizer = torch.optim.Adam([model], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        survival_loss(hazards(model, seen), labels, grouped=grouped, lam=lam).mean().backward()
        optimizer.step()
    with torch.no_grad():
        logits = hazards(model, seen)
        delay = delay_loss(logits, labels, grouped=grouped, rho=0.0).mean()
        silent = torch.where(grouped.before, log_hazards(logits)[1], 0.0).view(60, 12).sum(1).exp()
    return float(delay), float(1 - silent.mean())


def test_the_dearer_delay_is_the_earlier_the_model_responds():
    found = [trained(lam) for lam in (0.0, 0.1, 0.5, 2.0)]
    delays, false_starts = zip(*found, strict=True)
    assert all(dear < cheap - 0.01 for cheap, dear in pairwise(delays)), found
    # The price is false starts: under 2 points at the default lam, a third of the documents at 20 times as much.
    assert false_starts[1] - false_starts[0] < 0.02, found
    assert max(false_starts) < 0.5, found


def test_a_loose_window_does_not_teach_to_respond_before_the_evidence():
    labels, _ = streams(60)
    assert trained(0.0)[1] < 0.25
    assert episodes(labels).window.view(60, 12).sum(1).tolist() == [5] * 60


def test_the_expected_delay_as_a_term_lowers_the_delay_as_well():
    labels, seen = streams(60)
    grouped, found = episodes(labels), []
    for weight in (0.0, 1.0):
        model = torch.tensor([0.5, -1.0]).double().requires_grad_()
        optimizer = torch.optim.Adam([model], lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            logits = hazards(model, seen)
            late = delay_loss(logits, labels, grouped=grouped)
            (survival_loss(logits, labels, grouped=grouped, lam=0.0).mean() + weight * late.mean()).backward()
            optimizer.step()
        found.append(float(delay_loss(hazards(model, seen).detach(), labels, grouped=grouped, rho=0.0).mean()))
    assert found[1] < found[0] - 0.05


def test_saying_always_the_same_is_consistent_but_never_wins():
    """Collapse guard: a constant has no inconsistency, and yet costs more in all than a model that learned."""
    state = torch.Generator().manual_seed(1)
    spelled = ["".join("sbR"[i] * 4 for i in torch.randint(3, (3,), generator=state).tolist()) for _ in range(10)]
    labels = packed(*[rows(one, segment=[0] * 4 + [1] * 4 + [2] * 4) for one in spelled])
    clue = torch.nn.functional.one_hot(labels.states, 3).double()
    clue += 0.7 * torch.randn(clue.shape, generator=state).double()
    gate_s, weights = gates(labels), row_weights(labels, EVEN)

    def total(logits):
        term = decision_consistency(logits, labels, gate_s=gate_s, smoothing=None).mean()
        return decision_loss(logits, labels, weights=weights).mean() + 0.5 * term, term

    prior = (torch.bincount(labels.states, minlength=3) / len(labels)).double().log().expand(len(labels), 3)
    constant, nothing = total(prior)
    torch.testing.assert_close(nothing, torch.zeros(()).double())
    model = torch.zeros(3, 3).double().requires_grad_()
    optimizer = torch.optim.Adam([model], lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        total(clue @ model)[0].backward()
        optimizer.step()
    learned, term = total((clue @ model).detach())
    assert term > 0
    assert learned < constant - 0.1
    # A mean prediction that leaves the prior would give a collapse away.
    mean = (clue @ model).detach().softmax(-1).mean(0)
    assert float((mean * (mean.log() - prior[0])).sum()) < 0.05


def test_the_future_makes_a_late_model_earlier():
    """Rows that cannot yet tell are taught by those of their segment that can; pulled to the past they are late."""
    labels = packed(*[rows("ssssRRRR", segment=[0] * 4 + [1] * 4)] * 4)
    gate_s = gates(labels)
    logits = torch.zeros(32, 3).double()
    logits[:, 0] = 2.0
    late = (torch.arange(32) % 8) >= 6
    logits[late] = torch.tensor([0.0, 0.0, 4.0]).double()
    logits.requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=5.0)
    began = float(logits.detach().softmax(-1)[4::8, RESPOND].mean())
    for _ in range(50):
        optimizer.zero_grad()
        decision_consistency(logits, labels, gate_s=gate_s).mean().backward()
        optimizer.step()
    chances = logits.detach().softmax(-1)[:, RESPOND]
    assert chances[4::8].mean() > began + 0.3, "the first row of the event hears of it"
    assert math.isclose(float(chances[3::8].mean()), began, rel_tol=1e-9), "the row before the boundary does not"
