"""What the journal of a round adds up to: the annotations that stand, in parts so that a small pull reads few of them.

`pulled/<2 hex>.jsonl` hold the annotations by a hash of their keys; `pulled/mark.json` says up to which byte of the
journal they go, their hashes, and until when the server was read. All of it follows from the journal: parts that are
not what the mark says (a kill in between, a foreign hand) are made anew from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from annotate.errors import AnnotateError
from annotate.journal import JOURNAL, Flag, Row, Version, read
from datasets_build.core.files import write_bytes
from datasets_build.core.records import Many, Part

PULLED = "pulled"
_MARK = "mark.json"
_PARTS = 64


class Held(Part):
    """An annotation as it was last seen; `digest` is of its version. One that is not `live` was deleted."""

    key: str
    annotation: int
    task: int
    by: str
    created_at: str
    skipped: bool
    digest: str
    flags: Many[Flag] = ()
    live: bool = True

    @property
    def own(self) -> tuple[Flag, ...]:
        """The flags that it has whatever other annotations there are."""
        return tuple(flag for flag in self.flags if flag.code != "second")


_Keys = dict[str, dict[int, Held]]


class Mark(Part):
    """How far the parts go: bytes of the journal, instant of the server, and the SHA-256 of every part."""

    mark: str | None = None
    journal: int = 0
    parts: dict[str, str] = Field(default_factory=dict)


def digest(version: Version) -> str:
    """What tells two versions of an annotation apart, 20 hex digits."""
    return hashlib.blake2b(version.model_dump_json().encode(), digest_size=10).hexdigest()


def after(held: Held | None, row: Row) -> Held:
    """What is held of an annotation after a row about it."""
    if row.version is not None:
        return Held(
            key=row.key,
            annotation=row.annotation,
            task=row.task,
            by=row.version.by,
            created_at=row.version.created_at,
            skipped=row.version.skipped,
            digest=digest(row.version),
            flags=row.flags,
        )
    if held is None:
        raise AnnotateError(f"{JOURNAL}: annotation {row.annotation}: {row.what} before it was new; found no such row")
    return held.model_copy(update={"flags": row.flags, "live": row.what != "deleted"})


class Known:
    """The annotations of a round that were seen so far, by key, with the mark up to which the server was read."""

    def __init__(self, folder: Path) -> None:
        self._journal, self._folder = folder / JOURNAL, folder / PULLED
        self._saved = _read_mark(self._folder / _MARK)
        self.mark = self._saved.mark
        self._parts: dict[str, _Keys] = {}
        self._anew: dict[str, _Keys] | None = None
        self._dirty: set[str] = set()
        self._size = self._saved.journal
        for placed in read(self._journal, self._size):
            self.apply([placed.row], placed.end)

    @property
    def size(self) -> int:
        """Bytes of the journal that it knows."""
        return self._size

    def of(self, key: str) -> dict[int, Held]:
        """What is held of a key, by the number of the annotation; not to be changed."""
        return self._part(_part_of(key)).get(key, {})

    def every(self) -> list[Held]:
        """All of them, by key and number."""
        held = [one for at in range(_PARTS) for of in self._part(f"{at:02x}").values() for one in of.values()]
        return sorted(held, key=lambda one: (one.key, one.annotation))

    def apply(self, rows: Iterable[Row], size: int) -> None:
        """Take in rows that were added to the journal, whose size is now `size` bytes."""
        for row in rows:
            name = _part_of(row.key)
            _take(self._part(name), row)
            self._dirty.add(name)
        self._size = size

    def save(self, mark: str | None) -> None:
        """Write the parts that changed, then the mark."""
        self._folder.mkdir(exist_ok=True)
        parts = dict(self._saved.parts)
        for name in sorted(self._dirty):
            of = self._parts[name]
            lines = [held.model_dump_json() + "\n" for key in sorted(of) for _, held in sorted(of[key].items())]
            content = "".join(lines).encode()
            write_bytes(self._folder / f"{name}.jsonl", content)
            parts[name] = hashlib.sha256(content).hexdigest()
        saved = Mark(mark=mark, journal=self._size, parts=dict(sorted(parts.items())))
        if saved != self._saved:
            write_bytes(self._folder / _MARK, (saved.model_dump_json(indent=2) + "\n").encode())
        self._saved, self.mark = saved, mark
        self._dirty.clear()

    def _part(self, name: str) -> _Keys:
        if name not in self._parts:
            content = _read_part(self._folder / f"{name}.jsonl", self._saved.parts.get(name))
            if content is None:
                content = self._from_journal().get(name, {})
                self._dirty.add(name)
            self._parts[name] = content
        return self._parts[name]

    def _from_journal(self) -> dict[str, _Keys]:
        """All parts as the journal has them. Rows that came later are in parts that are loaded already."""
        if self._anew is None:
            self._anew = {}
            for placed in read(self._journal):
                _take(self._anew.setdefault(_part_of(placed.row.key), {}), placed.row)
        return self._anew


def _take(part: _Keys, row: Row) -> None:
    of = part.setdefault(row.key, {})
    of[row.annotation] = after(of.get(row.annotation), row)


def _part_of(key: str) -> str:
    return f"{hashlib.blake2b(key.encode(), digest_size=1).digest()[0] % _PARTS:02x}"


def _read_mark(path: Path) -> Mark:
    if not path.exists():
        return Mark()
    try:
        return Mark.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise AnnotateError(f"{path}: not a mark ({error.errors()[0]['msg']}); delete it and pull again") from error


def _read_part(path: Path, sha256: str | None) -> _Keys | None:
    """What a part holds, None where it is not what the mark says."""
    content = path.read_bytes() if path.exists() else None
    if content is None or sha256 is None or hashlib.sha256(content).hexdigest() != sha256:
        return {} if sha256 is None else None
    parts: _Keys = {}
    for line in content.splitlines():
        held = Held.model_validate_json(line)
        parts.setdefault(held.key, {})[held.annotation] = held
    return parts
