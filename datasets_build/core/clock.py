"""Time: integer nanoseconds, half-open spans, the clock of a video's frames, and monotone time maps.

Zero is the first shown frame of a video. Nothing in here divides by an average frame rate: a frame's time comes from
its presentation timestamp (pts) and the stream's time base, in exact integer arithmetic.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

NS_PER_S = 1_000_000_000
Int64s = npt.NDArray[np.int64]


class TimeError(ValueError):
    """A time that cannot be: out of range, out of order, or not exactly representable."""


def round_half_up(value: Fraction) -> int:
    """Round an exact rational to the nearest integer, halves towards plus infinity."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def pts_to_ns(pts: int, start_pts: int, time_base: Fraction) -> int:
    """Nanoseconds of a presentation timestamp after `start_pts` (ticks of `time_base` seconds), rounded half up."""
    return round_half_up((pts - start_pts) * time_base * NS_PER_S)


def seconds_to_ns(seconds: str | int | Decimal | Fraction | float) -> int:
    """Seconds from the outside world as nanoseconds; a decimal string such as `"12.345"` is taken exactly."""
    return round_half_up(Fraction(seconds) * NS_PER_S)


def format_ns(t_ns: int) -> str:
    """Nanoseconds for people: `1:02:03.456`, `0:07.250`; milliseconds, rounded down."""
    sign, t_ms = ("-", -t_ns // 1_000_000) if t_ns < 0 else ("", t_ns // 1_000_000)
    minutes, ms = divmod(t_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{head}:{ms // 1000:02d}.{ms % 1000:03d}"


class Span(BaseModel):
    """Half-open interval `[start_ns, end_ns)`; an instant has `start_ns == end_ns` and contains nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    start_ns: int
    end_ns: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_ns < self.start_ns:
            raise ValueError(f"a span ends at or after its start, found [{self.start_ns}, {self.end_ns})")
        return self

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds."""
        return self.end_ns - self.start_ns

    def contains(self, t_ns: int) -> bool:
        """Whether the instant lies inside."""
        return self.start_ns <= t_ns < self.end_ns

    def intersection(self, other: Span) -> Span | None:
        """The common part, or None when the spans share no instant."""
        start, end = max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns)
        return Span(start_ns=start, end_ns=end) if start < end else None


@dataclass(frozen=True, slots=True)
class FrameClock:
    """When each frame of a video is shown: frame index ⇄ nanoseconds, by lookup and never by a rate.

    Args:
        t_ns: `(frames,) int64`, strictly increasing, first value 0: presentation times in nanoseconds.
        end_ns: when the last frame leaves the screen, after the last time; equals the video's duration.
        pts: `(frames,) int64`, the same frames' raw timestamps in ticks of the stream's time base.

    Raises:
        TimeError: the arrays are empty, differ in length, do not start at zero or do not increase.
    """

    t_ns: Int64s
    end_ns: int
    pts: Int64s

    def __post_init__(self) -> None:
        if len(self.t_ns) == 0 or len(self.t_ns) != len(self.pts):
            raise TimeError(f"a clock needs one time per pts, found {len(self.t_ns)} times and {len(self.pts)} pts")
        if self.t_ns[0] != 0 or bool(np.any(np.diff(self.t_ns) <= 0)):
            raise TimeError("frame times start at 0 and increase strictly")
        if self.end_ns <= int(self.t_ns[-1]):
            raise TimeError(f"the end ({self.end_ns} ns) lies after the last frame ({int(self.t_ns[-1])} ns)")

    @classmethod
    def from_pts(cls, pts: Iterable[int], *, time_base: Fraction, last_duration: int) -> FrameClock:
        """Build from sorted distinct timestamps; `last_duration` is the last frame's length in ticks (at least 1)."""
        ticks = [int(value) for value in pts]
        if not ticks:
            raise TimeError("a clock needs at least one frame")
        ticks.append(ticks[-1] + max(1, last_duration))
        # `pts_to_ns` written out in integers: a long video has a million frames, and a Fraction each is slow.
        up, down, start = 2 * time_base.numerator * NS_PER_S, 2 * time_base.denominator, ticks[0]
        *times, end = [((value - start) * up + time_base.denominator) // down for value in ticks]
        return cls(np.array(times, np.int64), end, np.array(ticks[:-1], np.int64))

    def __len__(self) -> int:
        return len(self.t_ns)

    def time_of(self, index: int) -> int:
        """Presentation time in ns of a frame; `len(clock)` gives the end. Raises TimeError outside `[0, len]`."""
        if not 0 <= index <= len(self):
            raise TimeError(f"frame {index} is outside [0, {len(self)}]")
        return self.end_ns if index == len(self) else int(self.t_ns[index])

    def index_at(self, t_ns: int) -> int:
        """The frame on screen at an instant of `[0, end_ns)`. Raises TimeError outside."""
        if not 0 <= t_ns < self.end_ns:
            raise TimeError(f"{t_ns} ns is outside the video's [0, {self.end_ns}) ns")
        return int(self.t_ns.searchsorted(t_ns, side="right")) - 1

    def indices_at(self, times_ns: Sequence[int] | Int64s) -> Int64s:
        """`index_at` for many instants: `(n,) int64`."""
        times = np.asarray(times_ns, np.int64)
        if len(times) and (int(times.min()) < 0 or int(times.max()) >= self.end_ns):
            raise TimeError(f"{int(times.min())}..{int(times.max())} ns reach outside [0, {self.end_ns}) ns")
        return (np.searchsorted(self.t_ns, times, side="right") - 1).astype(np.int64)

    def frames_in(self, span: Span) -> range:
        """Indices of the frames whose presentation time lies inside the half-open span."""
        return self.frames_between(span.start_ns, span.end_ns)

    def frames_between(self, start_ns: int, end_ns: int) -> range:
        """`frames_in` of `[start_ns, end_ns)`, for callers who ask too often to make a span each time."""
        first, stop = self.t_ns.searchsorted((start_ns, end_ns)).tolist()
        return range(first, stop)

    def snap_up(self, t_ns: int) -> int:
        """The first frame time at or after an instant, or the end when no frame follows; negative gives 0."""
        # The method, not numpy's function: for one instant the function's wrapper takes most of the time.
        index = int(self.t_ns.searchsorted(t_ns))
        return self.end_ns if index == len(self.t_ns) else int(self.t_ns[index])

    def snap_span(self, span: Span) -> Span:
        """Both ends moved up to the grid: holds exactly the frames that the span held."""
        start = self.snap_up(span.start_ns)
        return Span(start_ns=start, end_ns=max(start, self.snap_up(span.end_ns)))

    def on_grid(self, t_ns: int) -> bool:
        """Whether an instant is the presentation time of a frame, or the end."""
        return 0 <= t_ns <= self.end_ns and self.snap_up(t_ns) == t_ns

    def grid(self, fps: Fraction | None) -> Int64s:
        """Frame indices `(n,) int64` of a regular view: the frame on screen at 0, 1/fps, 2/fps …; None = every frame.

        A rate above the video's own repeats no frame: each index appears once.
        """
        if fps is None:
            return np.arange(len(self), dtype=np.int64)
        if fps <= 0:
            raise TimeError(f"a grid needs a positive rate, found {fps}")
        # In integers: a fraction for each step of a long video is slow.
        over, under = fps.numerator, NS_PER_S * fps.denominator
        times = [k * under // over for k in range(self.end_ns * over // under + 1)]
        return np.unique(self.indices_at([t for t in times if t < self.end_ns]))


def _fraction(value: int | str | Fraction) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(value)


Knot = tuple[Fraction, Fraction]
"""An instant of one clock, and where it lies on another."""


def _source_of(knot: Knot) -> Fraction:
    return knot[0]


def _target_of(knot: Knot) -> Fraction:
    return knot[1]


def _along(first: Knot, last: Knot, over: int, under: int) -> tuple[int, int]:
    """Where the line through two knots takes an instant `over / under`, as numerator and denominator."""
    (s0, t0), (s1, t1) = first, last
    # t0 + (t - s0) * (t1 - t0) / (s1 - s0) over one denominator: each operation on fractions divides by a gcd.
    part = (over * s0.denominator - s0.numerator * under) * s1.denominator
    whole = (s1.numerator * s0.denominator - s0.numerator * s1.denominator) * under
    rise = t1.numerator * t0.denominator - t0.numerator * t1.denominator
    return part * rise + t0.numerator * t1.denominator * whole, whole * t0.denominator * t1.denominator


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Strictly increasing, piecewise linear map from one clock to another, exact on rationals.

    Args:
        knots: `((source, target), …)` in ns, at least two, both coordinates strictly increasing. The map is defined
            on the closed interval between the first and the last source and refuses instants outside it.

    Raises:
        TimeError: fewer than two knots, or a knot out of order.
    """

    knots: tuple[Knot, ...]
    # The first whole nanosecond at or after each knot, once somebody asks: fractions are slow to search in.
    _starts: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.knots) < 2:
            raise TimeError(f"a time map needs at least two knots, found {len(self.knots)}")
        for (s0, t0), (s1, t1) in zip(self.knots, self.knots[1:], strict=False):
            if s1 <= s0 or t1 <= t0:
                raise TimeError(f"a time map increases strictly, found ({s0}, {t0}) before ({s1}, {t1})")

    @classmethod
    def through(cls, knots: Iterable[tuple[int | str | Fraction, int | str | Fraction]]) -> TimeMap:
        """Build from integers, fractions or strings such as `"1001/3"`."""
        return cls(tuple((_fraction(s), _fraction(t)) for s, t in knots))

    @classmethod
    def identity(cls, span: Span) -> TimeMap:
        """The map that leaves a span (longer than an instant) as it is."""
        return cls.through([(span.start_ns, span.start_ns), (span.end_ns, span.end_ns)])

    @property
    def source(self) -> tuple[Fraction, Fraction]:
        """First and last source instant."""
        return self.knots[0][0], self.knots[-1][0]

    @property
    def target(self) -> tuple[Fraction, Fraction]:
        """First and last target instant."""
        return self.knots[0][1], self.knots[-1][1]

    def exact(self, t_ns: int | Fraction) -> Fraction:
        """The target of a source instant as an exact rational. Raises TimeError outside the source interval."""
        if t_ns.denominator == 1:
            return Fraction(*_along(*self._leg(t_ns.numerator), t_ns.numerator, 1))
        low, high = self.source
        if not low <= t_ns <= high:
            raise TimeError(f"{t_ns} ns is outside the map's source [{low}, {high}] ns")
        k = min(bisect_right(self.knots, t_ns, key=_source_of), len(self.knots) - 1)
        return Fraction(*_along(self.knots[k - 1], self.knots[k], t_ns.numerator, t_ns.denominator))

    def apply(self, t_ns: int | Fraction) -> int:
        """The target of a source instant in whole nanoseconds, rounded half up. Raises TimeError outside the source."""
        if t_ns.denominator != 1:
            return round_half_up(self.exact(t_ns))
        top, down = _along(*self._leg(t_ns.numerator), t_ns.numerator, 1)
        return (2 * top + down) // (2 * down)

    def _leg(self, t_ns: int) -> tuple[Knot, Knot]:
        """The knots on both sides of an instant."""
        if not self._starts:
            self._starts.extend(-(-s.numerator // s.denominator) for s, _ in self.knots)
        k = min(bisect_right(self._starts, t_ns), len(self.knots) - 1)
        end = self.knots[-1][0]
        if k == 0 or t_ns * end.denominator > end.numerator:
            raise TimeError(f"{t_ns} ns is outside the map's source [{self.knots[0][0]}, {end}] ns")
        return self.knots[k - 1], self.knots[k]

    def apply_span(self, span: Span) -> Span | None:
        """A span cut to the source interval and moved; None when nothing of it is inside."""
        low, high = self.source
        start, end = max(Fraction(span.start_ns), low), min(Fraction(span.end_ns), high)
        if start > end or (start == end and span.duration_ns > 0):
            return None
        return Span(start_ns=round_half_up(self.exact(start)), end_ns=round_half_up(self.exact(end)))

    def inverse(self) -> TimeMap:
        """The map back; `m.inverse().exact(m.exact(t)) == t` for every t of the source."""
        return TimeMap(tuple((t, s) for s, t in self.knots))

    def then(self, after: TimeMap) -> TimeMap:
        """Compose: `m.then(n).exact(t) == n.exact(m.exact(t))` wherever both are defined.

        Raises:
            TimeError: the target of this map and the source of the next share no more than an instant.
        """
        low, high = max(self.target[0], after.source[0]), min(self.target[1], after.source[1])
        if low >= high:
            raise TimeError(f"maps do not meet: target {self.target}, next source {after.source}")
        here, there = self.knots, after.knots
        i = bisect_left(here, low, key=_target_of)
        j = bisect_left(there, low, key=_source_of)
        found: list[Knot] = []
        # Both rise, so one walk finds every knot of either; both have one at or behind `high`.
        while i < len(here) and j < len(there):
            (s, middle), (after_s, t) = here[i], there[j]
            if middle == after_s:
                i, j = i + 1, j + 1
            elif middle < after_s:
                t, i = Fraction(*_along(there[j - 1], there[j], middle.numerator, middle.denominator)), i + 1
            else:
                before, behind = here[i - 1][::-1], here[i][::-1]
                s, j = Fraction(*_along(before, behind, after_s.numerator, after_s.denominator)), j + 1
            found.append((s, t))
        return TimeMap(tuple(found))
