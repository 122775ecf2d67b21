"""qwen-vl-finetune: `conversations` of human and gpt, `<image>` tags, and `image` as the list of their files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from datasets_build.core.records import Many, Part
from datasets_build.formats.chats import write_jsonl_chats
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.samples import Sample

NAME = "qwen-vl-finetune"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    'In `qwenvl/data/__init__.py`: `STREAMVL = {"annotation_path": "<this folder>/train.jsonl", '
    '"data_path": "<this folder>"}` and `data_dict = {"streamvl": STREAMVL}`; then `--dataset_use streamvl`.',
    "Every message of `gpt` is learned, so what may not be learned stands in the humans' messages, as `Assistant: …`.",
    "There is no system role (one would be read as the assistant's): the system prompt begins the first message.",
    "A sample that fails is replaced by the next one after three tries, with a line of output: watch for `Try other`. "
    "None here fails for its tags or files; one longer than the model's context might.",
)


class Message(Part):
    """A message; `from` is its sender."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    sender: Annotated[Literal["human", "gpt"], Field(alias="from")]
    value: str


class Row(Part):
    """A line of the file."""

    id: str
    image: Many[str]
    conversations: Many[Message]


def row_of(sample: Sample, images: list[str]) -> Row:
    """A sample as a line."""
    values = [row.content for row in sample.messages]
    if sample.system:
        values[0] = f"{sample.system}\n{values[0]}"
    messages = [
        Message(sender="human" if row.role == "user" else "gpt", value=value)
        for row, value in zip(sample.messages, values, strict=True)
    ]
    return Row(id=sample.key, image=tuple(images), conversations=tuple(messages))


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `<split>.jsonl` and the frames."""

    def row(sample: Sample, images: list[str]) -> Row:
        moved = bool(sample.system)
        job.losses.lose("system", "stands in the first human message", sample.window.talk.id, times=int(moved))
        return row_of(sample, images)

    write_jsonl_chats(reels, job, row, turn_loss=False)
