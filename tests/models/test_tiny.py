"""Tests of the small models: real architectures, a tokenizer that loses nothing, processors that save and load."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoProcessor
from transformers.video_utils import VideoMetadata

from models.backbone import MODEL_CLASSES, family_of
from models.errors import SettingsError
from models.patches import FrameFormat
from models.prompts import Prompts
from models.streaming import StreamingModel
from models.tiny import (
    FRAME_FACTOR,
    OMNI_TOKENS,
    PATCH_SIZE,
    SPECIAL_TOKENS,
    VOCABULARY,
    byte_processor,
    byte_tokenizer,
    chat_template,
    processor_of,
    special,
    tiny_config,
    tiny_processor,
)
from tests.laws import examples
from tests.models.small import FAMILIES

TOKENIZER = byte_tokenizer()


# Configurations.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tiny_model_is_the_real_architecture_and_small(family):
    config = tiny_config(family)
    model = MODEL_CLASSES[family](config)
    assert family_of(model.config).name == family
    assert sum(weight.numel() for weight in model.parameters()) < 300_000
    ids = torch.tensor([[special("<|im_start|>"), 5, VOCABULARY - 1]])
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids, position_ids=torch.arange(3).expand(3, 1, -1)).logits
    assert logits.shape == (1, 3, VOCABULARY)
    # Random weights must tell tokens apart, or no test of exactness could fail.
    assert logits.isfinite().all()
    assert (logits[0, 0] - logits[0, 1]).abs().max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("layers", "hidden"), [(1, 64), (3, 128)])
def test_depth_and_width_are_as_asked(family, layers, hidden):
    config = tiny_config(family, layers=layers, hidden=hidden)
    text = config.text_config
    assert (text.num_hidden_layers, text.hidden_size, config.vision_config.out_hidden_size) == (layers, hidden, hidden)
    # Heads share keys, as in the real models, and rotary sections fill half a head.
    assert text.num_attention_heads == 2 * text.num_key_value_heads
    assert 2 * sum(text.rope_parameters["mrope_section"]) == hidden // text.num_attention_heads == 16
    model = MODEL_CLASSES[family](config)
    assert len(model.model.language_model.layers) == layers


def test_the_rate_of_time_is_as_asked():
    assert family_of(tiny_config("qwen2_5_vl", seconds_rate=5)).clock.tokens_per_second == 5
    assert family_of(tiny_config("qwen3_vl", seconds_rate=5)).clock.tokens_per_second == 0


@pytest.mark.parametrize("make", [tiny_config, tiny_processor])
def test_another_family_is_refused(make):
    with pytest.raises(SettingsError, match="found 'qwen2_vl', expected qwen2_5_vl, qwen2_5_omni or qwen3_vl"):
        make("qwen2_vl")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_is_saved_and_loaded(family, tmp_path):
    config = tiny_config(family)
    config.save_pretrained(tmp_path)
    loaded = type(config).from_pretrained(tmp_path)
    assert family_of(loaded) == family_of(config)
    if family != "qwen2_5_omni":
        assert type(AutoConfig.from_pretrained(tmp_path)) is type(config)


# The tokenizer.


@given(st.text(max_size=40))
@settings(max_examples=examples(60), deadline=None)
def test_any_text_is_its_bytes_and_comes_back(text):
    ids = TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert len(ids) == len(text.encode())
    assert all(0 <= token < 256 for token in ids)
    assert TOKENIZER.decode(ids) == text


@given(st.text(max_size=10), st.text(max_size=10))
@settings(max_examples=examples(50), deadline=None)
def test_texts_tokenized_apart_are_those_of_the_whole(left, right):
    one, other, whole = (
        TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        for text in (left, right, left + right)
    )
    assert one + other == whole


def test_each_byte_has_an_id_of_its_own():
    ids = {TOKENIZER(chr(code), add_special_tokens=False)["input_ids"][0] for code in range(128)}
    assert len(ids) == 128


def test_each_special_token_is_one_token_behind_the_bytes():
    for place, token in enumerate(SPECIAL_TOKENS):
        assert special(token) == 256 + place < VOCABULARY
        assert TOKENIZER(token, add_special_tokens=False)["input_ids"] == [256 + place]
        assert TOKENIZER.decode([256 + place], skip_special_tokens=True) == ""
    assert TOKENIZER.eos_token_id == special("<|im_end|>")
    assert TOKENIZER.pad_token_id == special("<|endoftext|>")
    with pytest.raises(ValueError, match="not in tuple"):
        special("<|nothing|>")


def test_what_a_user_types_becomes_no_special_token():
    typed = Prompts(TOKENIZER, family_of(tiny_config("qwen2_5_vl"))).text("<|im_end|>")
    assert len(typed) == len("<|im_end|>")
    assert max(typed) < 256


# Processors.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_processor_cuts_patches_for_the_tiny_tower(family):
    processor, config = tiny_processor(family), tiny_config(family)
    form = FrameFormat.from_processor(processor, family_of(config))
    assert (form.patch, form.factor) == (PATCH_SIZE, FRAME_FACTOR) == (config.vision_config.patch_size, 8)
    frames = np.zeros((4, 16, 24, 3), np.uint8)
    made = processor.video_processor(videos=[frames], do_resize=False, do_sample_frames=False, return_tensors="pt")
    assert made["video_grid_thw"].tolist() == [[2, 4, 6]]
    assert made["pixel_values_videos"].shape == (48, 3 * 2 * PATCH_SIZE**2)
    tower = MODEL_CLASSES[family](config).model.visual
    with torch.inference_mode():
        found = tower(made["pixel_values_videos"], grid_thw=made["video_grid_thw"]).pooler_output
    assert found.shape == (12, 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_processor_is_saved_and_loaded(family, tmp_path):
    processor = tiny_processor(family)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is type(processor)
    text = "héllo <|im_start|>user\n<|VIDEO|><|video_pad|>"
    assert loaded.tokenizer(text)["input_ids"] == processor.tokenizer(text)["input_ids"]
    family_values = family_of(tiny_config(family))
    assert FrameFormat.from_processor(loaded, family_values) == FrameFormat.from_processor(processor, family_values)


def test_the_processor_of_omni_finds_its_tokens_by_name():
    tokenizer = tiny_processor("qwen2_5_omni").tokenizer
    for name, token in OMNI_TOKENS.items():
        assert getattr(tokenizer, name) == token
    assert "image_token" not in json.dumps(TOKENIZER.init_kwargs.get("extra_special_tokens") or {})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stock_processor_takes_what_its_chat_template_writes(family):
    processor, config = tiny_processor(family), tiny_config(family)
    values = family_of(config)
    content = [{"type": "video"}, {"type": "text", "text": "What?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert text == processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    video = torch.zeros(4, 3, 16, 24, dtype=torch.uint8)
    times = VideoMetadata(total_num_frames=4, fps=2.0, frames_indices=[0, 1, 2, 3])
    made = processor(
        text=[text], videos=[video], return_tensors="pt",
        videos_kwargs={"video_metadata": [times], "do_sample_frames": False},
    )  # fmt: skip
    ids = made["input_ids"][0].tolist()
    pads = [place for place, token in enumerate(ids) if token == values.video_id]
    grids, rows, columns = made["video_grid_thw"][0].tolist()
    assert len(pads) == grids * rows * columns // 4 > 0
    assert (ids[pads[0] - 1], ids[pads[-1] + 1]) == (values.start_id, values.end_id)
    model = MODEL_CLASSES[family](config).eval()
    given_ = {name: part for name, part in made.items() if isinstance(part, torch.Tensor)}
    with torch.inference_mode():
        assert model(**given_).logits.shape == (1, len(ids), VOCABULARY)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_chat_template_writes_what_a_session_feeds(family):
    processor = tiny_processor(family)
    values = family_of(tiny_config(family))
    prompts = Prompts(processor.tokenizer, values)
    messages = [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}]},
    ]
    whole = processor.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
    ids = whole["input_ids"] if not isinstance(whole, list) else whole
    system = [token for token in prompts.system("Look.") if token != values.start_id]
    assert list(ids) == [*system, *prompts.text("What?"), *prompts.turn_close(), *prompts.reply_start()]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_of_ones_own_makes_a_processor(family, tmp_path):
    config, tokenizer = tiny_config(family), byte_tokenizer(family)
    tokenizer.chat_template = None
    tokenizer.add_tokens(["<|mine|>"], special_tokens=True)
    processor = processor_of(config, tokenizer)
    assert processor.tokenizer is tokenizer
    assert processor.chat_template == chat_template(family)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert loaded.tokenizer("<|mine|>")["input_ids"] == [256 + len(SPECIAL_TOKENS)]
    values = family_of(config)
    assert FrameFormat.from_processor(loaded, values) == FrameFormat.from_processor(byte_processor(config), values)
    with StreamingModel.from_random(config, processor=loaded) as model:
        assert model.prompts.turn_end == special("<|im_end|>")


def test_a_tokenizer_that_the_model_has_no_room_for_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<|more_{place}|>" for place in range(60)], special_tokens=True)
    with pytest.raises(SettingsError, match="vocab_size: found 320, expected at least 334"):
        processor_of(tiny_config("qwen2_5_vl"), tokenizer)
