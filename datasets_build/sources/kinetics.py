"""Kinetics and lists like it: one class for a whole clip, or for a stretch of the video that the clip was cut from.

Two forms: the published table (`label,youtube_id,time_start,time_end,split`), and a list of `PATH CLASS` a line, where
the class may be a number of the label list (as mmaction2 and SlowFast write it).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import DataError
from datasets_build.sources.dense import known_label, label_lines
from datasets_build.sources.entries import (
    ByVideo,
    Collector,
    CorpusConfig,
    Entry,
    Reading,
    csv_rows,
    entries_of,
    seconds_of,
    split_named,
    text_of,
)
from datasets_build.sources.exact import CaptionError, ordered, show, string_of
from datasets_build.sources.said import Fault, Said

_COLUMNS = ("youtube_id", "time_start", "time_end")
_MOST_DIGITS = 9


class KineticsConfig(CorpusConfig):
    """Settings of Kinetics.

    `labels` is the list of classes, one a line; a label that is not in it is refused. `clips` says what the videos are:
    `trimmed` to the stretch (`ID_000059_000069.mp4`), or `untrimmed`, the whole video (`ID.mp4`).
    """

    format: Literal["kinetics"] = "kinetics"
    licence: str | None = "CC BY 4.0"
    labels: Path | None = None
    clips: Literal["trimmed", "untrimmed"] = "trimmed"


def parse_kinetics(text: str, config: KineticsConfig, labels: Sequence[str] | None) -> Reading:
    """What the file's text says of each clip. Raises DataError when it is in neither form."""
    first = text.split("\n", 1)[0]
    if "youtube_id" in first:
        return _parse_table(text, config, labels)
    if len(_cells(first)) != 2:
        expected = "the columns label,youtube_id,time_start,time_end or lines of PATH CLASS"
        raise DataError(f"{config.file}: found {show(first)}, expected {expected}")
    return _parse_list(text, labels)


def _parse_table(text: str, config: KineticsConfig, labels: Sequence[str] | None) -> Reading:
    entries, faults = list[Entry](), list[Fault]()
    for where, row in csv_rows(text, config.file, _COLUMNS):
        collected = Collector()
        try:
            name = string_of(row["youtube_id"], "youtube_id")
            start_ns, end_ns = seconds_of(row["time_start"], "time_start"), seconds_of(row["time_end"], "time_end")
            ordered(start_ns, end_ns, f"found {row['time_start']} to {row['time_end']}")
        except CaptionError as error:
            faults.append(Fault(error.fault.code, f"{where}: {error}"))
            continue
        trimmed = config.clips == "trimmed"
        span = (0, 0) if trimmed else (start_ns, end_ns)
        _add(collected, where, row.get("label", ""), labels, span=span, is_whole=trimmed)
        stretch = f"_{start_ns // NS_PER_S:06d}_{end_ns // NS_PER_S:06d}" if trimmed else ""
        entries.append(Entry(names=(name + stretch,), sheet=collected.sheet(), split=split_named(row.get("split"))))
    return Reading(tuple(entries), tuple(faults))


def _parse_list(text: str, labels: Sequence[str] | None) -> Reading:
    found, faults = ByVideo(), list[Fault]()
    for number, line in enumerate(text.split("\n"), start=1):
        cells = _cells(line)
        if len(cells) == 2:
            _add(found.of(cells[0]), f"line {number}", cells[1], labels, span=(0, 0), is_whole=True)
        elif line.strip():
            faults.append(Fault("bad_row", f"line {number}: found {show(line)}, expected PATH CLASS"))
    return Reading(tuple(entries_of(found)), tuple(faults))


def _cells(line: str) -> list[str]:
    # A path may hold spaces, and so may a class after a comma.
    line = line.strip()
    return line.rsplit(",", 1) if "," in line else line.rsplit(None, 1)


def _add(
    collected: Collector, where: str, label: str, labels: Sequence[str] | None, *, span: tuple[int, int], is_whole: bool
) -> None:
    try:
        text = _named(string_of(label, "label"), labels)
        said = Said(
            where=where, start_ns=span[0], end_ns=span[1], text=text, kind="label", label=text, is_whole=is_whole
        )
        collected.add(said)
    except CaptionError as error:
        collected.fail(where, error)


def _named(label: str, labels: Sequence[str] | None) -> str:
    if "\0" in label:
        # Taking it out would make another class of it.
        raise CaptionError("bad_text", f"label: found a NUL character in {show(label)}, expected the name of a class")
    if not label.isdecimal():
        return known_label(label, labels)
    if labels is None:
        raise CaptionError(
            "unknown_label", f"found {show(label)}, expected a name, or a list of classes (setting labels)"
        )
    if len(label) > _MOST_DIGITS or int(label) >= len(labels):
        raise CaptionError("unknown_label", f"found {show(label)}, expected a number below {len(labels)}")
    if not labels[int(label)]:
        raise CaptionError("unknown_label", f"found {label}, whose line of the list is empty, expected a class")
    return labels[int(label)]


def read_kinetics(config: KineticsConfig) -> Reading:
    """Read the files that the settings name. Raises DataError."""
    labels = None if config.labels is None else list(label_lines(text_of(config.labels)))
    return parse_kinetics(text_of(config.file), config, labels)
