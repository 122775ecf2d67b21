"""The model with its losses as one module: all that needs weights happens inside its forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Cache

from recipes.data.batch import Batch
from recipes.errors import RecipeError
from recipes.learner import Learner
from recipes.losses.decisions import class_weights
from recipes.losses.part import Part
from recipes.losses.settings import Losses, TermName
from recipes.training.terms import TERMS, View, parts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The tokens that losses know by name.

    Attributes:
        decision_ids: silence, standby and respond.
        end_id: at which a reply ends.
    """

    decision_ids: tuple[int, int, int]
    end_id: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a forward found beside the losses; nothing of it has a graph.

    Attributes:
        weights: (K,) what each total is to be divided by, in the order of TERMS.
        cache: keys and values for the next window; None: there is none.
        sources: (len(batch.sources), 2) of each source: sum of weight x negative log-probability of its words, and
            sum of weights.
        states: (3, 3) of each labelled state: sum of negative log-probabilities, right ones, and how many.
        traces: (documents, 2) mean log-probability of decisions and of words.
    """

    weights: Tensor
    cache: Cache | None
    sources: Tensor
    states: Tensor
    traces: Tensor

    def parts(self, totals: Tensor) -> dict[TermName, Part]:
        """The losses by name, from the totals of the same forward."""
        return {
            name: Part(total=total, weight=weight)
            for name, total, weight in zip(TERMS, totals, self.weights, strict=True)
        }


class Objective(nn.Module):
    """A learner with the losses of a stage.

    Args:
        learner: the model.
        losses: which count, and how much.
        counts: decisions of each state in the whole of the data.
        wording: tokens that losses know by name.
    """

    def __init__(self, learner: Learner, losses: Losses, *, counts: Sequence[int], wording: Wording) -> None:
        super().__init__()
        self.learner = learner
        self.losses = losses
        self.wording = wording
        chosen = losses.decision
        balance = class_weights(counts, balance=chosen.balance, beta=chosen.effective_beta)
        self.register_buffer("balance", balance.float(), persistent=False)
        self.balance: Tensor

    @property
    def _no_split_modules(self) -> list[str]:
        # What accelerate shards by itself: decoder layers alone, since the tower calls into its blocks piece by piece.
        return [type(self.learner.backbone.text.layers[0]).__name__]

    def forward(
        self, batch: Batch, step: int, carried: Cache | None = None, reference: Tensor | None = None
    ) -> tuple[Tensor, Found]:
        """The losses of a batch.

        Args:
            batch: on the device of the model.
            step: of the optimizer; ramps go by it.
            carried: keys and values of the windows before it.
            reference: (p, 2, 2) traces of its pairs under the model that training began with; see `parts_of`.

        Returns:
            (K,) totals in the order of TERMS, with a graph, 0 for losses that do not count; and what else was found.
        """
        seen = self.learner(batch, carried)
        logits = self.learner.project(seen.hidden[batch.decisions.at])[:, list(self.wording.decision_ids)]
        view = self._view(batch, step, hidden=seen.hidden, logits=logits)
        parts = parts_of(view, reference)
        if not parts:
            raise RecipeError(f"losses: none counts at step {step}; give at least one a weight above 0 there")
        # Every total hangs on the logits, so that each parameter that may train is in the graph of each forward.
        nothing = (logits.sum() * 0.0 + self._unused(batch)).float()
        totals = torch.stack([parts[name].total.float() if name in parts else nothing for name in TERMS]) + nothing
        with torch.no_grad():
            return totals, self._found(view, parts, seen.cache)

    def weights(self, batch: Batch, step: int) -> Tensor:
        """What the totals of a forward will be divided by, without a forward: float64 (K,) on the batch's device.

        The losses are asked with zeros for what the model would say; a weight never depends on it.
        """
        count = len(batch.rows)
        device = batch.rows.device
        nothing = torch.zeros(count, 1, dtype=torch.float64, device=device)
        view = View(
            batch=batch,
            hidden=nothing,
            project=_unchanged,
            logits=torch.zeros(len(batch.decisions.at), 3, dtype=torch.float64, device=device),
            targets=torch.zeros_like(batch.targets),
            losses=self.losses,
            balance=self.balance.to(device),
            step=step,
            end_id=0,
        )
        with torch.no_grad():
            parts = parts_of(view, None)
        absent = torch.zeros((), dtype=torch.float64, device=device)
        return torch.stack([parts[name].weight.double() if name in parts else absent for name in TERMS])

    def _view(self, batch: Batch, step: int, *, hidden: Tensor, logits: Tensor) -> View:
        return View(
            batch=batch,
            hidden=hidden,
            project=self.learner.project,
            logits=logits,
            targets=batch.targets,
            losses=self.losses,
            balance=self.balance,
            step=step,
            end_id=self.wording.end_id,
        )

    def _unused(self, batch: Batch) -> Tensor:
        """0, with a graph that reaches the tower where a batch without pictures to encode leaves it out."""
        total = self.balance.sum() * 0.0
        if batch.sights.shapes:
            return total
        for weight in self.learner.backbone.visual.parameters():
            if weight.requires_grad:
                total = total + weight.flatten()[0] * 0.0
        return total

    def _found(self, view: View, parts: dict[TermName, Part], cache: Cache | None) -> Found:
        batch = view.batch
        nothing = self.balance.new_zeros(())
        weights = view.answer_weights[view.spoken].float()
        costs = torch.stack([-view.log_probs.detach().float() * weights, weights], dim=1)
        sources = costs.new_zeros(len(batch.sources), 2).index_add(0, batch.source[view.spoken], costs)
        states = view.rows.states
        logs = functional.log_softmax(view.logits.detach().float(), dim=-1)
        told = torch.stack(
            [
                -logs.gather(1, states[:, None])[:, 0],
                (logs.argmax(-1) == states).float(),
                torch.ones_like(logs[:, 0]),
            ],
            dim=1,
        )
        learned = view.rows.learned
        return Found(
            weights=torch.stack([parts[name].weight.float() if name in parts else nothing for name in TERMS]),
            cache=cache,
            sources=sources,
            states=told.new_zeros(3, 3).index_add(0, states[learned], told[learned]),
            traces=view.traces().detach() if len(batch.rivals) else nothing.expand(0, 2),
        )


def _unchanged(hidden: Tensor) -> Tensor:
    return hidden
