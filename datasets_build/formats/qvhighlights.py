"""QVHighlights: `{qid, query, duration, vid, relevant_windows, relevant_clip_ids, saliency_scores}`, times in seconds.

Each window of a query is an event whose caption is the query. `relevant_clip_ids` are the two-second clips that the
windows touch; nobody's saliency scores are made up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Event, Json, Video
from datasets_build.formats.place import Bundle, Place, Row, seconds_of
from datasets_build.formats.talk import event_of, span_of

_CLIP_NS = 2 * NS_PER_S
Window = Annotated[list[float], Field(min_length=2, max_length=2)]


class Moments(Row):
    """A query and the windows of the video that show it."""

    vid: str
    query: str
    relevant_windows: list[Window] = Field(min_length=1)


def video_of(row: Json) -> str:
    """The name of the video that a row is of."""
    return Moments.model_validate(row).vid


def read(row: Json, place: Place) -> Bundle:
    """A row as events. Raises RowError and pydantic's ValidationError."""
    found = Moments.model_validate(row)
    spans = [span_of(place, window, f"relevant_windows.{k}") for k, window in enumerate(found.relevant_windows)]
    return Bundle(events=tuple(event_of(place, k, found.query, span) for k, span in enumerate(spans)))


def write(bundle: Bundle, video: Video) -> Json:
    """Events of one caption as a row."""
    clips = sorted({clip for event in bundle.events for clip in _clips(event)})
    return {
        "qid": int(bundle.events[0].id[:7], 16),
        "query": bundle.events[0].caption,
        "duration": seconds_of(video.duration_ns),
        "vid": video.uri,
        "relevant_clip_ids": list(clips),
        "relevant_windows": [[seconds_of(event.start_ns), seconds_of(event.end_ns)] for event in bundle.events],
    }


def _clips(event: Event) -> range:
    return range(event.start_ns // _CLIP_NS, max(event.start_ns // _CLIP_NS + 1, -(-event.end_ns // _CLIP_NS)))


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each: the events of one caption."""
    by_caption: defaultdict[str, list[Event]] = defaultdict(list)
    for event in bundle.events:
        by_caption[event.caption].append(event)
    for events in by_caption.values():
        yield Bundle(events=tuple(events))
