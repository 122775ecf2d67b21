"""A finished dataset as talks, video by video, and what a finished export says that it was made of."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from datasets_build.core.clock import FrameClock
from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import read_json
from datasets_build.core.layout import VideoRows, clock_of, read_videos, video_path
from datasets_build.core.progress import track
from datasets_build.core.records import Dialogue, Event, Record, StreamingQA, Video
from datasets_build.formats.format import Dataset, FormatError, Options, Reel
from datasets_build.formats.steps import Talk, of_dialogue, of_events, of_question

R = TypeVar("R", bound=Record)
_SUBSETS: Mapping[Dataset, str] = {"streaming_qa": "qa", "dialogue": "dialogues", "frame_events": "events"}


def kind_of(dataset: Path) -> Dataset:
    """Which dataset a folder is. Raises FormatError for another folder."""
    found = [kind for kind in get_args(Dataset) if kind == dataset.resolve().name]
    if not found:
        raise FormatError(f"{dataset}: expected a dataset folder such as OUT/streaming_qa, OUT/dialogue")
    kind: Dataset = found[0]
    return kind


def _dialogues(rows: list[Dialogue], clock: FrameClock) -> list[Talk]:
    del clock
    return [of_dialogue(row) for row in rows]


def _questions(rows: list[StreamingQA], clock: FrameClock) -> list[Talk]:
    return [of_question(row, clock) for row in rows]


def _narrations(rows: list[Event], clock: FrameClock) -> list[Talk]:
    return [of_events(rows[0].video_id, rows, clock)] if rows else []


@dataclass(slots=True)
class Reader:
    """Reads a dataset video by video."""

    out: Path
    kind: Dataset
    licences: Counter[str] = field(default_factory=Counter)

    def reels(self) -> Iterator[Reel]:
        """Every video with its talks, in index order; videos without any are none."""
        talks = self._talks()
        videos = read_videos(self.out)
        for video in track(videos, total=len(videos), label="export"):
            clock = clock_of(self.out, video)
            found = talks(video, clock)
            if found:
                self.licences[video.licence or "not stated"] += 1
                yield Reel(video=video, clock=clock, path=video_path(self.out, video), talks=tuple(found))

    def _talks(self) -> Callable[[Video, FrameClock], list[Talk]]:
        if self.kind == "dialogue":
            return partial(_take, self._rows(Dialogue), _dialogues)
        if self.kind == "streaming_qa":
            return partial(_take, self._rows(StreamingQA), _questions)
        return partial(_take, self._rows(Event), _narrations)

    def _rows(self, model: type[R]) -> dict[str, VideoRows[R]]:
        folder = self.out / self.kind / _SUBSETS[self.kind]
        paths = {split: folder / f"{split}.parquet" for split in SPLITS}
        return {split: VideoRows(path, model) for split, path in paths.items() if path.exists()}


def _take(
    rows: Mapping[str, VideoRows[R]],
    talks: Callable[[list[R], FrameClock], list[Talk]],
    video: Video,
    clock: FrameClock,
) -> list[Talk]:
    return talks(rows[video.split].take(video.id), clock) if video.split in rows else []


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOf:
    """What a finished export was made of: which dataset, in which format, with which options."""

    format: str
    dataset: Dataset
    options: Options


def made_of(folder: Path) -> MadeOf:
    """What the manifest of an export says. Raises FormatError where the folder is no export."""
    content = read_json(folder / "manifest.json")
    fields = content.get("fields") if isinstance(content, dict) else None
    if not isinstance(fields, dict) or "input.format" not in fields:
        raise FormatError(f"{folder}/manifest.json: field input.format is missing, expected the folder of an export")
    prefix = "config."
    given = {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
    options = Options.model_validate({name: ast.literal_eval(str(value)) for name, value in given.items()})
    dataset = kind_of(Path(str(fields.get("input.dataset"))))
    return MadeOf(format=str(fields["input.format"]), dataset=dataset, options=options)
