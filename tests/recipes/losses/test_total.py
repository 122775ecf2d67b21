import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.part import Part, weighted_sum
from recipes.losses.settings import Losses
from recipes.losses.total import combine, compute_parts


def part(total, weight) -> Part:
    return Part(total=torch.tensor(total).double(), weight=torch.tensor(weight).double())


def test_the_loss_is_the_weighted_sum_of_means():
    parts = {"a": part(6.0, 4.0), "b": part(1.0, 2.0)}
    weights = {name: one.weight for name, one in parts.items()}
    assert combine(parts, weights, scales={"a": 2.0, "b": 3.0}) == 2 * 1.5 + 3 * 0.5


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 9)), min_size=3, max_size=9),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_however_a_batch_is_cut_gradients_add_up_to_those_of_the_whole(costs, processes, cut):
    values, weights = torch.tensor(costs).double().unbind(1)
    model = torch.ones(len(costs)).double().requires_grad_()

    def parts_of(here):
        return {
            "a": weighted_sum((model * values)[here].square(), weights[here]),
            "b": weighted_sum((model * values)[here], torch.ones_like(weights)[here]),
        }

    scales = {"a": 0.5, "b": 2.0}
    everything = parts_of(slice(None))
    whole = {name: one.weight for name, one in everything.items()}
    wanted = torch.autograd.grad(combine(everything, whole, scales=scales), model)[0]
    cuts = [slice(0, cut), slice(cut, None)]
    found = sum(
        torch.autograd.grad(combine(parts_of(here), whole, scales=scales, processes=processes), model)[0]
        for here in cuts
    )
    torch.testing.assert_close(found / processes, wanted)


def test_a_term_without_weight_adds_nothing_and_keeps_the_graph():
    values = torch.ones(2, requires_grad=True)
    parts = {"a": weighted_sum(values, torch.zeros(2))}
    total = combine(parts, {"a": torch.tensor(0.0)}, scales={"a": 1.0})
    total.backward()
    assert total == 0
    assert torch.equal(values.grad, torch.zeros(2))


def test_a_term_that_is_off_is_not_computed():
    called = []

    def term(name):
        return lambda: called.append(name) or part(1.0, 1.0)

    parts = compute_parts({"on": term("on"), "off": term("off")}, {"on": 0.5, "off": 0.0, "elsewhere": 1.0})
    assert called == ["on"] == list(parts)


def test_scales_of_the_settings_fit():
    scales = Losses().scales(0)
    terms = {name: (lambda: part(1.0, 1.0)) for name in scales}
    parts = compute_parts(terms, scales)
    assert sorted(parts) == ["answer", "decision"], "consistency waits for its ramp"
    assert combine(parts, {name: one.weight for name, one in parts.items()}, scales=scales) == 2


def test_what_is_missing_is_named():
    parts = {"a": part(1.0, 1.0), "b": part(1.0, 1.0)}
    with pytest.raises(RecipeError, match="no weight for b; found a"):
        combine(parts, {"a": torch.tensor(1.0)}, scales={"a": 1.0, "b": 1.0})
    with pytest.raises(RecipeError, match="no scale for a, b; found none"):
        combine(parts, {name: one.weight for name, one in parts.items()}, scales={})
    with pytest.raises(RecipeError, match="no scale for x"):
        compute_parts({"x": lambda: part(1.0, 1.0)}, {})
    with pytest.raises(RecipeError, match="none is switched on"):
        combine({}, {}, scales={})


def test_a_loss_that_is_not_finite_is_not_hidden():
    parts = {"a": part(math.nan, 1.0)}
    assert combine(parts, {"a": torch.tensor(1.0)}, scales={"a": 1.0}).isnan()
