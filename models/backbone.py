"""One face for the three families: stock transformers modules, called with positions, masks and caches of ours.

The module's own `rope_deltas` is shared by all sessions and is never read; positions are always passed.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Cache,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from models.errors import SettingsError
from models.positions import Clock

# Flash attention takes no mask, and transformers declares flex_attention for none of the three families.
ATTENTION = ("eager", "sdpa")
MODEL_CLASSES: dict[str, type[PreTrainedModel]] = {
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
    "qwen2_5_omni": Qwen2_5OmniThinkerForConditionalGeneration,
    "qwen3_vl": Qwen3VLForConditionalGeneration,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the vision tower says about one temporal grid.

    Attributes:
        embeds: (tokens, width), one row per merged patch, row by row of the picture.
        deepstack: for Qwen3-VL, one (tokens, width) tensor per early decoder layer; empty for the others.
    """

    embeds: Tensor
    deepstack: tuple[Tensor, ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens of the language model the grid takes."""
        return int(self.embeds.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(part.numel() * part.element_size() for part in (self.embeds, *self.deepstack))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Features":
        """The same features on another device and, if given, in another dtype."""
        return Features(
            embeds=self.embeds.to(device, dtype), deepstack=tuple(part.to(device, dtype) for part in self.deepstack)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What differs between the families, as values.

    Attributes:
        name: `qwen2_5_vl`, `qwen2_5_omni` or `qwen3_vl`.
        clock: the temporal rule of the positions.
        video_id, start_id, end_id: ids of the video pad and of the marks around vision.
        timed_text: each grid stands between its own marks behind a text that says its time (Qwen3-VL); otherwise one
            pair of marks holds the whole video and time lives in the positions.
        patch, merge, temporal: pixels per patch side, patches per token side, frames per grid.
    """

    name: str
    clock: Clock
    video_id: int
    start_id: int
    end_id: int
    timed_text: bool
    patch: int
    merge: int
    temporal: int


def family_of(config: PreTrainedConfig) -> Family:
    """Reads the family's values from a model's configuration.

    Raises:
        SettingsError: the configuration belongs to no known family, or uses sliding-window layers, which would hide
            what the visibility mask shows.
    """
    if not isinstance(config, Qwen2_5_VLConfig | Qwen2_5OmniThinkerConfig | Qwen3VLConfig):
        raise SettingsError(
            f"config: found {type(config).__name__}, "
            "expected Qwen2_5_VLConfig, Qwen2_5OmniThinkerConfig or Qwen3VLConfig; "
            "load a checkpoint of one of them, of Qwen2.5-Omni the thinker"
        )
    vision: Any = config.vision_config
    text: Any = config.text_config
    if isinstance(config, Qwen3VLConfig):
        name, rate = "qwen3_vl", Fraction(0)
    elif isinstance(config, Qwen2_5_VLConfig):
        name, rate = "qwen2_5_vl", Fraction(vision.tokens_per_second)
    else:
        name, rate = "qwen2_5_omni", Fraction(config.position_id_per_seconds)
    if name != "qwen3_vl" and "sliding_attention" in text.layer_types:
        raise SettingsError("text_config.use_sliding_window: found True, expected False: memory decides what is seen")
    start, end = _vision_marks(config)
    return Family(
        name=name,
        clock=Clock(tokens_per_second=rate),
        video_id=config.video_token_id,
        start_id=start,
        end_id=end,
        timed_text=name == "qwen3_vl",
        patch=vision.patch_size,
        merge=vision.spatial_merge_size,
        temporal=vision.temporal_patch_size,
    )


def _vision_marks(config: PreTrainedConfig) -> tuple[int, int]:
    # The class of the thinker's configuration has no fields for the marks; released files carry them all the same.
    given = config.to_dict()
    start, end = given.get("vision_start_token_id"), given.get("vision_end_token_id")
    return (151652, 151653) if start is None or end is None else (int(start), int(end))


def _restore_frequencies(model: PreTrainedModel) -> None:
    # Loading keeps rotary frequencies in float32 whatever the weights are; casting a whole model rounds them too.
    for name, buffer in list(model.named_buffers()):
        if name.endswith(".inv_freq") and buffer.dtype != torch.float32:
            rotary: Any = model.get_submodule(name.rpartition(".")[0])
            exact = type(rotary)(rotary.config).inv_freq.to(buffer.device)
            rotary.inv_freq, rotary.original_inv_freq = exact, exact.clone()


class Backbone:
    """A loaded model of one family, taken apart into what streaming needs.

    Attributes:
        model: the transformers model, in evaluation mode, its rotary frequencies in float32.
        family: its family's values.
        visual, text, head: vision tower, decoder, output projection.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.family = family_of(model.config)
        if not isinstance(model, MODEL_CLASSES[self.family.name]):
            raise SettingsError(
                f"model: found {type(model).__name__}, expected {MODEL_CLASSES[self.family.name].__name__}"
            )
        # Parts of a model may attend differently; only the decoder is given masks.
        used = model.config.get_text_config()._attn_implementation
        if used not in ATTENTION:
            raise SettingsError(
                f"attention: found {used!r} in the decoder, expected one of {', '.join(ATTENTION)}, which keep to the "
                "mask; load the model with one of them"
            )
        _restore_frequencies(model)
        self.model: PreTrainedModel = model.eval().requires_grad_(requires_grad=False)
        # The three families' modules share no type that says what they are called with.
        inner: Any = model
        self.visual: Any = inner.model.visual
        self.text: Any = inner.model.language_model
        self.head: Any = inner.lm_head
        self.config: Any = inner.config.text_config

    @property
    def device(self) -> torch.device:
        """Where the decoder lives."""
        device: torch.device = self.text.embed_tokens.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The decoder's dtype."""
        dtype: torch.dtype = self.text.embed_tokens.weight.dtype
        return dtype

    @property
    def width(self) -> int:
        """Width of the decoder's hidden states."""
        return int(self.config.hidden_size)

    @property
    def feature_parts(self) -> int:
        """Tensors of features for each grid: what stands for its tokens, and one for each deepstack layer."""
        # Qwen3-VL alone has deepstack layers, and its frames alone carry their time as text.
        return 1 + (len(self.visual.deepstack_visual_indexes) if self.family.timed_text else 0)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return int(self.text.layers[0].self_attn.head_dim)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token embeddings: int64 (n,) to (n, width)."""
        embeds: Tensor = self.text.embed_tokens(token_ids.to(self.device))
        return embeds

    def hidden(
        self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None, visual: "Visual | None"
    ) -> Tensor:
        """One pass of the decoder.

        Args:
            embeds: (batch, n, width).
            positions: int64 (3, batch, n).
            mask: additive (batch, 1, n, keys) in the decoder's dtype.
            cache: where keys and values go; None keeps none.
            visual: deepstack features of Qwen3-VL; None for the other families and for text.

        Returns:
            (batch, n, width), after the last norm.
        """
        given = (
            {}
            if visual is None
            else {"visual_pos_masks": visual.rows, "deepstack_visual_embeds": list(visual.deepstack)}
        )
        states: Tensor = self.text(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **given,
        ).last_hidden_state
        return states


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visual:
    """Where the deepstack features of a batch go.

    Attributes:
        rows: bool (batch, n), the visual tokens, in the order of the features.
        deepstack: one (visual tokens, width) tensor per early layer.
    """

    rows: Tensor
    deepstack: tuple[Tensor, ...]
