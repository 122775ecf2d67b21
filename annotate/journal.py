"""The journal of a round: every version of every annotation that was seen, one whole line a thing that happened.

A look is what one reading of one task found. Its rows stand together and each says how many are still to come, so that
a journal which ends inside a look (a kill, a full disk) is cut back to the last whole one and goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from annotate.errors import AnnotateError
from datasets_build.core.records import Many, Part

JOURNAL = "journal.jsonl"
Cause = Literal["unknown_key", "other_round", "edited", "author", "other_data", "second", "invalid", "task_gone"]


class Flag(Part):
    """Why an annotation does not count: a cause, and words for a person."""

    code: Cause
    detail: str


class Version(Part):
    """An annotation as the server gave it, with pseudonyms for people.

    `result` is the server's list as JSON text with sorted keys: whatever a foreign hand wrote survives in it.
    `created_at`, `updated_at`: instants on the server's clock. `lead_time_s` is what the page counted.
    """

    by: str
    edited_by: str | None
    created_at: str
    updated_at: str
    lead_time_s: float | None
    skipped: bool
    result: str


class Row(Part):
    """A thing that happened to an annotation; `version` stands in rows that are `new` or `changed`.

    `flags` are all that hold from now on: `flagged` has some, `cleared` has none left. `more` counts the rows of the
    same look that follow.
    """

    what: Literal["new", "changed", "deleted", "flagged", "cleared"]
    key: str
    task: int
    annotation: int
    more: Annotated[int, Field(ge=0)]
    flags: Many[Flag] = ()
    version: Version | None = None


class Placed(Part):
    """A row and where the line after it begins, in bytes."""

    row: Row
    end: int


def read(path: Path, start: int = 0) -> Iterator[Placed]:
    """Rows of the whole looks from a byte on that begins a look; an absent file has none.

    What follows the last whole look is left out: somebody is writing it, or died at it.

    Raises:
        AnnotateError: a whole line is not a row, or the file is shorter than `start`.
    """
    if not path.exists() and not start:
        return
    size = path.stat().st_size if path.exists() else 0
    if size < start:
        raise AnnotateError(
            f"{path}: found {size} bytes, expected at least {start}: somebody cut it; put it back from a copy"
        )
    look: list[Placed] = []
    with path.open("rb") as handle:
        handle.seek(start)
        end = start
        for line in handle:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            row = _row(line, path, end - len(line))
            look.append(Placed(row=row, end=end))
            if not row.more:
                yield from look
                look.clear()


def _row(line: bytes, path: Path, at: int) -> Row:
    try:
        return Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise AnnotateError(f"{path}: byte {at}: not a row of a journal ({field}: {first['msg']})") from error


class Journal:
    """A journal open for writing by the one process that holds the round.

    `size` is its length in bytes, always the end of a whole look. `dropped` is how many bytes of a torn look were cut
    when it was opened.
    """

    def __init__(self, path: Path, *, size: int, dropped: int, handle: int) -> None:
        self.path, self.size, self.dropped = path, size, dropped
        self._handle = handle

    @classmethod
    def open(cls, path: Path, start: int = 0) -> Self:
        """Open or make a journal and cut what a kill left of a look.

        `start` is a byte that is known to end a look; what stands before it is not read again. Raises AnnotateError
        as `read` does.
        """
        end = start
        for placed in read(path, start):
            end = placed.end
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        dropped = os.fstat(handle).st_size - end
        if dropped:
            os.ftruncate(handle, end)
            os.fsync(handle)
        return cls(path, size=end, dropped=dropped, handle=handle)

    def append(self, looks: Sequence[Sequence[Row]]) -> None:
        """Add whole looks, in order, and see them on the disk.

        Raises:
            AnnotateError: the disk takes no more; the journal is as it was.
        """
        rows = [row for look in looks for row in look]
        content = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(self._handle, content[written:], self.size + written)
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self.size)
            raise AnnotateError(f"{self.path}: cannot be written ({error.strerror}); make room and repeat") from error
        self.size += len(content)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def plain(text: str) -> str:
    """Text that can be written as UTF-8: halves of characters become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
