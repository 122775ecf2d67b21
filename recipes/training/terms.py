"""From what the model found on a batch to its losses: which rows each one reads, with which weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from recipes.data.batch import Batch
from recipes.losses.answers import target_log_probs
from recipes.losses.consistency import calm_loss, decision_consistency, feature_consistency, gates, token_consistency
from recipes.losses.deadline import Timing, deadline_weights, length_loss
from recipes.losses.decisions import decision_loss, focal_loss, row_weights
from recipes.losses.episodes import Episodes, episodes
from recipes.losses.interaction import Pairs, interaction_loss, trace_means, trace_scores
from recipes.losses.latency import latency_weights
from recipes.losses.part import Part, weighted_sum
from recipes.losses.rows import DecisionRows
from recipes.losses.settings import Losses, TermName
from recipes.losses.survival import delay_loss, survival_loss
from recipes.losses.total import compute_parts
from recipes.training.visible import visible_keys

TERMS: tuple[TermName, ...] = (
    "answer",
    "decision",
    "consistency.decisions",
    "consistency.tokens",
    "consistency.features",
    "consistency.calm",
    "latency.survival",
    "latency.delay",
    "latency.length",
    "interaction",
)


def compared_rows(batch: Batch, losses: Losses) -> Tensor:
    """Bool (S,): words of a trace that stands against another, where that counts."""
    if losses.interaction.weight <= 0:
        return torch.zeros_like(batch.text)
    return batch.text & torch.isin(batch.document, batch.rivals)


def spoken_rows(batch: Batch, losses: Losses) -> Tensor:
    """Int64 (m,): the supervised rows whose tokens are scored over the whole vocabulary."""
    return ((batch.weights > 0) | compared_rows(batch, losses)).nonzero()[:, 0]


def documents_of(batch: Batch) -> tuple[str, ...]:
    """The key of each document, in the order in which they are numbered through the batch."""
    return tuple(key for row in batch.keys for key in row)


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A batch with what the model found on it, and the settings under which it is judged.

    Attributes:
        batch: S supervised rows, n of them decisions.
        hidden: (S, width).
        project: (k, width) to (k, vocabulary).
        logits: (n, 3) of the decisions.
        targets: int64 (S,), in the vocabulary that `project` has.
        losses: settings.
        balance: (3,) weight of each state.
        step: of the optimizer.
        end_id: the token at which a reply ends.
    """

    batch: Batch
    hidden: Tensor
    project: Callable[[Tensor], Tensor]
    logits: Tensor
    targets: Tensor
    losses: Losses
    balance: Tensor
    step: int
    end_id: int

    @property
    def rows(self) -> DecisionRows:
        """The decisions."""
        return self.batch.decisions

    @cached_property
    def episodes(self) -> Episodes:
        """The waits for an answer that they make up."""
        return episodes(self.rows)

    @cached_property
    def gate_s(self) -> Tensor:
        """(n,) seconds for which a decision and the next one should agree."""
        return gates(self.rows, self.batch.decisions.still)

    @cached_property
    def compared(self) -> Tensor:
        """Bool (S,): words of a trace that stands against another."""
        return compared_rows(self.batch, self.losses)

    @cached_property
    def answer_weights(self) -> Tensor:
        """(S,) of each row in the cross entropy; the worse trace of a pair is never learned."""
        batch = self.batch
        weights = batch.weights.masked_fill(torch.isin(batch.document, batch.rivals[:, 1]), 0.0)
        latency = self.losses.latency.at(self.step)
        if latency.form != "compute":
            return weights
        return weights * deadline_weights(timing(batch), latency.profile(), gain=latency.gain).to(weights.dtype)

    @cached_property
    def spoken(self) -> Tensor:
        """Int64 (m,): the supervised rows whose tokens are scored."""
        return spoken_rows(self.batch, self.losses)

    @cached_property
    def log_probs(self) -> Tensor:
        """(m,) log-probability of the target of each scored row."""
        chunk = self.losses.answer.chunk
        return target_log_probs(self.hidden[self.spoken], self.project, targets=self.targets[self.spoken], chunk=chunk)

    def traces(self) -> Tensor:
        """(documents, 2): mean log-probability of the decisions and of the words of each document."""
        count = len(documents_of(self.batch))
        logs = functional.log_softmax(self.logits.float(), dim=-1)
        taken = logs.gather(1, self.rows.states[:, None])[:, 0]
        kept = self.compared[self.spoken]
        words = self.log_probs[kept].to(taken.dtype)
        owners = self.batch.document[self.spoken][kept]
        return torch.stack([trace_means(taken, self.rows.document, count), trace_means(words, owners, count)], dim=1)


def timing(batch: Batch) -> Timing:
    """When each supervised token is wanted: until the window of the decision that its answer begins with ends."""
    first = torch.searchsorted(batch.answer, batch.answer)
    deadline = torch.full_like(batch.said_at_s, float("inf"))
    at = batch.decisions.at
    # An answer's decision is its first token.
    deadline[at] = batch.decisions.window_s
    return Timing(
        begin_s=batch.said_at_s,
        context=visible_keys(batch).flatten()[batch.rows],
        place=torch.arange(len(first), device=first.device) - first,
        deadline_s=deadline[first],
    )


def parts_of(view: View, reference: Tensor | None) -> dict[TermName, Part]:
    """The losses of a batch that count at this step, each as a sum that is not divided yet.

    Args:
        view: the batch.
        reference: (p, 2, 2) `View.traces` of the chosen and the rejected trace of each pair under the model that
            training began with; None takes zeros.
    """
    losses, latency = view.losses, view.losses.latency.at(view.step)
    calm, gate_s, logits, rows = losses.consistency, view.gate_s, view.logits, view.rows
    terms: dict[str, Callable[[], Part]] = {
        # The divisor holds the weights too: divided by the number of labels, a change of weights would change the rate.
        "answer": lambda: weighted_sum(-view.log_probs, view.answer_weights[view.spoken]),
        "decision": lambda: _decided(view),
        "consistency.decisions": lambda: decision_consistency(
            logits, rows, gate_s=gate_s, lam=calm.lam, smoothing=calm.smoothing
        ),
        "consistency.tokens": lambda: _twins(view),
        "consistency.features": lambda: feature_consistency(view.hidden[view.batch.decisions.at], gate_s),
        "consistency.calm": lambda: calm_loss(logits, rows, gate_s=gate_s),
        # One moment of a window has its words in the batch, so no other can be weighed by how well it is said.
        "latency.survival": lambda: survival_loss(logits, rows, grouped=view.episodes, lam=latency.lam, gamma=0.0),
        "latency.delay": lambda: delay_loss(logits, rows, grouped=view.episodes, rho=latency.rho),
        "latency.length": lambda: _lengths(view),
        "interaction": lambda: _preferred(view, reference),
    }
    found = compute_parts(terms, {str(name): scale for name, scale in losses.scales(view.step).items()})
    return {name: found[name] for name in TERMS if name in found}


def _decided(view: View) -> Part:
    weights = row_weights(view.rows, view.balance)
    latency = view.losses.latency.at(view.step)
    if latency.form == "weighted":
        factors = latency_weights(
            view.rows, alpha=latency.alpha, beta=latency.beta, tau_s=latency.tau_s, scale_s=latency.scale_s
        )
        weights = weights * factors
    chosen = view.losses.decision
    if chosen.kind == "focal":
        return focal_loss(view.logits, view.rows, weights=weights, gamma=chosen.gamma, form=chosen.form)
    return decision_loss(view.logits, view.rows, weights=weights)


def _twins(view: View) -> Part:
    before, after = view.batch.twins.unbind(1)
    seconds = (view.batch.said_at_s[after] - view.batch.said_at_s[before]).clamp(min=0)
    return token_consistency(
        view.hidden[before],
        view.hidden[after],
        project=view.project,
        weights=seconds,
        chunk=view.losses.answer.chunk,
    )


def _lengths(view: View) -> Part:
    ends = torch.full_like(view.targets[view.spoken], view.end_id)
    log_end = target_log_probs(view.hidden[view.spoken], view.project, targets=ends, chunk=view.losses.answer.chunk)
    whole = timing(view.batch)
    chosen = Timing(
        begin_s=whole.begin_s[view.spoken],
        context=whole.context[view.spoken],
        place=whole.place[view.spoken],
        deadline_s=whole.deadline_s[view.spoken],
    )
    return length_loss(log_end, chosen, view.losses.latency.profile())


def _preferred(view: View, reference: Tensor | None) -> Part:
    chosen = view.losses.interaction
    traces = view.traces()[view.batch.rivals]
    began = torch.zeros_like(traces) if reference is None else reference.to(traces)
    # What is said at the wrong time is not wrong in its words: they are neither pushed up nor down.
    nu = (chosen.nu * view.batch.worded.to(traces.dtype))[:, None]
    policy, before = (trace_scores(each[..., 0], each[..., 1], nu=nu) for each in (traces, began))
    utilities = view.batch.utilities
    return interaction_loss(
        Pairs(chosen=policy[:, 0], rejected=policy[:, 1]),
        Pairs(chosen=before[:, 0], rejected=before[:, 1]),
        gap=(utilities[:, 0] - utilities[:, 1]).to(policy.dtype),
        beta=chosen.beta,
        eta=chosen.eta,
        mu=chosen.mu,
    )
