"""Small models of the real architectures with random weights, and a byte tokenizer; needs no hub and no GPU."""

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    WhisperFeatureExtractor,
)

from models.errors import SettingsError

# 256 bytes come first, then these, in this order: the id of a special token is 256 plus its place.
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
    "<|vision_bos|>", "<|vision_eos|>", "<|IMAGE|>", "<|VIDEO|>",
    "<|audio_bos|>", "<|audio_eos|>", "<|AUDIO|>",
    "<|silence|>", "<|standby|>", "<|respond|>",
)  # fmt: skip
# The names under which the processor of Qwen2.5-Omni looks for its tokens.
OMNI_TOKENS = {
    "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
}  # fmt: skip
VOCABULARY = 320
PATCH_SIZE = 4
FRAME_FACTOR = 2 * PATCH_SIZE

_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'video' %}"
    "VIDEO{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat_template(family: str) -> str:
    """The template of a family's turns, with a video between its marks as the family's own processor looks for it."""
    omni = family == "qwen2_5_omni"
    video = "<|vision_bos|><|VIDEO|><|vision_eos|>" if omni else "<|vision_start|><|video_pad|><|vision_end|>"
    return _TEMPLATE.replace("VIDEO", video)


def special(token: str) -> int:
    """The id of a special token in the tiny vocabulary."""
    return 256 + SPECIAL_TOKENS.index(token)


def tiny_config(family: str, *, layers: int = 2, hidden: int = 64, seconds_rate: int = 2) -> PreTrainedConfig:
    """A configuration of the family's real architecture that runs in milliseconds on a CPU.

    Args:
        family: `qwen2_5_vl`, `qwen2_5_omni` or `qwen3_vl`.
        layers: decoder layers.
        hidden: width of the decoder; a multiple of 64.
        seconds_rate: temporal positions per second of Qwen2.5-VL; the others have their own fixed rule.

    Raises:
        SettingsError: the family is none of the three.
    """
    if family not in ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl"):
        raise SettingsError(f"family: found {family!r}, expected qwen2_5_vl, qwen2_5_omni or qwen3_vl")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": hidden, "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers, "num_attention_heads": hidden // 16, "num_key_value_heads": hidden // 32,
        "max_position_embeddings": 32_768, "rope_parameters": rope,
        "bos_token_id": special("<|endoftext|>"), "eos_token_id": special("<|im_end|>"),
        "pad_token_id": special("<|endoftext|>"), "initializer_range": 0.1,
    }  # fmt: skip
    vision: dict[str, Any] = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH_SIZE,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": hidden, "initializer_range": 0.1,
    }  # fmt: skip
    windows = {"window_size": 2 * FRAME_FACTOR, "fullatt_block_indexes": [1]}
    if family == "qwen3_vl":
        text |= {"head_dim": 16, "rope_parameters": rope | {"mrope_section": [4, 2, 2], "mrope_interleaved": True}}
        text.pop("bos_token_id"), text.pop("eos_token_id")
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        return Qwen3VLConfig(text_config=text, vision_config=vision, **_vision_ids())
    if family == "qwen2_5_vl":
        vision |= windows | {"tokens_per_second": seconds_rate}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_vision_ids())
    sound = {
        "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
        "num_mel_bins": 8, "output_dim": hidden, "max_source_positions": 16, "n_window": 4,
    }  # fmt: skip
    # The thinker's configuration names some of these by attribute maps and keeps the others as they are.
    ids: dict[str, Any] = {
        "image_token_id": special("<|IMAGE|>"), "video_token_id": special("<|VIDEO|>"),
        "audio_token_id": special("<|AUDIO|>"), "vision_start_token_id": special("<|vision_bos|>"),
        "vision_end_token_id": special("<|vision_eos|>"), "audio_start_token_id": special("<|audio_bos|>"),
        "audio_end_token_id": special("<|audio_eos|>"),
    }  # fmt: skip
    return Qwen2_5OmniThinkerConfig(text_config=text, vision_config=vision | windows, audio_config=sound, **ids)


def _vision_ids() -> dict[str, Any]:
    return {
        "image_token_id": special("<|image_pad|>"),
        "video_token_id": special("<|video_pad|>"),
        "vision_start_token_id": special("<|vision_start|>"),
        "vision_end_token_id": special("<|vision_end|>"),
    }


def byte_tokenizer(family: str = "qwen2_5_vl") -> PreTrainedTokenizerBase:
    """A tokenizer with one token per byte of UTF-8 and the special tokens of the three families.

    Args:
        family: whose chat template it has, and the names by which its processor asks for special tokens.
    """
    names = OMNI_TOKENS if family == "qwen2_5_omni" else {}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=core,
        eos_token="<|im_end|>",  # noqa: S106 - the end of a turn, no secret
        pad_token="<|endoftext|>",  # noqa: S106 - padding, no secret
        extra_special_tokens=dict(names),
    )
    tokenizer.chat_template = chat_template(family)
    return tokenizer


def tiny_processor(family: str) -> ProcessorMixin:
    """The family's processor around the byte tokenizer, with the tiny patch size; saves and loads like a real one.

    Raises:
        SettingsError: the family is unknown.
    """
    pixels = {"patch_size": PATCH_SIZE, "merge_size": 2, "temporal_patch_size": 2}
    return _processor(family, byte_tokenizer(family), pixels, most_tokens=64)


def byte_processor(config: PreTrainedConfig) -> ProcessorMixin:
    """A processor with the byte tokenizer that fits any configuration of the three families.

    Patch, merge and temporal sizes are the configuration's; a frame takes at most 768 tokens, as the published video
    processors have it. Ids of frames come from the configuration, those of text and turns from the byte tokenizer.

    Raises:
        SettingsError: the family is unknown, or the vocabulary has no room for bytes and special tokens.
    """
    needed = 256 + len(SPECIAL_TOKENS)
    found = config.get_text_config().vocab_size
    if found < needed:
        raise SettingsError(f"vocab_size: found {found}, expected at least {needed}: 256 bytes and the special tokens")
    return processor_of(config, byte_tokenizer(_name(config)))


def processor_of(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> ProcessorMixin:
    """The family's processor around a tokenizer, for any configuration of the three families.

    Patch, merge and temporal sizes are the configuration's; a frame takes at most 768 tokens, as the published video
    processors have it. A tokenizer without a chat template gets the family's.

    Args:
        config: of the model.
        tokenizer: knows the family's special tokens; that of Qwen2.5-Omni also names them (`OMNI_TOKENS`).

    Raises:
        SettingsError: the family is unknown, or the vocabulary of the model has no room for the tokenizer's.
    """
    found, needed = config.get_text_config().vocab_size, len(tokenizer)
    if found < needed:
        raise SettingsError(f"vocab_size: found {found}, expected at least {needed}, the tokens of the tokenizer")
    vision = config.vision_config
    pixels = {
        "patch_size": int(vision.patch_size),
        "merge_size": int(vision.spatial_merge_size),
        "temporal_patch_size": int(vision.temporal_patch_size),
    }
    return _processor(_name(config), tokenizer, pixels, most_tokens=768)


def _name(config: PreTrainedConfig) -> str:
    return str(config.model_type).removesuffix("_thinker")


def _processor(
    family: str, tokenizer: PreTrainedTokenizerBase, sizes: Mapping[str, int], *, most_tokens: int
) -> ProcessorMixin:
    template = tokenizer.chat_template or chat_template(family)
    area = (sizes["patch_size"] * sizes["merge_size"]) ** 2
    pixels: dict[str, Any] = {**sizes, "size": {"shortest_edge": area, "longest_edge": most_tokens * area}}
    image = Qwen2VLImageProcessor(**pixels)
    if family == "qwen3_vl":
        return Qwen3VLProcessor(image, tokenizer, Qwen3VLVideoProcessor(**pixels), chat_template=template)
    video = Qwen2VLVideoProcessor(**pixels)
    if family == "qwen2_5_vl":
        return Qwen2_5_VLProcessor(image, tokenizer, video, chat_template=template)
    if family == "qwen2_5_omni":
        sound = WhisperFeatureExtractor(feature_size=8)
        return Qwen2_5OmniProcessor(image, video, sound, tokenizer, chat_template=template)
    raise SettingsError(f"family: found {family!r}, expected qwen2_5_vl, qwen2_5_omni or qwen3_vl")
