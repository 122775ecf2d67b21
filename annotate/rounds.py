"""A round's folder: what was asked, of whom never, and proof that it is still what was asked.

`ROUNDS/<round>/` holds `items.jsonl` and `manifest.json`, written once and never changed; the manifest comes last, so a
folder without one is no round yet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from annotate.errors import AnnotateError
from annotate.lock import alone
from annotate.tasks import Item, Manifest
from datasets_build.core.files import sha256_file, write_json, write_jsonl
from datasets_build.core.records import Part

MANIFEST = "manifest.json"
ITEMS = "items.jsonl"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_WHEN = "made_at"  # the first one stands: the same round asked for tomorrow is the same round

P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round that stands on the disk. `items` are in the order in which they are sent."""

    folder: Path
    manifest: Manifest
    items: tuple[Item, ...]

    @property
    def title(self) -> str:
        """What its project is called on a server, 15 to 50 characters: another round's is another, by content."""
        content = f"{self.manifest.config_sha256} {self.manifest.items_sha256}"
        return f"streamvl {self.manifest.round} {hashlib.blake2b(content.encode(), digest_size=4).hexdigest()}"

    @property
    def by_key(self) -> dict[str, Item]:
        """Its items by their keys."""
        return {item.key: item for item in self.items}

    @property
    def proxies(self) -> Path:
        """The folder of the videos that people watch."""
        return self.folder / "proxies"


def items_sha256(items: Sequence[Item]) -> str:
    """The SHA-256 of `items.jsonl` as it will be written."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode() + b"\n")
    return digest.hexdigest()


def blind(item: Item) -> Item:
    """An item as whoever makes a task of it may see it: nothing tells that it is gold."""
    return item.model_copy(update={"is_gold": False, "truth": None})


def create(root: Path, manifest: Manifest, items: Sequence[Item]) -> Round:
    """Make a round below `root`, or find the same one again.

    Raises:
        AnnotateError: the manifest does not describe the items; a round of this name was made of something else, with
            the names of the fields that differ. Nothing is written then.
    """
    folder = folder_of(root, manifest.round)
    _check(manifest, items, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if (folder / MANIFEST).exists():
            found = load(root, manifest.round)
            refuse_other(found.manifest, manifest, folder)
            return found
        write_jsonl(folder / ITEMS, items)
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return Round(folder=folder, manifest=manifest, items=tuple(items))


def load(root: Path, name: str) -> Round:
    """Find a round again and check that it is what was written.

    Raises:
        AnnotateError: there is none; a file of it was changed or cannot be read, with line and field.
    """
    folder = folder_of(root, name)
    if not (folder / MANIFEST).exists():
        raise AnnotateError(f"{folder}: no round of this name; make it with annotate-push")
    manifest = _parse(Manifest, (folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    if manifest.round != name:
        raise AnnotateError(f"{folder / MANIFEST}: round: found {manifest.round}, expected the folder's name {name}")
    if not (folder / ITEMS).exists():
        raise AnnotateError(f"{folder / ITEMS}: no such file, expected the round's {manifest.items} items")
    found = sha256_file(folder / ITEMS)
    if found != manifest.items_sha256:
        raise AnnotateError(
            f"{folder / ITEMS}: items_sha256: found {found}, expected {manifest.items_sha256}: somebody changed the "
            "items of a round; put them back from a copy, or make a round of another name"
        )
    lines = (folder / ITEMS).read_bytes().splitlines()
    items = tuple(_parse(Item, line, f"{folder / ITEMS}:{at}") for at, line in enumerate(lines, start=1))
    _check(manifest, items, str(folder / MANIFEST))
    return Round(folder=folder, manifest=manifest, items=items)


def round_of(root: Path, key: str, *, but: str) -> str | None:
    """The name of another round below `root` that asked for this key, None for none."""
    needle = f'"key":{json.dumps(key, ensure_ascii=False)}'.encode("utf-8", "backslashreplace")
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


def _check(manifest: Manifest, items: Sequence[Item], where: str) -> None:
    """What a manifest counts must be what there is; keys are identities."""
    counted = {
        "items": (manifest.items, len(items)),
        "gold": (manifest.gold, sum(item.is_gold for item in items)),
        "items_sha256": (manifest.items_sha256, items_sha256(items)),
    }
    for field, (said, found) in counted.items():
        if said != found:
            raise AnnotateError(f"{where}: {field}: the manifest says {said}, found {found}")
    keys: set[str] = set()
    for item in items:
        if item.key in keys:
            raise AnnotateError(f"{where}: key {item.key}: two items have it, expected it once")
        if item.sheet.kind != manifest.kind:
            raise AnnotateError(f"{where}: kind of {item.key}: found {item.sheet.kind}, expected {manifest.kind}")
        keys.add(item.key)


def refuse_other(old: Manifest, new: Manifest, folder: Path) -> None:
    """Raises AnnotateError with the names of the fields in which two manifests of one round differ."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    fields = [name for name in after if name != _WHEN and before[name] != after[name]]
    if fields:
        changes = "; ".join(f"{name}: {before[name]} → {after[name]}" for name in fields)
        raise AnnotateError(f"{folder}: a round of this name was made of something else ({changes}); choose another")
