"""What tests of corpora share: a video's record, and what became of a corpus file's rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from datasets_build.sources.entries import Reading
from datasets_build.sources.said import Said

S = 1_000_000_000


def rows(reading: Reading) -> list[Said]:
    """All usable rows in the order of their videos."""
    return [row for entry in reading.entries for row in entry.sheet.rows]


def reasons(reading: Reading) -> list[str]:
    """Why rows cannot be used."""
    return [fault.reason for fault in (*reading.faults, *(f for entry in reading.entries for f in entry.sheet.faults))]


def codes(reading: Reading) -> Counter[str]:
    """How often each reason was given."""
    found = (*reading.faults, *(fault for entry in reading.entries for fault in entry.sheet.faults))
    return Counter(fault.code for fault in found)


def spans(reading: Reading) -> list[tuple[float, float]]:
    """Seconds of every usable row."""
    return [(row.start_ns / S, row.end_ns / S) for row in rows(reading)]


def file(folder: Path, name: str, content: str) -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path
