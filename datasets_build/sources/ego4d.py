"""Ego4D narrations (`narration.json`): what the camera's wearer does, at instants, and summaries of stretches.

Times are seconds of the canonical video, which shows 30 frames a second; `timestamp_frame` must agree. A text begins
with whom it is about: `#C` is the wearer, `#O` another person. That mark becomes the subject and leaves the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import DataError
from datasets_build.sources.entries import Collector, CorpusConfig, Entry, Reading, json_object, refused, text_of
from datasets_build.sources.exact import CaptionError, Value, nanoseconds, object_of, ordered, show, string_of
from datasets_build.sources.said import Said

Pass = Literal["narration_pass_1", "narration_pass_2"]
_TAG = re.compile(r"#([A-Za-z]+)\s+")
_WHO: Mapping[str, str] = {"C": "camera wearer", "O": "other person"}
_FRAMES_PER_S = 30


class Ego4DConfig(CorpusConfig):
    """`passes`: whose narrations are taken; every video was narrated by two people on their own."""

    format: Literal["ego4d"] = "ego4d"
    passes: tuple[Pass, ...] = ("narration_pass_1", "narration_pass_2")


def parse_ego4d(text: str, config: Ego4DConfig) -> Reading:
    """What the file's text says of each video. Raises DataError when it is not of this corpus."""
    top = json_object(text, config.file, "an object of videos, or one under `videos`")
    videos = top.get("videos", top)
    if not isinstance(videos, dict):
        raise DataError(f"{config.file}: videos: found {show(videos)}, expected an object of videos")
    return Reading(tuple(_entry(name, value, config) for name, value in videos.items()))


def _entry(name: str, value: Value, config: Ego4DConfig) -> Entry:
    collected = Collector()
    try:
        content = object_of(value, "an object of narration passes")
    except CaptionError as error:
        return Entry(names=(name,), sheet=refused(name, error, 1))
    for which in config.passes:
        told = content.get(which)
        for kind, read in (("narrations", _narration), ("summaries", _summary)):
            rows = told.get(kind) if isinstance(told, dict) else None
            for number, row in enumerate(rows if isinstance(rows, list) else [], start=1):
                where = f"{name}, {which} {kind} {number}"
                try:
                    collected.add(read(where, object_of(row)))
                except CaptionError as error:
                    collected.fail(where, error)
            if told is not None and not isinstance(rows, list | None):
                collected.fail(
                    f"{name}, {which}", CaptionError("bad_type", f"{kind}: found {show(rows)}, expected a list")
                )
    return Entry(names=(name,), sheet=collected.sheet())


def _narration(where: str, row: Mapping[str, Value]) -> Said:
    t_ns = nanoseconds(row.get("timestamp_sec"))
    frame = row.get("timestamp_frame")
    if isinstance(frame, int) and abs(frame * NS_PER_S - t_ns * _FRAMES_PER_S) > NS_PER_S:
        found = f"frame {frame} at {show(row.get('timestamp_sec'))} s"
        raise CaptionError("frames_disagree", f"found {found}, expected {_FRAMES_PER_S} frames in a second")
    if t_ns < 0:
        raise CaptionError("bad_time", f"timestamp_sec: found {t_ns} ns, expected a time at or after 0")
    subject, text, note = _told(string_of(row.get("narration_text"), "narration_text"))
    return Said(where=where, start_ns=t_ns, end_ns=t_ns, text=text, subject=subject, note=note, is_point=True)


def _summary(where: str, row: Mapping[str, Value]) -> Said:
    start_ns, end_ns = nanoseconds(row.get("start_sec")), nanoseconds(row.get("end_sec"))
    ordered(start_ns, end_ns, f"found {show(row.get('start_sec'))} to {show(row.get('end_sec'))}")
    subject, text, note = _told(string_of(row.get("summary_text"), "summary_text"))
    return Said(where=where, start_ns=start_ns, end_ns=end_ns, text=text, subject=subject, note=note)


def _told(text: str) -> tuple[str | None, str, str | None]:
    """Who, what, and a note that a mark left the text."""
    match = _TAG.match(text)
    if match is None:
        return None, text, None
    bare = text[match.end() :].strip()
    if not bare:
        raise CaptionError("no_text", f"found {show(text)}, expected words after the mark")
    return _WHO.get(match[1].upper()), bare, f"mark #{match[1]} taken off the text"


def read_ego4d(config: Ego4DConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_ego4d(text_of(config.file), config)
