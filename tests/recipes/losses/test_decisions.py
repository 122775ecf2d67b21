from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.decisions import class_weights, decision_loss, focal_loss, row_weights
from tests.recipes.losses.labelled import gradient, logits_of, rows

COUNTS = st.lists(st.integers(0, 100_000), min_size=3, max_size=3)
EVEN = torch.ones(3, dtype=torch.float64)


@settings(max_examples=25)
@given(COUNTS.filter(any), st.sampled_from(["none", "inverse", "effective"]))
def test_over_the_dataset_weights_have_mean_one(counts, balance):
    weights = class_weights(counts, balance=balance)
    torch.testing.assert_close(torch.tensor(counts, dtype=torch.float64) @ weights / sum(counts), EVEN[0])


@settings(max_examples=25)
@given(COUNTS.filter(all), st.sampled_from(["inverse", "effective"]))
def test_a_rarer_state_never_weighs_less(counts, balance):
    weights = class_weights(counts, balance=balance)
    ranked = sorted(zip(counts, weights.tolist(), strict=True))
    for (few, heavy), (many, light) in pairwise(ranked):
        assert heavy >= light * (1 - 1e-12) or few == many


def test_inverse_is_the_published_formula():
    weights = class_weights([80, 15, 5], balance="inverse")
    torch.testing.assert_close(weights, torch.tensor([100 / (80 * 3), 100 / (15 * 3), 100 / (5 * 3)]).double())


def test_an_absent_state_counts_for_nothing_and_keeps_one():
    weights = class_weights([80, 0, 20], balance="inverse")
    torch.testing.assert_close(weights, torch.tensor([100 / (80 * 2), 1, 100 / (20 * 2)]).double())
    assert class_weights([0, 0, 0], balance="effective").tolist() == [1, 1, 1]


def test_effective_lies_between_none_and_inverse():
    counts = [1000, 100, 10]
    inverse = class_weights(counts, balance="inverse")
    torch.testing.assert_close(class_weights(counts, balance="effective", beta=0.0), EVEN)
    torch.testing.assert_close(class_weights(counts, balance="effective", beta=1 - 1e-9), inverse, rtol=1e-4, atol=0)
    ratio = class_weights(counts, balance="effective", beta=0.99)
    assert 1 < ratio[2] / ratio[0] < inverse[2] / inverse[0]
    raw = (1 - 0.99) / (1 - 0.99 ** torch.tensor(counts).double())
    torch.testing.assert_close(ratio / ratio[0], raw / raw[0])


@pytest.mark.parametrize(("counts", "beta"), [([1, 2], 0.9), ([1, 2, -1], 0.9), ([1, 2, 3], 1.0), ([1, 2, 3], -0.1)])
def test_counts_and_beta_that_cannot_be_are_refused(counts, beta):
    with pytest.raises(RecipeError, match="class weights: found counts"):
        class_weights(counts, balance="effective", beta=beta)


def test_the_cross_entropy_is_torch_s_own_with_class_weights():
    labels, logits = rows("ssbRs"), logits_of(5)
    balance = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    mean = decision_loss(logits, labels, weights=row_weights(labels, balance)).mean()
    torch.testing.assert_close(mean, functional.cross_entropy(logits, labels.states, weight=balance))


def test_rows_that_are_not_learned_weigh_nothing():
    labels, logits = rows("sRb", learned=[True, False, True]), logits_of(3)
    weights = row_weights(labels, torch.tensor([1.0, 5.0, 9.0]).double())
    assert weights.tolist() == [1, 0, 5]
    for loss in (decision_loss, focal_loss):
        slope = gradient(loss(logits, labels, weights=weights).total, logits)
        assert slope[1].abs().sum() == 0
        assert slope[0].abs().sum() > 0


@pytest.mark.parametrize("loss", [decision_loss, focal_loss])
def test_a_record_that_counts_half_is_half_a_row(loss):
    """Two rows of weight 0.5 are one row of weight 1, in the total and in the divisor."""
    logits, balance = logits_of(1).detach(), torch.tensor([1.0, 5.0, 9.0]).double()
    whole, twice = rows("R"), rows("RR", weight=[0.5, 0.5])
    one = loss(logits, whole, weights=row_weights(whole, balance))
    other = loss(logits.expand(2, 3), twice, weights=row_weights(twice, balance))
    torch.testing.assert_close((one.total, one.weight), (other.total, other.weight))
    assert float(one.weight) == 9


def test_focal_without_gamma_is_cross_entropy():
    labels, logits = rows("ssbRs"), logits_of(5)
    weights = row_weights(labels, torch.tensor([0.5, 1.0, 4.0]).double())
    focal = focal_loss(logits, labels, weights=weights, gamma=0.0)
    plain = decision_loss(logits, labels, weights=weights)
    torch.testing.assert_close(focal.total, plain.total)
    torch.testing.assert_close(focal.weight, plain.weight)
    torch.testing.assert_close(gradient(focal.total, logits), gradient(plain.total, logits))


def test_softmax_focal_is_its_formula():
    labels, logits = rows("sR"), logits_of(2)
    chance = logits.softmax(-1).gather(1, labels.states[:, None]).squeeze(1)
    wanted = (-((1 - chance) ** 2) * chance.log()).mean()
    torch.testing.assert_close(focal_loss(logits, labels, weights=EVEN[:2], gamma=2.0).mean(), wanted)


def test_sigmoid_focal_without_gamma_is_binary_cross_entropy_of_each_state():
    labels, logits = rows("sbR"), logits_of(3)
    wanted = functional.binary_cross_entropy_with_logits(logits, torch.eye(3).double(), reduction="sum") / 3
    torch.testing.assert_close(focal_loss(logits, labels, weights=EVEN, gamma=0.0, form="sigmoid").mean(), wanted)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_gradients(form, gamma):
    labels = rows("sbR")
    assert torch.autograd.gradcheck(
        lambda logits: focal_loss(logits, labels, weights=EVEN, gamma=gamma, form=form).total, (logits_of(3),)
    )


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_row_that_is_certain_has_no_gradient_that_is_not_a_number(form, gamma):
    labels = rows("sR")
    logits = torch.tensor([[300.0, -300, -300], [900, 0, -900]], dtype=torch.float64, requires_grad=True)
    total = focal_loss(logits, labels, weights=EVEN[:2], gamma=gamma, form=form).total
    assert total.isfinite()
    assert gradient(total, logits).isfinite().all()


def test_focal_cares_less_about_what_is_right_already():
    labels = rows("ss")
    logits = torch.tensor([[4.0, 0, 0], [0, 0, 0]], dtype=torch.float64, requires_grad=True)
    sizes = [
        gradient(focal_loss(logits, labels, weights=EVEN[:2], gamma=gamma).total, logits).abs().sum(-1)
        for gamma in (0.0, 2.0)
    ]
    assert sizes[1][0] / sizes[1][1] < 0.1 * sizes[0][0] / sizes[0][1]


def test_a_negative_gamma_is_refused():
    with pytest.raises(RecipeError, match="gamma: found -1"):
        focal_loss(logits_of(2), rows("ss"), weights=EVEN[:2], gamma=-1.0)


def test_logits_of_other_rows_are_refused():
    for loss in (decision_loss, focal_loss):
        with pytest.raises(RecipeError, match="decision logits"):
            loss(logits_of(3), rows("ss"), weights=EVEN[:2])
