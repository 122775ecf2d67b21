"""Augmented videos as files of their own: the frames of their views, encoded, and measured back as an index does."""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from augment.clip import Augmented
from augment.encode import Coding, Film, container_of, encode
from augment.errors import AugmentError
from augment.forward import Forward
from augment.showing import FOLDER, Pixels, Reel, Showing
from datasets_build.core.clock import FrameClock
from datasets_build.core.files import sha256_file, write_bytes
from datasets_build.core.records import Reject, Video
from datasets_build.core.stage import Stage
from datasets_build.video import REFERENCE, Probe, VideoError, check_decoder, probe

T = TypeVar("T")
VIDEOS = "videos"
"""The folder of the files, and the stage that publishes it."""
PARTS = "parts"
WORKERS = min(8, os.cpu_count() or 1)
# Small enough that the memory of one batch is used again for the next.
_BATCH_BYTES = 8 << 20


def frames_of(showing: Showing) -> Generator[Pixels, None, None]:
    """All frames of a view in order, uint8 (height, width, 3), the next ones read while the last ones are used.

    Pixels are those that PyAV reads. It holds a few batches of 8 MiB, or of one frame, at most.

    Raises:
        VideoError: a file cannot be read.
    """
    with closing(Forward()) as forward, closing(ahead(_batches(replace(showing, read=forward)))) as batches:
        for batch in batches:
            yield from batch


def _batches(showing: Showing) -> Iterator[Pixels]:
    times = showing.view.clock.t_ns.tolist()
    bytes_each = max(3 * reel.video.width * reel.video.height for reel in showing.reels.values())
    count = max(1, _BATCH_BYTES // bytes_each)
    for begin in range(0, len(times), count):
        yield showing.frames(times[begin : begin + count], decoder=REFERENCE)


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, each made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Renderer:
    """Makes the files of one output folder.

    Attributes:
        stage: the folder of the files; those that are whole wait in its parts until it is published.
        coding: how they are encoded.
        reels: the videos that are augmented, by id.
        workers: how many files are made at a time; any number gives the same bytes.
    """

    stage: Stage
    coding: Coding
    reels: Mapping[str, Reel]
    workers: int = WORKERS
    _left: threading.Event = field(init=False, default_factory=threading.Event)

    def each(self, made: Iterable[Augmented | Reject]) -> Iterator[Augmented | Reject]:
        """Renders what comes, and gives it in the same order.

        An augmented video comes back with the record and the clock of its file, or, when a source cannot be read or
        the encoder refuses it, as a reject.

        Raises:
            RoomError: the disk is full.
        """
        waiting: deque[Future[Augmented | Reject]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="render") as pool:
            try:
                for item in made:
                    waiting.append(pool.submit(self._one, item))
                    if len(waiting) > self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                self._left.set()
                pool.shutdown(cancel_futures=True)

    def _one(self, item: Augmented | Reject) -> Augmented | Reject:
        if isinstance(item, Reject):
            return item
        try:
            return self.rendered(item)
        except (AugmentError, VideoError) as error:
            return Reject(
                stage=FOLDER,
                item=f"{item.clip.video.id}: video file",
                code="not_rendered",
                reason=str(error),
                action="this copy is left out; the video and its other copies are not",
            )

    def rendered(self, made: Augmented) -> Augmented:
        """Makes the file of an augmented video, unless it is there, and its record.

        Raises:
            AugmentError: it cannot be encoded, or does not come back as it should.
            VideoError: a source cannot be read.
            RoomError: the disk is full.
        """
        path, told = self._places(made)
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            old = made.clip.video
            sar = Fraction(old.sar_num, old.sar_den)
            film = Film(
                clock=made.view.clock,
                coding=self.coding,
                sar=1 / sar if old.rotation_deg in (90, 270) else sar,
            )
            with closing(frames_of(self._showing(made))) as pictures:
                encode(path, self._until_left(pictures), film)
        if told.is_file():
            video = Video.model_validate_json(told.read_bytes())
        else:
            video = self._measured(made, path)
            if not self.stage.done:
                write_bytes(told, video.model_dump_json().encode())
        if not self.stage.done:
            _link(path, self.stage.final / path.name)
        return replace(made, clip=replace(made.clip, video=video, clock=_clock(made.view.clock)))

    def _showing(self, made: Augmented) -> Showing:
        reels = {piece.source: self.reels[piece.source] for piece in made.view.pieces}
        return Showing(view=made.view, reels=reels, looks=made.looks)

    def _places(self, made: Augmented) -> tuple[Path, Path]:
        """The file, and what was measured of it."""
        folder = self.stage.folder if self.stage.done else self.stage.work / PARTS
        name = made.clip.video.id
        return folder / f"{name}.{container_of(made.view.clock).suffix}", self.stage.work / PARTS / f"{name}.json"

    def _until_left(self, pictures: Iterator[Pixels]) -> Iterator[Pixels]:
        for picture in pictures:
            if self._left.is_set():
                raise AugmentError("the run has ended")
            yield picture

    def _measured(self, made: Augmented, path: Path) -> Video:
        found, clock = probe(path), _clock(made.view.clock)
        same = np.array_equal(found.pts, clock.pts) and np.array_equal(found.clock.t_ns, clock.t_ns)
        if not same or found.clock.end_ns != clock.end_ns or found.problems:
            said = "; ".join(problem.detail for problem in found.problems) or "other times than were written"
            if not self.stage.done:
                path.unlink()
            raise AugmentError(f"{path.name}: comes back with {said}")
        checked = dict.fromkeys(
            trust.name for piece in made.view.pieces for trust in self.reels[piece.source].video.decoders
        )
        trusts = tuple(check_decoder(path, found, name) for name in checked)
        return _record(made.clip.video, found, path).model_copy(update={"decoders": trusts})


def _link(path: Path, other: Path) -> None:
    """Gives a file a second name: that costs nothing, and the first stays if the run is killed."""
    try:
        other.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, other)


def _clock(clock: FrameClock) -> FrameClock:
    """The same clock with the ticks of its file."""
    return FrameClock(clock.t_ns, clock.end_ns, clock.t_ns // container_of(clock).tick_ns)


def _record(video: Video, found: Probe, path: Path) -> Video:
    """The record of an augmented video whose file was measured."""
    rate = found.avg_fps
    return video.model_copy(
        update={
            "uri": path.name,
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "container": found.container,
            "codec": found.codec,
            "pixel_format": found.pixel_format,
            "width": found.width,
            "height": found.height,
            "sar_num": found.sar.numerator,
            "sar_den": found.sar.denominator,
            "rotation_deg": found.rotation_deg,
            "time_base_num": found.time_base.numerator,
            "time_base_den": found.time_base.denominator,
            "start_pts": found.start_pts,
            "start_offset_ns": found.start_offset_ns,
            "duration_ns": found.duration_ns,
            "n_frames": found.n_frames,
            "header_frames": found.header_frames,
            "avg_fps_num": rate.numerator,
            "avg_fps_den": rate.denominator,
            "is_vfr": found.is_vfr,
            "max_gap_ns": found.max_gap_ns,
            "max_jitter_ns": found.max_jitter_ns,
            "reorder_depth": found.reorder_depth,
            "audio": found.audio,
            "status": found.status,
            "problems": found.problems,
        }
    )
