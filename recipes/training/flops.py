"""How much work a batch is, counted honestly: frozen parts, missing gradients, windows, visible pairs, no recompute."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recipes.data.batch import Batch
from recipes.training.modules import ModuleName, module_of
from recipes.training.objective import Objective
from recipes.training.terms import spoken_rows
from recipes.training.visible import real_tokens, visible_keys

_REPEATS = 5
_SIDE_CPU, _SIDE_DEVICE = 1024, 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations, a multiply and an add as two.

    Attributes:
        model: what the computation needs: no padding, only pairs that see each other, nothing twice.
        hardware: what is executed: padding, dense attention under a mask, and activations computed anew.
    """

    model: float = 0.0
    hardware: float = 0.0

    def __add__(self, other: Flops) -> Flops:
        return Flops(model=self.model + other.model, hardware=self.hardware + other.hardware)

    def __radd__(self, other: int) -> Flops:
        # So that `sum` may begin with 0.
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """Numbers in matrices of a part: all of them, and those that train."""

    every: int
    trained: int


class FlopsModel:
    """Counts the work of batches for one model.

    A matrix of N numbers costs 2N for each token forward, 2N for the gradient of its input where something before it
    trains, and 2N for its own gradient where it trains: 6N in all, 4N frozen but passed, 2N frozen and not passed
    (Kaplan et al., arXiv 2001.08361, for 6N). Attention costs 4 x heads x head width for each pair of tokens that see
    each other, and twice that again where a gradient passes. The head counts on rows it is asked about; the tower by
    patches, with its windows; features that are known cost nothing. Norms, activations and the optimizer are left out.

    Args:
        objective: the model with its losses, frozen as it will train.
    """

    def __init__(self, objective: Objective) -> None:
        backbone = objective.learner.backbone
        self._losses = objective.losses
        self._checkpointing = bool(backbone.text.layers[0].gradient_checkpointing)
        named = _matrices(backbone.model)
        self._language = _counted(named, "language")
        # torch stops computing anew where no activation is missing any more: before the last product of each layer.
        self._again = self._language.every - _counted([row for row in named if "down_proj" in row[0]], "language").every
        self._vision = _counted(named, "vision")
        self._merger = _counted(named, "merger")
        head = backbone.head.weight
        self._head = _Weights(every=head.numel(), trained=head.numel() * head.requires_grad)
        trained = {module_of(name) for name, weight in backbone.model.named_parameters() if weight.requires_grad}
        self._text_trains = "language" in trained
        self._vision_trains = "vision" in trained
        self._merger_trains = self._vision_trains or "merger" in trained
        layers, first = backbone.text.layers, backbone.text.layers[0].self_attn
        self._pair = 4 * len(layers) * backbone.config.num_attention_heads * int(first.head_dim)
        self._tower = _Tower.of(backbone.visual, backbone.model.config.vision_config)

    def of(self, batch: Batch) -> Flops:
        """The work of forward and backward passes over a batch."""
        passed = self._text_trains or (self._merger_trains and bool(batch.sights.shapes))
        body = _cost(self._language, passed=passed)
        attend = self._pair * (3 if passed else 1)
        real = real_tokens(batch)
        pairs = float((visible_keys(batch) * real).sum())
        slots = batch.token_ids.numel()
        dense = float(slots * batch.block_of.shape[1])
        again = 0.0
        if self._checkpointing and not batch.past and not batch.carries:
            again = slots * 2.0 * self._again + self._pair * dense
        asked, recomputed = self._asked(batch, passed=passed)
        seen = self._seen(batch)
        return Flops(
            model=batch.tokens * body + attend * pairs + asked + seen,
            hardware=slots * body + attend * dense + again + asked + recomputed + seen,
        )

    def _asked(self, batch: Batch, *, passed: bool) -> tuple[float, float]:
        """The head: what its rows cost, and what chunks that are computed anew cost on top."""
        spoken, twins = len(spoken_rows(batch, self._losses)), len(batch.twins)
        if self._losses.consistency.tokens <= 0:
            twins = 0
        full = _cost(self._head, passed=passed)
        forward = 2.0 * self._head.every
        # The later twin teaches and gets no gradient.
        learned = spoken + twins + len(batch.decisions.at)
        return learned * full + twins * forward, (spoken + 2 * twins) * forward

    def _seen(self, batch: Batch) -> float:
        """The tower and all that leads out of it."""
        if not batch.sights.shapes:
            return 0.0
        patches = sum(rows * columns for rows, columns in batch.sights.shapes)
        blocks = _cost(self._vision, passed=self._vision_trains)
        mergers = _cost(self._merger, passed=self._merger_trains)
        pairs = self._tower.attention(batch.sights.shapes) * (3 if self._vision_trains else 1)
        return patches * blocks + patches / self._tower.merge**2 * mergers + pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tower:
    """What the attention of a tower costs: windows are sides in tokens, 0 for none."""

    merge: int
    window: int
    whole: int
    windowed: int
    pair: int

    @classmethod
    def of(cls, visual: Any, config: Any) -> _Tower:  # noqa: ANN401 - three classes of transformers without a common type
        depth = len(visual.blocks)
        windows = "fullatt_block_indexes" in config.to_dict()
        whole = len(set(config.fullatt_block_indexes)) if windows else depth
        return cls(
            merge=int(config.spatial_merge_size),
            window=int(config.window_size) // int(config.patch_size) // int(config.spatial_merge_size)
            if windows
            else 0,
            whole=whole,
            windowed=depth - whole,
            pair=4 * int(config.hidden_size),
        )

    def attention(self, grids: Iterable[tuple[int, int]]) -> float:
        """One forward over grids of (rows, columns) patches."""
        total = 0.0
        for rows, columns in grids:
            total += self.pair * self.whole * float(rows * columns) ** 2
            if self.windowed:
                area = self._squares(rows // self.merge) * self._squares(columns // self.merge)
                total += self.pair * self.windowed * float(area * self.merge**4)
        return total

    def _squares(self, side: int) -> int:
        """Sum of squared lengths of the windows along a side of so many tokens."""
        full, rest = divmod(side, self.window)
        return full * self.window**2 + rest**2


def _matrices(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Weights that multiply every token: of linear layers, and of the convolution that embeds patches."""
    kept = []
    for prefix, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv3d):
            kept.append((f"{prefix}.weight", layer.weight))
    return kept


def _counted(named: Iterable[tuple[str, Tensor]], module: ModuleName) -> _Weights:
    chosen = [weight for name, weight in named if module_of(name) == module]
    return _Weights(
        every=sum(weight.numel() for weight in chosen),
        trained=sum(weight.numel() for weight in chosen if weight.requires_grad),
    )


def _cost(weights: _Weights, *, passed: bool) -> float:
    """Forward and backward of one token."""
    return 2.0 * weights.every + 2.0 * weights.every * passed + 2.0 * weights.trained


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second that the device reaches on one large product of matrices, the best of a few."""
    side = _SIDE_CPU if device.type == "cpu" else _SIDE_DEVICE
    one = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(_REPEATS):
        _wait(device)
        started = time.perf_counter()
        torch.mm(one, one)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
