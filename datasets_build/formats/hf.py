"""A dataset for the Hugging Face hub: Parquet with images, with loss and time of everything, a card, and the push."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

from datasets_build.core.records import Many, Ns, Part
from datasets_build.formats.chats import Told
from datasets_build.formats.format import Dataset, FormatError, Job, Reel
from datasets_build.formats.parquet import Content, content_of, write_parquet
from datasets_build.formats.samples import Sample
from datasets_build.formats.source import made_of
from datasets_build.formats.steps import State

NAME = "hf"
DATASETS: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
HOW = (
    '`datasets.load_dataset("<this folder>")`; push it with `python -m datasets_build push <this folder> OWNER/NAME`.',
    "`messages` have `learn` and `weight`; step `k` shows `images[k]` at `t_ns[k]` of the video.",
    "Pictures are inside the rows: a frame that several samples show is stored for each of them.",
    "Look at the licences before you push: frames of videos that may not be passed on may not be pushed.",
)


class Message(Part):
    """A message of parts; `learn` and `weight` tell what the loss should do with it."""

    role: Literal["system", "user", "assistant"]
    content: Many[Content]
    learn: bool
    weight: float


class Row(Part):
    """A row without its images; `t_ns`, `frame_index` and `state` have an entry for each step, as `images` has."""

    id: str
    kind: str
    record_id: str
    video_id: str
    uri: str
    sha256: str
    licence: str
    messages: Many[Message]
    t_ns: Many[Ns]
    frame_index: Many[int]
    state: Many[State]


def row_of(sample: Sample, told: Told) -> Row:
    """A sample as a row."""
    video, talk = told.reel.video, sample.window.talk
    text = (Content(type="text", text=sample.system),)
    system = [Message(role="system", content=text, learn=False, weight=1.0)] if sample.system else []
    messages = [
        Message(
            role="user" if row.role == "user" else "assistant",
            content=content_of(row),
            learn=row.role == "assistant" and row.learn,
            weight=row.weight,
        )
        for row in sample.messages
    ]
    return Row(
        id=sample.key,
        kind=talk.kind,
        record_id=talk.id,
        video_id=video.id,
        uri=video.uri,
        sha256=video.sha256,
        licence=video.licence,
        messages=(*system, *messages),
        t_ns=tuple(step.t_ns for step in sample.steps),
        frame_index=tuple(step.frame_index for step in sample.steps),
        state=tuple(step.state for step in sample.steps),
    )


def write(reels: Iterable[Reel], job: Job) -> None:
    """Write `data/<split>-<number>.parquet`."""
    from datasets import Features, Image, List, Value

    text, whole = Value("string"), Value("int64")
    content = List({"type": text, "text": text})
    message = {"role": text, "content": content, "learn": Value("bool"), "weight": Value("float64")}
    names = ("id", "kind", "record_id", "video_id", "uri", "sha256", "licence")
    features = Features(
        dict.fromkeys(names, text)
        | {"messages": List(message), "t_ns": List(whole), "frame_index": List(whole), "state": List(text)}
        | {"images": List(Image())}
    )
    write_parquet(reels, job, row_of, features, turn_loss=True)


class Hub(Protocol):
    """What of `huggingface_hub.HfApi` a push needs."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> object:
        """Make a repository where there is none."""

    def upload_folder(self, *, repo_id: str, folder_path: Path, repo_type: str, commit_message: str) -> object:
        """Send all files of a folder."""


def push_to_hub(folder: Path, repo: str, hub: Hub, *, private: bool) -> None:
    """Send a finished export to a dataset repository, card and manifest included.

    Raises:
        FormatError: the folder is no finished export of this format.
    """
    if made_of(folder).format != NAME:
        raise FormatError(f"{folder}: is an export for {made_of(folder).format}, expected one of the format {NAME}")
    hub.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
    hub.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset", commit_message="streamvl export")
