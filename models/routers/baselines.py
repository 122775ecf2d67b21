"""Routers that do not look: what any other has to beat."""

import hashlib
from collections.abc import Sequence

import torch

from models.routers.candidate import Candidate, check_query


class Recency:
    """The newer the better: the SimpleStream baseline (the last frames and no memory)."""

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Ranks (n,) float32 from 0 for the oldest; of equal times the greater key is newer. Raises QuestionError."""
        # Ranks, for nanoseconds of a long stream are too many for float32.
        order = sorted(range(len(candidates)), key=lambda index: (candidates[index].t_ns, candidates[index].key))
        ranks = torch.empty(len(candidates), device=check_query(query).device)
        for rank, index in enumerate(order):
            ranks[index] = rank
        return ranks


class RandomChoice:
    """Chance, fixed by the seed and each candidate's key: other candidates do not change a score."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 in [0, 1) on the query's device. Raises QuestionError."""
        drawn = [_draw(self._seed, candidate.key) for candidate in candidates]
        return torch.tensor(drawn, dtype=torch.float32, device=check_query(query).device)


def _draw(seed: int, key: int) -> float:
    # Neighbouring seeds of a generator begin alike, so the seed is a digest of both numbers.
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return float(torch.rand((), generator=generator))
