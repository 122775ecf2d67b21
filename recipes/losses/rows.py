"""The rows of a batch on which the model decides, and what their labels say about them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.errors import RecipeError
from recipes.losses.part import check_rows

SILENCE, STANDBY, RESPOND = 0, 1, 2
STATES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecisionRows:
    """The decision rows of a batch, document after document, each in order of time; no tensor depends on the model.

    Attributes:
        states: (n,) int64, 0 silence, 1 standby, 2 respond: what the labels say.
        document: (n,) int64, equal within a document, whose rows are neighbours.
        segment: (n,) int64, equal within a segment of a document. An annotated event boundary or a user's turn begins
            a new one.
        time_s: (n,) floating, seconds, rising within a document.
        evidence_s: (n,) floating, when that which is to be said next can be known; inf where nothing comes.
        window_s: (n,) floating, when the window for saying it ends; inf where there is none.
        learned: (n,) bool, whether the row may teach the model anything.
        weight: (n,) floating, at least 0: how much its record counts in the losses of the labelled states.
    """

    states: Tensor
    document: Tensor
    segment: Tensor
    time_s: Tensor
    evidence_s: Tensor
    window_s: Tensor
    learned: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        """Check shapes, states and the order of rows.

        Raises:
            RecipeError: tensors of different lengths, an unknown state, a weight below 0, or times that do not rise in
                a document.
        """
        check_rows(
            len(self.states),
            {
                "states": self.states,
                "document": self.document,
                "segment": self.segment,
                "time_s": self.time_s,
                "evidence_s": self.evidence_s,
                "window_s": self.window_s,
                "learned": self.learned,
                "weight": self.weight,
            },
        )
        if self.learned.dtype != torch.bool:
            raise RecipeError(f"learned: found {self.learned.dtype}, expected torch.bool")
        if bool(((self.states < SILENCE) | (self.states > RESPOND)).any()):
            raise RecipeError(f"states: found {self.states.tolist()}, expected 0 silence, 1 standby or 2 respond")
        if not bool((self.weight >= 0).all()):
            raise RecipeError(f"weight: found {self.weight.tolist()}, expected at least 0")
        if bool((follows(self.document) & ~(self.steps_s() > 0)).any()):
            raise RecipeError("time_s: does not rise within a document; sort the rows by document and time")

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.states)

    def steps_s(self) -> Tensor:
        """Returns (n,) the seconds from each row to the next one; 0 on the last row of a document."""
        ahead = torch.cat([self.time_s[1:], self.time_s[-1:]]) - self.time_s
        return torch.where(follows(self.document), ahead, 0.0)


def follows(key: Tensor) -> Tensor:
    """Returns (n,) bool: the next row has the same key (n,); False on the last row."""
    same = key[1:] == key[:-1]
    return torch.cat([same, same.new_zeros(min(1, len(key)))])


def widened(logits: Tensor) -> Tensor:
    """Returns logits in float32, or in float64 where they are; sums over rows in half precision lose the small ones."""
    return logits if logits.dtype == torch.float64 else logits.float()


def decision_logits(logits: Tensor, rows: DecisionRows) -> Tensor:
    """Checks that there are three logits per row and widens them.

    Raises:
        RecipeError: another shape.
    """
    if tuple(logits.shape) != (len(rows), STATES):
        raise RecipeError(
            f"decision logits: found shape {tuple(logits.shape)}, expected ({len(rows)}, {STATES}): silence, standby "
            "and respond on each decision row"
        )
    return widened(logits)
