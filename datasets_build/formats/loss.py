"""The loss report: what a format cannot hold, counted as it happens, printed and written beside the export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasets_build.core.files import DataError, write_bytes
from datasets_build.core.records import Many, Part

FILE = "loss.json"


class Loss(Part):
    """Something of the records that the files do not say.

    Attributes:
        field: of the record, such as `turn.loss_weight`, or what of it, such as `turn after the last step`.
        records: how many records (questions, dialogues) lose it.
        times: how often, over all of them.
        example: the id of the first record.
        why: what the format has instead.
    """

    field: str
    records: int
    times: int
    example: str
    why: str


@dataclass(slots=True)
class LossReport:
    """What is lost, by field and reason, in the order in which it was first met."""

    format: str
    _met: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def lose(self, name: str, why: str, record: str, *, times: int = 1) -> None:
        """Count that a record loses a field; `times` of 0 counts nothing."""
        if times:
            records = self._met.setdefault((name, why), {})
            records[record] = records.get(record, 0) + times

    def __iter__(self) -> Iterator[Loss]:
        for (name, why), records in self._met.items():
            yield Loss(
                field=name, records=len(records), times=sum(records.values()), example=next(iter(records)), why=why
            )

    def write(self, folder: Path) -> None:
        """Write `loss.json` into a folder."""
        write_bytes(
            folder / FILE, (Losses(format=self.format, losses=tuple(self)).model_dump_json(indent=2) + "\n").encode()
        )


class Losses(Part):
    """What `loss.json` holds."""

    format: str
    losses: Many[Loss]

    @classmethod
    def read(cls, folder: Path) -> Losses:
        """The report of a finished export. Raises DataError where there is none."""
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a loss report ({error})") from error

    def lines(self) -> list[str]:
        """The report for a terminal, one line a loss."""
        told = [
            f"lost: {loss.field}: {loss.times} in {loss.records} records, such as {loss.example}: {loss.why}"
            for loss in self.losses
        ]
        return told or [f"lost: nothing: {self.format} holds all that was exported"]
