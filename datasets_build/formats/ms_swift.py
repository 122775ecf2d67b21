"""ms-swift: `messages` with a loss for each of the assistant's, `<image>` tags, and `images` in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from datasets_build.core.records import Many, Part
from datasets_build.formats.chats import write_jsonl_chats
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.samples import Sample

NAME = "ms-swift"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    "`ROOT_IMAGE_DIR=<this folder> swift sft --dataset <this folder>/train.jsonl --strict true --lazy_tokenize true …`",
    "Set `--strict true`: without it the loader replaces a sample that fails, or is longer than `max_length`, by "
    "another one without a word. Set `--max_length` to more than the longest sample takes, or export with "
    "`--max-steps`.",
    "`loss` and `loss_scale` stand in the assistant's messages. A `loss_scale` other than 0 and 1 needs "
    "`--is_binary_loss_scale false`.",
    "Image paths are relative to this folder; `ROOT_IMAGE_DIR` names it.",
)


class Message(Part):
    """A message; `loss` and `loss_scale` are the assistant's alone, and a scale of 1 is not written."""

    role: Literal["system", "user", "assistant"]
    content: str
    loss: bool | None = None
    loss_scale: float | None = None


class Row(Part):
    """A line of the file."""

    id: str
    messages: Many[Message]
    images: Many[str]


def row_of(sample: Sample, images: list[str]) -> Row:
    """A sample as a line."""
    system = [Message(role="system", content=sample.system)] if sample.system else []
    messages = [
        Message(role="user", content=row.content)
        if row.role == "user"
        else Message(
            role="assistant",
            content=row.content,
            loss=row.learn,
            loss_scale=row.weight if row.learn and row.weight != 1.0 else None,
        )
        for row in sample.messages
    ]
    return Row(id=sample.key, messages=(*system, *messages), images=tuple(images))


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `<split>.jsonl` and the frames."""
    write_jsonl_chats(reels, job, row_of, turn_loss=True)
