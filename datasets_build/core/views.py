"""Views of events on a frame grid: one row per step, derived from the events and never written by hand.

A step of a grid is a frame. It speaks for the time since the step before it, the frame itself included, and for nothing
later, so that no step knows what comes after it. `labels` and `event_ids` (side by side) are the events that are on at
the frame: spans that contain its time, and instants that are this very frame. `starting` are the ids of the events that
began since the step before: on the native grid at this frame, on a coarser one also the short ones that were over by
then, so that no event vanishes between two steps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction

from datasets_build.core.clock import FrameClock
from datasets_build.core.files import DataError
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Event, FrameLabel, derive_id

NATIVE = "native"


def parse_grid(text: str) -> Fraction | None:
    """The rate of a grid: `native` gives None, `"2"` or `"30000/1001"` a Fraction.

    Raises:
        DataError: the text is no positive rational.
    """
    if text == NATIVE:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise DataError(f"grid {text!r}: expected native or frames per second such as '2' or '30000/1001'")
    return rate


def grid_name(fps: Fraction | None) -> str:
    """How records name a grid: `native`, `2/1`, `30000/1001`."""
    return NATIVE if fps is None else f"{fps.numerator}/{fps.denominator}"


def frames_subset(fps: Fraction | None) -> str:
    """The name of a grid's table: `frames_native`, `frames_2fps`, `frames_30000_1001fps`."""
    if fps is None:
        return "frames_native"
    below = "" if fps.denominator == 1 else f"_{fps.denominator}"
    return f"frames_{fps.numerator}{below}fps"


def subset_grid(name: str) -> Fraction | None:
    """The rate that a table's name stands for; inverse of `frames_subset`. Raises DataError for a foreign name."""
    text = name.removeprefix("frames_")
    rate = parse_grid(text if text == NATIVE else text.removesuffix("fps").replace("_", "/"))
    if frames_subset(rate) != name:
        raise DataError(f"{name!r}: expected a name such as frames_native or frames_2fps")
    return rate


def frame_labels(
    video_id: str,
    clock: FrameClock,
    events: Sequence[Event],
    *,
    shots: Sequence[Shot],
    keyframes: Collection[int],
    fps: Fraction | None,
) -> Iterator[FrameLabel]:
    """Yield one row per step of a grid, in order; memory holds the events that are on.

    Args:
        video_id: whose events these are.
        clock: of that video.
        events: on the clock's grid.
        shots: in order; a step names the shot that contains it.
        keyframes: frame indices that were chosen as keyframes.
        fps: the grid's rate, None for every frame.
    """
    waiting = sorted(events, key=lambda event: event.start_ns)
    shot_starts = [shot.start_ns for shot in shots]
    grid, taken = grid_name(fps), 0
    on: list[Event] = []
    for index in clock.grid(fps).tolist():
        t_ns = clock.time_of(index)
        first = taken
        while taken < len(waiting) and waiting[taken].start_ns <= t_ns:
            taken += 1
        new = waiting[first:taken]
        on = [event for event in [*on, *new] if t_ns < event.end_ns or (event.is_point and event.start_ns == t_ns)]
        k = bisect_right(shot_starts, t_ns) - 1
        yield FrameLabel(
            id=derive_id("frame_label", video_id, grid, index),
            video_id=video_id,
            t_ns=t_ns,
            frame_index=index,
            grid=grid,
            labels=tuple(event.label for event in on),
            event_ids=tuple(event.id for event in on),
            starting=tuple(event.id for event in new),
            is_keyframe=index in keyframes,
            shot_id=shots[k].id if k >= 0 and t_ns < shots[k].end_ns else None,
        )
