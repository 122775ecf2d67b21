"""Text that gives away the clock: absolute times have no place in what a streaming model reads or says."""

from __future__ import annotations

import re

_CLOCK = re.compile(
    r"\b\d{1,2}:\d{2}\b"
    r"|\b\d+(?:[.,]\d+)?\s*(?:ns|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)\b"
    r"|\b(?:frame|timestamp|timecode)\s*(?:no\.?\s*|number\s*|#\s*)?\d+",
    re.IGNORECASE,
)


def absolute_time_in(text: str) -> str | None:
    """The first phrase that names a time of the clock, a length in seconds or a frame number; None when there is none.

    Searches the whole text: `at 0:12`, `after 3 s`, `12.5 seconds`, `frame 300`.
    """
    found = _CLOCK.search(text)
    return found.group(0) if found else None
