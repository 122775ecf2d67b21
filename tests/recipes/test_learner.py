"""The learner is the stock model: the same logits, the same gradients, and only what is supervised is projected."""

from dataclasses import replace

import pytest
import torch

from recipes.data.batch import Sights
from recipes.learner import Learner
from tests.recipes.training.small import batches_of, example, in_windows, model_of

FAMILIES = ["qwen2_5_vl", "qwen2_5_omni", "qwen3_vl"]
CLOSE = 1e-5


def learner_of(family="qwen2_5_vl", **more):
    return Learner(model_of(family).requires_grad_(True), **more).train()


def batch_of(family, count=2):
    return batches_of([[example(f"e{k}", family=family, video=f"v{k}") for k in range(count)]], family=family)[0]


def stock_features(model, batch):
    """What the stock tower says, one call for each grid."""
    shapes = torch.tensor([(1, *shape) for shape in batch.sights.shapes])
    out = model.model.visual(batch.sights.patches, grid_thw=shapes)
    return out.pooler_output, list(out.deepstack_features) if "3_vl" in model.config.model_type else []


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_stock_model_with_positions_and_masks_of_ours(family):
    learner, batch = learner_of(family), batch_of(family)
    model = learner.model
    features, deep = stock_features(model, batch)
    text = model.model.language_model
    embeds = text.embed_tokens(batch.token_ids)
    embeds[batch.visual] = features[batch.sights.order]
    given = {}
    if deep:
        given = {
            "visual_pos_masks": batch.visual,
            "deepstack_visual_embeds": [part[batch.sights.order] for part in deep],
        }
    hidden = text(
        inputs_embeds=embeds,
        position_ids=batch.positions,
        attention_mask=batch.mask(embeds.dtype),
        use_cache=False,
        **given,
    ).last_hidden_state
    expected = model.lm_head(hidden).flatten(0, 1)[batch.rows]
    seen = learner(batch)
    assert torch.allclose(learner.project(seen.hidden), expected, atol=CLOSE)
    assert seen.cache is None
    # Gradients too, down to the patch embedding.
    weight = model.model.visual.patch_embed.proj.weight
    [ours] = torch.autograd.grad(learner.project(seen.hidden).square().mean(), weight)
    [stock] = torch.autograd.grad(expected.square().mean(), weight)
    assert ours.abs().max() > 0
    assert torch.allclose(ours, stock, atol=CLOSE * float(stock.abs().max().clamp(min=1)))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_features_stand_in_for_pixels(family):
    learner, batch = learner_of(family), batch_of(family)
    with torch.no_grad():
        found = learner.features(batch.sights)
        flat = torch.cat([found.embeds, *found.deepstack], dim=-1)
        kept = Sights(
            patches=torch.empty(0, 0),
            shapes=(),
            features=flat,
            tokens=batch.sights.tokens,
            order=batch.sights.order,
        )
        assert torch.equal(learner(replace(batch, sights=kept)).hidden, learner(batch).hidden)


def test_windows_with_a_carried_cache_give_the_states_of_one_forward_and_no_gradient_goes_back():
    learner, whole = learner_of(), example("w", grids=4)
    [batch] = batches_of([[whole]])
    parts = batches_of([[in_windows(whole)]])
    assert len(parts) == 4
    carried, states = None, []
    for part in parts:
        seen = learner(part, carried)
        assert (seen.cache is None) == (not part.carries)
        carried = seen.cache
        states.append(seen.hidden)
        if carried is not None:
            assert not any(layer.keys.requires_grad for layer in carried.layers)
    assert torch.allclose(torch.cat(states), learner(batch).hidden, atol=CLOSE)


def test_activations_made_anew_give_the_same_gradient():
    plain, anew = learner_of(), learner_of(checkpointing=True)
    anew.load_state_dict(plain.state_dict())
    batch = batch_of("qwen2_5_vl")
    for learner in (plain, anew):
        learner(batch).hidden.square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), anew.parameters(), strict=True):
        if one.grad is not None:
            assert torch.allclose(one.grad, other.grad, atol=1e-7), name


def test_it_leaves_what_learns_to_the_caller():
    model = model_of().requires_grad_(False)
    model.model.language_model.norm.weight.requires_grad_(True)
    learner = Learner(model)
    assert [name for name, weight in learner.model.named_parameters() if weight.requires_grad] == [
        "model.language_model.norm.weight"
    ]


def test_a_batch_without_pictures_is_text_alone():
    learner, batch = learner_of(), batch_of("qwen2_5_vl")
    none = torch.empty(0, dtype=torch.int64)
    bare = replace(
        batch,
        visual=torch.zeros_like(batch.visual),
        sights=Sights(patches=torch.empty(0, 0), shapes=(), features=torch.empty(0, 0), tokens=(), order=none),
    )
    assert not torch.allclose(learner(bare).hidden, learner(batch).hidden)
