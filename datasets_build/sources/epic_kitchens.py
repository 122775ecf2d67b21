"""EPIC-KITCHENS-100: the narrated actions of `EPIC_100_train.csv` and `EPIC_100_validation.csv`.

A row states its span twice: in timestamps, which are taken, and in frames of the corpus's own extraction, which count
60 or 50 of them in a second whatever the video's rate. A row whose two spans differ is refused. The instant at which
the narrator spoke (`narration_timestamp`) says nothing about the video and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Literal

from datasets_build.core.clock import NS_PER_S, round_half_up
from datasets_build.core.files import DataError
from datasets_build.sources.entries import ByVideo, CorpusConfig, Reading, csv_rows, entries_of, seconds_of, text_of
from datasets_build.sources.exact import CaptionError, show, string_of
from datasets_build.sources.said import Fault, Said

_COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame", "narration",
            "verb", "verb_class", "noun", "noun_class")  # fmt: skip
_STAMP = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)(\.\d{1,9})?")
_RATES = (60, 50)
_MOST_DIGITS = 12
Classes = Mapping[str, str]


class EpicKitchensConfig(CorpusConfig):
    """Settings of EPIC-KITCHENS-100.

    `info` is `EPIC_100_video_info.csv`, which states the videos' lengths. `verb_classes` and `noun_classes` are the
    tables of classes: with them a label is `verb noun` of the classes, else of the row's own words.
    """

    format: Literal["epic_kitchens"] = "epic_kitchens"
    licence: str | None = "CC BY-NC 4.0"
    info: Path | None = None
    verb_classes: Path | None = None
    noun_classes: Path | None = None


def parse_epic_kitchens(
    text: str, path: Path, *, durations: Mapping[str, int], verbs: Classes | None, nouns: Classes | None
) -> Reading:
    """What the table says of each video.

    Args:
        text: the table of actions.
        path: its name, for errors.
        durations: lengths of videos in ns by name.
        verbs: names of verb classes by their number, None without a table of them.
        nouns: the same for nouns.

    Raises:
        DataError: a column is missing.
    """
    found, faults = ByVideo(), list[Fault]()
    for where, row in csv_rows(text, path, _COLUMNS):
        name = row["video_id"].strip()
        if not name:
            faults.append(Fault("bad_row", f"{where}: found no video_id, expected one such as P01_11"))
            continue
        try:
            label = f"{_class_of(row, 'verb', verbs)} {_class_of(row, 'noun', nouns)}"
            start_ns, end_ns = _span(row)
            narration = string_of(row["narration"], "narration")
        except CaptionError as error:
            found.of(name).fail(f"{where} ({row['narration_id']})", error)
            continue
        where = f"{where} ({row['narration_id']})"
        found.of(name).add(Said(where=where, start_ns=start_ns, end_ns=end_ns, text=narration, label=label))
    return Reading(tuple(entries_of(found, durations)), tuple(faults))


def _class_of(row: Mapping[str, str], part: str, classes: Classes | None) -> str:
    if classes is None:
        return string_of(row[part], part)
    number = row[f"{part}_class"].strip()
    if number not in classes:
        raise CaptionError("unknown_label", f"{part}_class: found {show(number)}, expected one of {len(classes)}")
    return classes[number]


def _span(row: Mapping[str, str]) -> tuple[int, int]:
    start_ns, end_ns = _stamp(row, "start_timestamp"), _stamp(row, "stop_timestamp")
    if end_ns <= start_ns:
        found = f"{row['start_timestamp']} to {row['stop_timestamp']}"
        raise CaptionError("bad_span", f"found {found}, expected an end after the start")
    frames = row["start_frame"].strip(), row["stop_frame"].strip()
    if not all(frame.isdecimal() and len(frame) <= _MOST_DIGITS for frame in frames):
        raise CaptionError("bad_type", f"frames: found {show(frames)}, expected two whole numbers")
    if not any(all(map(_agrees, map(int, frames), (start_ns, end_ns), (rate, rate))) for rate in _RATES):
        found = f"frames {frames[0]} to {frames[1]} for {row['start_timestamp']} to {row['stop_timestamp']}"
        raise CaptionError("frames_disagree", f"found {found}, expected 60 or 50 frames in a second")
    return start_ns, end_ns


def _agrees(frame: int, t_ns: int, rate: int) -> bool:
    # Frames count from 1 and were rounded down.
    return abs(frame - max(1, t_ns * rate // NS_PER_S)) <= 1


def _stamp(row: Mapping[str, str], name: str) -> int:
    match = _STAMP.fullmatch(row[name].strip())
    if match is None:
        raise CaptionError("bad_time", f"{name}: found {show(row[name])}, expected HH:MM:SS.ss")
    hours, minutes, seconds = (int(part) for part in match.groups()[:3])
    part = Fraction(match[4] or 0)
    return ((hours * 60 + minutes) * 60 + seconds) * NS_PER_S + round_half_up(part * NS_PER_S)


def parse_durations(text: str, path: Path) -> dict[str, int]:
    """Lengths in ns by video, of `EPIC_100_video_info.csv`. Raises DataError for a row without one."""
    durations: dict[str, int] = {}
    for where, row in csv_rows(text, path, ("video_id", "duration")):
        try:
            duration_ns = seconds_of(row["duration"], "duration")
        except CaptionError as error:
            raise DataError(f"{path}: {where}: {error}") from error
        if durations.setdefault(row["video_id"], duration_ns) != duration_ns:
            found = f"found {duration_ns} ns, expected the {durations[row['video_id']]} ns of an earlier row"
            raise DataError(f"{path}: {where}: duration of {row['video_id']}: {found}")
    return durations


def parse_classes(text: str, path: Path) -> dict[str, str]:
    """Names of classes by their number, of `EPIC_100_verb_classes.csv` or the nouns'. Raises DataError."""
    classes: dict[str, str] = {}
    for where, row in csv_rows(text, path, ("id", "key")):
        if classes.setdefault(row["id"], row["key"]) != row["key"]:
            found = f"found {show(row['key'])}, expected {show(classes[row['id']])} of an earlier row"
            raise DataError(f"{path}: {where}: key of class {row['id']}: {found}")
    return classes


def _classes(path: Path | None) -> Classes | None:
    return None if path is None else parse_classes(text_of(path), path)


def read_epic_kitchens(config: EpicKitchensConfig) -> Reading:
    """Read the files that the settings name. Raises DataError."""
    return parse_epic_kitchens(
        text_of(config.file),
        config.file,
        durations=parse_durations(text_of(config.info), config.info) if config.info else {},
        verbs=_classes(config.verb_classes),
        nouns=_classes(config.noun_classes),
    )
