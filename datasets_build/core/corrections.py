"""What people made of records: a table beside the stages, which builders read and lay over what they would write."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
_NAMES: dict[type[Record], str] = {Event: "event", StreamingQA: "question", Dialogue: "dialogue"}


class Correction(Record):
    """One record as people left it.

    `replace` puts a record in the place of `parent_id`, `remove` takes that one away, `add` brings one that was not
    there. `parent_digest` is `digest_of` what people saw: another record of the same id is none of theirs. `edited`
    names the fields that differ. `annotators` are pseudonyms, `round` is where they worked.
    """

    round: str
    action: Literal["replace", "remove", "add"]
    parent_id: str | None = None
    parent_digest: str | None = None
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
        named = {"parent_id": self.parent_id, "parent_digest": self.parent_digest}
        for name, value in named.items():
            if (value is None) != (self.action == "add"):
                raise ValueError(f"{self.id}: found {name} {value} in a correction to {self.action}")
        return self


def digest_of(record: Record) -> str:
    """What stands for a record's content: 20 hex digits of blake2b.

    The twin of a question is left out, which gets another name when people replace it, and so are fields that hold
    their default.
    """
    text = record.model_dump_json(exclude={"twin_id"}, exclude_defaults=True)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Corrected(Generic[R]):
    """A video's records after people, in their order, and the corrections that fit nothing any more.

    `now` says under which id a record goes on that people replaced.
    """

    rows: list[R]
    stale: list[Reject]
    now: Mapping[str, str] = field(default_factory=dict)


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

    def take_from(self, video_id: str, model: type[Record]) -> bool:
        """Whether people took records of a kind away from a video."""
        rows = self._of(video_id, _NAMES[model]) if model in _NAMES else []
        return any(row.action == "remove" for row in rows)

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
    now: dict[str, str] = {}
    for correction, record in made:
        if (why := _unfit(correction, record, there)) is not None:
            stale.append(_stale(correction, stage, why))
            continue
        parent = correction.parent_id
        if parent is not None and record is not None:
            there = {
                (record.id if name == parent else name): (record if name == parent else row)
                for name, row in there.items()
            }
            now = {name: record.id if at == parent else at for name, at in now.items()} | {parent: record.id}
        elif parent is not None:
            del there[parent]
        elif record is not None:
            there[record.id] = record
    return Corrected(list(there.values()), stale, now)


def _unfit(correction: Correction, record: Record | None, there: Mapping[str, Record]) -> str | None:
    """Why a correction cannot be laid over what is there; None where it can."""
    parent = correction.parent_id
    if parent is not None and parent not in there:
        return f"it is of {correction.of} {parent}, which is not there any more"
    if parent is not None and digest_of(there[parent]) != correction.parent_digest:
        return f"it is of {correction.of} {parent}, which is not what people saw any more"
    if record is not None and record.id in there:
        return f"{correction.of} {record.id}, which it brings, is there already"
    return None


def _stale(correction: Correction, stage: str, why: str) -> Reject:
    return Reject(
        stage=stage,
        item=f"correction {correction.id}",
        code="stale_correction",
        reason=why,
        action="left out; correct what stands there now in another round",
    )
