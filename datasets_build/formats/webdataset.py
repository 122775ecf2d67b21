"""WebDataset: tar shards in which all files of one name are a sample: `<id>.json`, `<id>.<step>.jpg`."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from datasets_build.core.records import Many, Part, Split
from datasets_build.formats.chats import SampleInfo, Told, each_video, info_of
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.samples import Sample

NAME = "webdataset"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    '`webdataset.WebDataset("<this folder>/train-{000000..000003}.tar").decode("pil")`: a sample has `__key__`, `json` '
    "and a frame for every name in its field `images`.",
    "`json` has `messages` (`<image>` tags, `learn`, `weight`), `images` in the order of the tags, and `info`, the "
    "line of `samples.jsonl` with the time of every step.",
    "WebDataset's default handler raises on a broken shard; `handler=warn_and_continue` loses samples without a count.",
)


class Message(Part):
    """A message; `learn` and `weight` tell what the loss should do with it."""

    role: Literal["system", "user", "assistant"]
    content: str
    learn: bool
    weight: float


class Row(Part):
    """The `json` of a sample; `images` are the names under which a reader finds the frames."""

    id: str
    messages: Many[Message]
    images: Many[str]
    info: SampleInfo


def row_of(sample: Sample, reel: Reel) -> Row:
    """The `json` of a sample."""
    system = [Message(role="system", content=sample.system, learn=False, weight=1.0)] if sample.system else []
    messages = [
        Message(
            role="user" if row.role == "user" else "assistant",
            content=row.content,
            learn=row.role == "assistant" and row.learn,
            weight=row.weight,
        )
        for row in sample.messages
    ]
    names = tuple(f"{k:06d}.jpg" for k in range(len(sample.frames)))
    return Row(id=sample.key, messages=(*system, *messages), images=names, info=info_of(sample, reel))


def members(sample: Sample, told: Told) -> Iterator[tuple[str, bytes]]:
    """The files of a sample, by name."""
    row = row_of(sample, told.reel)
    yield f"{sample.key}.json", row.model_dump_json().encode()
    for name, index in zip(row.images, sample.frames, strict=True):
        yield f"{sample.key}.{name}", (told.frames / f"{index:08d}.jpg").read_bytes()


@dataclass(slots=True)
class _Shards:
    """The shards of all splits, the last of each open."""

    folder: Path
    longest: int
    open: dict[Split, tarfile.TarFile] = field(default_factory=dict)
    held: Counter[Split] = field(default_factory=Counter)

    def add(self, split: Split, files: Iterable[tuple[str, bytes]]) -> None:
        """Append a sample to the last shard of its split, or begin another."""
        if self.held[split] % self.longest == 0:
            if split in self.open:
                self.open[split].close()
            name = f"{split}-{self.held[split] // self.longest:06d}.tar"
            self.open[split] = tarfile.open(self.folder / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self.held[split] += 1
        for name, content in files:
            # Nothing of the machine or the hour: the same samples are the same bytes.
            member = tarfile.TarInfo(name)
            member.size = len(content)
            self.open[split].addfile(member, io.BytesIO(content))

    def close(self) -> None:
        """Finish the last shards."""
        for shard in self.open.values():
            shard.close()


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `<split>-<number>.tar`."""
    shards = _Shards(job.folder, job.options.shard)
    with ExitStack() as stack:
        stack.callback(shards.close)
        for told in each_video(reels, job, turn_loss=True):
            for sample in told.samples:
                shards.add(sample.split, members(sample, told))
