"""Untrained routers: the question and the frames compared in the space they come in."""

import math
from collections.abc import Sequence

import torch

from models.memory.signals import unit
from models.routers.candidate import EMPTY_SCORE, Candidate, check_query, check_width, features_on


class CosineCoarse:
    """Cosine between the mean word and the mean patch; in [-1, 1]."""

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 on the query's device for a query (words, dim). Raises QuestionError, FrameError."""
        words = check_query(query)
        check_width(candidates, dim=words.shape[1])
        meaning = unit(words.mean(dim=0))
        scores = torch.full((len(candidates),), EMPTY_SCORE, device=words.device)
        for index, candidate in enumerate(candidates):
            if candidate.features.shape[0]:
                scores[index] = unit(features_on(candidate, words.device).mean(dim=0)) @ meaning
        return scores


class CosineFine:
    """Mean over words of the greatest cosine to any patch, late interaction as in ColBERT (arXiv 2004.12832)."""

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 on the query's device for a query (words, dim). Raises QuestionError, FrameError."""
        words = check_query(query)
        check_width(candidates, dim=words.shape[1])
        directions = unit(words)
        scores = torch.full((len(candidates),), EMPTY_SCORE, device=words.device)
        # One frame at a time: its score then depends on nothing but itself, and equal frames tie exactly.
        for index, candidate in enumerate(candidates):
            if candidate.features.shape[0]:
                cosines = directions @ unit(features_on(candidate, words.device)).T
                scores[index] = cosines.amax(dim=1).mean()
        return scores


class CrossAttention:
    """Log of the attention that a frame's patches get from the words, in competition with all other frames.

    Each word's softmax of q.k / sqrt(dim) (arXiv 1706.03762) runs over ALL patches of ALL frames; a frame's score is
    the log of its patches' sum, averaged over words, so exp(scores) sums to one. A softmax within each frame, summed
    over its patches, is 1 for every frame and tells nothing. Logs keep frames apart whose share is too small for
    float32.
    """

    def scores(self, query: torch.Tensor, candidates: Sequence[Candidate]) -> torch.Tensor:
        """Scores (n,) float32 on the query's device for a query (words, dim). Raises QuestionError, FrameError."""
        words = check_query(query)
        check_width(candidates, dim=words.shape[1])
        if not candidates:
            return torch.empty(0, device=words.device)
        # logsumexp over a frame's patches, one column a frame; without patches it is -inf.
        mass = torch.stack([_attention(words, features_on(candidate, words.device)) for candidate in candidates], dim=1)
        if not any(candidate.features.shape[0] for candidate in candidates):
            return mass[0]
        return torch.logsumexp(torch.log_softmax(mass, dim=1), dim=0) - math.log(words.shape[0])


def _attention(words: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    if not patches.shape[0]:
        return torch.full((words.shape[0],), EMPTY_SCORE, device=words.device)
    return torch.logsumexp(words @ patches.T / math.sqrt(words.shape[1]), dim=1)
