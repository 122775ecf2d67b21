"""A timed answer before it becomes part of a record."""

from __future__ import annotations

from dataclasses import dataclass

from datasets_build.core.records import Evidence


@dataclass(frozen=True, slots=True)
class Reply:
    """A timed answer and what proves it.

    Attributes:
        text: its words.
        t_ns: when it is due.
        window_end_ns: until when it may be given.
        valid_until_ns: until when it is right; None: for good.
        evidence: what proves it.
        event_id: the event that it reports.
    """

    text: str
    t_ns: int
    window_end_ns: int
    valid_until_ns: int | None
    evidence: tuple[Evidence, ...]
    event_id: str | None = None
