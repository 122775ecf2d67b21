"""Clocks of every kind, the windows that a proxy would have on them, and items to ask: for Hypothesis and by hand."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from hypothesis import strategies as st

from annotate.tasks import Item, Sheet, Window
from datasets_build.core.augmentation import Knot
from datasets_build.core.clock import NS_PER_S, FrameClock

FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)


def constant(rate: Fraction, frames: int, tick: Fraction | None = None) -> FrameClock:
    """A clock of a constant rate, its timestamps rounded to a tick (of the rate's own denominator without one)."""
    tick = tick or 1 / Fraction(rate.numerator)
    pts = [round(k / rate / tick) for k in range(frames)]
    return FrameClock.from_pts(pts, time_base=tick, last_duration=round(1 / rate / tick))


def variable(gaps_ms: list[int]) -> FrameClock:
    """A clock whose frames stay for these milliseconds."""
    pts = [sum(gaps_ms[:k]) for k in range(len(gaps_ms))]
    return FrameClock.from_pts(pts, time_base=Fraction(1, 1000), last_duration=gaps_ms[-1])


def window_of(clock: FrameClock, rate: Fraction, first: int = 0, stop: int | None = None) -> Window:
    """The window of a clock's frames `[first, stop)` through a proxy of a rate.

    Where the source is of that rate too its rounded times may lie behind the proxy's, so the map runs early by that.
    """
    stop = len(clock) if stop is None else stop
    start_ns, end_ns, step = clock.time_of(first), clock.time_of(stop), NS_PER_S / rate
    times = [clock.time_of(k) - start_ns for k in range(first, stop)]
    late = max(t - k * step for k, t in enumerate(times))
    early = max(k * step - t for k, t in enumerate(times))
    if max(late, early) > step / 4:  # a source of another rate
        late = Fraction(0)
    late = max(late, Fraction(0))
    moved = {0: Fraction(0), **{t: t - late for t in (*times[1:2], times[-1]) if t}}
    frames = max(ceil((end_ns - start_ns - late - 1) / step), ceil(moved[times[-1]] / step) + 1)
    moved[end_ns - start_ns] = frames * step
    return Window(
        video_id="v",
        start_ns=start_ns,
        end_ns=end_ns,
        proxy_sha256="ab" * 32,
        width=320,
        height=240,
        fps_num=rate.numerator,
        fps_den=rate.denominator,
        frames=frames,
        knots=tuple(Knot(source=str(start_ns + t), target=str(target)) for t, target in moved.items()),
    )


@st.composite
def watched(draw: st.DrawFn) -> tuple[FrameClock, Window]:
    """A clock and a window of it, every source frame of which some proxy frame shows."""
    kind = draw(st.sampled_from(["own", "milliseconds", "variable"]))
    if kind == "variable":
        clock = variable(draw(st.lists(st.integers(17, 250), min_size=6, max_size=40)))
        rate = Fraction(60)
    else:
        rate = draw(st.sampled_from([FILM, NTSC, Fraction(25), Fraction(10), Fraction(60)]))
        frames = draw(st.integers(6, 90))
        clock = constant(rate, frames, Fraction(1, 1000) if kind == "milliseconds" else None)
    first = draw(st.integers(0, len(clock) - 5))
    stop = draw(st.integers(first + 4, len(clock)))
    return clock, window_of(clock, rate, first, stop)


def item_of(window: Window, sheet: Sheet) -> Item:
    """An item of a window and a sheet."""
    return Item(key="k" * 20, window=window, sheet=sheet, split="train")


def inside(clock: FrameClock, window: Window) -> list[int]:
    """The times of the window's source frames, and its end."""
    return [int(t) for t in clock.t_ns if window.start_ns <= t < window.end_ns] + [window.end_ns]
