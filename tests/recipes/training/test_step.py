from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.settings import ConsistencyLoss, Losses, Ramp
from recipes.training.loop import Job, set_up
from recipes.training.step import gather_sources, take_step
from recipes.training.terms import TERMS
from tests.recipes.training.feeds import MODULES, config_of, fresh_accelerator
from tests.recipes.training.small import batches_of, example, objective_of, pair, with_twin

LOSSES = Losses(consistency=ConsistencyLoss(decisions=0.5, tokens=0.25, ramp=Ramp()))
ROWS = [
    [example("a")],
    [with_twin(example("b", video="u"))],
    list(pair("p", video="w")),
    [example("d", video="y", grids=2), example("e", video="y", grids=4)],
]


def prepared(folder="out"):
    objective = objective_of(losses=LOSSES, modules=MODULES)
    return set_up(fresh_accelerator(), objective, Job.of(config_of(folder, losses=LOSSES), "align"))


def cut(borders):
    edges = [0, *sorted(set(borders)), len(ROWS)]
    return [batch for one, other in pairwise(edges) if other > one for batch in batches_of(ROWS[one:other])]


@settings(max_examples=6)
@given(borders=st.lists(st.integers(1, 3), max_size=3))
def test_a_step_is_the_same_however_its_rows_are_cut_into_batches(borders):
    whole, parts = prepared(), prepared()
    one = take_step(whole, batches_of(ROWS), step=5, stop=False)
    other = take_step(parts, cut(borders), step=5, stop=False)
    assert other.loss == pytest.approx(one.loss, rel=1e-5)
    assert other.losses == pytest.approx(one.losses, rel=1e-4)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
    assert (other.tokens, other.supervised) == (one.tokens, one.supervised)
    assert torch.allclose(other.states, one.states, rtol=1e-4)
    sources = [gather_sources(running.accelerator, taken.sources) for running, taken in ((whole, one), (parts, other))]
    assert sources[1] == pytest.approx(sources[0], rel=1e-4)
    assert other.flops.model == pytest.approx(one.flops.model)


def test_the_loss_is_the_weighed_sum_of_means():
    running = prepared()
    objective = running.objective
    batches = cut([2])
    with torch.no_grad():
        totals = sum(objective(batch, 5)[0] for batch in batches)
    weights = sum(objective.weights(batch, 5) for batch in batches)
    scales = LOSSES.scales(5)
    taken = take_step(running, batches, step=5, stop=True)
    for k, name in enumerate(TERMS):
        if weights[k] > 0:
            assert taken.losses[name] == pytest.approx(float(totals[k] / weights[k]), rel=1e-4)
    assert taken.loss == pytest.approx(sum(scales[name] * value for name, value in taken.losses.items()), rel=1e-6)
    assert taken.stop


def test_a_step_without_any_batch_is_refused():
    with pytest.raises(RecipeError, match="no process has a batch"):
        take_step(prepared(), [], step=0, stop=False)


def test_gradients_are_clipped_and_gone_behind_the_step():
    running = prepared()
    before = [weight.detach().clone() for weight in running.objective.parameters()]
    taken = take_step(running, batches_of(ROWS), step=0, stop=False)
    assert taken.grad_norm > running.clip
    assert all(weight.grad is None for weight in running.objective.parameters())
    changed = [not torch.equal(one, other) for one, other in zip(before, running.objective.parameters(), strict=True)]
    assert any(changed)
