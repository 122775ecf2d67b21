"""What is wrong with a video, found by holding what decoded against what the file promised."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np

from datasets_build.core.clock import Int64s, pts_to_ns
from datasets_build.core.records import Problem
from datasets_build.decoders.container import Source, Walk, last_packet_end_s
from datasets_build.decoders.frames import Size
from datasets_build.decoders.structure import broken_at
from datasets_build.decoders.timing import typical_gap

# Odd, but nothing is lost and nothing is in doubt.
HARMLESS = frozenset({"header_count_differs", "unordered_pts"})
# What each decoder conceals in its own way.
DAMAGE = frozenset({"decode_error", "corrupt_frames", "lost_frames"})
# VP8 hides reference pictures in packets of their own, so a packet without a frame is no loss there.
HIDDEN_PACKETS = frozenset({"vp8"})
MAX_ERRORS_TOLD = 20
# Matroska writes how long the film is at its start, but not how many frames; a last frame or sound may be cut short.
DURATION_IN_HEADER = frozenset({"matroska"})
SLACK_S = Fraction(1, 4)


@dataclass(slots=True, kw_only=True, eq=False)
class Pass:
    """What decoding a file found; times stand in the decoder's output order."""

    walk: Walk
    # Arrays: a day of video has millions of frames.
    pts: array[int] = field(default_factory=lambda: array("q"))
    durations: array[int] = field(default_factory=lambda: array("q"))
    corrupt: list[int] = field(default_factory=list)
    sizes: set[Size] = field(default_factory=set)
    angles: set[int] = field(default_factory=set)
    rotation_deg: int = 0
    pixel_format: str = ""


def find_problems(source: Source, found: Pass, pts: Int64s, last: int) -> tuple[Problem, ...]:
    """Everything wrong, in a fixed order; `pts` are the sorted distinct times, `last` the last frame's ticks."""
    when = _When(int(pts[0]), source.time_base)
    return (
        *_errors(found, when),
        *_losses(source, found, when),
        *_structure(source),
        *_short_end(source, found, pts, last),
        *_times(source, found, pts, when),
        *_shape(found),
    )


@dataclass(frozen=True, slots=True)
class _When:
    start: int
    time_base: Fraction

    def __call__(self, pts: int | None) -> int | None:
        return None if pts is None else max(0, pts_to_ns(pts, self.start, self.time_base))


def _errors(found: Pass, when: _When) -> Iterator[Problem]:
    errors = found.walk.errors
    for pts, text in errors[:MAX_ERRORS_TOLD]:
        yield Problem(code="decode_error", detail=text, at_ns=when(pts))
    if len(errors) > MAX_ERRORS_TOLD:
        yield Problem(code="decode_error", detail=f"and {len(errors) - MAX_ERRORS_TOLD} more errors")
    if found.walk.flagged:
        text = f"packets that are damaged or come after a gap in the file: {len(found.walk.flagged)}"
        yield Problem(code="corrupt_packets", detail=text, at_ns=when(found.walk.flagged[0]))
    if found.corrupt:
        text = f"frames that decode damaged: {len(found.corrupt)}"
        yield Problem(code="corrupt_frames", detail=text, at_ns=when(min(found.corrupt)))


def lost_packets(source: Source, found: Pass) -> list[int]:
    """Times, in ticks and sorted, of packets that gave no frame; empty where the container tells no such times."""
    name = source.stream.codec_context.codec.canonical_name
    if not source.has_pts or found.walk.n_guessed or name in HIDDEN_PACKETS:
        return []
    lost: list[int] = np.setdiff1d(np.array(found.walk.packet_pts), np.array(found.pts)).tolist()
    return lost


def _losses(source: Source, found: Pass, when: _When) -> Iterator[Problem]:
    lost = lost_packets(source, found)
    if lost:
        text = f"packets that give no frame: {len(lost)}"
        yield Problem(code="lost_frames", detail=text, at_ns=when(lost[0]))


def _structure(source: Source) -> Iterator[Problem]:
    """The demuxer passed over what it could not read, or ended there: nobody knows how many frames were in it."""
    at = broken_at(source.path, source.format_name, source.stream.id)
    if at is not None:
        text = (
            f"what the file is made of breaks off at byte {at} of {source.path.stat().st_size}; frames may be missing"
        )
        yield Problem(code="broken_structure", detail=text)


def _short_end(source: Source, found: Pass, pts: Int64s, last: int) -> Iterator[Problem]:
    """The header promises more frames, or a longer film, than there is."""
    promised = source.stream.frames
    if promised and promised - found.walk.n_discarded != len(found.pts):
        text = f"the header counts {promised} frames, {len(found.pts)} decode"
        yield Problem(code="header_count_differs", detail=text)
    length = int(pts[-1]) - int(pts[0]) + last
    there, promised_s = length * source.time_base, Fraction(0)
    if promised > len(found.pts):
        # AVI has no duration but its frames, one to a tick; FFmpeg adapts it to the bytes that are there.
        ticks = source.stream.duration if source.has_pts else promised
        promised_s = (ticks or 0) * source.time_base - typical_gap(pts) * source.time_base
    elif source.format_name in DURATION_IN_HEADER and source.container.duration:
        # The header's duration is that of the longest stream, so the others are asked only when the video is short.
        promised_s = Fraction(source.container.duration, av.time_base) - SLACK_S
        there = max((int(pts[-1]) + last) * source.time_base, Fraction(0))
        if promised_s > there:
            there = max(there, last_packet_end_s(source.path))
    if promised_s > there:
        text = f"the file ends after {float(there):.3f} s, its header promises more"
        yield Problem(code="truncated", detail=text, at_ns=pts_to_ns(length, 0, source.time_base))


def _times(source: Source, found: Pass, pts: Int64s, when: _When) -> Iterator[Problem]:
    n_same = len(found.pts) - len(pts)
    if n_same:
        text = f"frames left out because an earlier one has their time: {n_same}"
        yield Problem(code="duplicate_pts", detail=text, at_ns=when(_first_repeat(found.pts)))
    n_back = sum(b < a for a, b in pairwise(found.pts))
    if n_back:
        text = f"frames that come after a later one: {n_back}; they are sorted by time"
        yield Problem(code="unordered_pts", detail=text)
    if found.walk.n_guessed and source.has_pts:
        text = f"frames without a presentation time: {found.walk.n_guessed}; the packets' order stands in"
        yield Problem(code="missing_pts", detail=text)


def _first_repeat(pts: Sequence[int]) -> int | None:
    seen: set[int] = set()
    for value in pts:
        if value in seen:
            return value
        seen.add(value)
    return None


def _shape(found: Pass) -> Iterator[Problem]:
    if len(found.sizes) > 1:
        text = ", ".join(f"{width}x{height}" for width, height in sorted(found.sizes))
        yield Problem(
            code="size_changes", detail=f"the picture changes size ({text}); frames are scaled to the header's"
        )
    if len(found.angles) > 1:
        yield Problem(code="rotation_changes", detail="the rotation changes; each frame is turned by its own")
    if any(angle % 90 for angle in found.angles):
        text = f"rotated by {min(found.angles)} degrees; frames are turned to the nearest right angle"
        yield Problem(code="odd_rotation", detail=text)
