"""Records ⇄ Parquet: the Arrow schema is derived from the record class, never written twice."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from datasets_build.core.files import DataError, whole_file
from datasets_build.core.records import SCHEMA_VERSION, Part

R = TypeVar("R", bound=Part)
ROWS_PER_GROUP = 1_000
FEW_GROUPS = 32
"""So many row groups of a file are as they were written; behind them small ones are joined."""
GROUP_BYTES, GROUP_PARTS = 2 << 20, 256
"""How much of them is joined at most, as it lies in memory. A writer keeps some 25 KB of each row group to its end."""
_AT_ONCE = 100
_KIND, _VERSION = b"streamvl.record", b"streamvl.schema_version"
_SCALARS: dict[object, pa.DataType] = {
    int: pa.int64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}
_NARROW = {"float32": pa.float32(), "float16": pa.float16()}


class TableError(DataError):
    """A table that cannot be read as the record it should hold."""


def _arrow_type(annotation: object, marks: Sequence[object] = ()) -> tuple[pa.DataType, bool]:
    """The Arrow type of a Python annotation and whether it may be null."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return _arrow_type(inner, [*marks, *more])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _arrow_type(inner, marks)[0], True
    if origin is tuple:
        item, nullable = _arrow_type(arguments[0])
        return pa.list_(pa.field("item", item, nullable=nullable)), False
    if origin is Literal:
        return pa.string(), False
    if annotation is float:
        return next((kind for mark, kind in _NARROW.items() if mark in marks), pa.float64()), False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(_fields(annotation)), False
    return _SCALARS[annotation], False


def _fields(model: type[BaseModel]) -> list[pa.Field]:
    out = []
    for name, info in model.model_fields.items():
        kind, nullable = _arrow_type(info.annotation, info.metadata)
        out.append(pa.field(name, kind, nullable=nullable))
    return out


def arrow_schema(model: type[Part]) -> pa.Schema:
    """The Arrow schema of a record class, with its name and the schema version in the metadata."""
    return pa.schema(_fields(model), metadata={_KIND: model.__name__, _VERSION: SCHEMA_VERSION})


class TableWriter:
    """Append records to a Parquet file row group by row group; use inside `whole_file`.

    Memory holds what was given last, and of a long file a row group of `GROUP_BYTES`.
    """

    def __init__(self, path: Path, model: type[Part]) -> None:
        self._schema = arrow_schema(model)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._bytes = self._groups = self.n_rows = 0

    def write(self, rows: Sequence[Part]) -> None:
        """Write one row group; an empty sequence writes nothing."""
        # Rows as dictionaries take many times what they take in Arrow, so few of them are dictionaries at once.
        parts = [self._table(rows[k : k + _AT_ONCE]) for k in range(0, len(rows), _AT_ONCE)]
        if parts:
            self._add(pa.concat_tables(parts).combine_chunks())

    def _table(self, rows: Sequence[Part]) -> pa.Table:
        return pa.Table.from_pylist([row.model_dump() for row in rows], schema=self._schema)

    def _add(self, table: pa.Table) -> None:
        self.n_rows += table.num_rows
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._groups < FEW_GROUPS or self._bytes >= GROUP_BYTES or len(self._waiting) >= GROUP_PARTS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._groups += 1
            self._waiting, self._bytes = [], 0

    def copy(self, path: Path) -> None:
        """Append every row group of another table of the same record, unread.

        Raises:
            TableError: the other file holds another record or another schema version.
        """
        with _open(path, self._schema) as source:
            for group in range(source.num_row_groups):
                self._add(source.read_row_group(group))

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_table(
    path: Path, model: type[R], rows: Iterable[R], *, rows_per_group: int = ROWS_PER_GROUP, unpublished: bool = False
) -> int:
    """Write records to a whole Parquet file and return how many; memory holds one row group.

    With `unpublished` it lies in a folder that takes its name when all in it is written, so it is not waited for.
    """
    feed = iter(rows)
    with nullcontext(path) if unpublished else whole_file(path) as to, TableWriter(to, model) as writer:
        while group := list(islice(feed, rows_per_group)):
            writer.write(group)
    return writer.n_rows


def concat_tables(path: Path, model: type[Part], parts: Iterable[Path]) -> int:
    """Join tables of one record, in the order given, into a whole file; returns the number of rows."""
    with whole_file(path) as aside, TableWriter(aside, model) as writer:
        for part in parts:
            writer.copy(part)
    return writer.n_rows


def _open(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    try:
        # With its buffer on, the whole file lies in memory while a part of it is read.
        source = pq.ParquetFile(path, pre_buffer=False)
    except FileNotFoundError:
        raise TableError(f"{path}: no such table; run the stage that makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file ({error})") from error
    found, wanted = source.schema_arrow.metadata or {}, schema.metadata
    for key in (_KIND, _VERSION):
        if found.get(key) != wanted[key]:
            source.close()
            have = found.get(key, b"nothing").decode()
            raise TableError(f"{path}: {key.decode()} is {have}, expected {wanted[key].decode()}")
    return source


def read_table(path: Path, model: type[R], *, columns: Sequence[str] | None = None) -> Iterator[R]:
    """Yield a table's records one by one, validated; memory holds one row group.

    Args:
        path: a file that `write_table` made.
        model: the record class that it holds.
        columns: read only these columns; the others must have defaults in `model`.

    Raises:
        TableError: the file is absent, broken, of another record or version, or a row breaks the schema.
    """
    with _open(path, arrow_schema(model)) as source:
        number = 0
        for batch in source.iter_batches(batch_size=ROWS_PER_GROUP, columns=columns):
            for row in batch.to_pylist():
                try:
                    yield model.model_validate(row)
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(str(step) for step in first["loc"])
                    raise TableError(f"{path}: row {number}, field {where}: {first['msg']}") from error
                number += 1


def count_rows(path: Path, model: type[Part]) -> int:
    """How many records a table holds, from its footer."""
    with _open(path, arrow_schema(model)) as source:
        return int(source.metadata.num_rows)
