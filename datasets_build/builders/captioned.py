"""Captions of all videos: what is on disk of their shots, shown to a model, many videos at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from datasets_build.builders.captions import CaptionsConfig, Look, caption_of, looks_at
from datasets_build.core.layout import VideoRows, clock_of, table_path
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Event, Reject, Video
from datasets_build.teachers.interview import Interview, Kept

_VIDEOS_AT_ONCE = 32


def captions_of(
    out: Path, videos: Iterable[Video], held: Interview, config: CaptionsConfig
) -> Iterator[list[Event | Reject]]:
    """The captions of each video, in the order of the videos, and why a shot has none.

    Raises:
        ModelError: the model has gone for good.
        TableError: the shots or keyframes are broken or out of order.
    """
    shots = VideoRows(table_path(out, Shot), Shot)
    keyframes = VideoRows(table_path(out, Keyframe), Keyframe)
    feed = iter(videos)
    while group := list(islice(feed, _VIDEOS_AT_ONCE)):
        looks = [looks_at(shots.take(video.id), keyframes.take(video.id), config) for video in group]
        answers = _answers([look for part in looks for look in part], held, config)
        for video, part in zip(group, looks, strict=True):
            clock = clock_of(out, video) if part else None
            yield [
                caption_of(video, clock, look, answers.get(look.shot.id), held.model, config)
                for look in part
                if clock is not None
            ]
    for rows in (shots, keyframes):
        rows.finish()


def _answers(looks: Sequence[Look], held: Interview, config: CaptionsConfig) -> dict[str, Kept]:
    """What the model says to each shot that has a picture."""
    shown = [look for look in looks if look.keyframes]
    said = held.ask([look.ask(config) for look in shown])
    return {look.shot.id: answer for look, answer in zip(shown, said, strict=True)}
