"""Source nanoseconds and the frames that Label Studio counts, both ways through a window's proxy.

Label Studio counts frames from 1 and a region holds both its ends. Frame `f` is the proxy's frame `f - 1` of
`annotate.pace`, which alone reckons with rates; what lies outside a window is cut to it here.
"""

from __future__ import annotations

from annotate.errors import AnnotateError
from annotate.pace import source_time, to_proxy_frame
from annotate.tasks import Window
from datasets_build.core.clock import FrameClock, Span


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
    last = clock.index_at(source_time(window, clock, end - 1))
    end_ns = window.end_ns if end == window.frames else min(clock.time_of(last + 1), window.end_ns)
    return Span(start_ns=source_time(window, clock, start - 1), end_ns=end_ns)


def _place(window: Window, t_ns: int) -> int:
    """Proxy frames that come on before an instant of the source: 0 to all of them."""
    return 0 if t_ns <= window.start_ns else to_proxy_frame(window, min(t_ns, window.end_ns))
