"""Source nanoseconds and the frames that Label Studio counts, both ways through a window's proxy.

Label Studio counts frames from 1 and a region holds both its ends. Frame `f` is on screen from `(f - 1) / fps` of the
proxy; it shows the source frame that is on screen then. All arithmetic is in integers and exact rationals.
"""

from __future__ import annotations

from fractions import Fraction

from annotate.errors import AnnotateError
from annotate.tasks import Window
from datasets_build.core.clock import NS_PER_S, FrameClock, Span


def first_frame(window: Window, t_ns: int) -> int:
    """The first frame, from 1, that comes on at or after an instant of the source, ns.

    An instant outside the window gives its first or last frame.
    """
    return min(_place(window, t_ns) + 1, window.frames)


def span_to_frames(window: Window, span: Span) -> tuple[int, int]:
    """First and last frame, both included, from 1, of a half-open span on the source's clock; at least one frame.

    What reaches out of the window is cut off.
    """
    start = first_frame(window, span.start_ns)
    return start, max(start, _place(window, span.end_ns))


def frames_to_span(window: Window, clock: FrameClock, start: int, end: int) -> Span:
    """The half-open span of the source frames that are seen from frame `start` to frame `end`, both included.

    It begins when the first of them comes on and ends when the one after the last does; a source frame that stays on
    screen after frame `end` is in it whole. The last frame of the proxy ends with the window.

    Args:
        window: what was watched.
        clock: the source's frames.
        start: a frame, from 1.
        end: a frame at or after `start`, at most `window.frames`.

    Raises:
        AnnotateError: a frame that the proxy does not have, or frames out of order.
    """
    if not 1 <= start <= end <= window.frames:
        raise AnnotateError(
            f"{window.video_id}: found frames {start} to {end}, expected 1 <= start <= end <= {window.frames}"
        )
    first, last = _shown(window, clock, start - 1), _shown(window, clock, end - 1)
    end_ns = window.end_ns if end == window.frames else min(clock.time_of(last + 1), window.end_ns)
    return Span(start_ns=max(clock.time_of(first), window.start_ns), end_ns=end_ns)


def _place(window: Window, t_ns: int) -> int:
    """Proxy frames that come on before an instant of the source: 0 to all of them."""
    if t_ns <= window.start_ns:
        return 0
    if t_ns >= window.end_ns:
        return window.frames
    ticks = window.time_map.exact(t_ns) * window.fps_num
    return min(-(-ticks.numerator // (ticks.denominator * window.fps_den * NS_PER_S)), window.frames)


def _shown(window: Window, clock: FrameClock, place: int) -> int:
    """The source frame that the proxy frame of a place, from 0, shows."""
    back = window.time_map.inverse()
    instant = back.exact(min(Fraction(place * window.fps_den * NS_PER_S, window.fps_num), back.source[1]))
    return clock.index_at(min(instant.numerator // instant.denominator, window.end_ns - 1))
