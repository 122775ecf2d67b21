"""A round's folder: what was asked, of whom never, and proof that it is still what was asked.

`ROUNDS/<round>/` holds `items.jsonl`, `rejects.jsonl` (records that no screen asks about) and `manifest.json`, written
once and never changed; the manifest comes last, so a folder without one is no round yet. An item is parsed when it is
asked for: who needs few of ten thousand pays for few.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ValidationError

from annotate.errors import AnnotateError
from annotate.lock import alone
from annotate.manifest import Manifest
from annotate.tasks import Item
from datasets_build.core.files import sha256_file, write_bytes, write_jsonl
from datasets_build.core.records import Json, Part, Reject

MANIFEST = "manifest.json"
ITEMS = "items.jsonl"
REJECTS = "rejects.jsonl"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# The first instant stands: the same round asked for tomorrow is the same round; the others follow from the rest.
_NOT_ASKED_FOR = {"made_at", "left_out", "rejects_sha256", "sha256"}
_MADE = {"items", "items_sha256", "gold"}
# How a line begins, and what says that it is gold: quotes inside of texts are escaped, so these are fields.
_KEY = re.compile(rb'\{"key":("(?:[^"\\]|\\.)*")')
_GOLD = b'"is_gold":true'

P = TypeVar("P", bound=Part)


@dataclass(frozen=True, kw_only=True)  # without slots, for what is worked out once
class Round:
    """A round that stands on the disk. `lines` are those of `items.jsonl`, in the order in which items are sent."""

    folder: Path
    manifest: Manifest
    lines: tuple[bytes, ...]

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, items: Sequence[Item]) -> Self:
        """A round of these items, unchecked."""
        return cls(folder=folder, manifest=manifest, lines=tuple(_line(item) for item in items))

    @property
    def title(self) -> str:
        """What its project is called on a server, 15 to 50 characters: another round's is another, by content."""
        content = f"{self.manifest.config_sha256} {self.manifest.items_sha256}"
        return f"streamvl {self.manifest.round} {hashlib.blake2b(content.encode(), digest_size=4).hexdigest()}"

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All items, in the order of the lines. Raises AnnotateError for a line that is none."""
        return tuple(_parse(Item, line, f"{self.folder}/{ITEMS}:{at}") for at, line in enumerate(self.lines, start=1))

    @cached_property
    def by_key(self) -> Mapping[str, Item]:
        """All items by their keys."""
        return {item.key: item for item in self.items}

    def item(self, key: str) -> Item | None:
        """The item of a key, None for none; no other is parsed. Raises AnnotateError for a line that is none."""
        at = self.places.get(_as_json(key))
        return None if at is None else _parse(Item, self.lines[at], f"{self.folder}/{ITEMS}:{at + 1}")

    @cached_property
    def places(self) -> Mapping[bytes, int]:
        """The line of each key, from 0; keys as they stand in JSON."""
        return {_key(line, self.folder, at): at for at, line in enumerate(self.lines)}

    @property
    def proxies(self) -> Path:
        """The folder of the videos that people watch."""
        return self.folder / "proxies"


def items_sha256(items: Sequence[Item]) -> str:
    """The SHA-256 of `items.jsonl` as it will be written."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(_line(item) + b"\n")
    return digest.hexdigest()


def blind(item: Item) -> Item:
    """An item as whoever makes a task of it may see it: nothing tells that it is gold."""
    return item.model_copy(update={"is_gold": False, "truth": None})


def create(root: Path, manifest: Manifest, items: Sequence[Item], rejects: Sequence[Reject] = ()) -> Round:
    """Make a round below `root`, or find the same one again.

    Args:
        root: the folder of all rounds.
        manifest: what it says of itself; the digests of its files and of itself are laid into it.
        items: of the round.
        rejects: the records of its kind that no screen asks about, each with the reason.

    Raises:
        AnnotateError: the manifest does not describe the items; a round of this name was made of something else, with
            the names of the fields that differ. Nothing is written then.
    """
    folder = folder_of(root, manifest.round)
    made = Round.of(folder, manifest, items)
    _check(made, items_sha256(items), str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if (folder / MANIFEST).exists():
            found = load(root, manifest.round)
            refuse_other(found.manifest, manifest, folder)
            return found
        write_jsonl(folder / ITEMS, items)
        write_jsonl(folder / REJECTS, rejects)
        sealed = manifest.model_copy(update={"rejects_sha256": sha256_file(folder / REJECTS)}).sealed()
        write_bytes(folder / MANIFEST, sealed.text.encode())
    return replace(made, manifest=sealed)


def load(root: Path, name: str) -> Round:
    """Find a round again and check, by bytes, that it is what was written.

    Raises:
        AnnotateError: there is none; a file of it was changed or cannot be read, with what was found and expected.
    """
    folder = folder_of(root, name)
    if not (folder / MANIFEST).exists():
        raise AnnotateError(f"{folder}: no round of this name; make it with annotate-push")
    written = (folder / MANIFEST).read_bytes()
    manifest = _parse(Manifest, written, str(folder / MANIFEST))
    if manifest.round != name:
        raise AnnotateError(f"{folder / MANIFEST}: round: found {manifest.round}, expected the folder's name {name}")
    if not (folder / ITEMS).exists():
        raise AnnotateError(f"{folder / ITEMS}: no such file, expected the round's {manifest.items} items")
    content = (folder / ITEMS).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    _check_digest(folder / ITEMS, "items_sha256", found, manifest.items_sha256)
    round_ = Round(folder=folder, manifest=manifest, lines=tuple(content.splitlines()))
    _check(round_, found, str(folder / MANIFEST))
    if written != manifest.sealed().text.encode():
        raise AnnotateError(
            f"{folder / MANIFEST}: sha256: found {manifest.sha256}, expected {manifest.sealed().sha256} and its fields "
            "as they were written: somebody changed the manifest of a round; put it back from a copy, or make a round "
            "of another name"
        )
    if not (folder / REJECTS).exists():
        raise AnnotateError(f"{folder / REJECTS}: no such file, expected the round's records that no screen asks about")
    _check_digest(folder / REJECTS, "rejects_sha256", sha256_file(folder / REJECTS), manifest.rejects_sha256)
    return round_


def _check_digest(path: Path, field: str, found: str, expected: str) -> None:
    if found != expected:
        raise AnnotateError(
            f"{path}: {field}: found {found}, expected {expected}: somebody changed the {path.stem} of a round; put "
            "them back from a copy, or make a round of another name"
        )


def round_of(root: Path, key: str, *, but: str) -> str | None:
    """The name of another round below `root` that asked for this key, None for none."""
    needle = b'"key":' + _as_json(key)
    for path in sorted(root.glob(f"*/{ITEMS}")):
        if path.parent.name != but and needle in path.read_bytes():
            return path.parent.name
    return None


def folder_of(root: Path, name: str) -> Path:
    """The folder of a round of this name, there or not. Raises AnnotateError for what is no name."""
    if not _NAME.fullmatch(name):
        raise AnnotateError(
            f"round {name!r}: not a name, expected 1 to 32 of a-z, 0-9, - and _, the first a letter or digit"
        )
    return root / name


def _parse(kind: type[P], text: bytes, where: str) -> P:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise AnnotateError(f"{where}: {field}: {first['msg']}, found {str(first['input'])[:80]!r}") from error


def _line(item: Item) -> bytes:
    return item.model_dump_json().encode()


def _as_json(key: str) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _key(line: bytes, folder: Path, at: int) -> bytes:
    """The key of an item as it stands in its line, which is counted from 0."""
    found = _KEY.match(line)
    if found is None:
        raise AnnotateError(
            f"{folder}/{ITEMS}:{at + 1}: found {line[:40]!r}, expected an item that begins with its key"
        )
    return found[1]


def _check(round_: Round, sha256: str, where: str) -> None:
    """What a manifest counts must be what there is; keys are identities. Bytes are looked at, no item is parsed."""
    manifest, lines = round_.manifest, round_.lines
    counted = {
        "items": (manifest.items, len(lines)),
        "gold": (manifest.gold, sum(_GOLD in line for line in lines)),
        "items_sha256": (manifest.items_sha256, sha256),
    }
    for field, (said, found) in counted.items():
        if said != found:
            raise AnnotateError(f"{where}: {field}: the manifest says {said}, found {found}")
    kind = f'"sheet":{{"kind":"{manifest.kind}"'.encode()
    for other in (line for line in lines if kind not in line):
        item = _parse(Item, other, where)
        raise AnnotateError(f"{where}: kind of {item.key}: found {item.sheet.kind}, expected {manifest.kind}")
    if len(round_.places) < len(lines):
        twice = next(key for key, times in Counter(item.key for item in round_.items).items() if times > 1)
        raise AnnotateError(f"{where}: key {twice}: two items have it, expected it once")


def refuse_other(old: Manifest, new: Manifest, folder: Path) -> None:
    """Raises AnnotateError with each setting in which two manifests of one round differ: what it has, what is asked."""
    before, after = (each.model_dump(mode="json", exclude=_NOT_ASKED_FOR) for each in (old, new))
    changes = dict(_changes(before, after))
    if changes:
        told = "; ".join(f"{name}: {change}" for name, change in changes.items())
        same = "" if changes.keys() - _MADE else "; every setting is the same, so the records or the clips are others"
        raise AnnotateError(
            f"{folder}: a round of this name was made of something else ({told}), each what it has → what was asked "
            f"for{same}; ask for what it has, or choose another name"
        )


def _changes(old: Json, new: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """The full name of each field in which two records differ, and from what to what."""
    if isinstance(old, dict) and isinstance(new, dict):
        for field in new:
            yield from _changes(old[field], new[field], f"{name}.{field}" if name else field)
    elif old != new:
        yield name, f"{old} → {new}"
