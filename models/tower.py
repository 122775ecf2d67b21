"""The vision tower, grid by grid: a grid sees no other, so a stream is encoded as it comes and nothing twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from models.backbone import Backbone, Features
from models.errors import FrameError
from models.packing import Grid2, Packing, Run, WindowRule, pack

KEPT_PACKINGS = 32
SAMPLES = 64


class Tower:
    """Encodes grids of patches with the stock tower's own weights.

    The stock forward launches one attention call per window and grid outside flash attention; `batched` runs the same
    modules with all windows of one length in one call. The two agree to rounding, in their gradients too.

    Attributes:
        batched: windows of one length share a call.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        batched: bool = True,
    ) -> None:
        """Takes the backbone's tower, and moves it where asked.

        Args:
            backbone: the model; its tower itself is used, and moved, not copied.
            device: where to encode; None: where the tower is.
            dtype: of the weights; None: as they are.
            batched: see the class.
        """
        self._backbone = backbone
        # Three classes of transformers with the same parts; their attributes carry no types.
        self._visual: Any = backbone.visual
        self._fused = backbone.family.name != "qwen2_5_omni"
        self._deep = backbone.family.name == "qwen3_vl"
        self.batched = batched
        if device is not None:
            self._visual.to(device)
        if dtype is not None:
            # Parameters only: the frequencies of the rotary embedding must stay float32.
            for weight in self._visual.parameters():
                weight.data = weight.data.to(dtype)
        config = backbone.model.config.vision_config
        self._rule = WindowRule(
            merge=config.spatial_merge_size, window=0 if self._deep else config.window_size, patch=config.patch_size
        )
        self._layers_with_windows = (
            set() if self._deep else set(range(config.depth)) - set(config.fullatt_block_indexes)
        )
        self._taps = {layer: place for place, layer in enumerate(config.deepstack_visual_indexes)} if self._deep else {}
        self._packings: OrderedDict[tuple[Grid2, ...], Packing] = OrderedDict()
        self._lock = Lock()

    @property
    def device(self) -> torch.device:
        """Where the tower encodes."""
        weight: Tensor = self._visual.patch_embed.proj.weight
        return weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tower's weights."""
        weight: Tensor = self._visual.patch_embed.proj.weight
        return weight.dtype

    @torch.inference_mode()
    def encode(self, patches: Sequence[Tensor], grids: Sequence[Grid2]) -> list[Features]:
        """The features of each grid, in the decoder's dtype on the decoder's device.

        Args:
            patches: float32 (rows * columns, 3 * temporal * patch²) for each grid, on any device.
            grids: (rows, columns) of each, in patches.

        Returns:
            One record per grid, each with storage of its own. They are inference tensors: no gradient flows.

        Raises:
            FrameError: counts do not fit, or a grid is not made of whole tokens.
        """
        return self.forward(patches, grids)

    def forward(self, patches: Sequence[Tensor], grids: Sequence[Grid2]) -> list[Features]:
        """What `encode` gives, with gradients to the tower's weights and to the patches where they are enabled.

        Args:
            patches: as in `encode`.
            grids: as in `encode`.

        Raises:
            FrameError: as in `encode`.
        """
        self._check(patches, grids)
        if not grids:
            return []
        pixels = torch.cat([part.to(self.device, non_blocking=True) for part in patches])
        merged, deep, places = self._batched(pixels, grids) if self.batched else self._stock(pixels, grids)
        features = (Features(embeds=merged[at], deepstack=tuple(part[at] for part in deep)) for at in places)
        return [found.to(self._backbone.device, self._backbone.dtype) for found in features]

    def _check(self, patches: Sequence[Tensor], grids: Sequence[Grid2]) -> None:
        if len(patches) != len(grids):
            raise FrameError(f"encode: found {len(patches)} patch tensors and {len(grids)} grids, expected as many")
        merge = self._rule.merge
        width = self._visual.patch_embed.proj.weight[0].numel()
        for part, (rows, columns) in zip(patches, grids, strict=True):
            if min(rows, columns) < 1 or rows % merge or columns % merge:
                raise FrameError(f"encode: found a grid of {rows}×{columns} patches, expected multiples of {merge}")
            if part.shape != (rows * columns, width):
                raise FrameError(
                    f"encode: found patches {tuple(part.shape)} for a grid of {rows}×{columns}, "
                    f"expected {(rows * columns, width)}; cut them with the format of this model"
                )

    def _stock(self, pixels: Tensor, grids: Sequence[Grid2]) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        shapes = torch.tensor([(1, *grid) for grid in grids], device=self.device)
        out = self._visual(pixels, grid_thw=shapes)
        sizes = [rows * columns // self._rule.merge**2 for rows, columns in grids]
        places = [torch.arange(begin, end, device=self.device) for begin, end in pairwise([0, *accumulate(sizes)])]
        return out.pooler_output, out.deepstack_features if self._deep else (), places

    def _batched(self, pixels: Tensor, grids: Sequence[Grid2]) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        visual, packing = self._visual, self._packing(tuple(grids))
        hidden = self._embed(pixels, grids)
        hidden = hidden.reshape(-1, self._rule.merge**2, hidden.shape[-1])[packing.order].flatten(0, 1)
        cos, sin = visual.rotary_pos_emb(hidden, packing.positions)
        # Both halves of a head turn by the same angles.
        half = cos.shape[-1] // 2
        turn = (cos[:, None, None, :half], sin[:, None, None, :half])
        deep: list[Tensor] = []
        for layer, block in enumerate(visual.blocks):
            runs = packing.windows if layer in self._layers_with_windows else packing.whole
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), turn, runs)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if layer in self._taps:
                deep.append(visual.deepstack_merger_list[self._taps[layer]](hidden))
        return visual.merger(hidden), deep, packing.places

    def _embed(self, pixels: Tensor, grids: Sequence[Grid2]) -> Tensor:
        """Patch embeddings (patches, hidden), with the learned positions of Qwen3-VL."""
        visual = self._visual
        proj = visual.patch_embed.proj
        # A convolution whose stride is its kernel is one product of matrices.
        hidden = functional.linear(pixels.to(proj.weight.dtype), proj.weight.flatten(1), proj.bias)
        if not self._deep:
            return hidden
        index, weights = get_vision_interpolation_indices_and_weights(
            torch.tensor([(1, *grid) for grid in grids], device=self.device),
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=self._rule.merge,
        )
        places: Tensor = (visual.pos_embed(index) * weights[:, :, None]).sum(1)
        return hidden + places.to(hidden.dtype)

    def _attend(self, attn: Any, hidden: Tensor, turn: tuple[Tensor, Tensor], runs: Sequence[Run]) -> Tensor:  # noqa: ANN401
        """Attention of one layer: (patches, hidden) to the same, one call per run."""
        parts = attn.qkv(hidden) if self._fused else torch.cat([attn.q(hidden), attn.k(hidden), attn.v(hidden)], -1)
        joint = parts.reshape(len(hidden), 3, attn.num_heads, -1)
        turned, values = _turn(joint[:, :2], turn), joint[:, 2]
        out = torch.empty_like(hidden)
        for run in runs:
            query, key = run.take(turned).transpose(1, 3).unbind(2)
            value = run.take(values).transpose(1, 2)
            seen = functional.scaled_dot_product_attention(query, key, value, scale=attn.scaling)
            run.put(out, seen.transpose(1, 2).flatten(2))
        projected: Tensor = attn.proj(out)
        return projected

    def _packing(self, grids: tuple[Grid2, ...]) -> Packing:
        with self._lock:
            found = self._packings.pop(grids, None)
            if found is None:
                # Kept for others, who may want gradients through what it indexes.
                with torch.inference_mode(mode=False):
                    found = pack(grids, self._rule, self.device)
            self._packings[grids] = found
            if len(self._packings) > KEPT_PACKINGS:
                self._packings.popitem(last=False)
            return found

    @property
    def fingerprint(self) -> bytes:
        """16 bytes of configuration, dtype, device and samples of every weight, as they are at this moment.

        Whoever keeps features under it reads it once, and the weights must not change from then on.
        """
        config = self._visual.config.to_json_string(use_diff=False)
        state = hashlib.blake2b(
            f"{config} {self.device} {self.batched} {self._backbone.dtype}".encode(), digest_size=16
        )
        samples = []
        for name, weight in self._visual.named_parameters():
            state.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            flat = weight.detach().flatten()
            samples.append(flat[:: -(-len(flat) // SAMPLES)].double())
        state.update(torch.cat(samples).cpu().numpy().tobytes())
        return state.digest()


def _turn(states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the halves of each head by the patch's angles, in float32 as the stock tower does.

    Args:
        states: (patches, 2, heads, head width).
        turn: cosines and sines, (patches, 1, 1, half a head's width).
    """
    cos, sin = turn
    first, second = states.float().chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(states.dtype)
