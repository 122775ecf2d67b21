"""Laws of augmented folders: maps that give the videos' clocks, and events that lie where their parents' do.

What is made of other videos is worked out anew here, from the maps as they are written and the folder of the parents.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

from datasets_build.checks.laws import Breach
from datasets_build.checks.moved import Moved, expected_spans
from datasets_build.core.augmentation import AUGMENTED, Augmentation
from datasets_build.core.clock import FrameClock, Span, TimeError, TimeMap, round_half_up
from datasets_build.core.records import Event

RISES = ("map_rises", "a map has knots in order and stays inside its parent's clock")
FOLLOW = ("pieces_follow", "pieces of an augmented video follow each other, from 0 to its end")
CLOCK = ("clock_is_mapped", "the frames of an augmented video come when its maps say, and no other is dropped")
DROPPED = ("dropped_named", "dropped frames are named once, in order, and lie in the stretch that is shown")
BACKWARDS = ("backwards_fits", "a piece that runs backwards shows each frame from where, forwards, it left the screen")
MOVED = ("event_is_moved", "an event of an augmented video is one of its parent's, where its map takes it")

# A video ends at a whole nanosecond and its map at a rational; later changes of pace stretch the difference.
_SEAM_NS = 1000


@dataclass(frozen=True, slots=True)
class Legs:
    """A time map in whole numbers: a fraction for each instant is slow.

    Attributes:
        borders: the first whole instants behind all legs but the last.
        lines: `(rise, base, down)` of each leg, on which `t` goes to `(base + rise * t) / down`.
    """

    borders: tuple[int, ...]
    lines: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, time_map: TimeMap) -> Legs:
        """The legs between the knots of a map."""
        lines = []
        for (s0, t0), (s1, t1) in pairwise(time_map.knots):
            rise = (t1 - t0) / (s1 - s0)
            base = t0 - s0 * rise
            down = math.lcm(rise.denominator, base.denominator)
            lines.append((int(rise * down), int(base * down), down))
        return cls(tuple(math.ceil(s) for s, _ in time_map.knots[1:-1]), tuple(lines))

    def at(self, t_ns: int) -> int:
        """Where an instant goes, in whole nanoseconds, halves up."""
        rise, base, down = self.lines[bisect_right(self.borders, t_ns)]
        return (2 * (base + rise * t_ns) + down) // (2 * down)


def exact(time_map: TimeMap, times_ns: Sequence[int], legs: Legs | None = None) -> list[int]:
    """Where rising instants go, in whole nanoseconds, halves up. Raises TimeError outside the map."""
    low, high = time_map.source
    if times_ns and not low <= times_ns[0] <= times_ns[-1] <= high:
        raise TimeError(f"frames from {times_ns[0]} to {times_ns[-1]} ns, a map of [{low}, {high}] ns")
    found = legs or Legs.of(time_map)
    return [found.at(t_ns) for t_ns in times_ns]


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """The frames of a piece as its row gives them: which, when they come on in the parent, and when in the video."""

    row: Augmentation
    clock: FrameClock
    time_map: TimeMap
    legs: Legs
    low: Fraction
    high: Fraction
    frames: tuple[int, ...]
    on_ns: tuple[int, ...]

    @classmethod
    def of(cls, row: Augmentation, clock: FrameClock) -> Strip:
        """Raises TimeError where the map is none."""
        time_map = row.time_map
        low, high = time_map.source
        if row.is_reversed:
            low, high = clock.end_ns - high, clock.end_ns - low
        gone = set(row.dropped_frames)
        frames = tuple(k for k in inside(clock, low, high) if k not in gone)
        on = tuple(clock.time_of(k) for k in frames)
        if row.is_reversed:
            frames = frames[::-1]
        return cls(row, clock, time_map, Legs.of(time_map), low, high, frames, row.on_ns or on)

    def shown_ns(self) -> list[int]:
        """When its frames come in the video. Raises TimeError where one lies outside the map."""
        if self.row.is_reversed:
            return exact(self.time_map, [self.clock.end_ns - t for t in self.on_ns], self.legs)
        return exact(self.time_map, self.on_ns, self.legs)

    def to_video(self, t_ns: int | Fraction) -> int:
        """Where an instant of the parent's stretch goes, in whole nanoseconds."""
        there = self.clock.end_ns - t_ns if self.row.is_reversed else t_ns
        return self.legs.at(there) if isinstance(there, int) else round_half_up(self.time_map.exact(there))


def inside(clock: FrameClock, low: Fraction, high: Fraction) -> range:
    """The frames of a stretch."""
    return clock.frames_in(Span(start_ns=-int(-low // 1), end_ns=-int(-high // 1)))


def map_breaches(row: Augmentation, clock: FrameClock) -> Iterator[Breach]:
    """What keeps a map from being one of its parent."""
    try:
        low, high = row.time_map.source
    except (TimeError, ValueError, ZeroDivisionError) as error:
        yield Breach(f"knots: {error}", "two rationals at least, both rising from knot to knot")
        return
    if low < 0 or high > clock.end_ns:
        yield Breach(f"knots: a map from [{low}, {high}] ns", f"a stretch of the parent's [0, {clock.end_ns}] ns")


def dropped_breaches(strip: Strip) -> Iterator[Breach]:
    """Dropped frames that are none."""
    named = strip.row.dropped_frames
    if any(after <= before for before, after in pairwise(named)):
        yield Breach(f"dropped_frames {named[:8]}", "each frame once, in order")
    there = inside(strip.clock, strip.low, strip.high)
    if foreign := [frame for frame in named if frame not in there]:
        yield Breach(f"dropped_frames: frame {foreign[0]}", f"a frame of [{there.start}, {there.stop})")


def backwards_breaches(strip: Strip) -> Iterator[Breach]:
    """Frames that come on neither at their own time nor, in a reversed piece, where forwards the next one would."""
    on = strip.row.on_ns
    if not on and not strip.row.is_reversed:
        return
    if len(on) != len(strip.frames):
        yield Breach(f"on_ns of {len(on)} frames", f"{len(strip.frames)}, one for each that is shown")
        return
    times = [strip.clock.time_of(frame) for frame in strip.frames]
    # A reversed stall shows a frame until its time is over; turned round once more, it shows it from before its time.
    if strip.row.is_reversed:
        bounds = list(zip(times, [-int(-strip.high // 1), *times[:-1]], strict=True))
    else:
        bounds = list(zip([-int(-strip.low // 1) - 1, *times[:-1]], times, strict=True))
    for place, (t_ns, (after, until)) in enumerate(zip(on, bounds, strict=True)):
        if not after < t_ns <= until:
            yield Breach(f"on_ns.{place} {t_ns}", f"an instant of ({after}, {until}], for frame {strip.frames[place]}")
            return


def clock_breaches(strips: Sequence[Strip], clock: FrameClock) -> Iterator[Breach]:
    """Where a video's clock is not what its maps give."""
    try:
        times = [t for strip in strips for t in strip.shown_ns()]
    except TimeError as error:
        yield Breach(f"on_ns: {error}", "frames inside the map")
        return
    if len(times) != len(clock):
        yield Breach(f"dropped_frames leave {len(times)} frames", f"{len(clock)}, those of the video")
        return
    for index, (mapped, t_ns) in enumerate(zip(times, clock.t_ns.tolist(), strict=True)):
        if mapped != t_ns:
            yield Breach(f"knots take frame {index} to {mapped} ns", f"{t_ns} ns, when the video shows it")
            return


def follow_breaches(rows: Sequence[Augmentation], clock: FrameClock) -> Iterator[tuple[str, list[Breach]]]:
    """Each piece's id with what keeps it from its place."""
    at = Fraction(0)
    for place, row in enumerate(rows):
        begin, end = row.time_map.target
        found = (
            []
            if abs(begin - at) <= _SEAM_NS
            else [Breach(f"knots: a piece from {begin} ns", f"{at} ns, where the one before ends")]
        )
        at = end
        if place == len(rows) - 1 and round_half_up(end) != clock.end_ns:
            found.append(Breach(f"knots: a last piece to {end} ns", f"{clock.end_ns} ns, the video's end"))
        yield row.id, found


def pieces_of(strips: Sequence[Strip], clock: FrameClock) -> list[Moved]:
    """Where events go, piece by piece."""
    counts = accumulate((len(strip.frames) for strip in strips[:-1]), initial=0)
    begins = [clock.time_of(count) for count in counts]
    return [
        Moved(
            to_video=strip.to_video,
            clock=clock,
            parent=strip.clock,
            stretch=(strip.low, strip.high),
            is_reversed=strip.row.is_reversed,
            on_ns=strip.on_ns,
            own_ns=[strip.clock.time_of(frame) for frame in strip.frames],
            begin_ns=begin,
            end_ns=end,
        )
        for strip, (begin, end) in zip(strips, pairwise([*begins, clock.end_ns]), strict=True)
    ]


Expected = Mapping[str, Sequence[tuple[int, Event]]]
"""What events of parents look like, by their id: in which piece, and there."""


def expected_of(strips: Sequence[Strip], pieces: Sequence[Moved], told: Mapping[str, Sequence[Event]]) -> Expected:
    """Where the maps take the events of the parents.

    Args:
        strips: the pieces of an augmented video.
        pieces: the same, as `pieces_of` gives them.
        told: the events of each parent, by its id.
    """
    expected: defaultdict[str, list[tuple[int, Event]]] = defaultdict(list)
    for place, (strip, piece) in enumerate(zip(strips, pieces, strict=True)):
        rows = told[strip.row.parent_id]
        for event in rows:
            expected[event.id] += [(place, there) for there in expected_spans(event, rows, piece)]
    return expected


def moved_breaches(
    events: Sequence[Event], expected: Expected, pieces: Sequence[Moved]
) -> Iterator[tuple[str, list[Breach]]]:
    """Each event's id with what keeps it from being one of its parents', where the maps take it.

    Args:
        events: of the augmented video.
        expected: where the maps take the events of its parents.
        pieces: of it.
    """
    begins = [piece.begin_ns for piece in pieces]
    for event in events:
        yield event.id, list(_event_breaches(event, expected, begins))


def _event_breaches(event: Event, expected: Expected, begins: Sequence[int]) -> Iterator[Breach]:
    """Where an event is not what its parent gives."""
    parent = event.provenance.inputs[0] if event.provenance.inputs else None
    found = f"{event.label} [{event.start_ns}, {event.end_ns}), known_from_ns {event.known_from_ns}"
    if event.provenance.agent == AUGMENTED:
        if event.start_ns not in begins or event.label != ("shot_start" if event.start_ns else "video_start"):
            yield Breach(found, f"video_start or shot_start where a piece begins, such as {begins[:4]}")
        return
    there = [event for _, event in expected.get(parent or "", ())]
    if not there:
        yield Breach(f"provenance.inputs.0 {parent}", "an event of a parent that is shown")
    elif not any((e.label, e.start_ns, e.end_ns) == (event.label, event.start_ns, event.end_ns) for e in there):
        spans = ", ".join(f"{e.label} [{e.start_ns}, {e.end_ns})" for e in there[:4])
        yield Breach(f"start_ns, end_ns: {found}", f"{spans}, where the maps take {parent}")
    elif not any(e.known_from_ns <= event.known_from_ns for e in there if e.start_ns == event.start_ns):
        least = min(e.known_from_ns for e in there if e.start_ns == event.start_ns)
        yield Breach(f"known_from_ns {event.known_from_ns}", f"{least} at the earliest, when so much of it is shown")
    elif (event.subject, event.is_point) != (there[0].subject, event.start_ns == event.end_ns):
        yield Breach(f"subject {event.subject}", f"{there[0].subject}, as of {parent}")
