"""Walking the written files video by video, and saying where they are out of place instead of stopping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Generic, TypeVar

from datasets_build.checks.laws import Breach, Ledger
from datasets_build.core.clock import FrameClock
from datasets_build.core.files import DataError
from datasets_build.core.layout import clock_of, read_videos, table_path
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Annotation, Event, Record, Split, Video
from datasets_build.core.table import TableError, read_table

R = TypeVar("R", bound=Record)
READABLE = ("file_readable", "every file holds valid records of its kind")
IN_SPLIT = ("split_of_record", "a record lies in the split of its video")
IN_ORDER = ("record_order", "records follow the order of the videos in the index")
UNIQUE = ("ids_unique", "no id stands twice")
RESOLVES = ("references_resolve", "every id that a record names exists")


@dataclass(frozen=True, slots=True)
class Group:
    """One video's rows of a file, in order, read as they are asked for."""

    video: Video
    clock: FrameClock
    rows: Iterator[Record]


class Ahead(Generic[R]):
    """Rows of a table, one video's at a time; asking in index order reads it once."""

    def __init__(self, path: Path, model: type[R], place: Callable[[str], int]) -> None:
        self._path, self._model, self._place = path, model, place
        self._groups = self._read()
        self._at: tuple[int, list[R]] = (-1, [])

    def _read(self) -> Iterator[tuple[int, list[R]]]:
        for video_id, rows in groupby(read_table(self._path, self._model), key=lambda row: row.video_id):
            yield self._place(video_id), list(rows)

    def of(self, video_id: str) -> list[R]:
        """A video's rows; none for a video that has none."""
        wanted = self._place(video_id)
        if wanted < self._at[0]:
            self._groups, self._at = self._read(), (-1, [])
        while self._at[0] < wanted:
            after = next(self._groups, None)
            if after is None:
                return []
            self._at = after
        return self._at[1] if self._at[0] == wanted else []


class Atlas:
    """The videos of an output folder, their clocks, events, shots and boxes; holds one video's of each at a time."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.videos: Sequence[Video] = read_videos(out)
        self.by_id: Mapping[str, Video] = {video.id: video for video in self.videos}
        self._place = {video.id: k for k, video in enumerate(self.videos)}
        self._events = Ahead(table_path(out, Event), Event, self.place)
        self._shots = Ahead(table_path(out, Shot), Shot, self.place)
        self._annotations = Ahead(table_path(out, Annotation), Annotation, self.place)
        self.clock = lru_cache(maxsize=4)(self._clock)

    def place(self, video_id: str) -> int:
        """A video's position in the index; -1 for a stranger."""
        return self._place.get(video_id, -1)

    def _clock(self, video_id: str) -> FrameClock:
        return clock_of(self.out, self.by_id[video_id])

    def events_of(self, video_id: str) -> list[Event]:
        """A video's events in `OUT/events`; asking in index order reads the table once."""
        return self._events.of(video_id)

    def shots_of(self, video_id: str) -> list[Shot]:
        """A video's shots; asking in index order reads the table once."""
        return self._shots.of(video_id)

    def boxes_of(self, video_id: str) -> list[Annotation]:
        """Where things are in a video; nothing where the table cannot be read, which is noted elsewhere."""
        try:
            return [row for row in self._annotations.of(video_id) if row.kind == "box"]
        except TableError:
            return []


def walk(path: Path, model: type[R], split: Split | None, atlas: Atlas, ledger: Ledger) -> Iterator[tuple[Group, str]]:
    """Yield each video's rows of a file, with the file's name; rows out of place are noted and passed over.

    Args:
        path: a table below the output folder.
        model: what it holds.
        split: whose rows it may hold, None for all.
        atlas: of the output folder.
        ledger: takes what is out of place, and a file that cannot be read.
    """
    file = path.relative_to(atlas.out).as_posix()
    try:
        last = -1
        for video_id, rows in groupby(read_table(path, model), key=lambda row: row.video_id):
            video = atlas.by_id.get(video_id)
            if video is None:
                _note_all(ledger, RESOLVES, file, rows, Breach(f"video {video_id}", "a video of the index"))
                continue
            stray = split is not None and video.split != split
            if stray:
                _note_all(ledger, IN_SPLIT, file, rows, Breach(f"split {split}", f"{video.split}, as video {video_id}"))
                continue
            ledger.note(*IN_SPLIT, file, video_id, [])
            place = atlas.place(video_id)
            behind = [Breach(f"rows of video {video_id}", "rows before those of later videos")] if place <= last else []
            ledger.note(*IN_ORDER, file, video_id, behind)
            last = max(last, place)
            yield Group(video, atlas.clock(video_id), rows), file
        ledger.note(*READABLE, file, file, [])
    except TableError as error:
        ledger.note(*READABLE, file, file, [Breach(str(error), "a table of valid records")])


def _note_all(ledger: Ledger, law: tuple[str, str], file: str, rows: Iterator[Record], breach: Breach) -> None:
    for row in rows:
        ledger.note(*law, file, row.id, [breach])


class Names:
    """Ids seen so far, per kind of record."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def meet(self, kind: str, made: str, file: str, ledger: Ledger) -> None:
        """Note an id, and that it is new."""
        again = made in self._seen[kind]
        self._seen[kind].add(made)
        ledger.note(*UNIQUE, file, made, [Breach(f"{kind} {made} a second time", "an id of its own")] if again else [])


def existing(out: Path, *names: str) -> list[str]:
    """Which of some stage folders are there. Raises DataError when none is."""
    found = [name for name in names if (out / name / "manifest.json").exists()]
    if not found:
        raise DataError(f"{out}: holds none of {', '.join(names)}; run `python -m datasets_build build` first")
    return found
