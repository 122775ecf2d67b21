"""Each way in which the freeze map and the gradients can part is told."""

import pytest
import torch
from torch import nn

from recipes.losses.settings import Ramp
from recipes.settings import ModuleConfig, ModulesConfig
from recipes.training.modules import freeze
from recipes.verify.gradients import check_gradients
from tests.recipes.training.small import ALL_LOSSES, WHOLE, batches_of, example, in_windows, objective_of

FROZEN = ModulesConfig()


def check(objective, modules=WHOLE, rows=None):
    return check_gradients(objective, batches_of(rows or [[example()]]), modules)


def first(objective, part):
    return next(item for item in objective.learner.model.named_parameters() if part in item[0])


@pytest.mark.parametrize("modules", [WHOLE, FROZEN], ids=["whole", "frozen tower"])
def test_a_map_that_is_kept_holds_and_nothing_is_left_behind(modules):
    objective = objective_of(modules=modules)
    before = {name: weight.clone() for name, weight in objective.named_parameters()}
    finding = check(objective, modules)
    assert finding.ok
    assert "nothing else gets a gradient" in finding.words
    assert all(weight.grad is None for weight in objective.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in objective.named_parameters())


def test_windows_carry_their_cache():
    assert check(objective_of(), rows=[[in_windows(example())]]).ok


def test_adapters_alone_train_where_a_part_is_adapted():
    modules = ModulesConfig(language=ModuleConfig(train="lora"), lora_rank=2)
    objective = objective_of(modules=modules)
    finding = check(objective, modules)
    assert finding.ok
    name, weight = first(objective, "language_model.layers.0.mlp.up_proj.base_layer")
    weight.requires_grad_(True)
    finding = check(objective, modules)
    assert not finding.ok
    assert name in finding.words
    assert "would train" in finding.words


def test_a_parameter_that_was_not_frozen_is_told():
    objective = objective_of(modules=FROZEN)
    name, weight = first(objective, "visual.blocks")
    weight.requires_grad_(True)
    finding = check(objective, FROZEN)
    assert not finding.ok
    assert "1 parameters" in finding.words
    assert name in finding.words
    assert "frozen in the settings" in finding.words


def test_a_parameter_that_was_frozen_by_mistake_is_told():
    objective = objective_of()
    name, weight = first(objective, "language_model.layers.0")
    weight.requires_grad_(False)
    finding = check(objective)
    assert not finding.ok
    assert name in finding.words
    assert "should train and are frozen" in finding.words


def test_a_frozen_parameter_with_a_gradient_is_told():
    objective = objective_of(modules=FROZEN)
    name, weight = first(objective, "visual.blocks")
    other = first(objective, "language_model.norm")[1]
    other.register_hook(lambda grad: setattr(weight, "grad", torch.ones_like(weight)))
    finding = check(objective, FROZEN)
    assert not finding.ok
    assert name in finding.words
    assert "are frozen and get a gradient" in finding.words


def test_a_parameter_in_no_graph_is_told():
    objective = objective_of()
    objective.learner.model.model.language_model.idle = nn.Parameter(torch.zeros(3))
    finding = check(objective)
    assert not finding.ok
    assert "language_model.idle" in finding.words
    assert "in no graph" in finding.words


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_told(value):
    objective = objective_of()
    name, weight = first(objective, "language_model.layers.0")
    weight.register_hook(lambda grad: grad + value)
    finding = check(objective)
    assert not finding.ok
    assert name in finding.words
    assert "not finite" in finding.words


def test_gradients_of_nothing_are_told():
    objective = objective_of()
    for weight in objective.parameters():
        weight.register_hook(torch.zeros_like)
    finding = check(objective)
    assert not finding.ok
    assert "nothing would be learned" in finding.words


def test_one_parameter_without_a_slope_is_named_and_allowed():
    objective = objective_of()
    name, weight = first(objective, "language_model.layers.0")
    weight.register_hook(torch.zeros_like)
    finding = check(objective)
    assert finding.ok
    assert f"of 1 it is 0 on these batches, such as {name}" in finding.words


def test_the_settings_count_not_the_weights_themselves():
    objective = objective_of(modules=WHOLE)
    assert check(objective, WHOLE).ok
    assert not check(objective, FROZEN).ok
    freeze(objective.learner.model, FROZEN, seed=0)
    assert check(objective, FROZEN).ok
    assert not check(objective, WHOLE).ok


def test_losses_that_count_late_are_met_too():
    late = ALL_LOSSES.model_copy(
        update={"consistency": ALL_LOSSES.consistency.model_copy(update={"ramp": Ramp(begin=5, end=9)})}
    )
    objective = objective_of(losses=late)
    asked = []
    objective.register_forward_pre_hook(lambda _, given: asked.append(given[1]))
    assert check_gradients(objective, batches_of([[example()]]), WHOLE, steps=[0, 9]).ok
    assert asked == [0, 9]
    name, weight = first(objective, "language_model.layers.0")
    # What goes wrong late alone is told with its step.
    weight.register_hook(lambda grad: grad * (float("nan") if asked[-1] else 1.0))
    finding = check_gradients(objective, batches_of([[example()]]), WHOLE, steps=[0, 9])
    assert not finding.ok
    assert name in finding.words
    assert finding.words.endswith("(step 9)")
