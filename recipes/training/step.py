"""One step of training: micro-batches forward and backward, and the same gradient however the global batch was cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from transformers import Cache

from recipes.data.batch import Batch
from recipes.errors import DivergedError, RecipeError
from recipes.training.blank import blank_batch
from recipes.training.flops import Flops, FlopsModel
from recipes.training.objective import Found, Objective
from recipes.training.terms import TERMS, documents_of

References = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Running:
    """What a step works with.

    Attributes:
        accelerator: of accelerate.
        objective: the module itself.
        model: the same, as accelerate wraps it.
        optimizer: as accelerate wraps it.
        clip: greatest norm of all gradients.
        flops: counts the work of a batch.
        references: of each trace of a pair, (2,) its scores under the model that training began with; None: none.
    """

    accelerator: Accelerator
    objective: Objective
    model: nn.Module
    optimizer: torch.optim.Optimizer
    clip: float
    flops: FlopsModel
    references: References | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """What a step found; the same in every process.

    Attributes:
        loss: the sum of all losses, each with its weight.
        losses: each of those that had something to count, divided by its own weight and not yet weighed.
        states: (3, 3) of each labelled state: sum of negative log-probabilities, right ones, and how many.
        sources: of each source, mean negative log-probability of its words in this process's share.
        grad_norm: before clipping.
        tokens, supervised: of the global batch, padding left out.
        flops: of the global batch.
        stop: whether any process was asked to stop.
    """

    loss: float
    losses: Mapping[str, float]
    states: Tensor
    sources: Mapping[str, tuple[float, float]]
    grad_norm: float
    tokens: int
    supervised: int
    flops: Flops
    stop: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Agreed:
    """What all processes know of a step before it begins: float64 (K,) weights, and how many passes each makes."""

    weights: Tensor
    tokens: int
    supervised: int
    flops: Flops
    passes: int
    stop: bool


def take_step(running: Running, batches: Sequence[Batch], *, step: int, stop: bool) -> Taken:
    """Takes a step of the optimizer.

    The loss is sum_k scale_k (sum of totals_k) / (sum of weights_k), both sums over the micro-batches of all processes.
    Weights follow from labels, so they are summed before the first forward.

    Args:
        running: model, optimizer and what belongs to them.
        batches: this process's micro-batches; windows of a document behind each other.
        step: from 0.
        stop: whether this process was asked to stop.

    Raises:
        DivergedError: a loss or the gradient is not finite; no weight has changed.
        RecipeError: no process has a batch.
    """
    accelerator, scales = running.accelerator, running.objective.losses.scales(step)
    agreed = _agree(running, batches, step=step, stop=stop)
    scale = torch.tensor([scales[name] for name in TERMS], dtype=torch.float64, device=accelerator.device)
    divisor = torch.where(agreed.weights > 0, agreed.weights, torch.ones_like(agreed.weights))
    # Gradients are averaged over processes, and this is a sum.
    share = (scale / divisor * accelerator.num_processes).float()
    totals, founds = _passes(running, batches, share, step=step, passes=agreed.passes)
    told = torch.cat(
        [totals.double().sum(0), sum((found.states.double() for found in founds), _none(totals)).flatten()]
    )
    told = _summed(accelerator, told)
    norm = accelerator.clip_grad_norm_(running.model.parameters(), running.clip)
    grad_norm = float("nan") if norm is None else float(norm)
    values = told[: len(TERMS)] / divisor
    loss = float((values * scale).sum())
    if not bool(torch.isfinite(told).all()) or (norm is not None and not grad_norm < float("inf")):
        raise _diverged(accelerator, batches, totals, step=step, loss=loss if loss == loss else float("nan"))
    running.optimizer.step()
    running.optimizer.zero_grad(set_to_none=True)
    return Taken(
        loss=loss,
        losses={name: float(values[k]) for k, name in enumerate(TERMS) if scales[name] > 0 and agreed.weights[k] > 0},
        states=told[len(TERMS) :].reshape(3, 3).cpu(),
        sources=_sources(batches, founds),
        grad_norm=grad_norm,
        tokens=agreed.tokens,
        supervised=agreed.supervised,
        flops=agreed.flops,
        stop=agreed.stop,
    )


def _none(totals: Tensor) -> Tensor:
    return torch.zeros(3, 3, dtype=torch.float64, device=totals.device)


def _agree(running: Running, batches: Sequence[Batch], *, step: int, stop: bool) -> _Agreed:
    """Sums over processes what is known of their batches before any forward."""
    accelerator = running.accelerator
    weights = torch.zeros(len(TERMS), dtype=torch.float64)
    for batch in batches:
        weights += running.objective.weights(batch, step).cpu()
    flops = sum((running.flops.of(batch) for batch in batches), Flops())
    counts = [
        sum(batch.tokens for batch in batches),
        sum(len(batch.rows) for batch in batches),
        flops.model,
        flops.hardware,
        float(stop),
    ]
    passes = torch.zeros(accelerator.num_processes, dtype=torch.float64)
    passes[accelerator.process_index] = len(batches)
    mine = torch.cat([weights, torch.tensor(counts, dtype=torch.float64), passes])
    whole = _summed(accelerator, mine.to(accelerator.device))
    known = whole[len(TERMS) :].tolist()
    if max(known[5:]) == 0:
        raise RecipeError(f"step {step}: no process has a batch; the data side skipped all of it")
    return _Agreed(
        weights=whole[: len(TERMS)],
        tokens=int(known[0]),
        supervised=int(known[1]),
        flops=Flops(model=known[2], hardware=known[3]),
        passes=int(max(known[5:])),
        stop=known[4] > 0,
    )


def _passes(
    running: Running, batches: Sequence[Batch], share: Tensor, *, step: int, passes: int
) -> tuple[Tensor, list[Found]]:
    """Forward and backward of all micro-batches: totals (passes, K) without a graph, and what was found.

    A process with fewer micro-batches than another one passes blanks, because gradients and shards of weights travel
    only where all processes take part.
    """
    accelerator, model = running.accelerator, running.model
    totals, founds = [], []
    carried: Cache | None = None
    for k in range(passes):
        batch = batches[k].to(accelerator.device) if k < len(batches) else blank_batch(accelerator.device)
        with nullcontext() if k == passes - 1 else accelerator.no_sync(model):
            outcome: tuple[Tensor, Found] = model(
                batch, step, carried if batch.past else None, _references(running.references, batch)
            )
            total, found = outcome
            accelerator.backward((total * share).sum())
        carried = found.cache
        totals.append(total.detach())
        founds.append(found)
    return torch.stack(totals), founds


def _references(references: References | None, batch: Batch) -> Tensor | None:
    """(p, 2, 2) of the pairs of a batch."""
    if references is None or not len(batch.rivals):
        return None
    keys = documents_of(batch)
    lacking = [keys[place] for place in batch.rivals.flatten().tolist() if keys[place] not in references]
    if lacking:
        raise RecipeError(
            f"pairs: no reference score for {lacking[0]}; delete the stage's reference.json and begin anew"
        )
    return torch.stack(
        [torch.stack([references[keys[one]], references[keys[other]]]) for one, other in batch.rivals.tolist()]
    )


def _summed(accelerator: Accelerator, values: Tensor) -> Tensor:
    if accelerator.num_processes == 1:
        return values
    whole: Tensor = accelerator.reduce(values, reduction="sum")
    return whole


def _sources(batches: Sequence[Batch], founds: Sequence[Found]) -> dict[str, tuple[float, float]]:
    """Of each source, the sum of weight x negative log-probability and the sum of weights, in this process."""
    sums: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for batch, found in zip(batches, founds, strict=False):
        for name, (total, weight) in zip(batch.sources, found.sources.tolist(), strict=True):
            sums[name] += total
            weights[name] += weight
    return {name: (sums[name], weights[name]) for name in sums}


def gather_sources(accelerator: Accelerator, sources: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Mean cost of each source's words over all processes, by name."""
    shared = gather_object([dict(sources)]) if accelerator.num_processes > 1 else [dict(sources)]
    names = sorted({name for part in shared for name in part})
    whole = {name: [sum(part.get(name, (0.0, 0.0))[k] for part in shared) for k in (0, 1)] for name in names}
    return {name: total / weight for name, (total, weight) in whole.items() if weight > 0}


def _diverged(
    accelerator: Accelerator, batches: Sequence[Batch], totals: Tensor, *, step: int, loss: float
) -> DivergedError:
    finite = torch.isfinite(totals).all(dim=1).tolist()
    bad = [key for batch, good in zip(batches, finite, strict=False) if not good for key in documents_of(batch)]
    every = [key for batch in batches for key in documents_of(batch)]
    mine = [(bad, every)]
    shared = gather_object(mine) if accelerator.num_processes > 1 else mine
    keys = [key for part in shared for key in part[0]] or [key for part in shared for key in part[1]]
    shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    return DivergedError(
        f"step {step + 1}: the loss is {loss}, or its gradient is not finite, on the batch of {shown}; nothing was "
        "changed or written after it: go on from the last checkpoint with a lower lr or clip, or look at these examples"
    )
