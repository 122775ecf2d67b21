"""LLaMA-Factory: ShareGPT rows with role tags, `<image>` tags and `images`, which `dataset_info.json` describes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import write_json
from datasets_build.core.records import Json, Many, Part
from datasets_build.formats.chats import write_jsonl_chats
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.samples import Sample

NAME = "llamafactory"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    "`llamafactory-cli train` with `dataset_dir: <this folder>`, `media_dir: <this folder>`, "
    "`dataset: streamvl_train`, `eval_dataset: streamvl_validation`.",
    "Every message of the assistant is learned (leave `mask_history` off), so what may not be learned stands in the "
    "users' messages, as `Assistant: …`.",
    "`cutoff_len` cuts long samples without a word: set it to more than the longest takes, or export with "
    "`--max-steps`. A sample whose turns do not alternate would be skipped; none here does.",
    "`image_max_pixels` makes large frames smaller; set it to what was exported.",
)


class Message(Part):
    """A message, under the tags that `dataset_info.json` names."""

    role: Literal["system", "user", "assistant"]
    content: str


class Row(Part):
    """A line of the file."""

    id: str
    messages: Many[Message]
    images: Many[str]


def row_of(sample: Sample, images: list[str]) -> Row:
    """A sample as a line."""
    system = [Message(role="system", content=sample.system)] if sample.system else []
    messages = [
        Message(role="user" if row.role == "user" else "assistant", content=row.content) for row in sample.messages
    ]
    return Row(id=sample.key, messages=(*system, *messages), images=tuple(images))


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `<split>.jsonl`, the frames, and `dataset_info.json`."""
    write_jsonl_chats(reels, job, row_of, turn_loss=False)
    tags: Json = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "observation_tag": "observation",
        "function_tag": "function",
        "system_tag": "system",
    }
    entries: dict[str, Json] = {
        f"streamvl_{split}": {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": tags,
        }
        for split in SPLITS
        if (job.folder / f"{split}.jsonl").exists()
    }
    write_json(job.folder / "dataset_info.json", entries)
