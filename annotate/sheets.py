"""Records as sheets: what of a video's events, questions or conversation a person is asked about in a window."""

from __future__ import annotations

from collections.abc import Sequence

from annotate.tasks import Mark, Question, Said, Sheet
from datasets_build.core.asked import put_question
from datasets_build.core.clock import Span
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.topics import PICTURE_SET

# A video begins whatever anybody thinks of it.
_NOT_ASKED = "video_start"


def is_asked(event: Event) -> bool:
    """Whether people are asked about an event."""
    return event.label_set != PICTURE_SET or event.label != _NOT_ASKED


def marks_in(events: Sequence[Event], span: Span) -> Sheet:
    """The events of which a window shows something, in order of time.

    One that a window cuts keeps both its ends: who watches another window is asked about the rest of it.

    Args:
        events: of the video.
        span: of the window.
    """
    shown = [event for event in events if is_asked(event) and is_seen(event, span)]
    marks = [
        Mark(
            id=event.id,
            label=event.label,
            start_ns=event.start_ns,
            end_ns=event.end_ns,
            is_point=event.is_point,
            note=event.caption,
        )
        for event in sorted(shown, key=lambda event: (event.start_ns, event.end_ns, event.id))
    ]
    return Sheet(kind="events", marks=tuple(marks))


def is_seen(event: Event, span: Span) -> bool:
    """Whether a window shows something of an event; an instant belongs to the window that begins with it."""
    if event.is_point:
        return span.contains(event.start_ns)
    return event.start_ns < span.end_ns and event.end_ns > span.start_ns


def questions_in(rows: Sequence[StreamingQA], span: Span) -> Sheet:
    """The questions that are asked and first answered in a window, in order of time.

    Each is in one window at most. One whose first answer comes behind the end of the window it is asked in is in none,
    for nobody sees both; `Film.busy` keeps the cuts away from such questions where that can be. What was never answered
    is in none either.
    """
    inside = [row for row in rows if row.answers and span.contains(row.ask_ns)]
    questions = [
        Question(
            id=row.id,
            question=put_question(row),
            ask_ns=row.ask_ns,
            answer=row.answers[0].text,
            answer_ns=row.answers[0].t_ns,
        )
        for row in sorted(inside, key=lambda row: (row.ask_ns, row.id))
        if row.answers[0].t_ns <= span.end_ns
    ]
    return Sheet(kind="qa", questions=tuple(questions))


def turns_in(rows: Sequence[Dialogue], span: Span) -> Sheet:
    """The turns that begin in a window, dialogue by dialogue in order of time; of a system's turn nothing is asked."""
    turns = [
        Said(id=turn.id, role=turn.role, start_ns=turn.start_ns, end_ns=turn.end_ns, text=turn.text)
        for row in rows
        for turn in sorted(row.turns, key=lambda turn: (turn.start_ns, turn.role != "user", turn.end_ns, turn.id))
        if turn.role != "system" and span.contains(turn.start_ns)
    ]
    return Sheet(kind="dialogue", turns=tuple(turns))


def is_empty(sheet: Sheet) -> bool:
    """Whether there is nothing to judge; a window without events may still miss some."""
    return sheet.kind != "events" and not sheet.questions and not sheet.turns
