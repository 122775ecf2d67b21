"""Ego4D narrations (`narration.json`): what the camera's wearer does, at instants, and summaries of stretches.

Times are seconds of the canonical video, which shows 30 frames a second; `timestamp_frame` must agree. A text begins
with whom it is about: `#C` is the wearer, `#O` another person. That mark becomes the subject and leaves the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import DataError
from datasets_build.sources.entries import Collector, CorpusConfig, Entry, Reading, json_object, refused, text_of
from datasets_build.sources.exact import (
    CaptionError,
    Value,
    fraction_of,
    nanoseconds,
    object_of,
    ordered,
    show,
    string_of,
)
from datasets_build.sources.said import Said

Pass = Literal["narration_pass_1", "narration_pass_2"]
_PASSES: tuple[Pass, ...] = get_args(Pass)
_TAG = re.compile(r"#([A-Za-z]+)(?:\s+|$)")
_WHO: Mapping[str, str] = {"C": "camera wearer", "O": "other person"}
_FRAMES_PER_S = 30


class Ego4DConfig(CorpusConfig):
    """`passes`: whose narrations are taken; every video was narrated by two people on their own."""

    format: Literal["ego4d"] = "ego4d"
    passes: tuple[Pass, ...] = _PASSES


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
    for key in content:
        if key.startswith("narration") and key not in _PASSES:
            collected.fail(name, _unknown(key, _PASSES))
    for which in config.passes:
        if (told := content.get(which)) is not None:
            _add_pass(collected, f"{name}, {which}", told)
    return Entry(names=(name,), sheet=collected.sheet())


def _add_pass(collected: Collector, where: str, value: Value) -> None:
    try:
        told = object_of(value, f"an object with {' and '.join(_READERS)}")
    except CaptionError as error:
        # However many rows it was meant to be.
        for _ in range(max(1, len(value)) if isinstance(value, list) else 1):
            collected.fail(where, error)
        return
    for kind, rows in told.items():
        if kind not in _READERS and isinstance(rows, list | dict):
            collected.fail(where, _unknown(kind, _READERS))
    for kind, read in _READERS.items():
        rows = told.get(kind)
        for number, row in enumerate(rows if isinstance(rows, list) else [], start=1):
            try:
                collected.add(read(f"{where} {kind} {number}", object_of(row)))
            except CaptionError as error:
                collected.fail(f"{where} {kind} {number}", error)
        if not isinstance(rows, list | None):
            collected.fail(where, CaptionError("bad_type", f"{kind}: found {show(rows)}, expected a list"))


def _unknown(key: str, known: Iterable[str]) -> CaptionError:
    return CaptionError("unknown_key", f"found {show(key)}, expected {' or '.join(known)}")


def _narration(where: str, row: Mapping[str, Value]) -> Said:
    t_ns = nanoseconds(row.get("timestamp_sec"))
    frame = row.get("timestamp_frame")
    if frame is not None and abs(fraction_of(frame) * NS_PER_S - t_ns * _FRAMES_PER_S) > NS_PER_S:
        found = f"frame {show(frame)} at {show(row.get('timestamp_sec'))} s"
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


_READERS: Mapping[str, Callable[[str, Mapping[str, Value]], Said]] = {"narrations": _narration, "summaries": _summary}


def read_ego4d(config: Ego4DConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_ego4d(text_of(config.file), config)
