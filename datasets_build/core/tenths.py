"""Where in a span something lies, in tenths: what reports show and checks judge the spread of."""

from __future__ import annotations

from datasets_build.core.records import Dialogue

BINS = 10


def bin_of(t_ns: int, start_ns: int, end_ns: int) -> int:
    """Which tenth (0..9) of a span an instant falls in; instants outside go to the nearest end."""
    length = max(1, end_ns - start_ns)
    return min(BINS - 1, max(0, (t_ns - start_ns) * BINS // length))


def first_reply(dialogue: Dialogue) -> int | None:
    """The tenth of the dialogue in which the assistant first speaks; None when it never does."""
    starts = [turn.start_ns for turn in dialogue.turns if turn.role == "assistant"]
    return bin_of(min(starts), dialogue.start_ns, dialogue.end_ns) if starts else None
