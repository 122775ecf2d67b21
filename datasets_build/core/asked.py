"""The words of a question as whoever is asked reads them: a model that learns, one that is tested, or a person."""

from __future__ import annotations

from datasets_build.core.records import StreamingQA

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def put_question(row: StreamingQA) -> str:
    """The words of a question, with its options on lines of their own, `A. …`.

    Raises:
        ValueError: more options than letters.
    """
    if len(row.options) > len(LETTERS):
        raise ValueError(f"{row.id}: found {len(row.options)} options, expected {len(LETTERS)} at most")
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, row.options, strict=False)]
    return "\n".join([row.question, *lines])
