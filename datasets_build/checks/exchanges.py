"""Laws of exchanges: every question gets its answer, every report was asked for, and nobody is talked over unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.records import Dialogue, Turn
from datasets_build.core.topics import UNPROVED


def said_by(row: Dialogue, role: str) -> list[Turn]:
    """The turns of one speaker, in order."""
    return [turn for turn in row.turns if turn.role == role]


def turns_of(row: Dialogue) -> dict[str, Turn]:
    """The turns by their ids."""
    return {turn.id: turn for turn in row.turns}


def _talked_over(row: Dialogue, known: Known) -> Iterator[Breach]:
    """A user who starts inside an assistant turn ends it; the assistant never starts inside a user turn."""
    del known
    users = said_by(row, "user")
    for turn in said_by(row, "assistant"):
        for user in users:
            # At the first frame a question may be out in the very instant in which it is answered.
            if turn.start_ns <= user.start_ns < turn.end_ns and user.end_ns > turn.start_ns:
                yield Breach(f"turn {user.id} at {user.start_ns}", f"turn {turn.id} cut there and named in interrupts")
            elif user.start_ns < turn.start_ns < user.end_ns:
                yield Breach(f"turn {turn.id} at {turn.start_ns}", f"none before turn {user.id} ends, {user.end_ns}")


def _answered_once(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    answers = Counter(turn.trigger_ref for turn in said_by(row, "assistant"))
    again = asked_again(row)
    for user in said_by(row, "user"):
        if user.id in again:
            if answers[user.id]:
                yield Breach(f"{answers[user.id]} answers to turn {user.id}", "none: it is asked again")
        elif answers[user.id] != 1:
            yield Breach(f"{answers[user.id]} answers to turn {user.id}", "one turn of the assistant that names it")


def asked_again(row: Dialogue) -> dict[str, Turn]:
    """The user turns that repeat one to which no answer came, by that one."""
    return {turn.trigger_ref: turn for turn in said_by(row, "user") if turn.trigger == "timer" and turn.trigger_ref}


def is_acknowledgement(turn: Turn, asked: Turn | None) -> bool:
    """Whether a turn only takes up a request: it follows from the request itself, so nothing proves it."""
    heard = asked is not None and turn.answerable_from_ns == turn.window_start_ns == asked.end_ns
    return turn.trigger == "user_query" and not turn.evidence and heard


def _founded(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    turns = turns_of(row)
    for turn in said_by(row, "assistant"):
        if turn.window_start_ns is None or turn.window_end_ns is None:
            yield Breach(f"turn {turn.id} without a response window", "when it may start")
        asked = turns.get(turn.trigger_ref or "")
        if not turn.evidence and not is_acknowledgement(turn, asked):
            yield Breach(f"turn {turn.id} without evidence", "what proves it; only an acknowledgement needs nothing")


def _requested(row: Dialogue, known: Known) -> Iterator[Breach]:
    """A report names its event in its evidence, and a request was taken up that came before the event."""
    turns = turns_of(row)
    named = ((turn, turns.get(turn.trigger_ref or "")) for turn in said_by(row, "assistant"))
    requests = [
        asked.end_ns
        for turn, asked in named
        if asked is not None and asked.task not in UNPROVED and is_acknowledgement(turn, asked)
    ]
    for turn in said_by(row, "assistant"):
        event = known.events.get(turn.trigger_ref or "")
        if turn.trigger != "event" or event is None:
            continue
        if not any(piece.event_id == event.id and piece.role != "distractor" for piece in turn.evidence):
            yield Breach(f"turn {turn.id} without evidence of event {event.id}", "evidence that names its event")
        if not any(end <= event.start_ns for end in requests):
            yield Breach(f"turn {turn.id} reports event {event.id}", f"a request heard before {event.start_ns}")


def _whole(row: Dialogue, known: Known) -> Iterator[Breach]:
    if (row.start_ns, row.end_ns) != (0, known.clock.end_ns):
        yield Breach(f"[{row.start_ns}, {row.end_ns})", f"the whole video, [0, {known.clock.end_ns})")


def _length(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for turn in said_by(row, "assistant"):
        if turn.end_ns <= turn.start_ns:
            yield Breach(f"turn {turn.id} [{turn.start_ns}, {turn.end_ns})", "a turn that takes time")


EXCHANGE_LAWS: tuple[Law[Dialogue], ...] = (
    Law("nobody_talked_over", "a user turn inside an assistant turn cuts it and names it", _talked_over),
    Law(
        "answered_once",
        "every user turn has exactly one assistant turn that names it, one that is asked again none",
        _answered_once,
    ),
    Law("answers_founded", "assistant turns have a window and, unless they acknowledge, evidence", _founded),
    Law("reports_requested", "a report names its event, which a request came before", _requested),
    Law("dialogue_whole", "a dialogue covers its whole video", _whole),
    Law("turn_has_length", "an assistant turn takes time", _length),
)
