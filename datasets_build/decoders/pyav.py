"""PyAV: the reference. Its forward pass makes the index of a video, and the other decoders are held against it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.decoders.ahead import ahead
from datasets_build.decoders.container import Source, TroubleError, Walk, decode, open_source
from datasets_build.decoders.cursor import MAX_HELD, Cursor, index_of
from datasets_build.decoders.frames import (
    ScanFrame,
    Size,
    UInt8s,
    VideoError,
    pictures_at_hand,
    shrunk_size,
    turn_upright,
    turned_size,
)

log = logging.getLogger(__name__)
# Below so many pixels FFmpeg's threads cost half as much again as decoding itself, and looking takes as long.
_THREADS_PAY = 400_000


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise (0, 90, 180, 270) that turn a frame upright; odd angles go to the nearest of these."""
    # FFmpeg counts counter-clockwise.
    return round(-frame.rotation / 90) % 4 * 90


class Painter:
    """Turns decoded frames into arrays, with the scaler's tables kept between frames."""

    def __init__(self, source: Source) -> None:
        self._native = source.width, source.height
        # One for each size: a scaler makes its tables anew when it is asked for another.
        self._small, self._shrunk, self._whole = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def rgb(self, frame: VideoFrame, size: Size | None) -> UInt8s:
        """`(h, w, 3) uint8` RGB upright, of `size` or of the stream's own size."""
        return self._paint(self._whole, frame, size, "rgb24", Interpolation.BILINEAR)

    def small_bgr(self, frame: VideoFrame, size: Size) -> UInt8s:
        """`(h, w, 3) uint8` BGR upright, scaled the fast way."""
        return self._paint(self._small, frame, size, "bgr24", Interpolation.FAST_BILINEAR)

    def shrunk_rgb(self, frame: VideoFrame, side: int) -> UInt8s | None:
        """`(h, w, 3) uint8` RGB upright with a long side of at most `side`, each pixel the mean of what it covers.

        None: so flat a picture would have but one row, for which the scaler leaves rows out.
        """
        upright = turned_size(*self._native, rotation_of(frame))
        size = shrunk_size(*upright, side)
        if size == upright:
            return self.rgb(frame, None)
        if min(size) == 1:
            return None
        # Without the flag a result of even width has half its colours.
        how = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
        return self._paint(self._shrunk, frame, size, "rgb24", how)

    def _paint(
        self, scaler: VideoReformatter, frame: VideoFrame, size: Size | None, layout: str, how: Interpolation
    ) -> UInt8s:
        rotation = rotation_of(frame)
        width, height = turned_size(*size, rotation) if size else self._native
        small = scaler.reformat(frame, width, height, layout, interpolation=how, threads=1)
        return turn_upright(np.asarray(small.to_ndarray(), np.uint8), rotation)


def _in_order(source: Source, clock: FrameClock, *, strict: bool) -> Iterator[tuple[int, VideoFrame]]:
    """`(index, frame)` in presentation order. Raises VideoError `frames_lost` when indices never come."""
    held: dict[int, VideoFrame] = {}
    due, n_shown, n_frames = 0, 0, len(clock)
    for pts, frame in decode(source, Walk(), strict=strict):
        if not held and due < n_frames and pts == clock.pts.item(due):
            yield due, frame
            due, n_shown = due + 1, n_shown + 1
            continue
        index = index_of(clock, pts)
        if index < due or index in held:
            continue
        held[index] = frame
        if len(held) > MAX_HELD:
            due = min(held)
        while due in held:
            yield due, held.pop(due)
            due, n_shown = due + 1, n_shown + 1
    for index in sorted(held):
        yield index, held[index]
    n_shown += len(held)
    if n_shown < len(clock):
        lost = len(clock) - n_shown
        raise VideoError(
            "frames_lost", f"{source.path}: {lost} of {len(clock)} frames of the index no longer decode; index it anew"
        )


def _walk_in_order(
    path: Path, clock: FrameClock, *, threads_from: int = 0, exact: bool = True
) -> Generator[tuple[int, VideoFrame, Painter]]:
    """One pass, threaded where pictures have so many pixels; `exact` as `video.scan` says.

    Damage makes it start again with one thread behind the last frame it gave.
    """
    due = 0
    try:
        with open_source(path) as source:
            if source.width * source.height < threads_from:
                source.use_threads(wanted=False)
            if not exact:
                source.skip_smoothing()
            painter = Painter(source)
            for index, frame in _in_order(source, clock, strict=True):
                yield index, frame, painter
                due = index + 1
            return
    except TroubleError:
        log.debug("%s: damaged, decoding with one thread from frame %d", path, due)
    except VideoError as error:
        if error.code != "frames_lost":
            raise
    with open_source(path, threads=False) as source:
        if not exact:
            source.skip_smoothing()
        painter = Painter(source)
        for index, frame in _in_order(source, clock, strict=False):
            if index >= due:
                yield index, frame, painter


def scan(
    path: Path, clock: FrameClock, *, size: Size | None, cores: int | None = None, exact: bool = True
) -> Iterator[ScanFrame]:
    """Every frame of the clock once, in presentation order; with one core all happens in the calling thread.

    Raises:
        VideoError: as `open_source`, or `frames_lost` after the pass when frames of the index did not come.
    """
    with closing(_decoded(path, clock, cores, exact=exact)) as frames:
        for index, frame, painter in frames:
            image = painter.small_bgr(frame, size) if size else None
            whole, shrunk = partial(painter.rgb, frame, None), partial(painter.shrunk_rgb, frame)
            yield ScanFrame(index, clock.t_ns.item(index), image, whole, shrunk)


def _decoded(
    path: Path, clock: FrameClock, cores: int | None, *, exact: bool
) -> Generator[tuple[int, VideoFrame, Painter]]:
    """Whole pictures in order, decoded ahead of who looks at them where there is a core to do it."""
    if cores == 1:
        yield from _walk_in_order(path, clock, threads_from=sys.maxsize, exact=exact)
        return
    with closing(_walk_in_order(path, clock, threads_from=_THREADS_PAY, exact=exact)) as frames:
        for first in islice(frames, 1):
            yield first
            with closing(ahead(frames, most=pictures_at_hand(first[1].width * first[1].height))) as rest:
                yield from rest


def doubt(path: Path) -> str | None:  # noqa: ARG001 - the interface
    """Nothing: it is the reference."""
    return None


def read(path: Path, clock: FrameClock, indices: Int64s, *, size: Size | None, deadline_s: float) -> UInt8s:
    """Frames `(n, h, w, 3) uint8` RGB upright at `(n,)` strictly increasing indices; at least one.

    Raises:
        VideoError: as `pictures`.
    """
    found = dict(pictures(path, clock, indices, size=size, deadline_s=deadline_s))
    return np.stack([found[index] for index in indices.tolist()])


def pictures(
    path: Path, clock: FrameClock, indices: Int64s, *, size: Size | None, deadline_s: float
) -> Iterator[tuple[int, UInt8s]]:
    """The same one by one as `(index, image)`, each index once.

    What seeking does not bring, a pass from the start does: that is the truth, and all there is in a damaged file,
    where a seek may hide the damage or make some.

    Raises:
        VideoError: as `open_source`, `frames_lost` when a frame of the index does not come, or `decoder_hung` when
            time runs out.
    """
    limit = time.monotonic() + deadline_s
    missing = set(indices.tolist())
    for index, frame, painter in chain(_fetch(path, clock, indices.tolist()), _walk_in_order(path, clock)):
        if index in missing:
            missing.remove(index)
            yield index, painter.rgb(frame, size)
        if not missing:
            return
        if time.monotonic() > limit:
            raise VideoError("decoder_hung", f"{path}: PyAV did not finish in time; allow more or ask for fewer frames")


def _fetch(path: Path, clock: FrameClock, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame, Painter]]:
    with suppress(TroubleError), open_source(path) as source:
        painter, cursor = Painter(source), Cursor(source, clock)
        for index in indices:
            frame = cursor.fetch(index)
            if frame is not None:
                yield index, frame, painter
