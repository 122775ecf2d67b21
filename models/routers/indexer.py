"""The learned router: projections of words and patches into a common space, trained on which frames were relevant."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from models.errors import PackageError, SettingsError
from models.memory.signals import unit
from models.routers.candidate import EMPTY_SCORE, Candidate, check_query, check_width, features_on

TEMPERATURE: Final = 0.05  # cosines differ by little; a softmax over them needs this to tell them apart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """A question (words, dim), the frames it could look at, and the indices of those that answer it.

    Raises SettingsError when no candidate is relevant, an index is out of range or twice, or a relevant one is empty.
    """

    query: torch.Tensor
    candidates: tuple[Candidate, ...]
    relevant: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse an example that teaches nothing."""
        known = {index for index, candidate in enumerate(self.candidates) if candidate.features.shape[0]}
        if not self.relevant or len(set(self.relevant)) != len(self.relevant) or not known.issuperset(self.relevant):
            raise SettingsError(
                f"example: relevant is {self.relevant}, expected one or more distinct indices of the "
                f"{len(self.candidates)} candidates, none of them without tokens"
            )


class Indexer(nn.Module):
    """Mean over words of the greatest cosine between W_q word and W_k patch; in [-1, 1].

    `query_dim` and `frame_dim` are the widths of the two inputs, which need not be equal; `width` that of the common
    space. The weights are `W_q` (width, query_dim) and `W_k` (width, frame_dim), float32, without bias. Learned
    projections compared by dot product choose what is attended to in DeepSeek-V3.2's lightning indexer; the pooling
    over patches and words is that of ColBERT (arXiv 2004.12832). Raises SettingsError.
    """

    def __init__(self, *, query_dim: int, frame_dim: int, width: int, seed: int = 0) -> None:
        super().__init__()
        if min(query_dim, frame_dim, width) < 1:
            raise SettingsError(f"indexer of {query_dim}, {frame_dim} and {width} dimensions; each must be 1 or more")
        generator = torch.Generator().manual_seed(seed)
        self.W_q = nn.Parameter(torch.randn(width, query_dim, generator=generator) / math.sqrt(query_dim))
        self.W_k = nn.Parameter(torch.randn(width, frame_dim, generator=generator) / math.sqrt(frame_dim))

    def forward(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 with gradients, on the indexer's device; -inf without tokens."""
        device = self.W_q.device
        words = check_query(query).to(device)
        if words.shape[1] != self.W_q.shape[1]:
            raise SettingsError(f"the query is {words.shape[1]} wide, the indexer was made for {self.W_q.shape[1]}")
        check_width(candidates, dim=self.W_k.shape[1])
        if not any(candidate.features.shape[0] for candidate in candidates):
            return torch.full((len(candidates),), EMPTY_SCORE, device=device)
        patches = torch.cat([features_on(candidate, device) for candidate in candidates])
        cosines = unit(words @ self.W_q.float().T) @ unit(patches @ self.W_k.float().T).T
        parts = torch.split(cosines, [candidate.features.shape[0] for candidate in candidates], dim=1)
        empty = torch.full((), EMPTY_SCORE, device=device)
        return torch.stack([part.amax(dim=1).mean() if part.shape[1] else empty for part in parts])

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 on the query's device, without gradients.

        Raises QuestionError, FrameError, and SettingsError when the query has another width than the indexer.
        """
        with torch.no_grad():
            # One frame at a time: rounding then does not depend on its neighbours, and equal frames tie exactly.
            each = [self.forward(query, (candidate,)) for candidate in candidates]
            return torch.cat(each).to(query.device) if each else self.forward(query, ()).to(query.device)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors; the file appears whole or not at all."""
        part = path.with_name(path.name + ".part")
        save_file({"W_q": self.W_q.detach().contiguous(), "W_k": self.W_k.detach().contiguous()}, part)
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Indexer":
        """The indexer that `save` wrote, on the CPU. Raises PackageError for an absent, damaged or foreign file."""
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise PackageError(
                f"{path}: no indexer can be read ({error}); train one, save it, and "
                "put it into the package by save(…, options=SaveOptions(router_weights=path))"
            ) from error
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        query, frame = shapes.get("W_q", ()), shapes.get("W_k", ())
        if set(shapes) != {"W_q", "W_k"} or len(query) != 2 or len(frame) != 2 or query[0] != frame[0]:
            raise PackageError(f"{path}: holds {shapes}, expected W_q (width, query_dim) and W_k (width, frame_dim)")
        indexer = cls(query_dim=query[1], frame_dim=frame[1], width=query[0])
        indexer.load_state_dict(weights)
        return indexer


def info_nce(scores: torch.Tensor, relevant: Sequence[int]) -> torch.Tensor:
    """Multi-positive InfoNCE: minus the mean over relevant frames of log softmax(scores / TEMPERATURE); a scalar.

    The positives' mean stands outside the log (L_out in Supervised Contrastive Learning, arXiv 2004.11362, eq. 2), so
    that every relevant frame is pulled up and not only the easiest; with p of them it is never below log p. `scores`
    (n,) may be -inf where a frame is empty and not relevant.
    """
    return -torch.log_softmax(scores / TEMPERATURE, dim=0)[list(relevant)].mean()


def train_indexer(
    indexer: Indexer, examples: Sequence[Example], *, steps: int, lr: float, seed: int, batch: int = 8
) -> list[float]:
    """Train in place by AdamW on multi-positive InfoNCE, `batch` examples a step; returns the loss of each step.

    Examples are drawn in shuffled rounds by a generator of the seed; lr falls to zero along a half cosine. The same
    indexer, examples and numbers give the same weights on the same machine. Raises SettingsError for no examples and
    for numbers that are not positive.
    """
    if not examples:
        raise SettingsError("no examples to train the indexer on; pass at least one")
    if steps < 1 or batch < 1 or lr <= 0:
        raise SettingsError(f"steps {steps}, batch {batch} and lr {lr} must all be positive")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(indexer.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    waiting: list[int] = []
    losses: list[float] = []
    for _ in range(steps):
        while len(waiting) < batch:
            waiting.extend(torch.randperm(len(examples), generator=generator).tolist())
        chosen, waiting = [examples[index] for index in waiting[:batch]], waiting[batch:]
        each = [info_nce(indexer(example.query, example.candidates), example.relevant) for example in chosen]
        loss = torch.stack(each).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses
