"""The rows of exported files, of any format, in one form: what a check reads in place of a trainer."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from datasets_build.core.dataset import SPLITS
from datasets_build.core.records import Json
from datasets_build.formats.format import FormatError
from datasets_build.formats.parquet import DATA
from datasets_build.formats.samples import IMAGE

_STAMP = re.compile(rf"^<(?:[\d.]+ seconds|\d+s-\d+s)>\n(?={IMAGE}$)", re.MULTILINE)
"""The time before a frame."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message: `role` is user, assistant or system in every format, `content` has `<image>` tags.

    `learn` and `weight` say what the loss does with it, where the format does.
    """

    role: str
    content: str
    learn: bool = True
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """A row of an exported file.

    Attributes:
        where: the file and the row in it.
        id: of its sample.
        messages: in their order.
        images: the bytes of each, in their order; None where the file is not there.
    """

    where: str
    id: str
    messages: tuple[Said, ...]
    images: tuple[bytes | None, ...]


def rows_of(folder: Path, name: str) -> Iterator[ForeignRow]:
    """All rows of an export in a format of `ROWS`, split by split.

    Raises:
        FormatError: a file is not what the format says, naming the file and the row.
    """
    for split in SPLITS:
        yield from ROWS[name](folder, split)


def _jsonl(folder: Path, split: str, messages: Callable[[dict[str, Json]], tuple[Said, ...]]) -> Iterator[ForeignRow]:
    path = folder / f"{split}.jsonl"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path.name}:{number}"
            try:
                row = json.loads(line)
                names = row["image"] if "image" in row else row["images"]
                images = tuple(_bytes(folder / name) for name in names)
                yield ForeignRow(where=where, id=row["id"], messages=messages(row), images=images)
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError(f"{folder}/{where}: not a row of this format ({error!r})") from error


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _messages(row: dict[str, Json]) -> tuple[Said, ...]:
    return tuple(
        _said(each, each["content"])  # type: ignore[arg-type,index,call-overload]  # a foreign row, whose errors are caught
        for each in row["messages"]  # type: ignore[union-attr]  # as above
    )


def _said(each: Mapping[str, Any], content: str) -> Said:
    """A message with the loss that ms-swift (`loss`, `loss_scale`) or our own rows (`learn`, `weight`) name."""
    learn, weight = each.get("learn", each.get("loss")), each.get("weight", each.get("loss_scale"))
    return Said(each["role"], content, True if learn is None else learn, 1.0 if weight is None else weight)


def _conversations(row: dict[str, Json]) -> tuple[Said, ...]:
    # What the trainer makes of senders: all but a human is the assistant.
    return tuple(
        Said("user" if each["from"] == "human" else "assistant", each["value"])  # type: ignore[index,call-overload,arg-type]  # as above
        for each in row["conversations"]  # type: ignore[union-attr]  # as above
    )


def _chats(folder: Path, split: str) -> Iterator[ForeignRow]:
    return _jsonl(folder, split, _messages)


def _stamped(folder: Path, split: str) -> Iterator[ForeignRow]:
    for row in _jsonl(folder, split, _messages):
        yield replace(row, messages=tuple(replace(said, content=_STAMP.sub("", said.content)) for said in row.messages))


def _humans(folder: Path, split: str) -> Iterator[ForeignRow]:
    return _jsonl(folder, split, _conversations)


def _parquet(folder: Path, split: str) -> Iterator[ForeignRow]:
    for path in sorted((folder / DATA).glob(f"{split}-*.parquet")):
        number = 0
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(batch_size=16, columns=["id", "messages", "images"]):
                for row in batch.to_pylist():
                    messages = tuple(_said(each, _text(each["content"])) for each in row["messages"])
                    images = tuple(image["bytes"] for image in row["images"])
                    where = f"{DATA}/{path.name}:{number}"
                    yield ForeignRow(where=where, id=row["id"], messages=messages, images=images)
                    number += 1


def _text(content: list[dict[str, str]]) -> str:
    return "\n".join(IMAGE if part["type"] == "image" else part["text"] for part in content)


def _shards(folder: Path, split: str) -> Iterator[ForeignRow]:
    for path in sorted(folder.glob(f"{split}-*.tar")):
        files: dict[str, dict[str, bytes]] = {}
        with tarfile.open(path) as shard:
            for member in shard:
                content = shard.extractfile(member) or io.BytesIO()
                key, _, name = member.name.partition(".")
                files.setdefault(key, {})[name] = content.read()
        for key, found in files.items():
            try:
                row = json.loads(found["json"])
                images = tuple(found.get(name) for name in row["images"])
                yield ForeignRow(where=f"{path.name}:{key}", id=row["id"], messages=_messages(row), images=images)
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError(f"{path}: sample {key}: not a row of this format ({error!r})") from error


ROWS: Mapping[str, Callable[[Path, str], Iterator[ForeignRow]]] = {
    "ms-swift": _chats,
    "llamafactory": _chats,
    "qwen-vl-finetune": _humans,
    "trl": _parquet,
    "hf": _parquet,
    "webdataset": _shards,
    "joyai-seconds": _stamped,
    "streamo-image": _stamped,
}
TURN_LOSS = frozenset({"ms-swift", "hf", "webdataset", "joyai-seconds", "streamo-image"})
"""Formats whose rows say of each message whether it is learned."""
