import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.answers import target_log_probs
from recipes.losses.deadline import Profile, Timing, deadline_weights, finish_s, lateness, length_loss
from recipes.losses.part import weighted_sum
from tests.recipes.losses.labelled import gradient

PROFILE = Profile(context=(0, 1000, 4000), first_s=(0.1, 0.3, 1.5), token_s=(0.02, 0.02, 0.05))


def timing(n, *, deadline=math.inf, begin=0.0, context=1000):
    return Timing(
        begin_s=torch.full((n,), begin).double(),
        context=torch.full((n,), context),
        place=torch.arange(n),
        deadline_s=torch.full((n,), deadline).double(),
    )


def test_tokens_come_after_the_first_at_a_steady_pace():
    assert finish_s(timing(3, begin=5.0), PROFILE).tolist() == pytest.approx([5.3, 5.32, 5.34])


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=6))
def test_between_measurements_it_is_linear_and_flat_outside(contexts):
    made = Timing(
        begin_s=torch.zeros(len(contexts)).double(),
        context=torch.tensor(contexts),
        place=torch.ones(len(contexts), dtype=torch.int64),
        deadline_s=torch.zeros(len(contexts)).double(),
    )
    wanted = np.interp(contexts, PROFILE.context, PROFILE.first_s) + np.interp(
        contexts, PROFILE.context, PROFILE.token_s
    )
    assert finish_s(made, PROFILE).tolist() == pytest.approx(wanted.tolist())


def test_one_measurement_holds_everywhere():
    profile = Profile(context=(500,), first_s=(0.2,), token_s=(0.1,))
    for context in (0, 500, 9999):
        assert finish_s(timing(2, context=context), profile).tolist() == pytest.approx([0.2, 0.3])


def test_only_tokens_past_the_deadline_weigh_more():
    made = timing(5, deadline=0.34)
    late = lateness(made, PROFILE, scale_s=0.02)
    assert late[:3].tolist() == [0, 0, 0]
    assert late[3:].tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))])
    weights = deadline_weights(made, PROFILE, gain=3.0, scale_s=0.02)
    torch.testing.assert_close(weights, 1 + 3 * late)
    assert deadline_weights(made, PROFILE, gain=0.0).tolist() == [1] * 5


def test_no_hurry_and_no_rows():
    assert deadline_weights(timing(3), PROFILE).tolist() == [1, 1, 1]
    assert deadline_weights(timing(0), PROFILE).shape == (0,)
    part = length_loss(torch.zeros(3, requires_grad=True), timing(3), PROFILE)
    part.total.backward()
    assert (part.total, part.weight) == (0, 0)


@settings(max_examples=25)
@given(st.floats(0, 1), st.integers(2, 20))
def test_weights_rise_along_an_answer_and_with_the_load(deadline, n):
    light, heavy = (deadline_weights(timing(n, deadline=deadline, context=c), PROFILE) for c in (100, 4000))
    assert (light.diff() >= 0).all()
    assert (heavy >= light).all()


def test_late_tokens_pull_harder_than_early_ones():
    hidden = torch.zeros(4, 5).double().requires_grad_()
    weights = deadline_weights(timing(4, deadline=0.33), PROFILE)
    targets = torch.zeros(4, dtype=torch.int64)
    log_probs = target_log_probs(hidden, lambda h: h, targets=targets)
    slope = gradient(weighted_sum(-log_probs, weights).total, hidden)
    sizes = slope.norm(dim=-1)
    assert sizes[0] == sizes[1] < sizes[2] < sizes[3]


def test_past_the_deadline_an_answer_should_end():
    log_end = torch.full((4,), -2.0).double().requires_grad_()
    part = length_loss(log_end, timing(4, deadline=0.33), PROFILE)
    torch.testing.assert_close(part.mean(), torch.tensor(2.0).double())
    slope = gradient(part.total, log_end)
    assert slope[:2].tolist() == [0, 0]
    assert (slope[2:] < 0).all(), "descent makes the end likelier"


def test_gradients_in_double_precision():
    made = timing(4, deadline=0.33)
    log_end = torch.linspace(-3, -1, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: length_loss(x, made, PROFILE).total, (log_end,))


@pytest.mark.parametrize(
    ("context", "first_s", "token_s"),
    [
        ((), (), ()),
        ((1, 2), (0.1,), (0.1, 0.1)),
        ((1, 2), (0.1, 0.1), (0.1,)),
        ((2, 1), (0.1, 0.1), (0.1, 0.1)),
        ((1, 1), (0.1, 0.1), (0.1, 0.1)),
        ((1,), (-0.1,), (0.1,)),
        ((1,), (0.1,), (-0.1,)),
    ],
)
def test_a_profile_that_cannot_be_is_refused(context, first_s, token_s):
    with pytest.raises(RecipeError, match="profile: found"):
        Profile(context=context, first_s=first_s, token_s=token_s)


def test_settings_and_shapes_that_cannot_be_are_refused():
    with pytest.raises(RecipeError, match="gain"):
        deadline_weights(timing(2), PROFILE, gain=-1.0)
    with pytest.raises(RecipeError, match="scale_s"):
        lateness(timing(2), PROFILE, scale_s=0.0)
    with pytest.raises(RecipeError, match="place: found shape"):
        Timing(begin_s=torch.zeros(2), context=torch.zeros(2), place=torch.zeros(1), deadline_s=torch.zeros(2))
    with pytest.raises(RecipeError, match="found shape"):
        length_loss(torch.zeros(3), timing(2), PROFILE)
