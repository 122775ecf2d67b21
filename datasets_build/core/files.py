"""Files that exist only when they are whole: write aside, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from datasets_build.core.records import Json, Part, Reject


class DataError(ValueError):
    """An input, file or setting that cannot be used; the message is one sentence for a person."""


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write beside `path`; on a clean exit it takes the name `path`, on an error it goes."""
    aside = path.with_name(f".{path.name}.part")
    try:
        yield aside
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # A write that finds no room says of no file that it is the one.
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def publish_folder(aside: Path, target: Path) -> None:
    """Give a finished folder its final name in one rename; what stood there before goes."""
    old = aside.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    aside.replace(target)
    _sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file."""
    with whole_file(path) as aside:
        aside.write_bytes(content)


def write_json(path: Path, value: Json) -> None:
    """Write a whole JSON file: keys in the order given, two spaces, UTF-8."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, *, hook: Callable[[dict[str, Json]], Json] | None = None) -> Json:
    """Read a JSON file, each object of it through `hook`. Raises DataError when it is absent or not JSON."""
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"), object_hook=hook)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    return value


def write_jsonl(path: Path, rows: Iterable[Part]) -> None:
    """Write a whole JSON-lines file, one record a line."""
    with whole_file(path) as aside, aside.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(row.model_dump_json() + "\n")


def each_reject(path: Path) -> Iterator[Reject]:
    """The rows of a `rejects.jsonl` one by one; an absent file has none. Raises DataError naming the broken line."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as lines:
        try:
            # Not `splitlines`, which also breaks at characters that file names and subtitles may hold.
            for number, line in enumerate(lines, start=1):
                yield _reject(line.removesuffix("\n"), f"{path}:{number}")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text ({error})") from error


def _reject(line: str, where: str) -> Reject:
    try:
        return Reject.model_validate_json(line)
    except ValidationError as error:
        raise DataError(f"{where}: not a reject row ({error.errors()[0]['msg']})") from error


def read_rejects(path: Path) -> list[Reject]:
    """All rows of a `rejects.jsonl`. Raises as `each_reject` does."""
    return list(each_reject(path))


class Rejects:
    """Rows for a `rejects.jsonl` in the order in which they come: on disk, for every video may have many.

    Args:
        path: where they wait; what an earlier run left there goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)

    def extend(self, rows: Iterable[Reject]) -> None:
        """Append rows."""
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        if text:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(text)

    def __iter__(self) -> Iterator[Reject]:
        return each_reject(self._path)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
