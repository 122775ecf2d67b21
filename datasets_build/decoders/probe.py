"""Everything about a file that decoding it once can tell: its frames' times, its shape, and what is wrong with it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s, round_half_up
from datasets_build.core.records import Audio, Problem
from datasets_build.decoders.container import Source, TroubleError, Walk, decode, open_source
from datasets_build.decoders.frames import Size, VideoError, turned_size
from datasets_build.decoders.problems import HARMLESS, Pass, find_problems, lost_packets
from datasets_build.decoders.pyav import rotation_of
from datasets_build.decoders.timing import is_variable, off_grid, reorder_depth, typical_gap

# Containers whose timeline starts at zero by definition; in the others (a broadcast's clock) at the earliest stream.
ZERO_BASED = frozenset({"mov", "matroska", "avi", "gif"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """What a video file is; the fields mean what they mean in the `Video` record, which is made from this.

    Args:
        pts: `(n_frames,) int64`, sorted and distinct, ticks of `time_base` on the container's own timeline.
        last_duration: how long the last frame stays, in ticks.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    sar: Fraction
    rotation_deg: int
    time_base: Fraction
    pts: Int64s
    last_duration: int
    start_offset_ns: int
    header_frames: int | None
    is_vfr: bool
    max_gap_ns: int
    max_jitter_ns: int
    reorder_depth: int
    audio: Audio | None
    problems: tuple[Problem, ...]
    status: Literal["ok", "degraded"]

    @property
    def clock(self) -> FrameClock:
        """The times of the frames."""
        return FrameClock.from_pts(self.pts.tolist(), time_base=self.time_base, last_duration=self.last_duration)

    @property
    def n_frames(self) -> int:
        """How many frames decode."""
        return len(self.pts)

    @property
    def start_pts(self) -> int:
        """The first frame's timestamp."""
        return int(self.pts[0])

    @property
    def duration_ns(self) -> int:
        """From the first frame's appearance to the last one's end."""
        return self.clock.end_ns

    @property
    def avg_fps(self) -> Fraction:
        """Frames over duration, exact."""
        return len(self.pts) / ((int(self.pts[-1]) - int(self.pts[0]) + self.last_duration) * self.time_base)

    @property
    def upright_size(self) -> Size:
        """`(width, height)` as shown, rotation applied."""
        return turned_size(self.width, self.height, self.rotation_deg)


def probe(path: Path) -> Probe:
    """Decode a file once and say everything that a Video record needs to know about it.

    The pass uses all cores; only when it meets damage is it repeated with one thread, so that the outcome and the
    places of the errors do not depend on timing.

    Raises:
        VideoError: as `open_source`, or `no_frames`, `no_timestamps`.
    """
    with suppress(TroubleError), open_source(path) as source:
        found = _decode_all(source, strict=True)
        # At the end of a stream FFmpeg's threads swallow errors; one thread tells them.
        if not lost_packets(source, found):
            return _describe(source, found)
    with open_source(path, threads=False) as source:
        return _describe(source, _decode_all(source, strict=False))


def _decode_all(source: Source, *, strict: bool) -> Pass:
    found = Pass(walk=Walk())
    for pts, frame in decode(source, found.walk, strict=strict):
        if not found.pts:
            found.pixel_format, found.rotation_deg = frame.format.name, rotation_of(frame)
        found.pts.append(pts)
        found.durations.append(frame.duration or 0)
        found.sizes.add((frame.width, frame.height))
        found.angles.add(frame.rotation)
        if frame.is_corrupt:
            found.corrupt.append(pts)
    if not found.pts:
        first = found.walk.errors[0][1] if found.walk.errors else "the stream is empty"
        raise VideoError("no_frames", f"{source.path}: not one frame decodes ({first}), expected one at least")
    if found.walk.n_guessed and any(b <= a for a, b in pairwise(found.pts)):
        raise VideoError(
            "no_timestamps",
            f"{source.path}: frames lack timestamps, expected one for each, and the order of packets gives none",
        )
    return found


def _describe(source: Source, found: Pass) -> Probe:
    pts = np.unique(np.array(found.pts, np.int64))
    base, context = source.time_base, source.stream.codec_context
    sar = source.stream.sample_aspect_ratio or Fraction(1)
    last = found.durations[found.pts.index(int(pts[-1]))] or typical_gap(pts) or _nominal_gap(source)
    problems = find_problems(source, found, pts, last)
    return Probe(
        container=source.format_name,
        codec=context.codec.canonical_name,
        pixel_format=found.pixel_format,
        width=source.width,
        height=source.height,
        sar=sar,
        rotation_deg=found.rotation_deg,
        time_base=base,
        pts=pts,
        last_duration=last,
        start_offset_ns=round_half_up((int(pts[0]) * base - _timeline_start(source)) * NS_PER_S),
        header_frames=source.stream.frames or None,
        is_vfr=is_variable(pts),
        max_gap_ns=round_half_up(int(np.diff(pts).max(initial=0)) * base * NS_PER_S),
        max_jitter_ns=round_half_up(Fraction(off_grid(pts)) * base * NS_PER_S),
        reorder_depth=reorder_depth(found.walk.packet_pts) if source.has_pts else 0,
        audio=_audio(source, int(pts[0]) * base),
        problems=problems,
        status="ok" if all(problem.code in HARMLESS for problem in problems) else "degraded",
    )


def _nominal_gap(source: Source) -> int:
    """A frame's length in ticks by the header's rate, for a video of one frame that has no duration of its own."""
    rate = source.stream.average_rate or source.stream.base_rate
    return max(1, round(1 / (rate * source.time_base))) if rate else 1


def _timeline_start(source: Source) -> Fraction:
    """Where the container's timeline starts, in seconds."""
    if source.format_name in ZERO_BASED:
        return Fraction(0)
    streams = [*source.container.streams.video, *source.container.streams.audio]
    starts = [
        stream.start_time * stream.time_base for stream in streams if stream.start_time is not None and stream.time_base
    ]
    return min(starts, default=Fraction(0))


def _audio(source: Source, video_start_s: Fraction) -> Audio | None:
    if not source.container.streams.audio:
        return None
    stream = source.container.streams.audio[0]
    start = (
        stream.start_time * stream.time_base if stream.start_time is not None and stream.time_base else video_start_s
    )
    return Audio(
        codec=stream.codec_context.codec.canonical_name,
        channels=stream.codec_context.channels,
        sample_rate=stream.codec_context.sample_rate,
        start_offset_ns=round_half_up((start - video_start_s) * NS_PER_S),
    )
