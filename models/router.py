"""Routers choose which remembered frames answer a question; one protocol, chosen by name."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

from models.errors import FrameError, SettingsError
from models.routers.baselines import RandomChoice, Recency
from models.routers.candidate import Candidate
from models.routers.indexer import Indexer
from models.routers.similarity import CosineCoarse, CosineFine, CrossAttention

__all__ = ["ROUTERS", "Candidate", "Router", "RouterSettings", "build_router", "choose"]


class Router(Protocol):
    """Scores remembered frames against a question; the higher the better."""

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 for a query (words, dim), on its device; -inf for a candidate without tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """What some routers need: `seed` ("random") and `indexer`, the path of its weights ("indexer")."""

    seed: int = 0
    indexer: Path | None = None


def _indexer(settings: RouterSettings) -> Router:
    if settings.indexer is None:
        raise SettingsError(
            "router 'indexer' is learned and its weights were not found: train one with models.routers.indexer."
            "train_indexer, put it into a package by save(…, options=SaveOptions(router_weights=path)), and load that"
        )
    return Indexer.load(settings.indexer)


ROUTERS: Final[Mapping[str, Callable[[RouterSettings], Router]]] = {
    "cos_sim_coarse": lambda _settings: CosineCoarse(),
    "cos_sim_fine": lambda _settings: CosineFine(),
    "cross_attn": lambda _settings: CrossAttention(),
    "indexer": _indexer,
    "random": lambda settings: RandomChoice(settings.seed),
    "recency": lambda _settings: Recency(),
}


def build_router(name: str, *, settings: RouterSettings) -> Router:
    """The router of that name. Raises SettingsError for a name that is none of `ROUTERS`, PackageError for weights."""
    if name not in ROUTERS:
        raise SettingsError(f"router {name!r} is unknown, expected one of {', '.join(sorted(ROUTERS))}")
    return ROUTERS[name](settings)


def choose(router: Router, query: torch.Tensor, candidates: Sequence[Candidate], *, top_k: int) -> tuple[int, ...]:
    """Keys of the `top_k` best candidates, ordered by time; of equal scores the newer is chosen.

    The order of `candidates` does not matter. Candidates scored -inf are never chosen. Raises SettingsError when
    `top_k` is below 1 or a key occurs twice, FrameError when a score is NaN, and what the router raises.
    """
    if type(top_k) is not int or top_k < 1:
        raise SettingsError(f"top_k is {top_k!r}, expected an int of 1 or more")
    if len({candidate.key for candidate in candidates}) != len(candidates):
        raise SettingsError(f"candidates {sorted(candidate.key for candidate in candidates)}: a key occurs twice")
    scored = list(zip(router.scores(query, candidates).tolist(), candidates, strict=True))
    for score, candidate in scored:
        if math.isnan(score):
            raise FrameError(f"candidate {candidate.key}: its score is NaN; its features or the query's are not finite")
    best = sorted(
        (pair for pair in scored if pair[0] != -math.inf),
        key=lambda pair: (pair[0], pair[1].t_ns, pair[1].key),
        reverse=True,
    )
    kept = sorted((candidate for _, candidate in best[:top_k]), key=lambda candidate: (candidate.t_ns, candidate.key))
    return tuple(candidate.key for candidate in kept)
