"""WebVTT: the events of a video as cues, to the millisecond; here a row is one file, `{video, text}`.

Times stand on the container's own timeline, as players apply them. Both ends are cut down to a millisecond, and read
back they are moved up to the next frame, so frames that are a millisecond apart come back exactly.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import Event, Json, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError
from datasets_build.formats.talk import event_of
from datasets_build.sources.said import Said
from datasets_build.sources.subtitles import parse_subtitles

LABEL = "subtitle"
_NS_PER_MS = 1_000_000


class Subtitles(Row):
    """One file: the name of its video, and its whole text."""

    video: str
    text: str


def video_of(row: Json) -> str:
    """The name of the video that a file is of."""
    return Subtitles.model_validate(row).video


def read(row: Json, place: Place) -> Bundle:
    """A file as events. Raises RowError for a file of which a cue cannot be read."""
    found = Subtitles.model_validate(row)
    sheet = parse_subtitles(found.text, "vtt")
    if sheet.faults:
        raise RowError(sheet.faults[0].code, f"text: {sheet.faults[0].reason}")
    if not sheet.rows:
        raise RowError("no_cue", "text: found no cue, expected at least one")
    return Bundle(events=tuple(_event(cue, place, k) for k, cue in enumerate(sheet.rows)))


def _event(cue: Said, place: Place, k: int) -> Event:
    shift_ns = place.video.start_offset_ns
    first, last = (_decimal(t_ns - shift_ns) for t_ns in (cue.start_ns, cue.end_ns))
    start_ns = place.heard(first, cue.where)
    end_ns = max(place.until(last, cue.where), place.clock.snap_up(start_ns + 1))
    return event_of(place, k, cue.text, Span(start_ns=start_ns, end_ns=end_ns), label=LABEL)


def _decimal(t_ns: int) -> str:
    """Nanoseconds as exact decimal seconds; what lies before the video begins with it."""
    whole, rest = divmod(max(0, t_ns), NS_PER_S)
    return f"{whole}.{rest:09d}"


def write(bundle: Bundle, video: Video) -> Json:
    """Events as a file, in their order."""
    cues = []
    for event in bundle.events:
        ends = event.start_ns + video.start_offset_ns, event.end_ns + video.start_offset_ns
        # A player shows no cue that lasts no time, and readers refuse it.
        times = f"{_stamp(ends[0])} --> {_stamp(max(ends[1], ends[0] + _NS_PER_MS))}"
        cues.append(f"{times}\n{html.escape(' '.join((event.caption or event.label).split()), quote=False)}\n")
    return {"video": video.uri, "text": "\n".join(["WEBVTT\n", *cues])}


def _stamp(t_ns: int) -> str:
    ms = max(0, t_ns) // _NS_PER_MS
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a file each: all its events."""
    if bundle.events:
        yield Bundle(events=bundle.events)
