import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.part import Part, add_parts, check_rows, weighted_sum


def part(total: float, weight: float) -> Part:
    return Part(total=torch.tensor(total), weight=torch.tensor(weight))


def test_the_mean_is_total_over_weight():
    assert part(6.0, 4.0).mean() == 1.5


def test_the_mean_of_nothing_is_zero_and_keeps_the_graph():
    values = torch.ones(3, requires_grad=True)
    mean = weighted_sum(values, torch.zeros(3)).mean()
    mean.backward()
    assert mean == 0
    assert torch.equal(values.grad, torch.zeros(3))


def test_no_rows_keep_the_graph():
    values = torch.ones(0, requires_grad=True)
    made = weighted_sum(values, torch.zeros(0))
    made.total.backward()
    assert (made.total, made.weight) == (0, 0)
    assert values.grad is not None


def test_a_row_without_weight_may_be_infinite():
    values = torch.tensor([1.0, torch.inf, torch.nan], requires_grad=True)
    made = weighted_sum(values, torch.tensor([2.0, 0.0, 0.0]))
    made.total.backward()
    assert made.total == 2
    assert values.grad.tolist() == [2, 0, 0]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 10)), min_size=2, max_size=8), st.integers(1, 7))
def test_parts_of_micro_batches_add_up_to_the_whole(costs, cut):
    values, weights = torch.tensor(costs, dtype=torch.float64).unbind(1)
    cut = min(cut, len(costs) - 1)
    whole = weighted_sum(values, weights)
    halves = add_parts([weighted_sum(values[:cut], weights[:cut]), weighted_sum(values[cut:], weights[cut:])])
    torch.testing.assert_close(halves.total, whole.total)
    torch.testing.assert_close(halves.mean(), whole.mean())


def test_a_mean_of_means_would_be_something_else():
    parts = [part(1.0, 1.0), part(0.0, 99.0)]
    assert add_parts(parts).mean() == pytest.approx(0.01)
    assert sum(one.mean() for one in parts) / 2 == 0.5


def test_rows_that_would_broadcast_are_refused():
    with pytest.raises(RecipeError, match=r"weights: found shape \(3, 1\), expected \(3,\)"):
        weighted_sum(torch.ones(3), torch.ones(3, 1))


def test_check_rows_names_the_tensor():
    check_rows(2, {"good": torch.ones(2)})
    with pytest.raises(RecipeError, match="bad: found shape"):
        check_rows(2, {"good": torch.ones(2), "bad": torch.ones(1)})


def test_a_part_is_two_scalars():
    with pytest.raises(RecipeError, match="two scalars"):
        Part(total=torch.ones(2), weight=torch.tensor(1.0))
    with pytest.raises(RecipeError, match="two scalars"):
        Part(total=torch.tensor(1.0), weight=torch.ones(1))


def test_a_weight_that_depends_on_the_model_is_refused():
    model = torch.ones(2, requires_grad=True)
    with pytest.raises(RecipeError, match="depends on the model"):
        weighted_sum(torch.ones(2), model * 2)
