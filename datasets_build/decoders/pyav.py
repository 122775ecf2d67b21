"""PyAV: the reference. Its forward pass makes the index of a video, and the other decoders are held against it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.decoders.container import NO_PTS_STORED, Source, TroubleError, Walk, decode, demux, open_source
from datasets_build.decoders.frames import ScanFrame, Size, UInt8s, VideoError, turn_upright, turned_size

log = logging.getLogger(__name__)
MAX_HELD = 64
# Decoding this many frames costs about as much as a seek.
FORWARD_FRAMES = 48
# Where a seek lands behind its target, it is tried again from further back.
SEEK_BACK_FRAMES = (0, 60, 600)


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise (0, 90, 180, 270) that turn a frame upright; odd angles go to the nearest of these."""
    # FFmpeg counts counter-clockwise.
    return round(-frame.rotation / 90) % 4 * 90


class Painter:
    """Turns decoded frames into arrays, with the scaler's tables kept between frames."""

    def __init__(self, source: Source) -> None:
        self._native = source.width, source.height
        self._scaler = VideoReformatter()

    def rgb(self, frame: VideoFrame, size: Size | None) -> UInt8s:
        """`(h, w, 3) uint8` RGB upright, of `size` or of the stream's own size."""
        return self._paint(frame, size, "rgb24", Interpolation.BILINEAR)

    def small_bgr(self, frame: VideoFrame, size: Size) -> UInt8s:
        """`(h, w, 3) uint8` BGR upright, scaled the fast way."""
        return self._paint(frame, size, "bgr24", Interpolation.FAST_BILINEAR)

    def _paint(self, frame: VideoFrame, size: Size | None, layout: str, how: Interpolation) -> UInt8s:
        rotation = rotation_of(frame)
        width, height = turned_size(*size, rotation) if size else self._native
        small = self._scaler.reformat(frame, width, height, layout, interpolation=how, threads=1)
        return turn_upright(np.asarray(small.to_ndarray(), np.uint8), rotation)


def _in_order(source: Source, clock: FrameClock, *, strict: bool) -> Iterator[tuple[int, VideoFrame]]:
    """`(index, frame)` in presentation order. Raises VideoError `frames_lost` when indices never come."""
    held: dict[int, VideoFrame] = {}
    due, n_shown = 0, 0
    for pts, frame in decode(source, Walk(), strict=strict):
        index = _index_of(clock, pts)
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


def _walk_in_order(path: Path, clock: FrameClock) -> Iterator[tuple[int, VideoFrame, Painter]]:
    """One threaded pass; damage makes it start again with one thread behind the last frame it gave."""
    due = 0
    try:
        with open_source(path) as source:
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
        painter = Painter(source)
        for index, frame in _in_order(source, clock, strict=False):
            if index >= due:
                yield index, frame, painter


def scan(path: Path, clock: FrameClock, *, size: Size | None) -> Iterator[ScanFrame]:
    """Every frame of the clock once, in presentation order.

    Raises:
        VideoError: as `open_source`, or `frames_lost` after the pass when frames of the index did not come.
    """
    for index, frame, painter in _walk_in_order(path, clock):
        image = painter.small_bgr(frame, size) if size else None
        yield ScanFrame(index, int(clock.t_ns[index]), image, _Full(painter, frame))


@dataclass(frozen=True, slots=True)
class _Full:
    painter: Painter
    frame: VideoFrame

    def __call__(self) -> UInt8s:
        return self.painter.rgb(self.frame, None)


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
    """The same one by one as `(index, image)`, each index once, in an order of PyAV's own.

    Raises:
        VideoError: as `open_source`, `frames_lost` when a frame of the index does not come, or `decoder_hung` when
            time runs out.
    """
    limit = time.monotonic() + deadline_s
    missing = set(indices.tolist())
    for index, frame, painter in chain(_seek_and_pick(path, clock, indices.tolist()), _walk_in_order(path, clock)):
        if index in missing:
            missing.remove(index)
            yield index, painter.rgb(frame, size)
        if not missing:
            return
        if time.monotonic() > limit:
            raise VideoError("decoder_hung", f"{path}: PyAV did not finish in time; allow more or ask for fewer frames")


def _seek_and_pick(path: Path, clock: FrameClock, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame, Painter]]:
    """What seeking finds of the frames; what it does not, a pass from the start gives, and that is the truth.

    It gives up at once in a damaged file, where a seek may hide the damage or make some.
    """
    with suppress(TroubleError), open_source(path) as source:
        painter = Painter(source)
        if indices[0] > FORWARD_FRAMES:
            _meet_first_packet(source)
        for run in split_runs(indices, FORWARD_FRAMES):
            for index, frame in _near(source, clock, run):
                yield index, frame, painter


def _meet_first_packet(source: Source) -> None:
    """Show the decoder the first packet before a seek: x264 names itself there, and FFmpeg heeds what it reads.

    Without it H.264 4:4:4 decodes to garbage from the middle on.
    """
    for packet in demux(source, Walk()):
        try:
            packet.decode()
        except av.error.FFmpegError as error:
            raise TroubleError from error
        return


def key_frame_near(path: Path, clock: FrameClock, index: int) -> int | None:
    """The first key frame that a seek to this frame meets; the frame itself where there is none to be met.

    None when decoding cannot start there: the file calls pictures key frames that are none (a rolling refresh, damage).
    """
    with suppress(TroubleError, av.error.FFmpegError), open_source(path) as source:
        if not source.seeks_well or source.format_name in NO_PTS_STORED:
            return index
        _meet_first_packet(source)
        source.container.seek(int(clock.pts[index]), stream=source.stream)
        key = None
        for packet in demux(source, Walk()):
            if key is None and packet.is_keyframe and packet.pts is not None and _index_of(clock, packet.pts) >= 0:
                key = packet.pts
            for frame in packet.decode():
                if key is not None and frame.pts is not None and frame.pts >= key:
                    return _index_of(clock, key) if frame.pts == key else None
        return index
    return None


def split_runs(indices: Sequence[int], reach: int) -> list[list[int]]:
    """Increasing indices in groups whose neighbours lie at most `reach` apart."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index - runs[-1][-1] <= reach:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _near(source: Source, clock: FrameClock, run: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Seek before a run of increasing indices and give those that come; a bad landing gives fewer than asked."""
    if run[0] <= FORWARD_FRAMES:
        # Only the first run of a read can lie here, and the file has just been opened.
        yield from _pick(clock, decode(source, Walk(), strict=True), run)
        return
    if not source.seeks_well:
        return
    due = list(run)
    for back in SEEK_BACK_FRAMES:
        aim = int(clock.pts[max(0, run[0] - back)])
        for index, frame in _pick(clock, _landed(source, int(clock.pts[due[0]]), aim), tuple(due)):
            due.remove(index)
            yield index, frame
        if not due:
            return


def _landed(source: Source, target: int, aim: int) -> Iterator[tuple[int, VideoFrame]]:
    """Decode from the key frame before `aim` (ticks); nothing when no key frame lies at or before `target`.

    Frames shown before that key frame were coded against pictures before it, which a seek leaves out.
    """
    try:
        source.container.seek(aim, stream=source.stream)
    except av.error.FFmpegError:
        return
    anchor = None
    for pts, frame in decode(source, Walk(), strict=True):
        if anchor is None and frame.key_frame:
            anchor = pts
        if anchor is not None and anchor > target:
            return
        if anchor is not None and pts >= anchor:
            yield pts, frame


def _pick(
    clock: FrameClock, frames: Iterator[tuple[int, VideoFrame]], wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted ones of the frames; gives up when the pass is well past them."""
    due, n_past = set(wanted), 0
    for pts, frame in frames:
        index = _index_of(clock, pts)
        if index in due:
            due.remove(index)
            yield index, frame
        n_past += index > wanted[-1]
        if not due or n_past > MAX_HELD:
            return


def _index_of(clock: FrameClock, pts: int) -> int:
    """The place of a timestamp in the clock, -1 when it is not there."""
    index = int(np.searchsorted(clock.pts, pts))
    return index if index < len(clock) and int(clock.pts[index]) == pts else -1
