"""Who takes the same optimizer steps in which way: the plain padded batch, and what each change to it buys."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from recipes.data.batch import Batch
from recipes.learner import Learner
from recipes.settings import ModulesConfig, OptimConfig
from recipes.training.flops import FlopsModel
from recipes.training.modules import parameter_groups
from recipes.training.objective import Objective
from recipes.training.step import Running, take_step
from tests.bench.training_samples import Padded, VoidError, labels_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """What is learned in one step of the optimizer, in each of its forms.

    Attributes:
        supervised: tokens that are learned.
        padded, alike: padded batches in the order of the data, and of samples of like length.
        packed: packed samples, each picture as often as it is shown.
        once: the same with each picture once.
        shared: as this project packs them: one video for many questions.
    """

    supervised: int
    padded: Sequence[Padded]
    alike: Sequence[Padded]
    packed: Sequence[Batch]
    once: Sequence[Batch]
    shared: Sequence[Batch]


class Contender(Protocol):
    """Takes steps on weights of its own."""

    def take(self, turn: Turn) -> float:
        """One step; its loss."""

    def places(self, turn: Turn) -> int:
        """Places of the decoder that it fills in a step, padding among them."""

    def pictures(self, turn: Turn) -> int:
        """Pictures of two frames that it encodes in a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What of a model trains, and how."""

    modules: ModulesConfig
    optim: OptimConfig


def optimizer_of(model: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """The optimizer that every contender has."""
    optim = recipe.optim
    groups: Any = parameter_groups(model, recipe.modules, optim)
    return torch.optim.AdamW(groups, betas=(optim.beta1, optim.beta2), eps=optim.eps)


class _Own:
    """A copy of the model with an optimizer: passes that sum up to one step."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe) -> None:
        self.model: Any = copy.deepcopy(model).train()
        self._clip = recipe.optim.clip
        self._optimizer = optimizer_of(self.model, recipe)

    def _step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


class Plain(_Own):
    """The stock forward with labels over padded batches, summed as the trainer of transformers sums micro-batches."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe, *, alike: bool = False) -> None:
        super().__init__(model, recipe)
        self._alike = alike

    def _batches(self, turn: Turn) -> Sequence[Padded]:
        return turn.alike if self._alike else turn.padded

    def take(self, turn: Turn) -> float:
        """One step."""
        total = 0.0
        for batch in self._batches(turn):
            loss = self.model(
                input_ids=batch.token_ids, attention_mask=batch.attention, position_ids=batch.positions,
                pixel_values_videos=batch.patches, video_grid_thw=batch.grids, labels=batch.labels,
                num_items_in_batch=turn.supervised, use_cache=False,
            ).loss  # fmt: skip
            loss.backward()
            total += float(loss.detach())
        self._step()
        return total

    def places(self, turn: Turn) -> int:
        """Tokens and padding."""
        return sum(batch.token_ids.numel() for batch in self._batches(turn))

    def pictures(self, turn: Turn) -> int:
        """Each as often as it is shown."""
        return sum(int(batch.grids[:, 0].sum()) for batch in self._batches(turn))


class Packed(_Own):
    """The stock forward with labels over packed rows, under a mask that keeps samples apart."""

    def take(self, turn: Turn) -> float:
        """One step."""
        total = 0.0
        for batch in turn.packed:
            sights = batch.sights
            loss = self.model(
                input_ids=batch.token_ids, attention_mask=batch.mask(self.model.dtype), position_ids=batch.positions,
                pixel_values_videos=sights.patches, video_grid_thw=torch.tensor([(1, *grid) for grid in sights.shapes]),
                labels=labels_of(batch), num_items_in_batch=turn.supervised, use_cache=False,
            ).loss  # fmt: skip
            loss.backward()
            total += float(loss.detach())
        self._step()
        return total

    def places(self, turn: Turn) -> int:
        """Tokens and padding."""
        return sum(batch.token_ids.numel() for batch in turn.packed)

    def pictures(self, turn: Turn) -> int:
        """Each as often as it is shown."""
        return sum(len(batch.sights.shapes) for batch in turn.packed)


class Supervised(_Own):
    """Packed rows of which only those that are learned meet the vocabulary.

    Args:
        model: a copy of it is taken.
        recipe: of the optimizer.
        once: each picture of a batch is encoded once, all windows of a length in one call; False: the stock tower.
    """

    def __init__(self, model: PreTrainedModel, recipe: Recipe, *, once: bool) -> None:
        super().__init__(model, recipe)
        self._learner = Learner(self.model).train()
        self._learner.tower.batched = once
        self._once = once

    def _batches(self, turn: Turn) -> Sequence[Batch]:
        return turn.once if self._once else turn.packed

    def take(self, turn: Turn) -> float:
        """One step."""
        total = 0.0
        for batch in self._batches(turn):
            logits: Tensor = self._learner.project(self._learner(batch).hidden)
            loss = functional.cross_entropy(logits, batch.targets, reduction="sum") / turn.supervised
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self._step()
        return total

    def places(self, turn: Turn) -> int:
        """Tokens and padding."""
        return sum(batch.token_ids.numel() for batch in self._batches(turn))

    def pictures(self, turn: Turn) -> int:
        """As the sights of the batches hold them."""
        return sum(len(batch.sights.shapes) for batch in self._batches(turn))


class Ours:
    """The training step of this project, as its loop takes it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._step = 0

    @classmethod
    def of(cls, objective: Objective, recipe: Recipe, accelerator: Accelerator) -> Ours:
        """As `recipes.training.loop.set_up` puts it together."""
        flops = FlopsModel(objective)
        model, optimizer = accelerator.prepare(objective.train(), optimizer_of(objective.learner.model, recipe))
        return cls(
            Running(
                accelerator=accelerator, objective=objective, model=model, optimizer=optimizer,
                clip=recipe.optim.clip, flops=flops,
            )
        )  # fmt: skip

    def take(self, turn: Turn) -> float:
        """One step."""
        taken = take_step(self.running, turn.shared, step=self._step, stop=False)
        if taken.supervised != turn.supervised or set(taken.losses) != {"answer"}:
            raise VoidError(f"ours learned {taken.supervised} tokens by {sorted(taken.losses)}, not {turn.supervised}")
        self._step += 1
        return taken.loss

    def places(self, turn: Turn) -> int:
        """Tokens and padding."""
        return sum(batch.token_ids.numel() for batch in turn.shared)

    def pictures(self, turn: Turn) -> int:
        """Each content once."""
        return sum(len(batch.sights.shapes) for batch in turn.shared)


def furthest(losses: Sequence[float], others: Sequence[float]) -> float:
    """The greatest difference of two runs of losses; infinity where one is no number or a step is missing."""
    if len(losses) != len(others) or not losses:
        return float("inf")
    apart = [abs(one - other) for one, other in zip(losses, others, strict=True)]
    return max((one if one == one else float("inf") for one in apart), default=float("inf"))
