"""The clock of a proxy: its constant rate, which source frame each of its frames shows, and the way back.

A proxy shows at `k / rate` what the source shows at the same time after the window's start. Stored times are rounded,
to nanoseconds and before that to the file's ticks, so a frame of a constant source may be said to come on a moment
after its true instant; the map from the source's clock therefore runs early by the largest such moment. At both ends
of the window it is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import NamedTuple, Self

import numpy as np

from annotate.errors import AnnotateError
from annotate.tasks import Window
from datasets_build.core.augmentation import Knot
from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s, Span, TimeMap

NTSC = Fraction(1000, 1001)
# A rate and its sister: they part by a thousandth, so a short clip may fit both, and the closer one is meant.
USUAL = tuple(
    (Fraction(rate), rate * NTSC)
    for rate in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 240)
)
MOST_FPS = 240
# For sources without a constant rate: below, pictures would come on visibly late; above, no screen shows them all.
LEAST_VARIABLE_FPS, MOST_VARIABLE_FPS = 10, 60
# People step from frame to frame, so more are shown where that brings each: recordings at 60 a second come unevenly.
MOST_STEPPED_FPS = 120
# What FFmpeg holds as a time scale.
MOST_TICKS = 2**31 - 1
# A hundredth of a frame is nobody's variable rate.
JITTER = Fraction(1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a window is shown at a constant rate.

    Attributes:
        rate: frames of the proxy per second.
        frames: of the proxy; together they last as long as the window, but for what a last frame is filled up by.
        time_map: from the source's clock to the proxy's, ns; from the window's start and end to the proxy's.
    """

    rate: Fraction
    frames: int
    time_map: TimeMap

    @classmethod
    def of(cls, window: Window) -> Self:
        """The pace of a proxy that is there."""
        return cls(rate=Fraction(window.fps_num, window.fps_den), frames=window.frames, time_map=window.time_map)

    @property
    def knots(self) -> tuple[Knot, ...]:
        """The map's knots as a record holds them."""
        return tuple(Knot(source=str(source), target=str(target)) for source, target in self.time_map.knots)

    def first_frame(self, t_ns: int) -> int:
        """The first proxy frame at or after an instant of the source."""
        return _ceil(self.time_map.exact(t_ns) * self.rate / NS_PER_S)

    def shown(self, clock: FrameClock, frames: Sequence[int] | None = None) -> Int64s:
        """`(frames,) int64`: the source frame that each proxy frame shows, from 0, as places in the clock.

        `frames` are all of them unless some are named.
        """
        back, step = self.time_map.inverse(), NS_PER_S / self.rate
        named = range(self.frames) if frames is None else frames
        instants = np.array([floor(back.exact(frame * step)) for frame in named], np.int64)
        return (clock.t_ns.searchsorted(instants, side="right") - 1).astype(np.int64)


def to_proxy_frame(window: Window, t_ns: int) -> int:
    """The first proxy frame, from 0, at or after an instant of the source; `window.frames` for the window's end.

    Raises:
        AnnotateError: the instant is outside `[start_ns, end_ns]`.
    """
    if not window.start_ns <= t_ns <= window.end_ns:
        raise AnnotateError(
            f"{window.video_id}: found {t_ns} ns, expected an instant of the window"
            f" [{window.start_ns}, {window.end_ns}]"
        )
    return Pace.of(window).first_frame(t_ns)


def source_time(window: Window, clock: FrameClock, frame: int) -> int:
    """When the source frame comes on that a proxy frame shows, ns; the window's end for `window.frames`.

    For each source frame that some proxy frame shows, `source_time(to_proxy_frame(t)) == t`.

    Raises:
        AnnotateError: the frame is outside `[0, frames]`.
    """
    if not 0 <= frame <= window.frames:
        raise AnnotateError(f"{window.video_id}: found frame {frame} of a proxy, expected 0 to {window.frames}")
    if frame == window.frames:
        return window.end_ns
    return clock.time_of(int(Pace.of(window).shown(clock, [frame])[0]))


def unseen(window: Window, clock: FrameClock) -> list[int]:
    """The source frames of a window that no proxy frame shows: unevenly more than 120 a second or evenly 240."""
    inside = clock.frames_in(Span(start_ns=window.start_ns, end_ns=window.end_ns))
    return sorted(set(inside) - set(Pace.of(window).shown(clock).tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """When the frames of a window come on after its start, when it ends, and what times are rounded to, ns."""

    t_ns: Int64s
    end_ns: int
    tick_ns: Fraction

    @property
    def marks(self) -> Int64s:
        """What tells the rate; of a single frame it is how long that stays."""
        return self.t_ns if len(self.t_ns) > 1 else np.array([0, self.end_ns], np.int64)

    @property
    def rounding_ns(self) -> Fraction:
        """How far times may be off by rounding alone; a tick as coarse as a frame excuses nothing."""
        is_fine = int(self.marks[-1]) >= 2 * self.tick_ns * (len(self.marks) - 1)
        return 1 + self.tick_ns * is_fine


class _Grid(NamedTuple):
    """A rate; by how much times come late at most, and how far they are off either way."""

    rate: Fraction
    late_ns: Fraction = Fraction(0)
    off_ns: Fraction = Fraction(0)


def pace_of(clock: FrameClock, span: Span, tick_s: Fraction) -> Pace:
    """The pace of a window.

    The rate is the source's own where its times are those of a constant rate, up to 240 a second, or of one up to 60
    of which frames were left out; a rate below one is shown a whole number of times as fast. Otherwise it is the lowest
    whole rate from 10 to 120 at which each source frame is on screen in some proxy frame, or 60 where none is
    (`unseen`).

    Args:
        clock: the source's frames.
        span: the window, its ends on frames or on the video's end.
        tick_s: the time base of the source's timestamps, to which these are rounded, in seconds.
    """
    inside = clock.frames_in(span)
    times = _Times(clock.t_ns[inside.start : inside.stop] - span.start_ns, span.duration_ns, tick_s * NS_PER_S)
    grid = _grid(times)
    step = NS_PER_S / grid.rate
    second, last = int(times.t_ns[:2][-1]), int(times.t_ns[-1])
    moved = {t: t - grid.late_ns if t else Fraction(0) for t in (0, second, last)}
    whole = round(times.end_ns / step)
    if abs(whole * step - times.end_ns) > grid.off_ns + times.rounding_ns:
        whole = _ceil((times.end_ns - grid.late_ns) / step)
    # The last source frame is shown, however short it stays.
    frames = max(whole, _ceil(moved[last] / step) + 1)
    if not grid.late_ns:
        ends = (0,) if frames * step == times.end_ns else (0, last)
        moved = {t: moved[t] for t in ends}
    moved[times.end_ns] = frames * step
    knots = ((t + span.start_ns, target) for t, target in moved.items())
    return Pace(rate=grid.rate, frames=frames, time_map=TimeMap.through(knots))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _grid(times: _Times) -> _Grid:
    own = _usual(times) or _constant(times) or _usual(times, gaps=True)
    own = own or _usual(times, jitter=JITTER) or _usual(times, jitter=JITTER, gaps=True)
    if own:
        return own
    for rate in range(LEAST_VARIABLE_FPS, MOST_STEPPED_FPS + 1):
        places = -(-_exact(times.t_ns, rate) * rate // NS_PER_S)
        if np.all(np.diff(places) > 0):
            return _Grid(Fraction(rate))
    return _Grid(Fraction(MOST_VARIABLE_FPS))


def _usual(times: _Times, *, jitter: Fraction = Fraction(0), gaps: bool = False) -> _Grid | None:
    """The lowest usual rate that the times have, up to rounding and a part of a frame."""
    for sisters in USUAL:
        tried = (_fit(times, rate, times.rounding_ns + jitter * NS_PER_S / rate, gaps=gaps) for rate in sisters)
        found = [grid for grid in tried if grid]
        if found:
            return min(found, key=lambda grid: grid.off_ns)
    return None


def _constant(times: _Times) -> _Grid | None:
    """The simplest constant rate that the times have, up to rounding."""
    marks = times.marks
    counts, slack = np.arange(1, len(marks)), times.rounding_ns
    # Floats find where the bounds are; whether the rate between them is right is told exactly.
    low = int(np.argmax(counts / (marks[1:] + float(slack))))
    high = int(np.argmin(counts / np.maximum(marks[1:] - float(slack), 1e-9)))
    lowest = (low + 1) * NS_PER_S / (int(marks[low + 1]) + slack)
    highest = (high + 1) * NS_PER_S / max(Fraction(1), int(marks[high + 1]) - slack)
    if lowest > highest:
        return None
    rate = _simplest(lowest, highest)
    if rate > MOST_FPS or not _fit(times, rate, slack, gaps=False):
        return None
    return _fit(times, rate * _ceil(1 / rate), slack, gaps=True)


def _fit(times: _Times, rate: Fraction, slack_ns: Fraction, *, gaps: bool) -> _Grid | None:
    """The rate, where each time is that of a frame of it up to `slack_ns` and no two are the same frame's.

    With `gaps` frames of a rate up to 60 may be left out: a proxy shows the one before for longer. Times must then be
    closer than a quarter of a frame, for nearly any are within a half.
    """
    marks, unit = times.marks, rate.denominator * NS_PER_S
    if rate.numerator > MOST_TICKS:
        return None
    # Times a rate, in parts of a frame: whole numbers all through.
    parts = _exact(marks, 2 * rate.numerator) * rate.numerator
    places = (2 * parts + unit) // (2 * unit)
    off, steps = parts - places * unit, np.diff(places)
    least, most = int(off.min()), int(off.max())
    if np.any(steps < 1) or max(-least, most) > slack_ns * rate.numerator or least - max(most, 0) <= -unit:
        return None
    is_sure = 4 * slack_ns * rate < NS_PER_S
    if np.any(steps > 1) and not (gaps and is_sure and rate <= MOST_VARIABLE_FPS):
        return None
    return _Grid(rate, Fraction(max(most, 0), rate.numerator), Fraction(max(-least, most), rate.numerator))


def _exact(times: Int64s, factor: int) -> Int64s:
    """Times that can be multiplied: as Python's own whole numbers where 64 bits would not hold the product."""
    return times.astype(object) if int(times[-1]) * factor >= 1 << 62 else times


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of the smallest denominator between two bounds, both included; `0 < low <= high`."""
    whole = _ceil(low)
    if whole <= high:
        return Fraction(whole)
    floor = whole - 1
    return floor + 1 / _simplest(1 / (high - floor), 1 / (low - floor))
