"""Settings under which a stage would fail late, or teach nothing, are refused with path, finding and remedy."""

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.latency import draw
from datasets_build.core.config import ConfigError, load_config
from recipes.data.mix import NEEDS, needs
from recipes.evaluation.stages import write_recipe
from recipes.losses.settings import AnswerLoss, ConsistencyLoss, DecisionLoss, InteractionLoss, Losses
from recipes.settings import STAGES, AlignConfig, InteractConfig, RunConfig, StreamConfig
from recipes.training.checkpoint import settings_of
from recipes.training.command import read_run

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "recipes" / "configs").glob("*.yaml"))
TINY = next(path for path in CONFIGS if path.stem == "tiny")
OF = {"align": AlignConfig, "stream": StreamConfig, "interact": InteractConfig}


def refused(*words):
    with pytest.raises(ConfigError) as caught:
        read_run(TINY, words, None)
    told = str(caught.value)
    assert str(TINY) in told
    assert "\n" not in told
    return told


@pytest.mark.parametrize("stage", STAGES)
def test_a_name_that_is_no_source_is_refused_with_those_that_are(stage):
    told = refused(f"{stage}.mix={{dialog: 1.0}}")
    assert f"{stage}.mix" in told
    assert "no source of this stage is dialog" in told
    assert all(source in told for source in OF[stage].sources)


@pytest.mark.parametrize(
    ("stage", "source"),
    [("align", "realtime"), ("align", "dialogue"), ("stream", "dialogue"), ("stream", "preference")],
)
def test_a_stage_has_its_own_sources(stage, source):
    assert f"no source of this stage is {source}" in refused(f"{stage}.mix={{{source}: 1.0}}")


@given(
    stage=st.sampled_from(STAGES), source=st.sampled_from([*NEEDS, "dialog", ""]), weight=st.sampled_from([0.5, 1.0])
)
@settings(max_examples=40)
def test_what_settings_take_the_data_side_knows(stage, source, weight):
    kind = OF[stage]
    if source in kind.sources:
        assert needs(kind(mix={source: weight}).mix) == set(NEEDS[source])
    else:
        with pytest.raises(ValueError, match="no source of this stage"):
            kind(mix={source: weight})


def test_a_later_stage_may_show_what_earlier_ones_showed():
    assert set(AlignConfig.sources) < set(StreamConfig.sources) < set(InteractConfig.sources) == set(NEEDS)
    for kind in OF.values():
        assert set(kind().mix) <= set(kind.sources)


def none_counts():
    nothing = ConsistencyLoss(decisions=0, tokens=0)
    return Losses(answer=AnswerLoss(weight=0), decision=DecisionLoss(weight=0), consistency=nothing)


def test_losses_of_which_none_counts_are_refused():
    for kind in (AlignConfig, StreamConfig):
        with pytest.raises(ValueError, match="none counts at step 0"):
            kind(losses=none_counts())
    told = refused("align.losses={answer: {weight: 0}, decision: {weight: 0}, consistency: {decisions: 0, tokens: 0}}")
    assert "align: " in told
    assert "none counts at step 0" in told
    # The ramp of what is left over begins with nothing.
    with pytest.raises(ValueError, match="none counts at step 0"):
        AlignConfig(losses=Losses(answer=AnswerLoss(weight=0), decision=DecisionLoss(weight=0)))


@given(weights=st.tuples(*[st.sampled_from([0.0, 0.5])] * 3))
@settings(max_examples=25)
def test_one_loss_is_enough(weights):
    answer, decision, interaction = weights
    losses = none_counts().model_copy(
        update={
            "answer": AnswerLoss(weight=answer),
            "decision": DecisionLoss(weight=decision),
            "interaction": InteractionLoss(weight=interaction),
        }
    )
    if any(weights):
        assert InteractConfig(mix={"dialogue": 1.0}, losses=losses).losses == losses
    else:
        with pytest.raises(ValueError, match="none counts"):
            InteractConfig(mix={"dialogue": 1.0}, losses=losses)


def test_pairs_that_would_teach_nothing_are_refused():
    told = refused("interact.losses.interaction.weight=0")
    assert "interact: " in told
    assert "mix.preference is 1.0 and losses.interaction.weight is 0" in told
    assert "leave preference out of the mix" in told
    for mix in ("{dialogue: 1.0}", "{dialogue: 1.0, preference: 0}"):
        run = read_run(TINY, ["interact.losses.interaction.weight=0", f"interact.mix={mix}"], None)
        assert run.interact.losses.interaction.weight == 0
    with pytest.raises(ValueError, match="its pairs would be shown and teach nothing"):
        InteractConfig(losses=Losses())


def test_the_defaults_of_stage_3_agree_with_each_other():
    kept = InteractConfig()
    assert kept.mix["preference"] > 0
    assert kept.losses.scales(0)["interaction"] > 0
    assert Losses().interaction.weight == 0


def test_pairs_without_a_way_to_make_them_are_refused():
    told = refused("interact.rejects=[]")
    assert "rejects is empty" in told
    assert "name some of early, late" in told
    assert InteractConfig(rejects=(), mix={"dialogue": 1.0}).rejects == ()


@pytest.mark.parametrize(("stage", "begin"), [("align", "align"), ("align", "stream"), ("stream", "interact")])
def test_a_stage_begins_with_an_earlier_one(stage, begin):
    told = refused(f"{stage}.begin_with={begin}")
    assert f"{stage}.begin_with is {begin}" in told
    assert re.search("expected base, an earlier stage or a package's folder", told)


@pytest.mark.parametrize("again", ["a,b,a", "a,./a", "a,b/../a"])
def test_a_folder_that_is_named_twice_is_refused(again):
    told = refused(f"data.folders=[{again}]")
    assert "data.folders: " in told
    assert "more than once" in told


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_shipped_is_taken(path):
    run = read_run(path, [], None)
    assert run.interact.losses.interaction.weight > 0
    assert run.interact.mix.get("preference", 0) > 0


def test_a_trace_lies_beside_the_recipe_that_names_it(tmp_path, monkeypatch):
    """And the settings beside a finished stage find it as well."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "trace.txt").write_text("40\n")
    late = "{operations: [{kind: delay, network: {form: trace, path: trace.txt}}]}"
    recipe = tmp_path / "recipes" / "late.yaml"
    content = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    content["out"], content["stream"]["augment"] = "run", yaml.safe_load(late)
    recipe.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    run = read_run(Path("recipes/late.yaml"), [], None)
    (tmp_path / "run" / "stream").mkdir(parents=True)
    again = load_config(RunConfig, write_recipe(run, "stream"))
    for each in (run, again):
        (delay,) = each.stream.augment.operations
        assert draw(delay.network, random.Random(0), 1) == [40_000_000]
    (tmp_path / "recipes" / "trace.txt").write_text("41\n")
    assert settings_of(read_run(recipe, [], None)) != settings_of(run)
