"""The records of a film that no window asks about, each with the reason: nothing is left out without a word."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from annotate.sheets import is_asked
from annotate.source import Film
from annotate.tasks import Kind
from datasets_build.core.clock import Span
from datasets_build.core.files import DataError
from datasets_build.core.records import Event, Reject, StreamingQA, Turn

NOT_TAKEN = "not_taken"
"""The code of records in windows that a round does not take; there may be millions, so they are only counted."""
NOT_SHOWN = "not_shown"
"""The code of windows of which no clip can be made; one row tells of all their records."""
_ACTION = "asked in no round; it stays in the folder as it is"


class _Why(NamedTuple):
    code: str
    reason: str


_RULE = _Why("not_asked", "people are not asked what is so by rule: that a video begins, what the system says")
_UNANSWERED = _Why("unanswered", "it was never answered, so there is no answer to judge")
_CUT = _Why("cut", "a window ends between the question and its first answer, so nobody sees both")
_OUTSIDE = _Why("outside", "it begins behind the last frame of its video")


def unasked(film: Film, kind: Kind, asked: Collection[str]) -> Iterator[Reject]:
    """A row for each record of the kind that is on no sheet of a film: events, questions or turns.

    Args:
        film: with its records.
        kind: what people are asked about.
        asked: the ids of what is on the sheets of all its windows.
    """
    for record in _records(film, kind):
        if record.id not in asked:
            at_ns = record.ask_ns if isinstance(record, StreamingQA) else record.start_ns
            why = _why(record, at_ns <= film.clock.end_ns)
            yield Reject(
                stage="annotate",
                item=f"{film.video.id}: {type(record).__name__} {record.id}",
                code=why.code,
                reason=why.reason,
                action=_ACTION,
                at_ns=at_ns,
            )


def _records(film: Film, kind: Kind) -> Iterator[Event | StreamingQA | Turn]:
    if kind == "events":
        yield from film.events
    elif kind == "qa":
        yield from film.questions
    else:
        yield from (turn for row in film.dialogues for turn in row.turns)


def _why(record: Event | StreamingQA | Turn, is_inside: bool) -> _Why:
    match record:
        case Event() if not is_asked(record):
            return _RULE
        case Turn(role="system"):
            return _RULE
        case StreamingQA(answers=()):
            return _UNANSWERED
        case StreamingQA() if is_inside:
            return _CUT
    return _OUTSIDE


def unshown(film: Film, span: Span, error: DataError) -> Reject:
    """A row for a window of which no clip can be made."""
    return Reject(
        stage="annotate",
        item=f"{film.video.id}: window [{span.start_ns}, {span.end_ns}) ns",
        code=NOT_SHOWN,
        reason=str(error),
        action="mend the video and index it anew, then ask in another round; until then its records stay as they are",
        at_ns=span.start_ns,
    )
