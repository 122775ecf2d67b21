"""ActivityNet Captions and its like: for each video `{duration, timestamps: [[start, end], …], sentences}` in seconds.

A file is one object with a key for each video; here a row is one of them, with the key as `video`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from datasets_build.core.records import Json, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError, seconds_of
from datasets_build.formats.talk import event_of, span_of

Span = Annotated[list[float], Field(min_length=2, max_length=2)]


class Captions(Row):
    """The sentences on one video, each with its span."""

    video: str
    timestamps: list[Span] = Field(min_length=1)
    sentences: list[str]


def video_of(row: Json) -> str:
    """The name of the video that a row is of."""
    return Captions.model_validate(row).video


def read(row: Json, place: Place) -> Bundle:
    """A row as events. Raises RowError and pydantic's ValidationError."""
    found = Captions.model_validate(row)
    if len(found.timestamps) != len(found.sentences):
        numbers = f"{len(found.timestamps)} timestamps and {len(found.sentences)} sentences"
        raise RowError("bad_value", f"timestamps: found {numbers}, expected as many of each")
    events = []
    for k, (times, text) in enumerate(zip(found.timestamps, found.sentences, strict=True)):
        if not text.strip():
            raise RowError("no_text", f"sentences.{k}: found no words, expected a text")
        events.append(event_of(place, k, text.strip(), span_of(place, times, f"timestamps.{k}")))
    return Bundle(events=tuple(events))


def write(bundle: Bundle, video: Video) -> Json:
    """The events of a video as a row, in their order."""
    return {
        "video": video.uri,
        "duration": seconds_of(video.duration_ns),
        "timestamps": [[seconds_of(event.start_ns), seconds_of(event.end_ns)] for event in bundle.events],
        "sentences": [event.caption for event in bundle.events],
    }


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each: all its events."""
    if bundle.events:
        yield Bundle(events=bundle.events)
