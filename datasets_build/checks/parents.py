"""What the folder of the parents holds, read once, and kept as small as what is held against it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from datasets_build.core.clock import FrameClock
from datasets_build.core.layout import clock_of, dataset_rows, read_videos, table_path
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Annotation, Dialogue, Event, Provenance, Record, StreamingQA, Turn, Video
from datasets_build.core.table import read_table

R = TypeVar("R", bound=Record)


class Question(NamedTuple):
    """What of a question stays in an augmented video; `probes` say when, and in which form."""

    id: str
    video_id: str
    ask_ns: int
    mode: str
    task: str
    question: str
    options: tuple[str, ...]
    correct_option: int | None
    probes: tuple[tuple[int, str], ...]
    provenance: Provenance

    @classmethod
    def of(cls, row: StreamingQA) -> Question:
        """What of a row is held against others."""
        return cls(
            id=row.id,
            video_id=row.video_id,
            ask_ns=row.ask_ns,
            mode=row.mode,
            task=row.task,
            question=row.question,
            options=row.options,
            correct_option=row.correct_option,
            probes=tuple((probe.t_ns, probe.kind) for probe in row.test_points),
            provenance=row.provenance,
        )


class Conversation(NamedTuple):
    """What of a conversation stays in an augmented video; `turns` are those of the user."""

    id: str
    system: str
    language: str
    provenance: Provenance
    turns: tuple[Turn, ...]

    @classmethod
    def of(cls, row: Dialogue) -> Conversation:
        """What of a row is held against others."""
        users = tuple(turn for turn in row.turns if turn.role == "user")
        return cls(row.id, row.system, row.language, row.provenance, users)


def content_of(row: Keyframe) -> bytes:
    """Sixteen bytes that stand for what a keyframe is, wherever it is shown."""
    moves = {"id", "video_id", "shot_id", "t_ns", "frame_index"}
    told = row.model_dump_json(exclude=moves | {"embedding", "jpeg"}).encode()
    digest = hashlib.blake2b(told, digest_size=16)
    digest.update(row.jpeg)
    digest.update(repr(row.embedding).encode())
    return digest.digest()


def chosen(rows: Iterable[Keyframe]) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Keyframes by their video and frame: the id, and what stands for the content."""
    return {(row.video_id, row.frame_index): (row.id, content_of(row)) for row in rows}


class Parents:
    """What the folder of the parents holds."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.videos: Mapping[str, Video] = {video.id: video for video in read_videos(out)}
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        for event in read_table(table_path(out, Event), Event):
            self.events[event.video_id].append(event)
        self._clocks: dict[str, FrameClock] = {}

    def clock(self, video_id: str) -> FrameClock:
        """The clock of one of its videos."""
        if video_id not in self._clocks:
            self._clocks[video_id] = clock_of(self.out, self.videos[video_id])
        return self._clocks[video_id]

    def _rows(self, model: type[R]) -> Iterator[R]:
        path = table_path(self.out, model)
        return read_table(path, model) if path.is_file() else iter(())

    @cached_property
    def annotations(self) -> Mapping[str, list[Annotation]]:
        """What is said of each video."""
        found: defaultdict[str, list[Annotation]] = defaultdict(list)
        for row in self._rows(Annotation):
            found[row.video_id].append(row)
        return found

    @cached_property
    def shots(self) -> Mapping[str, list[Shot]]:
        """The shots of each video."""
        found: defaultdict[str, list[Shot]] = defaultdict(list)
        for row in self._rows(Shot):
            found[row.video_id].append(row)
        return found

    @cached_property
    def keyframes(self) -> Mapping[tuple[str, int], tuple[str, bytes]]:
        """The id of the keyframe at a video's frame, and what stands for its content."""
        return chosen(self._rows(Keyframe))

    @cached_property
    def questions(self) -> Mapping[str, list[Question]]:
        """What is asked of each video."""
        found: defaultdict[str, list[Question]] = defaultdict(list)
        for row in dataset_rows(self.out, "streaming_qa/qa", StreamingQA):
            found[row.video_id].append(Question.of(row))
        return found

    @cached_property
    def conversations(self) -> Mapping[str, list[Conversation]]:
        """What is talked about each video."""
        found: defaultdict[str, list[Conversation]] = defaultdict(list)
        for row in dataset_rows(self.out, "dialogue/dialogues", Dialogue):
            found[row.video_id].append(Conversation.of(row))
        return found

    def ids(self) -> Mapping[str, frozenset[str]]:
        """The ids of its records, by their kind."""
        kinds: dict[str, Mapping[str, Sequence[Event | Annotation | Question | Conversation]]]
        kinds = {
            "Event": self.events,
            "StreamingQA": self.questions,
            "Dialogue": self.conversations,
            "Annotation": self.annotations,
        }
        return {kind: frozenset(row.id for rows in told.values() for row in rows) for kind, told in kinds.items()}
