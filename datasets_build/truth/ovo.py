"""Which of the twelve tasks of OVO-Bench a question is of."""

from __future__ import annotations

from typing import Literal, get_args

from datasets_build.core.records import StreamingQA

Ovo = Literal["EPM", "ASI", "HLD", "STU", "OJR", "ATR", "ACR", "OCR", "FPD", "REC", "SSR", "CRR"]
OVO: tuple[Ovo, ...] = get_args(Ovo)
"""Backward, realtime, forward; three, six and three."""
_OF_TASK: dict[str, Ovo] = {
    "before": "EPM",
    "happened_yet": "EPM",
    "order": "ASI",
    "where": "STU",
    "who": "OJR",
    "shape": "OJR",
    "colour": "ATR",
    "now": "ACR",
    "read": "OCR",
    "next": "FPD",
    "count_so_far": "REC",
    "step": "SSR",
    "clue": "CRR",
}


def ovo_of(row: StreamingQA) -> Ovo | None:
    """The task of a question; None for a request to be told, which the benchmark has not.

    Twins probe hallucination, whatever else they ask: one of the two cannot be answered.
    """
    return "HLD" if row.twin_id is not None else _OF_TASK.get(row.task)
