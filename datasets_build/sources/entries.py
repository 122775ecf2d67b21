"""What every corpus file has in common: its settings, and what it says of each video that it names.

A reader of one corpus is a pure function from texts to a `Reading`; times are exact decimals of the unit that the
corpus documents. A row is one caption, label, question or word; each ends as an annotation, as a reject, or among the
rows of videos that are not there.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from pydantic import ValidationInfo, field_validator

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config, folder_of
from datasets_build.core.files import DataError
from datasets_build.core.records import Split
from datasets_build.sources.exact import CaptionError, Value, load_json, nanoseconds, object_of, show
from datasets_build.sources.said import Fault, Said, Sheet

# A row may reach this far out of its video, as rounded times do, and is cut; further and it is another video's.
OVERRUN_NS = NS_PER_S
_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class CorpusConfig(Config):
    """Settings of one corpus file; a relative path counts from the folder of the YAML file that names it.

    `split` gives all videos of the file one split; `stated` takes what the file says of each video, where it says so;
    None deals them as all others. `licence` of the annotations is told with each of their videos, None stands for what
    the corpus is known to state. `label_set` names the classes of its labels, None is the format's name.
    """

    file: Path
    split: Split | Literal["stated"] | None = None
    licence: str | None = None
    label_set: str | None = None

    @field_validator("*")
    @classmethod
    def _found_from_here(cls, value: object, info: ValidationInfo) -> object:
        return folder_of(info) / value.expanduser() if isinstance(value, Path) else value

    def paths(self) -> tuple[Path, ...]:
        """Every file that is read; all of them are hashed."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return tuple(value for value in values if isinstance(value, Path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a corpus says of one video.

    A video is meant when its path below VIDEOS without suffix ends in one of `names`, part by part, or one of them in
    it (`clips/a` means `a.mp4` and `x/clips/a.mp4`, not `other/a.mp4`). `split` is what the file states. `misfit` tells
    why nothing may be said of a video of a given length in ns, None when all may.
    """

    names: tuple[str, ...]
    sheet: Sheet
    split: Split | None = None
    misfit: Callable[[int], Fault | None] | None = None

    @property
    def n_rows(self) -> int:
        """How many rows of the file it holds, those that cannot be used among them."""
        return len(self.sheet.rows) + len(self.sheet.faults)


@dataclass(frozen=True, slots=True)
class Reading:
    """A corpus file in the order of its videos; `faults` are rows that name no video, `notes` are about the whole."""

    entries: tuple[Entry, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[Fault, ...] = ()

    @property
    def n_rows(self) -> int:
        """All rows of the file."""
        return sum(entry.n_rows for entry in self.entries) + len(self.faults)


@dataclass(slots=True)
class Collector:
    """Rows of one video while they are read: what is said, what is wrong, and what was said before."""

    rows: list[Said] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _seen: dict[tuple[int, int, str, str, str | None], str] = field(default_factory=dict)

    def add(self, said: Said) -> None:
        """Keep a row, unless the same has been said of the same span."""
        key = (said.start_ns, said.end_ns, said.kind, said.text, said.label)
        first = self._seen.setdefault(key, said.where)
        if first == said.where:
            self.rows.append(said)
        else:
            self.fail(said.where, CaptionError("duplicate", f"found the words and times of {first} again"))

    def fail(self, where: str, error: CaptionError) -> None:
        """Tell why a row cannot be used."""
        self.faults.append(Fault(error.fault.code, f"{where}: {error}"))

    def sheet(self, duration_ns: int | None = None) -> Sheet:
        """All of it, for a video of a stated length."""
        return Sheet(rows=tuple(self.rows), faults=tuple(self.faults), duration_ns=duration_ns, overrun_ns=OVERRUN_NS)


@dataclass(slots=True)
class ByVideo:
    """Collectors by the name of their video, for files whose rows of one video lie apart."""

    found: dict[str, Collector] = field(default_factory=dict)

    def of(self, name: str) -> Collector:
        """The collector of a video."""
        return self.found.setdefault(name, Collector())


def text_of(path: Path) -> str:
    """A corpus file as text. Raises DataError when it is absent or not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a corpus file ({error.strerror})") from error
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error


def json_object(text: str, path: Path, expected: str) -> dict[str, Value]:
    """The object that a JSON file holds. Raises DataError naming the file."""
    try:
        return object_of(load_json(text), expected)
    except CaptionError as error:
        raise DataError(f"{path}: {error}") from error


def json_lines(text: str) -> Iterator[tuple[str, Value | CaptionError]]:
    """Each line's place for people and its value, or why it has none; empty lines hold no row."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", load_json(line)
            except CaptionError as error:
                yield f"line {number}", error


def csv_rows(text: str, path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row's place for people and its cells by column.

    Raises:
        DataError: a needed column is missing, or the table cannot be divided into cells.
    """
    # Strict: a quote that nobody closes would take the rest of the file for one cell.
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", strict=True)
    try:
        columns = reader.fieldnames or []
        missing = [name for name in needed if name not in columns]
        if missing:
            raise DataError(f"{path}: found columns {', '.join(columns)[:200]}, expected also {', '.join(missing)}")
        for row in reader:
            yield f"line {reader.line_num}", {str(name): str(cell) for name, cell in row.items()}
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: cannot be read as a table ({error})") from error


def decimal_of(text: str, name: str) -> Decimal:
    """A number in a cell of a table. Raises CaptionError."""
    try:
        if "_" not in text:
            return Decimal(text.strip())
    except InvalidOperation:
        pass
    raise CaptionError("bad_type", f"{name}: found {show(text)}, expected a number")


def seconds_of(text: str, name: str) -> int:
    """Seconds in a cell of a table as nanoseconds. Raises CaptionError."""
    return nanoseconds(decimal_of(text, name))


def duration_of(value: Value) -> int | None:
    """A stated length in seconds as nanoseconds, None where none is stated. Raises CaptionError."""
    if value is None:
        return None
    duration_ns = nanoseconds(value)
    if duration_ns <= 0:
        raise CaptionError("bad_number", f"duration: found {show(value)}, expected seconds above 0")
    return duration_ns


def split_named(value: Value) -> Split | None:
    """The split that a corpus calls by its own name; None where it names none of ours."""
    return _SPLITS.get(value.strip().lower()) if isinstance(value, str) else None


def refused(name: str, error: CaptionError, n_rows: int) -> Sheet:
    """A sheet of which no row can be used: one fault each, so that every row is told."""
    return Sheet(faults=tuple(Fault(error.fault.code, f"{name}, row {k + 1}: {error}") for k in range(max(1, n_rows))))


def entries_of(found: ByVideo, durations: Mapping[str, int] | None = None) -> Iterable[Entry]:
    """An entry for each video, in the order in which their first rows stand in the file."""
    for name, collector in found.found.items():
        yield Entry(names=(name,), sheet=collector.sheet((durations or {}).get(name)))
