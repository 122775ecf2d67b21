"""Frames of augmented videos: read from the files of their sources, through the maps, and under their looks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augment.coded import Coder, look_at
from augment.errors import AugmentError
from augment.looks import VERSION
from augment.view import Piece, View
from datasets_build.core.augmentation import Augmentation, Look
from datasets_build.core.clock import FrameClock, Int64s, Span
from datasets_build.core.files import read_json
from datasets_build.core.layout import clock_of, read_videos, video_path
from datasets_build.core.records import Video
from datasets_build.core.table import read_table
from datasets_build.video import decoder_for, read

FOLDER, TABLE, SOURCES = "augment", "augmentations.parquet", "sources.json"
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reel:
    """A file that frames are read from."""

    video: Video
    path: Path
    clock: FrameClock


Read = Callable[[Reel, Sequence[int], str], Pixels]
"""The frames of a file at some instants, as a decoder gives them: `(n, height, width, 3) uint8`."""


def read_reel(reel: Reel, times_ns: Sequence[int], decoder: str) -> Pixels:
    """The frames of a file at some instants in any order; PyAV reads where the index does not trust the decoder."""
    return read(reel.path, reel.clock, times_ns, decoder=decoder_for(reel.video, decoder)).data


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Showing:
    """A view with the files that its frames are in.

    Attributes:
        view: what is shown.
        reels: by the id of their videos.
        looks: what is done to the pixels of its frames, one after the other.
        read: how files are read.
    """

    view: View
    reels: Mapping[str, Reel]
    looks: tuple[Look, ...] = ()
    read: Read = read_reel
    _coder: Coder = field(default_factory=Coder, init=False, repr=False)

    def frames(self, times_ns: Sequence[int], *, decoder: str = "decord") -> Pixels:
        """What is on screen at some instants of the view: uint8 (n, height, width, 3).

        Args:
            times_ns: inside the view, in any order.
            decoder: who reads; PyAV where the index does not trust it with a file.

        Raises:
            TimeError: one lies outside the view.
            VideoError: a file cannot be read.
        """
        if not self.looks:
            return self._plain(times_ns, decoder)
        frames, places = np.unique(self.view.clock.indices_at(times_ns), return_inverse=True)

        def read(wanted: Int64s) -> Pixels:
            return self._plain(self.view.clock.t_ns[wanted].tolist(), decoder)

        return look_at(self.looks, frames, self.view.clock, read, coder=self._coder, name=decoder)[places]

    def _plain(self, times_ns: Sequence[int], decoder: str) -> Pixels:
        """As the sources have them."""
        if not len(times_ns):
            return np.zeros((0, 0, 0, 3), np.uint8)
        asked: defaultdict[str, list[int]] = defaultdict(list)
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, (source, t_ns) in enumerate(self.view.source_times(times_ns)):
            asked[source].append(t_ns)
            places[source].append(place)
        found: dict[str, Pixels] = {}
        for source, times in asked.items():
            found[source] = self.read(self.reels[source], times, decoder)
        if len(found) == 1:
            # In the order in which they were asked for; pictures are large, so none is copied without need.
            return next(iter(found.values()))
        shapes = {part.shape[1:] for part in found.values()}
        if len(shapes) > 1:
            raise AugmentError(f"a view: its videos have frames of {sorted(shapes)}, expected one size")
        whole: Pixels = np.empty((len(times_ns), *next(iter(shapes))), np.uint8)
        for source in list(found):
            whole[places[source]] = found.pop(source)
        return whole

    def content(self, times_ns: Sequence[int], *, decoder: str) -> str:
        """What decides the pixels at some instants: files, decoders and times in them; the same for equal frames."""
        told = []
        for source, t_ns in self.view.source_times(times_ns):
            video = self.reels[source].video
            told.append(f"{video.sha256} {decoder_for(video, decoder).name} {t_ns}")
        if not self.looks:
            return "\n".join(told)
        return "\n".join([self._looked(), *map(str, self.view.clock.indices_at(times_ns).tolist()), *told])

    def _looked(self) -> str:
        """What decides how frames look, their own pixels and places aside: looks, and all that comes before."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.view.clock.t_ns, self.view.piece_of, self.view.frame_of):
            digest.update(array.tobytes())
        shown = [self.reels[piece.source].video.sha256 for piece in self.view.pieces]
        return " ".join([VERSION, digest.hexdigest(), *shown, *(look.model_dump_json() for look in self.looks)])


def view_of(rows: Sequence[Augmentation], clocks: Mapping[str, FrameClock]) -> View:
    """The view that the maps of an augmented video describe.

    Args:
        rows: one for each piece.
        clocks: of the parents.
    """
    pieces = [_piece(row, clocks[row.parent_id]) for row in rows]
    return View.of(sorted(pieces, key=lambda piece: piece.begins))


def _piece(row: Augmentation, clock: FrameClock) -> Piece:
    time_map = row.time_map
    low, high = time_map.source
    if row.is_reversed:
        low, high = clock.end_ns - high, clock.end_ns - low
    inside = clock.frames_in(Span(start_ns=-int(-low // 1), end_ns=-int(-high // 1)))
    gone = set(row.dropped_frames)
    frames = np.array([frame for frame in inside if frame not in gone], np.int64)
    on: Int64s = clock.t_ns[frames]
    if row.is_reversed:
        frames = frames[::-1].copy()
    if row.on_ns:
        on = np.array(row.on_ns, np.int64)
    return Piece(
        source=row.parent_id, clock=clock, time_map=time_map, frames=frames, on_ns=on, is_reversed=row.is_reversed
    )


def is_augmented(out: Path) -> bool:
    """Whether the videos of an output folder are read through maps, and not from files of their own."""
    if not (out / FOLDER / TABLE).is_file():
        return False
    content = read_json(out / FOLDER / SOURCES)
    return not isinstance(content, dict) or content.get("rendered") is None


def open_showings(out: Path) -> dict[str, Showing]:
    """All augmented videos of an output folder, by id.

    Raises:
        AugmentError: the folder of their parents is not where it was, or holds other videos.
    """
    content = read_json(out / FOLDER / SOURCES)
    told = content.get("parent") if isinstance(content, dict) else None
    parent = out / str(told)
    if not (parent / "index" / "manifest.json").is_file():
        raise AugmentError(f"{out}: its frames are in {parent}, which is no finished output any more; bring it back")
    videos = {video.id: video for video in read_videos(parent)}
    rows: defaultdict[str, list[Augmentation]] = defaultdict(list)
    for row in read_table(out / FOLDER / TABLE, Augmentation):
        rows[row.video_id].append(row)
        if row.parent_id not in videos:
            raise AugmentError(f"{out}: a map names video {row.parent_id}, which {parent} does not have; augment again")
    needed = dict.fromkeys(row.parent_id for found in rows.values() for row in found)
    reels = {
        name: Reel(video=videos[name], path=video_path(parent, videos[name]), clock=clock_of(parent, videos[name]))
        for name in needed
    }
    clocks = {name: reel.clock for name, reel in reels.items()}
    return {
        video_id: Showing(
            view=view_of(found, clocks),
            reels={row.parent_id: reels[row.parent_id] for row in found},
            looks=found[0].looks,
        )
        for video_id, found in rows.items()
    }
