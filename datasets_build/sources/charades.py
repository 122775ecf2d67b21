"""Charades-STA: sentences with their moments, as published (`VIDEO start end##sentence`) or as JSON of moments."""

from __future__ import annotations

import re
from typing import Literal

from datasets_build.core.files import DataError
from datasets_build.sources.entries import ByVideo, CorpusConfig, Reading, entries_of, seconds_of, text_of
from datasets_build.sources.exact import CaptionError, ordered, show, string_of
from datasets_build.sources.moments import parse_moments
from datasets_build.sources.said import Fault, Said

_LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+?)\s*##(.*)")


class CharadesConfig(CorpusConfig):
    """Nothing beyond what every corpus has."""

    format: Literal["charades"] = "charades"


def parse_charades(text: str, config: CharadesConfig) -> Reading:
    """What the file's text says of each video, in seconds.

    Raises:
        DataError: the file is in neither form.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        return parse_moments(text)
    if "##" not in first:
        raise DataError(f"{config.file}: found {show(first)}, expected JSON lines or VIDEO start end##sentence")
    return _parse_lines(text)


def _parse_lines(text: str) -> Reading:
    found, faults = ByVideo(), list[Fault]()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where, match = f"line {number}", _LINE.fullmatch(line.strip())
        if match is None:
            faults.append(Fault("bad_row", f"{where}: found {show(line)}, expected VIDEO start end##sentence"))
            continue
        collector = found.of(match[1])
        try:
            start_ns, end_ns = seconds_of(match[2], "start"), seconds_of(match[3], "end")
            ordered(start_ns, end_ns, f"found {match[2]} {match[3]}")
            sentence = string_of(match[4], "sentence")
            collector.add(Said(where=where, start_ns=start_ns, end_ns=end_ns, text=sentence))
        except CaptionError as error:
            collector.fail(where, error)
    return Reading(tuple(entries_of(found)), tuple(faults))


def read_charades(config: CharadesConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_charades(text_of(config.file), config)
