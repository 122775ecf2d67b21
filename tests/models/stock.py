"""Tiny random models of the three families as transformers ships them, and their own position ids."""

from functools import cache

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLModel,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLModel,
)

TEXT = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3,
    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0},
}  # fmt: skip
VISION = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32}
WORD, START, PAD = 5, 7, 9  # ids of text, vision start and video pad


def qwen2_5_vl_config(tokens_per_second=2):
    vision = {**VISION, "fullatt_block_indexes": [0], "tokens_per_second": tokens_per_second}
    return Qwen2_5_VLConfig(text_config=TEXT, vision_config=vision)


@cache
def qwen2_5_vl(attention="eager"):
    """The whole model in fp32, with weights."""
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration._from_config(qwen2_5_vl_config(), attn_implementation=attention).eval()


@cache
def positions_of(family):
    """A function of (token ids (L,), grids [(t, height, width)], seconds per grid) to that family's ids (3, L)."""
    with torch.device("meta"):  # positions need no weights
        if family == "qwen2_5_vl":
            model = Qwen2_5_VLModel(qwen2_5_vl_config())
        elif family == "qwen3_vl":
            text = {**TEXT, "head_dim": 8}
            model = Qwen3VLModel(
                Qwen3VLConfig(text_config=text, vision_config={**VISION, "deepstack_visual_indexes": [0]})
            )
        else:
            audio = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
            config = Qwen2_5OmniThinkerConfig(
                text_config=TEXT, vision_config={**VISION, "fullatt_block_indexes": [0]}, audio_config=audio,
                video_token_index=PAD, vision_start_token_id=START,
            )  # fmt: skip
            model = Qwen2_5OmniThinkerForConditionalGeneration(config)

    def stock(token_ids, grids, seconds_per_grid):
        ids = token_ids[None]
        shape = torch.tensor([(t, 2 * height, 2 * width) for t, height, width in grids])
        seconds = torch.tensor(seconds_per_grid)
        if family == "qwen2_5_omni":
            return model.get_rope_index(ids, video_grid_thw=shape, second_per_grids=seconds)[0][:, 0]
        kinds = torch.where(ids == PAD, 2, 0)
        if family == "qwen3_vl":
            return model.get_rope_index(ids, kinds, video_grid_thw=shape)[0][:, 0]
        return model.get_rope_index(ids, kinds, video_grid_thw=shape, second_per_grid_ts=seconds)[0][:, 0]

    return stock
