"""The model that training begins with: a checkpoint, or a small one of the same architecture from nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
)

from models.backbone import MODEL_CLASSES, family_of
from models.checks import family_of_folder, processor_of_folder
from models.hub import local_folder
from models.package import load_base
from models.patches import FrameFormat
from models.tiny import processor_of
from recipes.errors import CheckpointError, RecipeError
from recipes.settings import DataConfig, MadeConfig, ModelConfig
from recipes.tokenizer import learn_tokenizer

DECISIONS = ("<|silence|>", "<|standby|>", "<|respond|>")
DECISION_WORDS = dict(zip(DECISIONS, (" silence", " wait", " respond"), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Base:
    """A model with its processor.

    Attributes:
        model: of one of the families, in `model.dtype`.
        processor: the family's, with a tokenizer that has the three decision tokens.
    """

    model: PreTrainedModel
    processor: ProcessorMixin

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The processor's."""
        tokenizer: PreTrainedTokenizerBase = self.processor.tokenizer
        return tokenizer

    @property
    def decision_ids(self) -> tuple[int, int, int]:
        """Ids of silence, standby and respond."""
        vocabulary = self.tokenizer.get_vocab()
        silence, standby, respond = (int(vocabulary[token]) for token in DECISIONS)
        return silence, standby, respond


def make_base(config: ModelConfig, *, texts: Iterable[str], seed: int) -> Base:
    """The model of a configuration.

    Args:
        config: which.
        texts: what a model from nothing will read and write; its tokenizer is learned from them.
        seed: of the weights of a model from nothing, and of the embeddings of decision tokens.

    Raises:
        RecipeError: the family cannot be made from nothing.
        PackageError: the checkpoint cannot be loaded.
    """
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.dtype]
    if config.made is not None:
        return _from_nothing(config, config.made, texts=texts, seed=seed, dtype=dtype)
    loaded = load_base(str(config.source), dtype=dtype, attention=config.attention, revision=config.revision)
    base = Base(model=loaded.model, processor=loaded.processor)
    _add_decisions(base, seed=seed)
    return base


def load_stage(folder: Path, config: ModelConfig) -> Base:
    """The model of a finished stage, from its package. Raises CheckpointError where it is of another family."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.dtype]
    check_family(folder, config)
    loaded = load_base(str(folder), dtype=dtype, attention=config.attention)
    return Base(model=loaded.model, processor=loaded.processor)


def check_family(folder: Path, config: ModelConfig) -> None:
    """Refuses a folder whose model is of another family, its weights not looked at.

    Raises:
        CheckpointError: it is of another family.
        PackageError: it holds no model.
    """
    family, _ = family_of_folder(folder)
    if family.name != config.family:
        raise CheckpointError(
            f"{folder}: holds a model of family {family.name}, expected {config.family} (model.family); "
            "use the configuration that it was trained with, or begin with another package"
        )


def frames_of(config: ModelConfig, data: DataConfig, *, folder: Path | None) -> FrameFormat:
    """How frames become patches of a model, without its weights.

    Args:
        config: which model.
        data: bounds of a frame.
        folder: of the package that a stage begins with; None: what the configuration names.

    Raises:
        PackageError: the checkpoint or its processor cannot be loaded.
    """
    if folder is None and config.made is not None:
        # Sizes do not depend on what the tokenizer has learned.
        tokenizer = learn_tokenizer((), family=config.family, vocabulary=config.made.vocabulary)
        sizes = made_config(config.family, config.made, tokenizer)
        processor = processor_of(sizes, tokenizer)
    else:
        path = local_folder(folder or str(config.source), revision=config.revision)
        found, sizes = family_of_folder(path)
        processor = processor_of_folder(path, found, sizes)
    return FrameFormat.from_processor(
        processor, family_of(sizes), min_pixels=data.min_pixels, max_pixels=data.max_pixels
    )


def _from_nothing(
    config: ModelConfig, made: MadeConfig, *, texts: Iterable[str], seed: int, dtype: torch.dtype
) -> Base:
    tokenizer = learn_tokenizer(texts, family=config.family, vocabulary=made.vocabulary)
    sizes = made_config(config.family, made, tokenizer)
    sizes._attn_implementation = config.attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODEL_CLASSES[config.family](sizes)
    model.set_attn_implementation(config.attention)
    model.to(dtype)  # type: ignore[arg-type]  # transformers wraps `to` and loses its type
    return Base(model=model, processor=processor_of(sizes, tokenizer))


def made_config(family: str, made: MadeConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """The configuration of a model from nothing, of the family's real architecture.

    Raises:
        RecipeError: the family is none that can be made.
    """
    head = made.width // made.heads
    # A half of each head turns: in the shares of the published models, 2 : 3 : 3 and 24 : 20 : 20.
    half = head // 2
    height = (half * 3) // 8 if family == "qwen2_5_vl" else (half * 5) // 16
    sections = [half - 2 * height, height, height]
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections}
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": made.width, "intermediate_size": made.mlp,
        "num_hidden_layers": made.layers, "num_attention_heads": made.heads,
        "num_key_value_heads": made.key_value_heads, "max_position_embeddings": 32_768, "rope_parameters": rope,
        "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": True,
    }  # fmt: skip
    vision: dict[str, Any] = {
        "depth": made.vision_depth, "hidden_size": made.vision_width, "intermediate_size": made.vision_mlp,
        "num_heads": made.vision_heads, "patch_size": made.patch, "spatial_merge_size": 2, "temporal_patch_size": 2,
        "out_hidden_size": made.width,
    }  # fmt: skip
    ids: dict[str, Any] = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image_token_id", "<|image_pad|>"),
            ("video_token_id", "<|video_pad|>"),
            ("vision_start_token_id", "<|vision_start|>"),
            ("vision_end_token_id", "<|vision_end|>"),
        )
    }
    if family == "qwen2_5_vl":
        text |= {"bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        whole = sorted({made.vision_depth // 2, made.vision_depth - 1})
        vision |= {"window_size": made.window, "fullatt_block_indexes": whole, "tokens_per_second": 2}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    if family == "qwen3_vl":
        text |= {"head_dim": head, "rope_parameters": rope | {"mrope_interleaved": True}}
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [made.vision_depth // 2]}
        return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    raise RecipeError(f"model.family: {family} is not made from nothing; expected qwen2_5_vl or qwen3_vl, or a source")


def _add_decisions(base: Base, *, seed: int) -> None:
    """Gives a published tokenizer the decision tokens that it lacks, with rows that say what their words say.

    The spare rows of a published vocabulary are alike, so three tokens that began with them could not be told apart
    where embeddings are frozen.
    """
    missing = {token: word for token, word in DECISION_WORDS.items() if token not in base.tokenizer.get_vocab()}
    if not missing:
        return
    words = {token: base.tokenizer(word, add_special_tokens=False)["input_ids"] for token, word in missing.items()}
    base.tokenizer.add_special_tokens({"additional_special_tokens": list(missing)})
    embeddings: Any = base.model.get_input_embeddings()
    if len(base.tokenizer) > len(embeddings.weight):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            base.model.resize_token_embeddings(len(base.tokenizer))
    vocabulary = base.tokenizer.get_vocab()
    layers: list[Any] = [base.model.get_input_embeddings(), base.model.get_output_embeddings()]
    with torch.no_grad():
        # A tied head is the same tensor, and is given the same rows again.
        for weight in (layer.weight for layer in layers):
            rows = {vocabulary[token]: weight[ids].float().mean(0) for token, ids in words.items()}
            for place, row in rows.items():
                weight[place] = row.to(weight.dtype)
