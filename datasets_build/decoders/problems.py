"""What is wrong with a video, found by holding what decoded against what the file promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from datasets_build.core.clock import Int64s, pts_to_ns
from datasets_build.core.records import Problem
from datasets_build.decoders.container import NO_PTS_STORED, Source, Walk
from datasets_build.decoders.frames import Size
from datasets_build.decoders.timing import typical_gap

# Odd, but nothing is lost and nothing is in doubt.
HARMLESS = frozenset({"header_count_differs", "unordered_pts"})
# What each decoder conceals in its own way.
DAMAGE = frozenset({"decode_error", "corrupt_frames", "lost_frames"})
# VP8 hides reference pictures in packets of their own, so a packet without a frame is no loss there.
HIDDEN_PACKETS = frozenset({"vp8"})
MAX_ERRORS_TOLD = 20


@dataclass(slots=True, kw_only=True, eq=False)
class Pass:
    """What decoding a file found; times stand in the decoder's output order."""

    walk: Walk
    pts: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
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
        *_losses(source, found, pts, when),
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
    if found.corrupt:
        text = f"{len(found.corrupt)} frames decode damaged"
        yield Problem(code="corrupt_frames", detail=text, at_ns=when(min(found.corrupt)))


def _losses(source: Source, found: Pass, pts: Int64s, when: _When) -> Iterator[Problem]:
    name = source.stream.codec_context.codec.canonical_name
    if source.format_name in NO_PTS_STORED or found.walk.n_guessed or name in HIDDEN_PACKETS:
        return
    lost = sorted(set(found.walk.packet_pts) - set(pts.tolist()))
    if lost:
        text = f"{len(lost)} packets of the file give no frame"
        yield Problem(code="lost_frames", detail=text, at_ns=when(lost[0]))


def _short_end(source: Source, found: Pass, pts: Int64s, last: int) -> Iterator[Problem]:
    """The header promises more frames, or a longer film, than there is."""
    promised = source.stream.frames
    if promised and promised - found.walk.n_discarded != len(found.pts):
        text = f"the header counts {promised} frames, {len(found.pts)} decode"
        yield Problem(code="header_count_differs", detail=text)
    length = int(pts[-1]) - int(pts[0]) + last
    promised_length = source.stream.duration if promised > len(found.pts) else None
    if promised_length and promised_length - length > typical_gap(pts):
        at = pts_to_ns(length, 0, source.time_base)
        text = (
            f"{float(length * source.time_base):.3f} s of {float(promised_length * source.time_base):.3f} s are there"
        )
        yield Problem(code="truncated", detail=text, at_ns=at)


def _times(source: Source, found: Pass, pts: Int64s, when: _When) -> Iterator[Problem]:
    n_same = len(found.pts) - len(pts)
    if n_same:
        text = f"{n_same} frames carry the time of an earlier one and are left out"
        yield Problem(code="duplicate_pts", detail=text, at_ns=when(_first_repeat(found.pts)))
    n_back = sum(b < a for a, b in pairwise(found.pts))
    if n_back:
        yield Problem(code="unordered_pts", detail=f"the decoder gives {n_back} frames out of order; sorted by time")
    if found.walk.n_guessed and source.format_name not in NO_PTS_STORED:
        text = f"{found.walk.n_guessed} frames have no presentation time; the packets' order stands in"
        yield Problem(code="missing_pts", detail=text)


def _first_repeat(pts: list[int]) -> int | None:
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
