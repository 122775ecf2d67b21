from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.settings import ModuleConfig, ModulesConfig, OptimConfig
from recipes.training.schedule import rate_share, set_rates

optims = st.builds(
    OptimConfig,
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.floats(0, 1),
    least=st.floats(0, 1),
)


@settings(max_examples=50)
@given(optim=optims, steps=st.integers(1, 300))
def test_it_rises_over_the_warm_up_and_never_rises_again(optim, steps):
    shares = [rate_share(step, steps, optim) for step in range(steps + 1)]
    warm = round(optim.warmup * steps)
    assert all(0 <= share <= 1 for share in shares)
    assert all(one < other for one, other in pairwise(shares[:warm]))
    assert shares[max(warm - 1, 0)] == 1.0
    assert all(one >= other for one, other in pairwise(shares[warm:]))
    if warm < steps:
        assert shares[-1] == pytest.approx(1.0 if optim.schedule == "constant" else optim.least)


@settings(max_examples=30)
@given(optim=optims, steps=st.integers(1, 100), step=st.integers(100, 10_000))
def test_beyond_the_end_it_stays(optim, steps, step):
    if round(optim.warmup * steps) < steps:
        assert rate_share(step, steps, optim) == pytest.approx(rate_share(steps, steps, optim))


def test_the_forms_differ_half_way():
    at = {
        form: rate_share(25, 100, OptimConfig(schedule=form, warmup=0.0)) for form in ("constant", "linear", "cosine")
    }
    assert at["constant"] == 1.0
    assert at["linear"] == pytest.approx(0.75)
    assert at["cosine"] == pytest.approx(0.8535533906)


def test_rates_are_shares_of_the_settings_whatever_an_optimizer_remembers():
    modules = ModulesConfig(vision=ModuleConfig(lr=0.1), language=ModuleConfig(lr=0.01))
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW(
        [{"params": [one], "lr": 0.1, "module": "vision"}, {"params": [two], "lr": 0.01, "module": "language"}]
    )
    assert set_rates(optimizer, 0.5, modules) == {"vision": 0.05, "language": 0.005}
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.005]
    assert set_rates(optimizer, 0.0, modules) == {"vision": 0.0, "language": 0.0}
    optimizer.load_state_dict(optimizer.state_dict())
    assert set_rates(optimizer, 1.0, modules) == {"vision": 0.1, "language": 0.01}
