import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.interaction import (
    Outcome,
    Pairs,
    Prices,
    interaction_loss,
    trace_means,
    trace_scores,
    utility,
)
from tests.recipes.losses.labelled import gradient

SCORES = st.lists(st.floats(-5, 0), min_size=4, max_size=4)
PRICES = Prices(scale_s=5.0, false=0.5, duplicate=0.3, late=0.7)


def pairs(chosen, rejected) -> Pairs:
    return Pairs(chosen=torch.tensor([chosen]).double(), rejected=torch.tensor([rejected]).double())


def value(policy, reference, *, gap=0.0, beta=2.0, eta=0.5, mu=0.0):
    part = interaction_loss(policy, reference, gap=torch.tensor([gap]).double(), beta=beta, eta=eta, mu=mu)
    return float(part.mean())


def test_utility_is_its_formula():
    outcome = Outcome(quality=(1.0, 0.5), delay_s=(0.0, 5.0), false=1, duplicate=2, late=1)
    assert utility(outcome, PRICES) == pytest.approx(1 + 0.5 / math.e - 0.5 - 0.6 - 0.7)
    assert utility(Outcome(quality=(), delay_s=()), PRICES) == 0


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 60)), max_size=5), st.integers(0, 3))
def test_utility_falls_with_delay_and_with_every_fault(answers, faults):
    outcome = Outcome(
        quality=tuple(q for q, _ in answers), delay_s=tuple(d for _, d in answers), false=faults, duplicate=faults
    )
    base = utility(outcome, PRICES)
    assert base <= len(answers)
    assert utility(replace(outcome, delay_s=tuple(d + 1 for d in outcome.delay_s)), PRICES) <= base
    for fault, price in (("false", 0.5), ("duplicate", 0.3), ("late", 0.7)):
        worse = replace(outcome, **{fault: getattr(outcome, fault) + 1})
        assert utility(worse, PRICES) == pytest.approx(base - price)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quality": (1.0,), "delay_s": ()},
        {"quality": (1.1,), "delay_s": (0.0,)},
        {"quality": (-0.1,), "delay_s": (0.0,)},
        {"quality": (1.0,), "delay_s": (-1.0,)},
        {"quality": (), "delay_s": (), "false": -1},
        {"quality": (), "delay_s": (), "duplicate": -1},
        {"quality": (), "delay_s": (), "late": -1},
    ],
)
def test_an_outcome_that_cannot_be_is_refused(wrong):
    with pytest.raises(RecipeError, match="outcome: found"):
        Outcome(**wrong)


@pytest.mark.parametrize("wrong", [{"scale_s": 0.0}, {"false": -1.0}, {"duplicate": -1.0}, {"late": -1.0}])
def test_prices_that_cannot_be_are_refused(wrong):
    with pytest.raises(RecipeError, match="prices: found"):
        Prices(**wrong)


def test_means_are_per_trace_and_zero_of_nothing():
    values = torch.tensor([-1.0, -3.0, -5.0], requires_grad=True)
    means = trace_means(values, torch.tensor([0, 2, 0]), 3)
    assert means.tolist() == [-3, 0, -3]
    assert gradient(means.sum(), values).tolist() == [0.5, 1, 0.5]
    with pytest.raises(RecipeError, match="trace: found shape"):
        trace_means(values, torch.tensor([0]), 1)


def test_a_score_adds_decisions_and_text():
    assert trace_scores(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, 0.0]), nu=0.5).tolist() == [-2.5, -2]
    apart = trace_scores(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -3.0]), nu=torch.tensor([0.0, 1.0]))
    assert apart.tolist() == [-1, -5]


@settings(max_examples=25)
@given(st.floats(-5, 0), st.floats(-5, 0), st.floats(0.1, 5))
def test_a_policy_that_is_its_reference_costs_log_2(chosen, rejected, beta):
    same = pairs(chosen, rejected)
    assert value(same, same, beta=beta) == pytest.approx(math.log(2))


@settings(max_examples=25)
@given(SCORES)
def test_swapping_the_traces_swaps_the_signs(scores):
    a, b, ra, rb = scores
    one, other = value(pairs(a, b), pairs(ra, rb)), value(pairs(b, a), pairs(rb, ra))
    # sigma(x) + sigma(-x) = 1
    assert math.exp(-one) + math.exp(-other) == pytest.approx(1)
    policy = torch.tensor([[a], [b]]).double().requires_grad_()
    gap = torch.zeros(1).double()
    there = interaction_loss(Pairs(chosen=policy[0], rejected=policy[1]), pairs(ra, rb), gap=gap, mu=0.0).total
    slope = gradient(there, policy)
    assert slope[0] == -slope[1]
    assert slope[0] <= 0


@settings(max_examples=25)
@given(SCORES, st.lists(st.floats(0, 4), min_size=2, max_size=5, unique=True))
def test_the_margin_rises_with_the_gap_of_utility(scores, gaps):
    a, b, ra, rb = scores
    costs = [value(pairs(a, b), pairs(ra, rb), gap=gap) for gap in sorted(gaps)]
    assert all(small <= large for small, large in pairwise(costs))
    assert value(pairs(a, b), pairs(ra, rb), gap=4.0) > value(pairs(a, b), pairs(ra, rb), gap=0.0)


def test_only_the_policy_learns():
    policy, reference = (torch.tensor([[-1.0], [-2.0]]).double().requires_grad_() for _ in range(2))
    part = interaction_loss(
        Pairs(chosen=policy[0], rejected=policy[1]),
        Pairs(chosen=reference[0], rejected=reference[1]),
        gap=torch.zeros(1).double(),
    )
    part.total.backward()
    assert policy.grad is not None
    assert reference.grad is None


def test_the_guard_keeps_the_better_trace_likely():
    # Both traces lose likelihood at the same margin: the preference does not see it, the guard does.
    high, low = pairs(-1.0, -2.0), pairs(-4.0, -5.0)
    reference = pairs(-1.0, -1.0)
    assert value(high, reference) == pytest.approx(value(low, reference))
    assert value(low, reference, mu=0.2) - value(high, reference, mu=0.2) == pytest.approx(0.2 * 3)


def test_gradients_in_double_precision():
    reference = Pairs(chosen=torch.tensor([-1.0, -2.0]).double(), rejected=torch.tensor([-1.5, -0.5]).double())
    assert torch.autograd.gradcheck(
        lambda a, b: (
            interaction_loss(Pairs(chosen=a, rejected=b), reference, gap=torch.tensor([0.3, 1.0]).double()).total
        ),
        tuple(torch.tensor(v).double().requires_grad_() for v in ([-1.0, -3.0], [-2.0, -0.1])),
    )


def test_pairs_of_several_micro_batches_count_each():
    reference = pairs(-1.0, -1.0)
    part = interaction_loss(pairs(-1.0, -2.0), reference, gap=torch.zeros(1).double())
    assert part.weight == 1
    none = Pairs(chosen=torch.zeros(0, requires_grad=True), rejected=torch.zeros(0))
    empty = interaction_loss(none, none, gap=torch.zeros(0))
    empty.total.backward()
    assert (empty.total, empty.weight) == (0, 0)


@settings(max_examples=25)
@given(st.floats(-4, -0.1), st.integers(1, 5), st.integers(2, 9))
def test_longer_chatter_never_wins_by_its_length(mean, words, times):
    # The same text once and over again, on as many more decisions: at equal utility neither is preferred.
    short = torch.full((words,), mean).double()
    long = short.repeat(times)
    scores = [trace_scores(trace_means(t, t.new_zeros(len(t)).long(), 1), t.mean()[None]) for t in (short, long)]
    torch.testing.assert_close(scores[0], scores[1])
    assert value(Pairs(chosen=scores[0], rejected=scores[1]), pairs(-1.0, -1.0)) == pytest.approx(math.log(2))
    # Sums instead of means would prefer one of them.
    sums = Pairs(chosen=short.sum()[None], rejected=long.sum()[None])
    assert abs(value(sums, pairs(-1.0, -1.0)) - math.log(2)) > 0.01


def shifted(nu, mu, steps=60):
    """Trains on pairs of one text said on frame 1 or on frame 4; gives decisions and text before and after."""
    state = torch.Generator().manual_seed(0)
    decisions = torch.randn(6, 3, generator=state).double().requires_grad_()
    words = torch.randn(5, 7, generator=state).double().requires_grad_()
    target, actions = torch.arange(5), torch.zeros(2, 6, dtype=torch.int64)
    actions[0, 1] = actions[1, 4] = 2
    optimizer = torch.optim.SGD([decisions, words], lr=0.5)

    def scores():
        taken = decisions.log_softmax(-1).gather(1, actions.T).mean(0)
        text = words.log_softmax(-1).gather(1, target[:, None]).mean()
        return trace_scores(taken, text.expand(2), nu=nu), taken.detach().clone(), text.detach().clone()

    first, taken, text = scores()
    reference = Pairs(chosen=first[:1].detach(), rejected=first[1:].detach())
    for _ in range(steps):
        optimizer.zero_grad()
        now, _, _ = scores()
        policy = Pairs(chosen=now[:1], rejected=now[1:])
        interaction_loss(policy, reference, gap=torch.ones(1).double(), mu=mu).mean().backward()
        optimizer.step()
    _, taken_after, text_after = scores()
    return taken_after - taken, float(text_after - text)


@pytest.mark.parametrize(("nu", "mu"), [(1.0, 0.0), (0.0, 0.2)])
def test_pairs_that_only_shift_move_decisions_and_leave_the_text(nu, mu):
    moved, text = shifted(nu, mu)
    assert moved[0] - moved[1] > 0.3
    assert abs(text) < 1e-3


def test_with_a_guard_the_text_of_the_better_trace_is_learned_unless_nu_is_zero():
    assert shifted(1.0, 0.2)[1] > 0.01


def test_after_training_on_pairs_the_expected_utility_is_higher():
    """Moments of one response as traces, each pair ordered by utility: the policy ends near the best moment."""
    worth = torch.tensor(
        [
            utility(Outcome(quality=(0.0,), delay_s=(0.0,), false=1), PRICES)
            if t < 2
            else utility(Outcome(quality=(1.0,), delay_s=(t - 2.0,)), PRICES)
            for t in range(6)
        ]
    ).double()
    logits = torch.zeros(6).double().requires_grad_()
    better, worse = zip(*[(a, b) for a in range(6) for b in range(6) if worth[a] > worth[b]], strict=True)
    gap = worth[list(better)] - worth[list(worse)]
    reference = Pairs(chosen=torch.zeros(len(gap)).double(), rejected=torch.zeros(len(gap)).double())
    optimizer, expected = torch.optim.Adam([logits], lr=0.1), []
    for _ in range(80):
        optimizer.zero_grad()
        scores = logits.log_softmax(0)
        expected.append(float(scores.detach().exp() @ worth))
        interaction_loss(
            Pairs(chosen=scores[list(better)], rejected=scores[list(worse)]), reference, gap=gap
        ).mean().backward()
        optimizer.step()
    assert expected[-1] > expected[0] + 0.3
    assert int(logits.argmax()) == 2


def test_what_does_not_fit_is_refused():
    with pytest.raises(RecipeError, match="rejected: found shape"):
        Pairs(chosen=torch.zeros(2), rejected=torch.zeros(3))
    good = pairs(-1.0, -2.0)
    with pytest.raises(RecipeError, match="gap: found shape"):
        interaction_loss(good, good, gap=torch.zeros(1, 1))
    with pytest.raises(RecipeError, match="exchange the two traces"):
        interaction_loss(good, good, gap=torch.tensor([-0.1]))
    two = Pairs(chosen=torch.zeros(2), rejected=torch.zeros(2))
    with pytest.raises(RecipeError, match="reference: found shape"):
        interaction_loss(good, two, gap=torch.zeros(1))
