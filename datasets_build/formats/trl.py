"""TRL: Parquet with `messages` whose content is parts, and `images` inside, as its trainer for vision takes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from datasets_build.core.records import Many, Part
from datasets_build.formats.chats import Told
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.parquet import Content, content_of, write_parquet
from datasets_build.formats.samples import Sample

NAME = "trl"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    '`SFTTrainer(model, args=SFTConfig(max_length=None, …), train_dataset=load_dataset("<this folder>", '
    'split="train"))`.',
    "Set `max_length=None`: a sample that is cut may lose images in the middle, and then fails.",
    "Set `assistant_only_loss=True` where the model's chat template marks the assistant's words; without it TRL learns "
    "the users' words, too. Every message of the assistant is learned, so what may not be stands in the users' "
    "messages, as `Assistant: …`.",
    "Pictures are inside the rows: a frame that several samples show is stored for each of them.",
)


class Message(Part):
    """A message of parts."""

    role: Literal["system", "user", "assistant"]
    content: Many[Content]


class Row(Part):
    """A row without its images."""

    id: str
    messages: Many[Message]


def row_of(sample: Sample, told: Told) -> Row:
    """A sample as a row."""
    del told
    system = [Message(role="system", content=(Content(type="text", text=sample.system),))] if sample.system else []
    messages = [
        Message(role="user" if row.role == "user" else "assistant", content=content_of(row)) for row in sample.messages
    ]
    return Row(id=sample.key, messages=(*system, *messages))


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `data/<split>-<number>.parquet`."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    content = List({"type": text, "text": text})
    features = Features({"id": text, "messages": List({"role": text, "content": content}), "images": List(Image())})
    write_parquet(reels, job, row_of, features, turn_loss=False)
