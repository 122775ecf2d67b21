"""What every loss of decision rows must obey, whatever it is for."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.losses.consistency import calm_loss, decision_consistency, feature_consistency, gates
from recipes.losses.decisions import decision_loss, focal_loss, row_weights
from recipes.losses.episodes import episodes
from recipes.losses.latency import latency_weights
from recipes.losses.part import add_parts
from recipes.losses.survival import delay_loss, survival_loss
from tests.recipes.losses.labelled import documents, gradient, later, logits_of, packed, rows

BALANCE = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def weighted(logits, labels):
    return decision_loss(logits, labels, weights=row_weights(labels, BALANCE) * latency_weights(labels))


def focal(form):
    return lambda logits, labels: focal_loss(logits, labels, weights=row_weights(labels, BALANCE), form=form)


def said(logits):
    return -(logits[:, 0].detach().double() ** 2)


LOSSES = {
    "cross entropy": lambda x, one: decision_loss(x, one, weights=row_weights(one, BALANCE)),
    "weighted by latency": weighted,
    "softmax focal": focal("softmax"),
    "sigmoid focal": focal("sigmoid"),
    "consistency": lambda x, one: decision_consistency(x, one, gate_s=gates(one)),
    "consistency without labels": lambda x, one: decision_consistency(x, one, gate_s=gates(one), smoothing=None),
    "calm": lambda x, one: calm_loss(x, one, gate_s=gates(one)),
    "features": lambda x, one: feature_consistency(x, gates(one)),
    "survival": lambda x, one: survival_loss(x, one, grouped=episodes(one)),
    "survival with text": lambda x, one: survival_loss(x, one, grouped=episodes(one), log_probs=said(x)),
    "delay": lambda x, one: delay_loss(x, one, grouped=episodes(one)),
}
# Their targets move with the logits and stand still in the gradient.
TAUGHT = {"consistency", "consistency without labels", "calm", "features", "survival with text"}
every = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
few = settings(max_examples=12)
# A wait, a response in its window, silence; and an answer that no label gives.
SAMPLE = packed(
    rows("ssbsRss", evidence_s=[3.0] * 5 + [9.0] * 2, window_s=[5.0] * 5 + [9.0] * 2, segment=[0, 0, 0, 1, 1, 2, 2]),
    rows("ssssss", evidence_s=2.0, window_s=4.0),
)


def close(name, one, other):
    torch.testing.assert_close(one, other, msg=lambda told: f"{name}: {told}")


# Documents are drawn once for all losses: drawing takes longer than the losses do.
@few
@given(documents(), documents(), st.integers(0, 99))
def test_packing_adds_parts(one, other, seed):
    logits, together = logits_of(len(one) + len(other), seed).detach(), packed(one, other)
    for name, loss in LOSSES.items():
        both = loss(logits, together)
        parts = add_parts([loss(logits[: len(one)], one), loss(logits[len(one) :], other)])
        close(name, both.total, parts.total)
        close(name, both.weight, parts.weight)


@few
@given(documents(), st.integers(0, 99), st.sampled_from([8.0, -3.0, 4096.0]))
def test_laws_of_one_document(one, seed, seconds):
    logits, twice, moved = logits_of(len(one), seed), packed(one, one), later(one, seconds)
    for name, loss in LOSSES.items():
        part = loss(logits, one)
        slope = gradient(part.total, logits)
        assert slope.isfinite().all(), name
        assert (slope[~one.learned] == 0).all(), f"{name}: rows that are not learned get no gradient"
        close(name, loss(torch.zeros_like(logits), one).weight, part.weight)
        assert part.weight >= 0, name
        # Neither the same document once more nor a later begin changes what it costs.
        close(name, loss(torch.cat([logits, logits]), twice).mean(), part.mean())
        close(name, loss(logits, moved).total, part.total)


@every
@pytest.mark.parametrize("spelled", ["", "s", "R", "sssss", "bbbb"])
def test_no_rows_one_row_and_silence_alone_are_finite_and_keep_the_graph(loss, spelled):
    logits = logits_of(len(spelled))
    part = loss(logits, rows(spelled))
    assert part.total.isfinite()
    assert part.mean().isfinite()
    assert gradient(part.total, logits).isfinite().all()
    if not spelled:
        assert (part.total, part.weight) == (0, 0)


@every
def test_nothing_learned_is_nothing(loss):
    part = loss(logits_of(4), rows("sRsb", evidence_s=1.0, window_s=2.0, learned=[False] * 4))
    assert (part.total, part.weight) == (0, 0)


@every
def test_single_precision_agrees_with_double(loss):
    logits = logits_of(len(SAMPLE)).detach()
    single = loss(logits.float(), SAMPLE)
    torch.testing.assert_close(single.total.double(), loss(logits, SAMPLE).total, rtol=1e-5, atol=1e-6)
    assert single.total.dtype == single.weight.dtype == torch.float32


@every
def test_half_precision_is_computed_in_single(loss):
    logits = logits_of(len(SAMPLE)).detach().bfloat16()
    assert loss(logits, SAMPLE).total.dtype == torch.float32
    torch.testing.assert_close(loss(logits, SAMPLE).total, loss(logits.float(), SAMPLE).total)


@every
def test_times_in_single_precision_will_do(loss):
    logits = logits_of(len(SAMPLE)).detach()
    names = ("time_s", "evidence_s", "window_s")
    single = replace(SAMPLE, **{name: getattr(SAMPLE, name).float() for name in names})
    torch.testing.assert_close(loss(logits, single).total, loss(logits, SAMPLE).total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - TAUGHT))
def test_a_step_down_the_gradient_lowers_it(name):
    logits = logits_of(len(SAMPLE))
    part = LOSSES[name](logits, SAMPLE)
    moved = logits - 1e-3 * gradient(part.total, logits)
    assert LOSSES[name](moved, SAMPLE).total < part.total


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - TAUGHT))
def test_gradients_in_double_precision(name):
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, SAMPLE).total, (logits_of(len(SAMPLE)),))
