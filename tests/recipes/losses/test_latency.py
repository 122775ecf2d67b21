import math

import pytest
import torch
from hypothesis import given, settings

from recipes.errors import RecipeError
from recipes.losses.decisions import decision_loss
from recipes.losses.latency import latency_weights
from tests.recipes.losses.labelled import documents, gradient, logits_of, rows


def test_silence_costs_most_just_before_the_evidence():
    labels = rows("ssbss", evidence_s=3.0, window_s=5.0)
    expected = [1 + math.exp(-3), 1 + math.exp(-2), 1 + math.exp(-1), 1, 1]
    assert latency_weights(labels).tolist() == pytest.approx(expected)


def test_a_response_costs_more_the_later_it_is_up_to_a_limit():
    labels = rows("RRRRR", evidence_s=1.0, window_s=5.0)
    assert latency_weights(labels).tolist() == pytest.approx([1, 1, 1.5, 2, 2])


def test_settings_scale_their_own_part():
    labels = rows("ssRR", evidence_s=2.0, window_s=5.0)
    made = latency_weights(labels, alpha=4.0, beta=3.0, tau_s=4.0, scale_s=2.0).tolist()
    assert made == pytest.approx([1 + 3 * math.exp(-1), 1 + 3 * math.exp(-0.5), 1, 2])
    assert latency_weights(labels, alpha=0.0, beta=0.0).tolist() == [1, 1, 1, 1]


def test_rows_that_wait_for_nothing_keep_one():
    assert latency_weights(rows("sbR")).tolist() == [1, 1, 1]


def test_silence_an_hour_after_the_evidence_is_plain_silence():
    labels = rows("ssss", fps=1 / 1200, evidence_s=0.0, window_s=1.0)
    assert latency_weights(labels).tolist() == [1, 1, 1, 1]


def test_seconds_count_and_not_rows():
    slow = rows("ssss", fps=1, evidence_s=3.0)
    fast = rows("sssssss", fps=2, evidence_s=3.0)
    torch.testing.assert_close(latency_weights(slow), latency_weights(fast)[::2])


@settings(max_examples=25)
@given(documents())
def test_weights_are_finite_and_within_their_bounds(labels):
    weights = latency_weights(labels, alpha=1.5, beta=0.5)
    assert ((weights >= 1) & (weights <= 2.5)).all()


def test_a_missed_late_response_pulls_harder_than_an_early_one():
    labels, logits = rows("RRRR", evidence_s=0.0, window_s=9.0), torch.zeros(4, 3).double().requires_grad_()
    slope = gradient(decision_loss(logits, labels, weights=latency_weights(labels)).mean(), logits)[:, 2]
    assert (slope < 0).all()
    assert slope[0] > slope[1] > slope[2]


def test_the_sum_of_weights_divides():
    labels, logits = rows("ssR", evidence_s=2.0), logits_of(3)
    weights = latency_weights(labels, beta=5.0)
    costs = -logits.log_softmax(-1).gather(1, labels.states[:, None]).squeeze(1)
    torch.testing.assert_close(
        decision_loss(logits, labels, weights=weights).mean(), (costs * weights).sum() / weights.sum()
    )


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": -1.0}, {"tau_s": 0.0}, {"scale_s": 0.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(RecipeError, match="latency weights"):
        latency_weights(rows("s"), **wrong)
