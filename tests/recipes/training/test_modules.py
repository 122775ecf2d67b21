import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import MODEL_CLASSES
from models.tiny import tiny_config
from recipes.errors import RecipeError
from recipes.settings import ModuleConfig, ModulesConfig, OptimConfig
from recipes.training.modules import MODULES, freeze, merge, module_of, parameter_groups, shares

FAMILIES = tuple(MODEL_CLASSES)
_MADE = {}


def made(family):
    if family not in _MADE:
        torch.manual_seed(3)
        _MADE[family] = MODEL_CLASSES[family](tiny_config(family))
    return copy.deepcopy(_MADE[family])


def freeze_map(*, vision="frozen", merger="frozen", language="frozen", head="frozen", **more):
    named = {"vision": vision, "merger": merger, "language": language, "head": head}
    return ModulesConfig(
        **{name: ModuleConfig(train=train, lr=10.0**-place) for place, (name, train) in enumerate(named.items(), 1)},
        **more,
    )


def text_logits(model):
    ids = torch.arange(10, 18)[None]
    return model.eval()(input_ids=ids, position_ids=torch.arange(8).expand(3, 1, 8)).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_exactly_one_module(family):
    model = made(family)
    inside = {
        "vision": model.model.visual,
        "language": model.model.language_model,
        "head": model.lm_head,
    }
    names = {name for name, _ in model.named_parameters()}
    assert {module_of(name) for name in names} == set(MODULES) - ({"audio"} if "omni" not in family else set())
    for module, part in inside.items():
        ids = {id(weight) for weight in part.parameters()}
        found = {id(weight) for name, weight in model.named_parameters() if module_of(name) == module}
        assert found <= ids
    mergers = {name.split(".")[2] for name in names if module_of(name) == "merger"}
    assert mergers == ({"merger", "deepstack_merger_list"} if family == "qwen3_vl" else {"merger"})


def test_an_unknown_name_is_refused():
    with pytest.raises(RecipeError, match=r"decoder\.layers"):
        module_of("decoder.layers.0.weight")


@settings(max_examples=15)
@given(
    family=st.sampled_from(FAMILIES),
    trains=st.lists(st.sampled_from(["full", "frozen"]), min_size=4, max_size=4).filter(lambda t: "full" in t),
)
def test_full_trains_whole_and_frozen_not_at_all(family, trains):
    model = made(family)
    config = freeze_map(**dict(zip(MODULES, trains, strict=False)))
    assert freeze(model, config, seed=0) is None
    wanted = dict(zip(MODULES, [*trains, "frozen"], strict=True))
    for name, weight in model.named_parameters():
        assert weight.requires_grad == (wanted[module_of(name)] == "full"), name
    for share in shares(model, config):
        assert share.trained == (share.count if wanted[share.module] == "full" else 0)
    assert sum(share.count for share in shares(model, config)) == sum(w.numel() for w in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_module_gets_no_gradient_and_a_trained_one_does(family):
    model = made(family)
    freeze(model, freeze_map(language="full"), seed=0)
    text_logits(model).square().mean().backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) == (module_of(name) == "language"), name


def test_a_tied_head_belongs_to_the_language():
    config = tiny_config("qwen2_5_vl")
    config.tie_word_embeddings = True
    model = MODEL_CLASSES["qwen2_5_vl"](config)
    map_ = freeze_map(language="full", head="frozen")
    freeze(model, map_, seed=0)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert model.lm_head.weight.requires_grad
    assert "head" not in [share.module for share in shares(model, map_)]


def test_nothing_to_train_is_refused():
    with pytest.raises(RecipeError, match="all are frozen"):
        freeze(made("qwen2_5_vl"), freeze_map(), seed=0)


@settings(max_examples=15)
@given(
    family=st.sampled_from(FAMILIES),
    trains=st.lists(st.sampled_from(["full", "frozen", "lora"]), min_size=4, max_size=4).filter(
        lambda t: set(t) - {"frozen"}
    ),
    decay=st.floats(0, 1),
)
def test_groups_hold_what_trains_once_with_its_rate_and_decay(family, trains, decay):
    model = made(family)
    config = freeze_map(**dict(zip(MODULES, trains, strict=False)), lora_rank=2)
    freeze(model, config, seed=0)
    groups = parameter_groups(model, config, OptimConfig(weight_decay=decay))
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in model.parameters() if weight.requires_grad)
    rates = dict(zip(MODULES, (0.1, 0.01, 0.001, 0.0001), strict=False))
    for group in groups:
        assert group["lr"] == pytest.approx(rates[group["module"]])
        for weight in group["params"]:
            assert group["weight_decay"] == (decay if weight.dim() > 1 else 0)
    torch.optim.AdamW(groups)


def test_the_vision_towers_first_layer_decays_and_its_norms_do_not():
    model = made("qwen3_vl")
    config = freeze_map(vision="full")
    freeze(model, config, seed=0)
    decaying, plain = parameter_groups(model, config, OptimConfig(weight_decay=0.1))
    inside = {id(weight) for weight in decaying["params"]}
    assert id(model.model.visual.patch_embed.proj.weight) in inside
    assert id(model.model.visual.blocks[0].norm1.weight) in {id(weight) for weight in plain["params"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_change_nothing_at_first_and_merge_to_what_they_learned(family):
    model = made(family)
    before = text_logits(model).detach()
    config = freeze_map(language="lora", merger="full", head="lora", lora_rank=4)
    tuner = freeze(model, config, seed=1)
    assert torch.equal(text_logits(model), before)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora_" in name or module_of(name) == "merger" for name in trained)
    assert {module_of(name) for name in trained} == {"language", "merger", "head"}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=1.0)
    text_logits(model).square().mean().backward()
    optimizer.step()
    learned = text_logits(model).detach()
    assert not torch.allclose(learned, before, atol=1e-3)
    merged = merge(tuner, model)
    assert merged is model
    assert type(model) is MODEL_CLASSES[family]
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in made(family).named_parameters()}
    assert torch.allclose(text_logits(model), learned, atol=1e-5)


def test_adapters_are_seeded_and_leave_the_random_state_alone():
    config = freeze_map(language="lora")
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first, again, other = made("qwen2_5_vl"), made("qwen2_5_vl"), made("qwen2_5_vl")
    torch.set_rng_state(state)
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        freeze(model, config, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    picked = [{n: w for n, w in m.named_parameters() if "lora_A" in n} for m in (first, again, other)]
    assert all(torch.equal(picked[0][name], picked[1][name]) for name in picked[0])
    assert not any(torch.equal(picked[0][name], picked[2][name]) for name in picked[0])


def test_adapters_of_a_tied_head_alone_are_refused():
    config = tiny_config("qwen2_5_vl")
    config.tie_word_embeddings = True
    with pytest.raises(RecipeError, match="head is lora but has no linear layer"):
        freeze(MODEL_CLASSES["qwen2_5_vl"](config), freeze_map(head="lora"), seed=0)


def test_shares_say_in_words_what_trains():
    model = made("qwen2_5_vl")
    config = freeze_map(language="full")
    freeze(model, config, seed=0)
    told = [str(share) for share in shares(model, config)]
    language = sum(w.numel() for w in model.model.language_model.parameters())
    assert f"language: full, {language:,} of {language:,} parameters at lr 0.001" in told
    assert any(line.startswith("vision: frozen, 0 of ") and "lr" not in line for line in told)
