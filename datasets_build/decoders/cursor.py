"""A place in a video that PyAV decodes from: it goes forward, or seeks where that is shorter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av.error
import numpy as np
from av.video.frame import VideoFrame

from datasets_build.core.clock import FrameClock
from datasets_build.decoders.container import Source, TroubleError, Walk, decode, demux, open_source

# A frame may come this many places late before it is given up.
MAX_HELD = 64
# Decoding this many frames costs about as much as a seek.
FORWARD_FRAMES = 48
# Where a seek lands behind its target, it is tried again from further back.
SEEK_BACK_FRAMES = (0, 60, 600)


def index_of(clock: FrameClock, pts: int) -> int:
    """The place of a timestamp in the clock, -1 when it is not there."""
    index = int(np.searchsorted(clock.pts, pts))
    return index if index < len(clock) and int(clock.pts[index]) == pts else -1


class Cursor:
    """Fetches frames of a file that was just opened, at increasing indices.

    Args:
        source: the file; nothing of it has been read.
        clock: its frames' times.
    """

    def __init__(self, source: Source, clock: FrameClock) -> None:
        self._source, self._clock = source, clock
        self._frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self._at: int | None = None
        self._is_fresh = True

    def fetch(self, index: int) -> VideoFrame | None:
        """The frame at an index beyond the last one fetched; None when seeking and decoding do not bring it.

        Raises:
            TroubleError: the file is damaged here.
        """
        if self._at is None or self._seek_pays(index, self._at):
            self._frames = self._start(index)
        n_past = 0
        for pts, frame in self._frames:
            found = index_of(self._clock, pts)
            if found == index:
                self._at = index
                return frame
            n_past += found > index
            if n_past > MAX_HELD:
                break
        self._at = None
        return None

    def _seek_pays(self, index: int, at: int) -> bool:
        if index - at <= FORWARD_FRAMES or not self._source.seeks_well:
            return False
        entries = self._source.stream.index_entries
        place = entries.search_timestamp(int(self._clock.pts[index])) if len(entries) else -1
        if 0 <= place < len(entries) - 1:
            return entries[place].timestamp > int(self._clock.pts[at])
        # The container's index, where there is one, ends here: nobody knows.
        return True

    def _start(self, index: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from before the index; nothing when that cannot be done."""
        if self._is_fresh and (index <= FORWARD_FRAMES or not self._source.seeks_well):
            self._is_fresh = False
            return decode(self._source, Walk(), strict=True)
        if not self._source.seeks_well:
            return iter(())
        if self._is_fresh:
            meet_first_packet(self._source)
            self._is_fresh = False
        for back in SEEK_BACK_FRAMES:
            frames = _land(self._source, int(self._clock.pts[index]), int(self._clock.pts[max(0, index - back)]))
            for first in frames:
                return chain((first,), frames)
        return iter(())


def meet_first_packet(source: Source) -> None:
    """Show the decoder the first packet before a seek: x264 names itself there, and FFmpeg heeds what it reads.

    Without it H.264 4:4:4 decodes to garbage from the middle on.

    Raises:
        TroubleError: the packet is damaged.
    """
    for packet in demux(source, Walk()):
        try:
            packet.decode()
        except av.error.FFmpegError as error:
            raise TroubleError from error
        return


def _land(source: Source, target: int, aim: int) -> Iterator[tuple[int, VideoFrame]]:
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


def key_frame_near(path: Path, clock: FrameClock, index: int) -> int | None:
    """The first key frame that a seek to this frame meets; the frame itself where there is none to be met.

    None when decoding cannot start there: the file calls pictures key frames that are none (a rolling refresh, damage).
    """
    with suppress(TroubleError, av.error.FFmpegError), open_source(path) as source:
        if not source.seeks_well or not source.has_pts:
            return index
        meet_first_packet(source)
        source.container.seek(int(clock.pts[index]), stream=source.stream)
        key = None
        for packet in demux(source, Walk()):
            if key is None and packet.is_keyframe and packet.pts is not None and index_of(clock, packet.pts) >= 0:
                key = packet.pts
            for frame in packet.decode():
                if key is not None and frame.pts is not None and frame.pts >= key:
                    return index_of(clock, key) if frame.pts == key else None
        return index
    return None
