"""A local copy of PE-Video out of its shards, on this machine or on the hub: video files, and one table of captions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from datasets_build.core.files import DataError, write_bytes

TABLE = "pe_video.jsonl"
_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds, and the samples that could not be copied, with reasons."""

    videos: tuple[Path, ...]
    left_out: tuple[str, ...]


def copy_pe_video(source: str, folder: Path, *, split: str = "test", limit: int | None = None) -> Copied:
    """Write `KEY.mp4` for each sample, and `pe_video.jsonl` with what is said of them, in the order of the shards.

    Args:
        source: a folder of `SPLIT/*.tar`, or a dataset's name on the hub, such as `facebook/PE-Video`.
        folder: where the copy goes; files of the same name are replaced.
        split: which split.
        limit: how many samples at most, None for all.

    Raises:
        DataError: the source cannot be loaded, or holds no sample with `json` and `mp4`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    videos, left_out, lines = dict[Path, None](), list[str](), list[str]()
    for number, sample in enumerate(islice(_samples(source, split), limit), start=1):
        said, video = sample.get("json"), sample.get("mp4")
        key = str(sample.get("__key__", "")).rsplit("/", 1)[-1]
        content = video.get("bytes") if isinstance(video, dict) else video
        if not isinstance(said, dict) or not isinstance(content, bytes) or not _NAME.fullmatch(key):
            left_out.append(f"sample {number} ({key!r}): expected json and mp4 under a key that can name a file")
            continue
        path = folder / f"{key}.mp4"
        if path in videos:
            left_out.append(f"sample {number} ({key!r}): expected another key, an earlier sample has this one")
            continue
        write_bytes(path, content)
        videos[path] = None
        lines.append(json.dumps({"__key__": key, "json": said}, ensure_ascii=False, sort_keys=True) + "\n")
    if not videos:
        raise DataError(f"{source}: holds no sample of PE-Video in split {split}, expected json and mp4 in tar shards")
    # Written last: a table without its videos would speak of what is not there.
    write_bytes(folder / TABLE, "".join(lines).encode())
    return Copied(tuple(videos), tuple(left_out))


def _samples(source: str, split: str) -> Iterator[dict[str, Any]]:
    # Any: the shards decide the columns. The library takes seconds to load, which no other verb should wait for.
    from datasets import IterableDataset, Video, load_dataset

    try:
        found = load_dataset(source, split=split, streaming=True)
        assert isinstance(found, IterableDataset), "streaming gives an iterable dataset"
        if "mp4" in (found.column_names or []):
            # The file itself is wanted, not its frames.
            found = found.cast_column("mp4", Video(decode=False))
        yield from found
    except (ValueError, OSError) as error:
        raise DataError(f"{source}: split {split} cannot be loaded ({error})") from error
