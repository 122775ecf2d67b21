"""Where the tables of an output folder lie, and how to walk several of them video by video.

Every table is sorted by the order of `index/videos.parquet`, so a walk holds one video's rows at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock, TimeError
from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import DataError, read_json
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Annotation, Event, Record, Video
from datasets_build.core.table import TableError, count_rows, read_table

R = TypeVar("R", bound=Record)
TABLES: dict[type[Record], str] = {
    Video: "index/videos.parquet",
    Annotation: "index/annotations.parquet",
    Shot: "perceive/shots.parquet",
    Scene: "perceive/scenes.parquet",
    Keyframe: "perceive/keyframes.parquet",
    Signals: "perceive/signals.parquet",
    Event: "events/events.parquet",
}
ANSWERS, TEACHERS = ".teachers", "teachers.yaml"
"""In an output folder: what models answered, and the settings of those that worded it."""


def table_path(out: Path, model: type[Record]) -> Path:
    """The file of a record kind that has one table for all videos."""
    return out / TABLES[model]


def each_video(out: Path) -> Iterator[Video]:
    """The videos of an output folder one by one, in the order that every other table follows."""
    return read_table(table_path(out, Video), Video)


def count_videos(out: Path) -> int:
    """How many videos an output folder has, without reading them."""
    return count_rows(table_path(out, Video), Video)


def read_videos(out: Path) -> list[Video]:
    """All videos of an output folder at once: some 4 KB each, so walks use `each_video`."""
    return list(each_video(out))


def video_root(out: Path) -> Path:
    """The folder that `Video.uri` is relative to. Raises DataError when the index does not name one."""
    content = read_json(out / "index" / "source.json")
    if not isinstance(content, dict) or not isinstance(content.get("root"), str):
        raise DataError(f"{out}/index/source.json: field root is missing, expected a folder")
    # A root inside OUT is stored relative to it, so that the whole folder can move.
    return out / str(content["root"])


def video_path(out: Path, video: Video) -> Path:
    """The file of a video."""
    return video_root(out) / video.uri


def clock_of(out: Path, video: Video) -> FrameClock:
    """The frame clock of a video, from its pts sidecar. Raises DataError when sidecar and record disagree."""
    path = out / "index" / video.pts_index
    try:
        pts = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable pts index ({error})") from error
    time_base = Fraction(video.time_base_num, video.time_base_den)
    last = Fraction(video.duration_ns, NS_PER_S) / time_base - (int(pts[-1]) - int(pts[0])) if len(pts) else Fraction(1)
    try:
        clock = FrameClock.from_pts(pts.tolist(), time_base=time_base, last_duration=round(last))
    except TimeError as error:
        raise DataError(f"{path}: {error}") from error
    if (len(clock), clock.end_ns) != (video.n_frames, video.duration_ns):
        raise DataError(
            f"{path}: {len(clock)} frames over {clock.end_ns} ns, expected {video.n_frames} over {video.duration_ns}"
        )
    return clock


def dataset_rows(out: Path, table: str, model: type[R]) -> Iterator[R]:
    """The records of all splits of a dataset's subset, such as `streaming_qa/qa`; none where it was not built."""
    for split in SPLITS:
        path = out / table / f"{split}.parquet"
        if path.exists():
            yield from read_table(path, model)


def by_video(rows: Iterable[R]) -> defaultdict[str, list[R]]:
    """Records by the video that they are about, in their order."""
    found: defaultdict[str, list[R]] = defaultdict(list)
    for row in rows:
        found[row.video_id].append(row)
    return found


class VideoRows(Generic[R]):
    """Rows of one table, taken video by video in index order.

    Raises:
        TableError: rows of a video come after those of a later one, or name a video that was not asked for.
    """

    def __init__(self, path: Path, model: type[R]) -> None:
        self._path = path
        self._rows: Iterator[R] = read_table(path, model)
        self._next = next(self._rows, None)

    def take(self, video_id: str) -> list[R]:
        """All rows of the next video; an empty list when it has none."""
        rows = []
        while self._next is not None and self._next.video_id == video_id:
            rows.append(self._next)
            self._next = next(self._rows, None)
        return rows

    def finish(self) -> None:
        """Say that every video has been asked for."""
        if self._next is not None:
            raise TableError(f"{self._path}: record {self._next.id} names video {self._next.video_id}, out of order")
