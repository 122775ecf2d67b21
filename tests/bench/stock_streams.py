"""What others do with a stream, on stock transformers modules: re-send the window, keep every key, copy to evict.

Each baseline is given all that is not its point for nothing: prompts are tokenized and positions are placed ahead, and
the two caches get the same vision features as ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig, Qwen2_5_VLConfig

from models.backbone import Features
from models.patches import FrameFormat
from models.positions import Cursor, Grid, place
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from models.tower import Tower

SECOND_NS = 1_000_000_000
# 64 tokens a grid: the largest frame that the tiny processor lets through.
SIDE = 64
GRID_TOKENS = 64


def middle_config(*, layers: int = 4, hidden: int = 256, vision_width: int = 128) -> PreTrainedConfig:
    """A Qwen2.5-VL that a core runs at some fifty grids a second, tower and decoder about as costly per grid.

    Head widths, the window of 4×4 tokens and the share of layers that look past it are near those of the released ones.
    """
    config = tiny_config("qwen2_5_vl", layers=layers, hidden=hidden)
    assert isinstance(config, Qwen2_5_VLConfig)
    text, vision = config.text_config, config.vision_config
    text.num_attention_heads, text.num_key_value_heads, text.intermediate_size = hidden // 64, hidden // 128, 3 * hidden
    text.rope_parameters = text.rope_parameters | {"mrope_section": [8, 12, 12]}
    vision.hidden_size, vision.num_heads, vision.intermediate_size = vision_width, 2, 11 * vision_width // 4
    vision.depth, vision.window_size, vision.fullatt_block_indexes = 4, SIDE // 2, [3]
    text.initializer_range = vision.initializer_range = 0.02
    return config


def moving_frames(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """Frames uint8 (64, 64, 3), each a picture of its own, near enough to each other to be no cut."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompted:
    """Tokens and positions of a system turn and `grids` grids, two seconds apart."""

    ids: Tensor
    positions: Tensor
    system: int


class StockStream:
    """The stock model of a streaming model, fed by hand.

    Args:
        model: whose weights, prompts and frame format are used.
        settings: gives the system turn.
    """

    def __init__(self, model: StreamingModel, settings: StreamingSettings) -> None:
        self.backbone = model.backbone
        self.format = FrameFormat.from_processor(model.processor, model.backbone.family)
        self._tower = Tower(model.backbone)
        self._system = model.prompts.system(settings.system_prompt)

    def prompted(self, grids: int, *, step_ns: int = 2 * SECOND_NS, tail: Sequence[int] = ()) -> Prompted:
        """System turn, grids and a text behind them."""
        system, pads = len(self._system), GRID_TOKENS * grids
        side = round(GRID_TOKENS**0.5)
        places = [
            Grid(start=system + GRID_TOKENS * index, height=side, width=side, t_ns=index * step_ns)
            for index in range(grids)
        ]
        ids = (*self._system, *(self.backbone.family.video_id,) * pads, *tail)
        positions, _ = place(len(ids), places, cursor=Cursor(), clock=self.backbone.family.clock)
        return Prompted(ids=torch.tensor(ids), positions=positions[:, None], system=system)

    def patches(self, frames: Sequence[np.ndarray]) -> Tensor:
        """Patches of all grids, two frames each."""
        pairs = [np.stack(frames[at : at + 2]) for at in range(0, len(frames), 2)]
        return torch.cat([self.format.patchify(pair) for pair in pairs])

    def features(self, frames: Sequence[np.ndarray]) -> list[Features]:
        """What the tower says about each grid, one by one."""
        grid = self.format.grid(SIDE, SIDE)
        return [self._tower.encode([self.patches(frames[at : at + 2])], [grid])[0] for at in range(0, len(frames), 2)]

    @torch.inference_mode()
    def resend(self, prompt: Prompted, patches: Tensor) -> Tensor:
        """Tower and decoder over the whole context, as a request to a server does: logits (vocabulary,)."""
        rows, columns = self.format.grid(SIDE, SIDE)
        grids = torch.tensor([[len(patches) // (rows * columns), rows, columns]])
        logits: Tensor = self.backbone.model(
            input_ids=prompt.ids[None],
            pixel_values_videos=patches,
            video_grid_thw=grids,
            position_ids=prompt.positions,
            use_cache=False,
            logits_to_keep=1,
        ).logits[0, -1]
        return logits

    @torch.inference_mode()
    def decode(self, prompt: Prompted, features: Tensor) -> Tensor:
        """The decoder alone over the whole context, features given: logits (vocabulary,)."""
        embeds = self.backbone.embed(prompt.ids).clone()
        embeds[prompt.ids == self.backbone.family.video_id] = features
        states = self.backbone.text(inputs_embeds=embeds[None], position_ids=prompt.positions, use_cache=False)
        logits: Tensor = self.backbone.head(states.last_hidden_state[0, -1])
        return logits


class StockCache:
    """A transformers cache that grows chunk by chunk; with `last`, chunks leave it by copying those that stay."""

    def __init__(self, stock: StockStream, *, last: int | None = None) -> None:
        self._stock = stock
        self._last = last
        self._cache = DynamicCache()
        self.grids = 0
        self.bytes_moved = 0

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers)

    @torch.inference_mode()
    def start(self, prompt: Prompted) -> None:
        """Feeds the system turn."""
        ids, positions = prompt.ids[: prompt.system], prompt.positions[..., : prompt.system]
        self._feed(self._stock.backbone.embed(ids), positions)
        self._system = prompt.system

    @torch.inference_mode()
    def fill(self, grids: int) -> None:
        """Pretends that so many grids have been fed: attention costs the same whatever the keys say."""
        for index, layer in enumerate(self._cache.layers):
            shape = (*layer.keys.shape[:2], GRID_TOKENS * grids, layer.keys.shape[3])
            self._cache.update(torch.randn(shape), torch.randn(shape), index)
        self.grids += grids

    @torch.inference_mode()
    def add(self, features: Features, positions: Tensor) -> None:
        """Feeds a grid: (64, width) features at positions (3, 1, 64)."""
        if self._last is not None and self.grids == self._last:
            held = self._cache.layers[0].keys.shape[2]
            kept = torch.cat([torch.arange(self._system), torch.arange(self._system + GRID_TOKENS, held)])
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys.index_select(2, kept), layer.values.index_select(2, kept)
            self.grids -= 1
            self.bytes_moved += self.nbytes
        # Appending copies what is there to a longer tensor.
        self.bytes_moved += self.nbytes
        self._feed(features.embeds, positions)
        self.grids += 1

    @torch.inference_mode()
    def ask(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits (vocabulary,) of a text's last token; the text leaves the cache again."""
        logits: Tensor = self._stock.backbone.head(self._feed(self._stock.backbone.embed(ids), positions)[-1])
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[:, :, : -len(ids)], layer.values[:, :, : -len(ids)]
        return logits

    def _feed(self, embeds: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self._stock.backbone.text(
            inputs_embeds=embeds[None], position_ids=positions, past_key_values=self._cache, use_cache=True
        ).last_hidden_state[0]
        return states
