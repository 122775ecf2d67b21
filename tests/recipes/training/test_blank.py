import torch

from recipes.training.blank import blank_batch
from recipes.training.flops import FlopsModel
from tests.recipes.training.small import ALL_LOSSES, objective_of


def test_a_blank_counts_for_nothing_and_reaches_every_parameter():
    for family in ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl"):
        objective = objective_of(family, ALL_LOSSES)
        blank = blank_batch(torch.device("cpu"))
        totals, found = objective(blank, 600)
        assert totals.abs().sum() == 0
        assert found.weights.sum() == 0
        assert objective.weights(blank, 600).sum() == 0
        assert found.cache is None
        totals.sum().backward()
        grads = [weight.grad for weight in objective.parameters() if weight.requires_grad]
        assert all(grad is not None and not grad.any() for grad in grads)
        assert blank.tokens == 0
        assert FlopsModel(objective).of(blank).hardware > 0
