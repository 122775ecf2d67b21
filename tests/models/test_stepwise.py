"""Tests of feeding a real model block by block: what a plan, a pack and a mask promise, in logits."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from transformers import DynamicCache

from models.blocks import derive, pack
from models.cache_plan import plan
from models.layouts import LAYOUTS
from models.masks import additive
from tests.laws import examples
from tests.models import stock
from tests.models.contexts import CLOCK, LIVE, contexts, derived, dialogue, watching

NAMES = sorted(LAYOUTS)


def token_count(context):
    return len(context.token_ids)


def whole_forward(model, context, embedded):
    mask = {"full_attention": additive(context, torch.float32)}
    out = model.model.language_model(
        inputs_embeds=embedded[None], position_ids=context.positions[:, None], attention_mask=mask
    )
    return model.lm_head(out.last_hidden_state[0])


def stepwise(model, context, embedded):
    """Feed block after block as the plan says, dropping from the cache what it frees."""
    mask, cache = additive(context, torch.float32), DynamicCache(config=model.config.text_config)
    slots = torch.empty(0, dtype=torch.int64)
    logits = torch.zeros(token_count(context), model.config.text_config.vocab_size)
    for step in plan(context).steps:
        rows = (context.block_of == step.block).nonzero()[:, 0]
        slots = torch.cat([slots, rows])
        out = model.model.language_model(
            inputs_embeds=embedded[None, rows], position_ids=context.positions[:, None, rows],
            attention_mask={"full_attention": mask[:, :, rows][..., slots]}, past_key_values=cache,
        )  # fmt: skip
        logits[rows] = model.lm_head(out.last_hidden_state[0])
        assert len(slots) == step.live_tokens
        keep = ~torch.isin(context.block_of[slots], torch.tensor(step.frees, dtype=torch.int64))
        slots = slots[keep]
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[:, :, keep], layer.values[:, :, keep]
    assert not len(slots)
    return logits


def close(model, context):
    embedded = torch.randn(token_count(context), 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = whole_forward(model, context, embedded)
        worst = float((stepwise(model, context, embedded) - whole).abs().max())
    assert worst <= 1e-4
    return whole


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
def test_feeding_the_blocks_under_the_plan_equals_the_one_forward(name, attention):
    model = stock.qwen2_5_vl(attention)
    close(model, derived(name))
    close(model, derived(name, watching(seconds=4)))


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_computes_what_its_documents_compute(name):
    model = stock.qwen2_5_vl("sdpa")
    parts = [derived(name), derived("gap", watching()), derived(name, watching(seconds=1))]
    packed = pack(parts)
    embedded = torch.randn(token_count(packed), 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = whole_forward(model, packed, embedded)
        for part, start, stop in zip(parts, packed.documents[:-1].tolist(), packed.documents[1:].tolist(), strict=True):
            alone = whole_forward(model, part, embedded[start:stop])
            assert float((together[start:stop] - alone).abs().max()) <= 1e-4
    close(model, packed)


@given(contexts)
@settings(max_examples=examples(15))
def test_any_context_can_be_fed_step_by_step(context):
    close(stock.qwen2_5_vl("sdpa"), context)


def test_a_frame_changes_the_replies_that_see_it_and_no_others():
    model, context = stock.qwen2_5_vl("sdpa"), derived("group", watching(seconds=3))
    embedded = torch.randn(token_count(context), 32, generator=torch.Generator().manual_seed(3))
    second_frame = context.block_of == 3
    with torch.no_grad():
        before = whole_forward(model, context, embedded)
        after = whole_forward(model, context, torch.where(second_frame[:, None], -embedded, embedded))
    touched = (before - after).abs().amax(1) > 1e-6
    assert [bool(touched[context.block_of == at].any()) for at in range(len(context.blocks))] == [
        False, False, False, True, True,  # system, query, frames
        False, True, True, True, True,  # the first reply; its last token, which predicts the second; the rest
    ]  # fmt: skip


def test_row_0_keeps_transformers_from_cutting_a_layout_that_restarts():
    # Four rows and no mask: transformers finds the documents of a pack in row 0.
    model, context = stock.qwen2_5_vl("sdpa"), derived("batch", watching())
    embedded = torch.randn(token_count(context), 32, generator=torch.Generator().manual_seed(4))
    naive = torch.cat([context.positions[:1], context.positions])

    def four_rows(rows):
        out = model.model.language_model(inputs_embeds=embedded[None], position_ids=rows[:, None], use_cache=False)
        return model.lm_head(out.last_hidden_state[0])

    with torch.no_grad():
        whole = whole_forward(model, context, embedded)
        assert float((four_rows(context.packed_positions) - whole).abs().max()) <= 1e-4
        assert float((four_rows(naive) - whole).abs().max()) > 1e-2


def test_a_group_can_be_fed_in_the_order_of_time():
    context = derive(dialogue(), LIVE, clock=CLOCK)
    close(stock.qwen2_5_vl("sdpa"), context)
    trained = replace(LAYOUTS["group"], visibility=replace(LAYOUTS["group"].visibility, predicting_row=False))
    assert plan(context).peak_slots == plan(derive(dialogue(), trained, clock=CLOCK)).peak_slots
