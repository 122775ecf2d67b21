import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.config import ConfigError, load_config
from recipes.losses.deadline import Profile
from recipes.losses.settings import LatencyLoss, Losses, LossTerm, Ramp


def load(*overrides: str) -> Losses:
    return load_config(Losses, None, overrides)


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(0, 120), min_size=2, max_size=6))
def test_a_ramp_rises_from_nothing_to_one(begin, length, steps):
    ramp = Ramp(begin=begin, end=begin + length)
    shares = [ramp.at(step) for step in sorted(steps)]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert ramp.at(begin + length) == 1
    if begin:
        assert ramp.at(begin - 1) == 0


def test_half_way_a_ramp_is_half():
    assert Ramp(begin=100, end=200).at(150) == 0.5
    assert Ramp().at(0) == 1
    assert LossTerm(weight=3.0, ramp=Ramp(end=10)).scale(5) == 1.5


def test_the_defaults_leave_what_is_opt_in_off():
    scales = Losses().scales(10_000)
    assert scales["answer"] == scales["decision"] == 1
    assert (scales["consistency.decisions"], scales["consistency.tokens"]) == (0.5, 0.25)
    off = {name for name, scale in scales.items() if scale == 0}
    opt_in = {"consistency.features", "consistency.calm", "interaction"}
    assert off == opt_in | {"latency.survival", "latency.delay", "latency.length"}


def test_consistency_waits_for_its_ramp():
    assert Losses().scales(0)["consistency.decisions"] == 0
    assert Losses().scales(250)["consistency.decisions"] == 0.25


@pytest.mark.parametrize(
    ("override", "name", "scale"),
    [
        ("answer.weight=0", "answer", 0),
        ("decision.weight=2.5", "decision", 2.5),
        ("consistency.decisions=0.0", "consistency.decisions", 0),
        ("consistency.tokens=1.5", "consistency.tokens", 1.5),
        ("consistency.features=0.1", "consistency.features", 0.1),
        ("consistency.calm=0.15", "consistency.calm", 0.15),
        ("latency.form=survival", "latency.survival", 1),
        ("interaction.weight=1.0", "interaction", 1),
    ],
)
def test_each_term_has_its_own_switch(override, name, scale):
    made, usual = load(override).scales(10_000), Losses().scales(10_000)
    assert made[name] == scale
    assert {key for key in made if made[key] != usual[key]} == {name}


def test_only_the_form_of_latency_that_is_chosen_has_terms():
    prices = ("latency.delay=0.4", "latency.length=0.2", "latency.weight=0.5")
    measured = ("latency.context=[0, 100]", "latency.first_s=[0.1, 0.2]", "latency.token_s=[0.1, 0.2]")
    for form, live in {
        "none": {},
        "weighted": {},
        "survival": {"latency.survival": 0.5, "latency.delay": 0.2},
        "compute": {"latency.length": 0.1},
    }.items():
        scales = load(f"latency.form={form}", *prices, *measured).scales(10_000)
        assert {k: v for k, v in scales.items() if k.startswith("latency") and v} == pytest.approx(live)


def test_the_ramp_of_latency_is_that_of_its_prices():
    latency = LatencyLoss(form="survival", delay=1.0, length=0.5, ramp=Ramp(begin=100, end=200))
    for step, share in ((0, 0.0), (150, 0.5), (200, 1.0)):
        now = latency.at(step)
        found = (now.alpha, now.beta, now.lam, now.delay, now.gain, now.length)
        assert found == (share, share, 0.1 * share, share, share, 0.5 * share)
        assert (now.weight, now.rho, now.tau_s) == (1, 0.1, 2), "what is no price stays"
    assert Losses(latency=latency).scales(0)["latency.survival"] == 1


def test_a_measured_profile_is_read():
    made = load(
        "latency.form=compute", "latency.context=[0, 4096]", "latency.first_s=[0.1, 1.0]", "latency.token_s=[0.02, 0.1]"
    )
    assert made.latency.profile() == Profile(context=(0, 4096), first_s=(0.1, 1.0), token_s=(0.02, 0.1))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("answer.weight=-1.0", "answer.weight"),
        ("answer.chunk=0", "answer.chunk"),
        ("decision.gamma=-1.0", "decision.gamma"),
        ("decision.kind=hinge", "decision.kind"),
        ("decision.effective_beta=1.0", "decision.effective_beta"),
        ("consistency.lam=1.5", "consistency.lam"),
        ("consistency.features=0.5", "consistency.features"),
        ("consistency.ramp={begin: 10, end: 5}", "consistency.ramp: .*end 5 lies before begin 10"),
        ("latency.tau_s=0.0", "latency.tau_s"),
        ("latency.form=compute", "needs a measured profile"),
        ("latency.context=[2, 1]", "latency: .*expected rising contexts"),
        ("interaction.beta=0.0", "interaction.beta"),
        ("interaction.gain=1.0", "interaction.gain: unknown key"),
        ("answers.weight=1.0", "answers: unknown key"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_path(override, message):
    with pytest.raises(ConfigError, match=message):
        load(override)


def test_settings_survive_yaml(tmp_path):
    settings = Losses(latency=LatencyLoss(form="survival", lam=1.5, ramp=Ramp(end=7)))
    path = tmp_path / "losses.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert load_config(Losses, path) == settings
