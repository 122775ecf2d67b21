"""What every router is given: a question's words and remembered frames, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from models.errors import FrameError, QuestionError
from models.memory.records import check_time

EMPTY_SCORE: Final = -float("inf")  # a frame without tokens cannot answer anything


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A remembered chunk that may answer a question.

    `key` is that of its chunk, `t_ns` its time, `features` (tokens, dim) floating on any device; it may have no
    tokens, and candidates may differ in how many. Raises TimeError and FrameError.
    """

    key: int
    t_ns: int
    features: torch.Tensor

    def __post_init__(self) -> None:
        """Refuse features of another layout."""
        check_time("Candidate.t_ns", self.t_ns)
        if self.features.ndim != 2 or not self.features.is_floating_point():
            found = f"{self.features.dtype} {tuple(self.features.shape)}"
            raise FrameError(f"candidate {self.key}: features are {found}, expected floating (tokens, dim)")


def check_query(query: torch.Tensor) -> torch.Tensor:
    """The question's word features (words, dim) as float32. Raises QuestionError for another layout or no words."""
    if query.ndim != 2 or query.shape[0] == 0 or not query.is_floating_point():
        raise QuestionError(f"the query is {query.dtype} {tuple(query.shape)}, expected floating (words >= 1, dim)")
    return query.to(torch.float32)


def check_width(candidates: Sequence[Candidate], *, dim: int) -> None:
    """Refuse candidates whose features are not `dim` wide. Raises FrameError."""
    for candidate in candidates:
        if candidate.features.shape[1] != dim:
            raise FrameError(
                f"candidate {candidate.key}: features are {candidate.features.shape[1]} wide, expected {dim}; "
                "take both from the same space, or use the router 'indexer', which learns a common one"
            )


def features_on(candidate: Candidate, device: torch.device) -> torch.Tensor:
    """A candidate's features (tokens, dim) float32 on a device."""
    return candidate.features.to(device=device, dtype=torch.float32)
