"""Text that gives away the clock: absolute times have no place in what a streaming model reads or says."""

from __future__ import annotations

import re

_NUMBER = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|ninety|hundred"
)
_UNIT = r"seconds?|minutes?|hours?"
_CHINESE = r"[0-9０-９零〇一二两三四五六七八九十百千半]"
_END = r"(?=\s*(?:$|[?.!,;:）)]))"
_FILM = r"(?:the|this)\s+(?:video|clip|film|movie|stream|recording|footage)\b"
_CLOCK = re.compile(
    # Digits of any width, and no letter needs to end before them: Chinese has no spaces.
    r"(?<!\d)\d{1,2}[:：]\d{2}(?!\d)"
    r"|\b\d{1,2}h\d{2}\b|\b\d+['’′]\s*\d{1,2}(?:''|’’|″)|\bt\s*=\s*\d+(?:\.\d+)?|\bpts\s*[=:]?\s*\d+"
    r"|\b\d+(?:[.,]\d+)?\s*-?\s*(?:ns|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)\b"
    r"|\b(?:frame|timestamp|timecode)\s*(?:no\.?\s*|number\s*|#\s*)?\d+"
    # "Two seconds later" tells no time of the clock, "after two seconds" does.
    rf"|\b(?:at|after|by|within|until|first|last)\s+(?:the\s+)?(?:{_NUMBER})(?:[\s-](?:{_NUMBER}))?[\s-]+(?:{_UNIT})\b"
    rf"|\b(?:(?:at|by|until)\s+second|minute|hour|frame)\s+(?:number\s+)?(?:{_NUMBER})\b"
    r"|\b\d{1,2}\s*(?:[ap]\.?m\b|o['’]clock)"
    rf"|\b(?:{_NUMBER})(?:[\s-](?:{_NUMBER}))*[\s-]+milliseconds?\b"
    # "Three seconds in" tells a time, "three seconds in the water" a length that nobody can place.
    rf"|\b(?:(?:{_NUMBER})(?:[\s-](?:{_NUMBER}))?|half\s+an?|(?:a\s+)?quarter\s+of\s+an?|an?)[\s-]+(?:{_UNIT})\s+"
    rf"(?:ago\b|in{_END}|into\s+{_FILM})"
    rf"|\b(?:quarter|half)\s+(?:past|to)\s+(?:\d{{1,2}}\b|(?:{_NUMBER})\b)"
    r"|\b\d+(?:st|nd|rd|th)\s+(?:second|minute|hour|frame)\b"
    r"|\b(?:at|by|until|in|from|after|before|around|between)\s+(?:seconds?|minutes?|hours?|frames?)\s+\d+"
    rf"|\bat\s+\d+\.\d+{_END}"
    rf"|\b\d+(?:\.\d+)?\s*(?:%|percent)\s+(?:of|into|through)\s+{_FILM}|\bhalf\s?way\s+(?:through|into)\s+{_FILM}"
    rf"|{_CHINESE}*刻钟|第?\s*{_CHINESE}+\s*(?:秒钟?|分钟|小时|个小时|毫秒|点钟)"
    rf"|第\s*{_CHINESE}+\s*帧|{_CHINESE}+\s*分\s*{_CHINESE}+\s*秒",
    re.IGNORECASE,
)
# All of the above hold one of these, and most sentences none: this is seen several times faster.
_MAYBE = re.compile(rf"\d|{_CHINESE}|second|minute|hour|frame|half|quarter|刻钟", re.IGNORECASE)


def absolute_time_in(text: str) -> str | None:
    """The first phrase that names a time of the clock, a length in seconds or a frame number; None when there is none.

    Searches the whole text, in English and Chinese: `at 0:12`, `after 3 s`, `12.5 seconds`, `frame 300`, `after ten
    seconds`, `three seconds in`, `half past two`, `t=12`, `halfway through the video`, `第3秒`, `两分钟`, `００：１２`.
    """
    found = _CLOCK.search(text) if _MAYBE.search(text) else None
    return found.group(0) if found else None
