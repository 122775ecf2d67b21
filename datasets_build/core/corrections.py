"""What people made of records: a table beside the stages, which builders read and lay over what they would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Self, TypeVar

from pydantic import model_validator

from datasets_build.core.files import sha256_file
from datasets_build.core.layout import by_video
from datasets_build.core.records import Dialogue, Event, Many, Record, Reject, StreamingQA
from datasets_build.core.table import read_table

R = TypeVar("R", bound=Record)
TABLE = "corrections.parquet"
"""Its name in an output folder."""


class Correction(Record):
    """One record as people left it.

    `replace` puts a record in the place of `parent_id`, `remove` takes that one away, `add` brings one that was not
    there. `edited` names the fields that differ. `annotators` are pseudonyms, `round` is where they worked.
    """

    round: str
    action: Literal["replace", "remove", "add"]
    parent_id: str | None = None
    event: Event | None = None
    question: StreamingQA | None = None
    dialogue: Dialogue | None = None
    of: Literal["event", "question", "dialogue"]
    edited: Many[str] = ()
    annotators: Many[str] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        made = {"event": self.event, "question": self.question, "dialogue": self.dialogue}
        there = [name for name, record in made.items() if record is not None]
        expected = [] if self.action == "remove" else [self.of]
        if there != expected:
            raise ValueError(
                f"{self.id}: found {there} in a correction to {self.action} a {self.of}, expected {expected}"
            )
        if (self.parent_id is None) != (self.action == "add"):
            raise ValueError(f"{self.id}: found parent_id {self.parent_id} in a correction to {self.action}")
        return self


@dataclass(frozen=True, slots=True)
class Corrected(Generic[R]):
    """A video's records after people, in their order, and the corrections that fit nothing any more."""

    rows: list[R]
    stale: list[Reject]


class Corrections:
    """All corrections of an output folder; none where it has no such table."""

    def __init__(self, out: Path) -> None:
        path = out / TABLE
        self.digest = sha256_file(path) if path.is_file() else ""
        self._rows = by_video(read_table(path, Correction)) if path.is_file() else {}

    @property
    def inputs(self) -> Mapping[str, str]:
        """What a stage's fingerprint says of them; nothing where there are none."""
        return {"corrections": self.digest} if self.digest else {}

    def events(self, video_id: str, rows: Sequence[Event]) -> Corrected[Event]:
        """Lays those of a video over its events."""
        made = self._of(video_id, "event")
        return _laid([(row, row.event) for row in made], rows, stage="events")

    def questions(self, video_id: str, rows: Sequence[StreamingQA]) -> Corrected[StreamingQA]:
        """Lays those of a video over its questions."""
        made = self._of(video_id, "question")
        return _laid([(row, row.question) for row in made], rows, stage="streaming_qa")

    def dialogues(self, video_id: str, rows: Sequence[Dialogue]) -> Corrected[Dialogue]:
        """Lays those of a video over its conversations."""
        made = self._of(video_id, "dialogue")
        return _laid([(row, row.dialogue) for row in made], rows, stage="dialogue")

    def _of(self, video_id: str, what: str) -> list[Correction]:
        return [row for row in self._rows.get(video_id, ()) if row.of == what]


def _laid(made: Sequence[tuple[Correction, R | None]], rows: Sequence[R], *, stage: str) -> Corrected[R]:
    """Later corrections are of what earlier ones made."""
    there: dict[str, R] = {row.id: row for row in rows}
    stale: list[Reject] = []
    for correction, record in made:
        parent = correction.parent_id
        if parent is not None and parent not in there:
            stale.append(_stale(correction, stage))
            continue
        if parent is not None and record is not None:
            there = {
                (record.id if name == parent else name): (record if name == parent else row)
                for name, row in there.items()
            }
        elif parent is not None:
            del there[parent]
        elif record is not None:
            there[record.id] = record
    return Corrected(list(there.values()), stale)


def _stale(correction: Correction, stage: str) -> Reject:
    return Reject(
        stage=stage,
        item=f"correction {correction.id}",
        code="stale_correction",
        reason=f"it is of {correction.of} {correction.parent_id}, which is not there any more",
        action="left out; correct the record that stands in its place in another round",
    )
