import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.answers import target_log_probs
from recipes.losses.part import add_parts, weighted_sum


def drawn(rows, *, width=4, words=7, seed=0):
    state = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=state, dtype=torch.float64, requires_grad=True)
    head = nn.Linear(width, words).double()
    targets = torch.randint(words, (rows,), generator=state)
    weights = torch.rand(rows, generator=state, dtype=torch.float64)
    return hidden, head, targets, weights


def cost(hidden, project, targets, weights, *, chunk=1024):
    """The cross entropy of the text rows, as the objective puts it together."""
    return weighted_sum(-target_log_probs(hidden, project, targets=targets, chunk=chunk), weights)


def plain(hidden, head, targets, weights):
    return functional.cross_entropy(head(hidden), targets, reduction="none") @ weights / weights.sum()


@settings(max_examples=12)
@given(st.integers(1, 12), st.integers(1, 13), st.integers(0, 100))
def test_chunks_change_neither_value_nor_gradient(rows, chunk, seed):
    hidden, head, targets, weights = drawn(rows, seed=seed)
    wanted = torch.autograd.grad(plain(hidden, head, targets, weights), [hidden, *head.parameters()])
    made = cost(hidden, head, targets, weights, chunk=chunk)
    torch.testing.assert_close(made.mean(), plain(hidden, head, targets, weights))
    found = torch.autograd.grad(made.mean(), [hidden, *head.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_in_double_precision():
    hidden, head, targets, weights = drawn(5)
    assert torch.autograd.gradcheck(
        lambda h, w: cost(h, lambda k: k @ w.T, targets, weights, chunk=2).total,
        (hidden, head.weight.detach().requires_grad_()),
    )


def test_no_more_than_a_chunk_of_logits_exists_at_once():
    hidden, head, targets, weights = drawn(9)
    sizes, kept = [], []

    def project(states):
        sizes.append(len(states))
        return head(states)

    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
        part = cost(hidden, project, targets, weights, chunk=4)
    assert sizes == [4, 4, 1]
    assert not [shape for shape in kept if shape[-1:] == (7,)], "logits are kept for the backward pass"
    part.total.backward()
    assert sorted(sizes) == [1, 1, 4, 4, 4, 4], "each chunk is computed once more, by itself"


def test_log_probs_are_those_of_each_row():
    hidden, head, targets, _ = drawn(6)
    made = target_log_probs(hidden, head, targets=targets, chunk=4)
    wanted = head(hidden).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(made, wanted)
    assert made.requires_grad


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_the_scale_of_weights_changes_nothing(factor):
    hidden, head, targets, weights = drawn(6)
    one = cost(hidden, head, targets, weights).mean()
    other = cost(hidden, head, targets, factor * weights).mean()
    torch.testing.assert_close(one, other)


def test_micro_batches_add_up():
    hidden, head, targets, weights = drawn(7)
    whole = cost(hidden, head, targets, weights)
    halves = [cost(hidden[cut], head, targets[cut], weights[cut]) for cut in (slice(0, 2), slice(2, 7))]
    torch.testing.assert_close(add_parts(halves).mean(), whole.mean())


def test_no_rows_keep_the_graph_through_the_projection():
    hidden, head, targets, weights = drawn(0)
    made = cost(hidden, head, targets, weights)
    made.total.backward()
    assert (made.total, made.weight) == (0, 0)
    assert target_log_probs(hidden, head, targets=targets).shape == (0,)
    assert torch.equal(head.weight.grad, torch.zeros_like(head.weight))
    assert hidden.grad is not None


def test_rows_without_weight_get_no_gradient():
    hidden, head, targets, weights = drawn(3)
    weights[1] = 0
    cost(hidden, head, targets, weights).total.backward()
    assert torch.equal(hidden.grad[1], torch.zeros(4, dtype=torch.float64))
    assert hidden.grad[0].abs().sum() > 0


def test_half_precision_logits_are_widened():
    hidden, head, targets, weights = drawn(5)
    made = target_log_probs(hidden.bfloat16(), head.bfloat16(), targets=targets)
    assert made.dtype == torch.float32
    assert weighted_sum(-made, weights).total.dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused():
    hidden, head, targets, weights = drawn(4)
    with pytest.raises(RecipeError, match="targets: found shape"):
        target_log_probs(hidden, head, targets=targets[:3])
    with pytest.raises(RecipeError, match="weights: found shape"):
        cost(hidden, head, targets, weights[:, None])
    with pytest.raises(RecipeError, match="chunk: found 0"):
        target_log_probs(hidden, head, targets=targets, chunk=0)
