"""Records after people: in the order that tables have, and twins that still are a pair."""

from __future__ import annotations

from collections.abc import Iterable

from datasets_build.core.corrections import Corrected
from datasets_build.core.records import Event, Reject, StreamingQA


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events in order of time; that the video begins comes first of what is at 0."""
    return sorted(events, key=lambda e: (e.start_ns, e.label != "video_start", e.end_ns, e.label, e.id))


def with_twins(asked: Corrected[StreamingQA]) -> Corrected[StreamingQA]:
    """Questions in order of time, each twin with the other; one that has lost it goes on alone, if it can be answered.

    A question that people replaced stands for the one that it was made of.
    """
    by_name = {row.id: row for row in asked.rows}
    kept, stale = [], list(asked.stale)
    for row in sorted(asked.rows, key=lambda row: (row.ask_ns, row.task, row.id)):
        other = by_name.get(asked.now.get(row.twin_id or "", row.twin_id or ""))
        if other is not None and other.unanswerable != row.unanswerable and other.ask_ns == row.ask_ns:
            kept.append(row if other.id == row.twin_id else row.model_copy(update={"twin_id": other.id}))
        elif row.unanswerable and row.twin_id is not None:
            stale.append(_alone(row))
        else:
            kept.append(row if row.twin_id is None else row.model_copy(update={"twin_id": None}))
    return Corrected(kept, stale, asked.now)


def _alone(row: StreamingQA) -> Reject:
    return Reject(
        stage="streaming_qa",
        item=f"{row.video_id}: StreamingQA {row.id}",
        code="alone",
        reason="people took its answerable twin away, or moved it to another instant",
        action="left out: an unanswerable question needs an answerable twin",
    )
