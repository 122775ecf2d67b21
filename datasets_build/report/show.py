"""A dataset or stage folder on a terminal: how many rows, then some of them with times that a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from datasets_build.core.clock import format_ns
from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import DataError
from datasets_build.core.hierarchy import HIERARCHY, Level
from datasets_build.core.layout import TABLES
from datasets_build.core.records import Dialogue, Event, FrameLabel, Record, Split, StreamingQA, Video
from datasets_build.core.stage import STAGES
from datasets_build.core.table import count_rows, read_table

SUBSETS: dict[str, type[Record]] = {
    "qa": StreamingQA,
    "events": Event,
    "frames_*": FrameLabel,
    HIERARCHY: Level,
    "dialogues": Dialogue,
    "videos": Video,
}
MANY = 12
"""A longer list is told by its length and its ends."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One subset or table of a folder: a file per split, or one file under no split."""

    name: str
    model: type[Record]
    files: Mapping[Split | None, Path]

    def count(self, split: Split | None) -> int:
        """How many rows a split has."""
        path = self.files.get(split)
        return count_rows(path, self.model) if path else 0


def show(folder: Path, *, rows: int = 5, split: str | None = None) -> None:
    """Print what `describe` gives to the terminal."""
    Console().print(describe(folder, rows=rows, split=split))


def describe(folder: Path, *, rows: int = 5, split: str | None = None) -> RenderableType:
    """Counts per subset and split, then the first records of every subset but `videos` beside another one.

    Args:
        folder: a dataset (OUT/streaming_qa, OUT/frame_events, OUT/dialogue) or a stage (OUT/index, OUT/perceive,
            OUT/events).
        rows: how many records of every subset.
        split: only the records of this split; datasets only.

    Raises:
        DataError: the path is no such folder, or has no such split.
    """
    shelves = find_shelves(folder)
    wanted = _wanted(folder, shelves, split)
    blocks: list[RenderableType] = [_counts(folder, shelves)]
    # A dataset carries its videos along; they are worth a look only where they are the matter itself.
    main = [shelf for shelf in shelves if shelf.model is not Video or None in shelf.files or len(shelves) == 1]
    for shelf in main:
        blocks.extend(_block(shelf.name, row) for row in islice(_records(shelf, wanted), rows))
    return Group(*blocks)


def find_shelves(folder: Path) -> list[Shelf]:
    """The subsets or tables of a folder, found by the names that the stages write. Raises DataError for none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a dataset or stage folder such as OUT/streaming_qa")
    found = [
        Shelf(Path(place).stem, model, {None: folder / Path(place).name})
        for model, place in TABLES.items()
        if (folder / Path(place).name).is_file()
    ]
    for pattern, model in SUBSETS.items():
        for sub in sorted(path for path in folder.glob(pattern) if path.is_dir()):
            paths = {split: sub / f"{split}.parquet" for split in SPLITS}
            files: dict[Split | None, Path] = {split: path for split, path in paths.items() if path.is_file()}
            if files:
                found.append(Shelf(sub.name, model, files))
    if not found:
        inside = [name for name in STAGES if (folder / name).is_dir()]
        hint = f"; it holds {', '.join(inside)}: name one of them" if inside else ""
        raise DataError(
            f"{folder}: holds no tables of a dataset or stage, expected a folder such as OUT/streaming_qa{hint}"
        )
    return found


def _wanted(folder: Path, shelves: Sequence[Shelf], split: str | None) -> Split | None:
    if split is None:
        return None
    present = [name for name in SPLITS if any(name in shelf.files for shelf in shelves)]
    for name in present:
        if name == split:
            return name
    if not present:
        raise DataError(f"{folder}: a stage folder has no splits; leave --split away, or name a dataset folder")
    if split not in get_args(Split):
        raise DataError(f"--split {split}: no such split, expected one of {', '.join(SPLITS)}")
    raise DataError(f"{folder}: split {split} is empty, expected one of {', '.join(present)}")


def _counts(folder: Path, shelves: Sequence[Shelf]) -> RenderableType:
    by_split = any(None not in shelf.files for shelf in shelves)
    table = Table()
    table.add_column("subset" if by_split else "table")
    columns: tuple[Split | None, ...] = SPLITS if by_split else (None,)
    for name in columns:
        table.add_column(name or "rows", justify="right")
    for shelf in shelves:
        table.add_row(Text(shelf.name), *(f"{shelf.count(name):,}" for name in columns))
    return Group(Text(plain(str(folder))), table)


def _records(shelf: Shelf, split: Split | None) -> Iterator[tuple[Split | None, Record]]:
    for name, path in shelf.files.items():
        if split is None or name == split:
            for row in read_table(path, shelf.model):
                yield name, row


def _block(shelf: str, found: tuple[Split | None, Record]) -> Panel:
    split, row = found
    title = " · ".join(part for part in (shelf, split, row.id) if part)
    return Panel(Text("\n".join(lines_of(row))), title=Text(title), title_align="left", expand=False)


def lines_of(part: BaseModel, indent: str = "") -> Iterator[str]:
    """A record as lines `name: value`; times lose their `_ns` and read like `0:07.250`, pairs of them like a span."""
    fields = dict(part)
    for name, value in fields.items():
        end = fields.get(name.removesuffix("start_ns") + "end_ns") if name.endswith("start_ns") else None
        start = fields.get(name.removesuffix("end_ns") + "start_ns") if name.endswith("end_ns") else None
        if value is None or value in ((), "") or start is not None:
            continue
        if isinstance(value, int) and isinstance(end, int):
            of = name.removesuffix("start_ns").strip("_")
            yield f"{indent}{f'{of} when' if of in fields else of or 'when'}: {_span(value, end)}"
        elif isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from lines_of(value, indent + "  ")
        elif isinstance(value, tuple) and isinstance(value[0], BaseModel):
            yield f"{indent}{name}: {len(value)}"
            yield from _numbered(value, indent)
        else:
            yield f"{indent}{name.removesuffix('_ns')}: {_value(name, value)}"


def _numbered(items: Sequence[BaseModel], indent: str) -> Iterator[str]:
    for number, item in enumerate(items, start=1):
        first, *rest = lines_of(item)
        yield f"{indent}  {number}. {first}"
        yield from (f"{indent}     {line}" for line in rest)


def _span(start_ns: int, end_ns: int) -> str:
    return format_ns(start_ns) if start_ns == end_ns else f"{format_ns(start_ns)} – {format_ns(end_ns)}"


def _value(name: str, value: object) -> str:
    if isinstance(value, tuple):
        shown = value if len(value) <= MANY else (*value[:2], "…", *value[-2:])
        items = ", ".join(_value(name, item) for item in shown)
        return items if len(value) <= MANY else f"{len(value)} values: {items}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_ns"):
        return format_ns(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(str(value))


def plain(text: str) -> str:
    """Text that a terminal shows as it is: control characters, which could move the cursor, become escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
