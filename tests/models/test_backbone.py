"""Tests of the one face of three families: what is recognised, what is refused, and that it is the stock model."""

from copy import deepcopy
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from transformers import BertConfig, Qwen2_5_VLModel, Qwen2_5OmniConfig, Qwen2Config, Qwen3VLModel

from models.backbone import ATTENTION, MODEL_CLASSES, Backbone, Features, Visual, family_of
from models.errors import SettingsError
from models.tiny import special, tiny_config
from tests.models.small import FAMILIES, backbone

GRIDS = ((2, 4, 4), (1, 4, 8))
WORDS = torch.arange(40, 45)


def fresh(family, *, attention="sdpa", dtype=torch.float32):
    """A stock model that a test may spoil."""
    torch.manual_seed(3)
    model = MODEL_CLASSES[family](tiny_config(family)).to(dtype)
    model.set_attn_implementation(attention)
    return model


# What is recognised.


def test_each_family_is_recognised_with_its_values():
    families = {name: family_of(tiny_config(name)) for name in FAMILIES}
    assert {name: family.name for name, family in families.items()} == {name: name for name in FAMILIES}
    assert {name: family.timed_text for name, family in families.items()} == {
        "qwen2_5_vl": False, "qwen2_5_omni": False, "qwen3_vl": True,
    }  # fmt: skip
    assert families["qwen2_5_vl"].clock.tokens_per_second == 2
    assert families["qwen2_5_omni"].clock.tokens_per_second == 25
    # Its time stands in the text.
    assert families["qwen3_vl"].clock.tokens_per_second == 0
    for name, family in families.items():
        assert (family.patch, family.merge, family.temporal) == (4, 2, 2)
        omni = name == "qwen2_5_omni"
        assert family.video_id == special("<|VIDEO|>" if omni else "<|video_pad|>")
        assert family.start_id == special("<|vision_bos|>" if omni else "<|vision_start|>")
        assert family.end_id == special("<|vision_eos|>" if omni else "<|vision_end|>")


def test_the_rate_is_that_of_the_checkpoint_and_exact():
    assert family_of(tiny_config("qwen2_5_vl", seconds_rate=4)).clock.tokens_per_second == 4
    config = tiny_config("qwen2_5_omni")
    config.position_id_per_seconds = 13
    assert family_of(config).clock.tokens_per_second == Fraction(13)


def test_a_thinker_that_says_nothing_of_its_marks_has_the_released_ones():
    config = tiny_config("qwen2_5_omni")
    del config.vision_start_token_id
    assert (family_of(config).start_id, family_of(config).end_id) == (151652, 151653)


@pytest.mark.parametrize("config", [Qwen2Config(), BertConfig(), Qwen2_5OmniConfig()], ids=lambda c: c.model_type)
def test_another_family_is_refused_with_what_to_load(config):
    with pytest.raises(SettingsError, match=f"found {type(config).__name__}.*load a checkpoint of one of them"):
        family_of(config)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_5_omni"])
def test_layers_that_hide_what_memory_shows_are_refused(family):
    config = tiny_config(family)
    config.text_config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(SettingsError, match="use_sliding_window: found True, expected False"):
        family_of(config)
    config.text_config.layer_types = ["full_attention"] * 2
    assert family_of(config).name == family


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["flash_attention_2", "flex_attention"])
def test_attention_that_takes_no_mask_is_refused(family, attention):
    model = fresh(family)
    model.config.get_text_config()._attn_implementation_internal = attention
    with pytest.raises(SettingsError, match=f"found '{attention}' in the decoder, expected one of eager, sdpa"):
        Backbone(model)


@pytest.mark.parametrize("attention", ATTENTION)
def test_attention_that_keeps_to_the_mask_is_taken_whatever_the_tower_does(attention):
    model = fresh("qwen3_vl", attention=attention)
    model.config.vision_config._attn_implementation_internal = "flash_attention_2"
    assert Backbone(model).family.name == "qwen3_vl"


@pytest.mark.parametrize(("family", "part"), [("qwen2_5_vl", Qwen2_5_VLModel), ("qwen3_vl", Qwen3VLModel)])
def test_a_model_without_its_head_is_refused(family, part):
    with pytest.raises(SettingsError, match=f"found {part.__name__}, expected {MODEL_CLASSES[family].__name__}"):
        Backbone(part(tiny_config(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_backbone_says_what_the_decoder_is(family):
    on = backbone(family)
    assert (on.width, on.head_dim, on.device.type, on.dtype) == (64, 16, "cpu", torch.float32)
    assert not on.model.training
    assert not any(weight.requires_grad for weight in on.model.parameters())
    ids = torch.tensor([4, 250])
    assert torch.equal(on.embed(ids), on.model.get_input_embeddings().weight[ids])


# It is the stock model.


def prompt(on):
    """Ids of words, two videos with their marks, and words; the grids stand apart where the family has it so."""
    family, parts = on.family, [WORDS]
    for frames, height, width in GRIDS:
        pads = torch.full((height * width // 4,), family.video_id)
        start, end = torch.tensor([family.start_id]), torch.tensor([family.end_id])
        if family.timed_text:
            parts += [part for _ in range(frames) for part in (torch.tensor([60]), start, pads, end)]
        else:
            parts += [start, pads.repeat(frames), end]
    return torch.cat([*parts, WORDS + 7])[None]


def pixels():
    rows = sum(t * height * width for t, height, width in GRIDS)
    return torch.randn(rows, 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(9))


def stock_positions(on, ids):
    shape, seconds = torch.tensor(GRIDS), torch.tensor([1.0, 1.0])
    kinds = torch.where(ids == on.family.video_id, 2, 0)
    if on.family.name == "qwen2_5_omni":
        return on.model.get_rope_index(ids, video_grid_thw=shape, second_per_grids=seconds)[0]
    if on.family.timed_text:
        return on.model.model.get_rope_index(ids, kinds, video_grid_thw=shape)[0]
    return on.model.model.get_rope_index(ids, kinds, video_grid_thw=shape, second_per_grid_ts=seconds)[0]


def ours(on, ids, positions):
    """Logits of the backbone's parts put together by hand: embeddings, features of the tower, decoder, head."""
    with torch.inference_mode():
        seen = on.visual(pixels(), grid_thw=torch.tensor(GRIDS))
        embeds, rows = on.embed(ids[0]).clone(), ids == on.family.video_id
        embeds[rows[0]] = seen.pooler_output
        visual = Visual(rows=rows, deepstack=tuple(seen.deepstack_features)) if on.family.timed_text else None
        count = ids.shape[1]
        mask = torch.full((count, count), torch.finfo(on.dtype).min, dtype=on.dtype).triu(1)
        return on.head(on.hidden(embeds[None], positions, mask[None, None], None, visual))


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_context_at_stock_positions_gives_the_logits_of_the_stock_forward(family, attention):
    on = backbone(family, attention=attention)
    ids = prompt(on)
    positions = stock_positions(on, ids)
    assert positions.shape == (3, 1, ids.shape[1])
    with torch.inference_mode():
        whole = on.model(
            input_ids=ids, pixel_values_videos=pixels(), video_grid_thw=torch.tensor(GRIDS), position_ids=positions
        ).logits
    torch.testing.assert_close(ours(on, ids, positions), whole, atol=1e-5, rtol=0)
    # Other positions would show.
    assert (ours(on, ids, positions + torch.arange(ids.shape[1])) - whole).abs().max() > 1e-3


def test_deepstack_features_reach_the_visual_tokens_of_the_early_layers():
    on = backbone("qwen3_vl")
    embeds = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(2))
    positions = torch.arange(6).expand(3, 1, -1)
    mask = torch.full((6, 6), torch.finfo(on.dtype).min).triu(1)[None, None]
    rows = torch.tensor([[False, False, True, True, False, False]])
    deepstack = torch.randn(2, 64, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        plain = on.hidden(embeds, positions, mask, None, None)
        deep = on.hidden(embeds, positions, mask, None, Visual(rows=rows, deepstack=(deepstack,)))
        zeros = on.hidden(embeds, positions, mask, None, Visual(rows=rows, deepstack=(0 * deepstack,)))
    changed = (deep - plain).abs().amax(-1)[0] > 1e-6
    # Tokens behind see them through attention; those before do not.
    assert changed.tolist() == [False, False, True, True, True, True]
    torch.testing.assert_close(zeros, plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_offset_that_all_callers_of_a_stock_model_share_is_never_read(family):
    model = fresh(family)
    on = Backbone(model)
    ids = prompt(on)
    positions = stock_positions(on, ids)
    before = ours(on, ids, positions)
    holder = model if family == "qwen2_5_omni" else model.model
    holder.rope_deltas = torch.tensor([[1000]])
    assert torch.equal(before, ours(on, ids, positions))


# A cast model.


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cast_keeps_the_rotary_frequencies_of_text_and_vision_in_float32(family, dtype):
    exact = {name: buffer for name, buffer in fresh(family).named_buffers() if name.endswith("inv_freq")}
    model = fresh(family, dtype=dtype)
    cast = {name: buffer.clone() for name, buffer in model.named_buffers() if name in exact}
    # The fault is there before: the stock cast rounds them.
    assert len(exact) == 4
    assert any(not torch.equal(cast[name].float(), exact[name]) for name in exact)
    on = Backbone(model)
    now = dict(on.model.named_buffers())
    for name, buffer in exact.items():
        assert now[name].dtype == torch.float32
        assert torch.equal(now[name], buffer)
    assert on.dtype == dtype


def test_rounded_frequencies_would_turn_far_positions_by_the_wrong_angle():
    exact = fresh("qwen2_5_vl").model.language_model.rotary_emb.inv_freq
    kept = Backbone(fresh("qwen2_5_vl", dtype=torch.bfloat16)).text.rotary_emb.inv_freq
    assert ((kept - exact) * 20_000).abs().max() == 0
    assert ((exact.bfloat16().float() - exact) * 20_000).abs().max() > 1


def test_a_model_that_was_never_cast_keeps_its_own_frequencies():
    model = fresh("qwen2_5_vl")
    before = model.model.language_model.rotary_emb.inv_freq
    assert Backbone(model).text.rotary_emb.inv_freq is before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cast_backbone_stays_close_to_the_exact_one(family):
    exact, cast = backbone(family), Backbone(deepcopy(backbone(family).model).to(torch.bfloat16))
    ids = torch.arange(30)
    positions = torch.arange(9_000, 9_030).expand(3, 1, -1)
    mask = torch.full((30, 30), torch.finfo(torch.bfloat16).min).triu(1)[None, None]
    with torch.inference_mode():
        one, other = (
            on.head(on.hidden(on.embed(ids)[None], positions, mask.to(on.dtype), None, None)).float()
            for on in (exact, cast)
        )
    assert float((one - other).norm() / one.norm()) < 0.05


# Features.


def test_features_know_their_tokens_and_bytes_and_move_whole():
    embeds, deep = torch.randn(6, 8), torch.randn(6, 8)
    plain, deepstack = Features(embeds=embeds), Features(embeds=embeds, deepstack=(deep, deep + 1))
    assert (plain.tokens, plain.nbytes, plain.deepstack) == (6, 192, ())
    assert (deepstack.tokens, deepstack.nbytes) == (6, 576)
    half = deepstack.to(torch.device("cpu"), torch.bfloat16)
    assert (half.nbytes, half.embeds.dtype, [part.dtype for part in half.deepstack]) == (
        288, torch.bfloat16, [torch.bfloat16] * 2,
    )  # fmt: skip
    assert torch.equal(half.deepstack[1], (deep + 1).bfloat16())
    same = deepstack.to(torch.device("cpu"))
    assert torch.equal(same.embeds, embeds)
    assert same.embeds.dtype == torch.float32


def test_a_family_is_a_value():
    family = family_of(tiny_config("qwen2_5_vl"))
    assert family == family_of(tiny_config("qwen2_5_vl"))
    assert family != replace(family, merge=4)
