"""Samples in Parquet with their pictures inside, typed so that `load_dataset` gives images: what trl and hf share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from datasets_build.core.records import Part, Split
from datasets_build.formats.chats import Told, each_video
from datasets_build.formats.format import Job, Reel
from datasets_build.formats.samples import Message, Sample, Shot

if TYPE_CHECKING:
    import datasets

DATA = "data"
# A row has its pictures in it, so a group is small.
ROWS_PER_GROUP = 16


class Content(Part):
    """A part of a message: an image, or words."""

    type: str
    text: str | None = None


def content_of(message: Message) -> tuple[Content, ...]:
    """The parts of a message; the images come in their order from the row's `images`."""
    return tuple(
        Content(type="image") if isinstance(part, Shot) else Content(type="text", text=part) for part in message.parts
    )


@dataclass(slots=True)
class _Files:
    """The files of all splits, the last of each open."""

    folder: Path
    features: datasets.Features
    longest: int
    open: dict[Split, pq.ParquetWriter] = field(default_factory=dict)
    waiting: dict[Split, list[dict[str, object]]] = field(default_factory=dict)
    held: Counter[Split] = field(default_factory=Counter)

    def add(self, split: Split, row: dict[str, object]) -> None:
        """Append a row to the last file of its split, or begin another."""
        if self.held[split] % self.longest == 0:
            self._close(split)
            path = self.folder / f"{split}-{self.held[split] // self.longest:05d}.parquet"
            self.open[split] = pq.ParquetWriter(path, self.features.arrow_schema, compression="zstd")
        self.held[split] += 1
        self.waiting.setdefault(split, []).append(row)
        if len(self.waiting[split]) == ROWS_PER_GROUP:
            self._flush(split)

    def _flush(self, split: Split) -> None:
        if self.waiting.get(split):
            table = pa.Table.from_pylist(self.waiting.pop(split), schema=self.features.arrow_schema)
            self.open[split].write_table(table)

    def _close(self, split: Split) -> None:
        self._flush(split)
        if split in self.open:
            self.open.pop(split).close()

    def close(self) -> None:
        """Finish the last files."""
        for split in list(self.open):
            self._close(split)


RowOf = Callable[[Sample, Told], Part]


def write_parquet(
    reels: Iterable[Reel], job: Job, row_of: RowOf, features: datasets.Features, *, turn_loss: bool
) -> None:
    """Write `data/<split>-<number>.parquet`; `features` has the fields of the rows, and `images`."""
    folder = job.folder / DATA
    folder.mkdir()
    with ExitStack() as stack:
        files = _Files(folder, features, job.options.shard)
        stack.callback(files.close)
        for told in each_video(reels, job, turn_loss=turn_loss):
            for sample in told.samples:
                row: dict[str, object] = row_of(sample, told).model_dump()
                files.add(sample.split, row | {"images": pictures(sample, told.frames)})


def pictures(sample: Sample, frames: Path) -> list[dict[str, object]]:
    """The images of a sample as `datasets` stores them, by the names of their files."""
    return [
        {"bytes": (frames / f"{index:08d}.jpg").read_bytes(), "path": f"{index:08d}.jpg"} for index in sample.frames
    ]
