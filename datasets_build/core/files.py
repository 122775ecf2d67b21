"""Files that exist only when they are whole: write aside, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
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


def read_json(path: Path) -> Json:
    """Read a JSON file. Raises DataError naming the file when it is absent or not JSON."""
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
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


def read_rejects(path: Path) -> list[Reject]:
    """Read a `rejects.jsonl`; an absent file is an empty list. Raises DataError naming the broken line."""
    if not path.exists():
        return []
    rows = []
    try:
        # Not `splitlines`, which also breaks at characters that file names and subtitles may hold.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            rows.append(Reject.model_validate_json(line))
        except ValidationError as error:
            raise DataError(f"{path}:{number}: not a reject row ({error.errors()[0]['msg']})") from error
    return rows


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
