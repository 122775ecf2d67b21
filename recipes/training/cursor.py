"""What the loop asks of the data side: micro-batches step by step, from any place on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from recipes.data.batch import Batch
from recipes.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where in the data training stands; all that the data side needs to go on as if it had never stopped.

    Attributes:
        epoch: which pass through the data, counted anew where a source comes in.
        step: steps taken in the stage.
        skipped: keys of examples that could not be decoded, so far.
    """

    epoch: int = 0
    step: int = 0
    skipped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All fields by name."""
        return {"epoch": self.epoch, "step": self.step, "skipped": list(self.skipped)}

    @classmethod
    def from_json(cls, value: object) -> Cursor:
        """The cursor that `to_json` wrote. Raises CheckpointError for anything else."""
        if not isinstance(value, dict) or set(value) != {"epoch", "step", "skipped"}:
            raise CheckpointError(f"cursor: found {value!r}, expected epoch, step and skipped")
        epoch, step, skipped = value["epoch"], value["step"], value["skipped"]
        if type(epoch) is not int or type(step) is not int or not isinstance(skipped, list):
            raise CheckpointError(f"cursor: found {value!r}, expected two numbers and a list of keys")
        return cls(epoch=epoch, step=step, skipped=tuple(str(key) for key in skipped))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fed:
    """What one process gets for one step.

    Attributes:
        batches: its micro-batches in order; windows of a document behind each other. May be empty.
        cursor: where the data stands behind this step, the same in every process.
    """

    batches: tuple[Batch, ...]
    cursor: Cursor


class Feed(Protocol):
    """The data side: an endless run of steps, the same for the same cursor."""

    def steps(self, cursor: Cursor) -> Iterator[Fed]:
        """Steps from a cursor on; every process gets as many."""
