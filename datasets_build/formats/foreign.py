"""Rows of foreign files: what one gives, where it lies, and what of it no record has a place for.

A row that is read as records and written again may come out differently: a number was moved to a frame, a key means
nothing here. `kept` is that difference, so that the row can be written again as it was. Each piece names what our own
writer gave there (`was`): where people have changed the record since, their word stands, and the piece is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from datasets_build.core.files import DataError
from datasets_build.core.records import Json, Many, Part, Record

TABLE = "import/foreign.parquet"
"""Its place in an output folder."""


class Kept(Part):
    """One place of a row, as a JSON pointer: the JSON text that we would write there, and the one that stood there.

    None: nothing stands there.
    """

    at: str
    was: str | None
    value: str | None


class Foreign(Record):
    """One row of a foreign file that was read: `item` counts from 0, `records` are the ids of what it gave."""

    format: str
    file: str
    sha256: str
    item: int
    records: Many[str]
    kept: Many[Kept] = ()


def differences(written: Json, found: Json) -> tuple[Kept, ...]:
    """What turns the row that we write into the one that was found; `applied(written, …)` equals `found`."""
    return tuple(_differences(written, found, ""))


def _differences(written: Json, found: Json, at: str) -> Iterator[Kept]:
    if isinstance(written, dict) and isinstance(found, dict):
        for key in [*written, *(key for key in found if key not in written)]:
            place = f"{at}/{_escaped(key)}"
            if key in written and key in found:
                yield from _differences(written[key], found[key], place)
            else:
                yield Kept(at=place, was=_text(written, key), value=_text(found, key))
    elif isinstance(written, list) and isinstance(found, list) and len(written) == len(found):
        for k, (one, other) in enumerate(zip(written, found, strict=True)):
            yield from _differences(one, other, f"{at}/{k}")
    elif not same(written, found):
        yield Kept(at=at, was=json.dumps(written), value=json.dumps(found))


def _text(row: Mapping[str, Json], key: str) -> str | None:
    return json.dumps(row[key]) if key in row else None


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal as JSON: 5 and 5.0 are one number, 1 and true are not one value."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def applied(written: Json, kept: Sequence[Kept]) -> Json:
    """A row as we write it, with what was kept of the foreign one laid over it.

    Raises:
        DataError: a piece names a place that cannot be in this row.
    """
    row = cast(Json, json.loads(json.dumps(written)))
    for piece in kept:
        if not piece.at:
            row = cast(Json, json.loads(piece.value or "null")) if _stands(row, piece.was) else row
            continue
        *path, last = [_unescaped(step) for step in piece.at.split("/")[1:]]
        inside = _walk(row, path)
        if inside is not None:
            _put(inside, last, piece)
    return row


def _walk(row: Json, path: Sequence[str]) -> Json:
    """What lies at a path; None where people's changes left no such place."""
    for step in path:
        if isinstance(row, dict):
            row = row.get(step)
        elif isinstance(row, list):
            row = row[int(step)] if step.isdigit() and int(step) < len(row) else None
        else:
            return None
    return row


def _put(inside: Json, last: str, piece: Kept) -> None:
    if isinstance(inside, dict):
        now = inside.get(last)
        if (last in inside) != (piece.was is not None) or (last in inside and not _stands(now, piece.was)):
            return
        if piece.value is None:
            del inside[last]
        else:
            inside[last] = json.loads(piece.value)
    elif isinstance(inside, list):
        if not last.isdigit() or piece.value is None:
            raise DataError(f"kept piece at {piece.at}: found {piece.value!r}, expected a value at a number")
        if int(last) < len(inside) and _stands(inside[int(last)], piece.was):
            inside[int(last)] = json.loads(piece.value)


def _stands(now: Json, was: str | None) -> bool:
    return was is not None and same(now, json.loads(was))


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
