"""Verdicts on turns to conversations.

What an assistant should not have said, or said at the wrong time, stays, so that the conversation holds together, but
is not learned. A user turn that is rejected takes its whole exchange along: what answers it, what interrupts that, and
the reports that nobody else has asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotate.edits import ELSEWHERE, Edits, Judged, is_open, kept_inputs, who_of
from annotate.source import Film
from annotate.tasks import TurnVerdict
from datasets_build.core.clock import FrameClock
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Event, Turn, derive_id
from datasets_build.core.topics import is_about
from datasets_build.core.views import parse_grid
from datasets_build.core.wording import absolute_time_in

_REQUEST = "tell_me_when"


def edit_dialogues(film: Film, judged: Sequence[Judged], edits: Edits) -> None:
    """Adds what people did about a video's conversations to its edits.

    Args:
        film: the video.
        judged: usable work on windows of it.
        edits: take corrections and troubles.
    """
    for row in film.dialogues:
        said: dict[str, TurnVerdict] = {}
        for turn in row.turns:
            verdict = _verdict(turn, judged, edits)
            if verdict is not None:
                said[turn.id] = verdict
        _hold(row, said, judged, film.events, edits)
        if not said:
            continue
        turns = corrected_turns(row, said, film.events)
        if turns == row.turns:
            continue
        who = who_of(one for one in judged for verdict in one.work.turns if said.get(verdict.id) == verdict)
        if not any(turn.role == "user" for turn in turns):
            # Nobody asks anything any more.
            edits.remove(row, who)
            continue
        edits.replace(row, _held(row, turns, film.clock, edits, who), who)


def _verdict(turn: Turn, judged: Sequence[Judged], edits: Edits) -> TurnVerdict | None:
    """What is said of a turn if that changes something."""
    found = [
        (one, verdict)
        for one in judged
        if turn.id in one.shown
        for verdict in one.work.turns
        if verdict.id == turn.id and _changes(turn, verdict)
    ]
    who = [one for one, _ in found]
    if found and is_open(turn.id, judged):
        edits.trouble("conflict", who, turn.id, ELSEWHERE)
        return None
    if len({verdict for _, verdict in found}) > 1:
        edits.trouble("conflict", who, turn.id, "windows that show it say different things")
        return None
    for _, verdict in found[:1]:
        text = verdict.text if verdict.text is not None else turn.text
        absolute = absolute_time_in(text) if text != turn.text else None
        if absolute or not text.strip():
            why = f"names an absolute time, {absolute!r}" if absolute else "has no words"
            edits.trouble("flaw", who, turn.id, f"its text {why}")
            return None
        return verdict
    return None


def _hold(
    row: Dialogue, said: dict[str, TurnVerdict], judged: Sequence[Judged], events: Sequence[Event], edits: Edits
) -> None:
    """Takes rejections back whose exchange holds a turn that people do not agree about yet."""
    for turn in row.turns:
        if turn.role == "user" and _is_rejected(said.get(turn.id)):
            gone = _exchanges(row.turns, {turn.id}, events)
            if any(is_open(name, judged) for name in gone):
                del said[turn.id]
                who = [one for one in judged if gone & one.shown]
                edits.trouble("conflict", who, turn.id, "people do not agree yet about a turn of its exchange")


def _changes(turn: Turn, verdict: TurnVerdict) -> bool:
    if verdict.verdict == "reject" or (verdict.timing is not None and turn.role == "assistant"):
        return turn.role == "user" or turn.learn or turn.loss_weight > 0
    return verdict.text is not None and verdict.text.strip() != turn.text.strip()


def corrected_turns(row: Dialogue, said: Mapping[str, TurnVerdict], events: Sequence[Event]) -> tuple[Turn, ...]:
    """The turns of a conversation after verdicts, each changed one under a name of its own.

    Args:
        row: the conversation.
        said: verdicts by the ids of its turns.
        events: of its video.
    """
    refused = {turn.id for turn in row.turns if turn.role == "user" and _is_rejected(said.get(turn.id))}
    gone = _exchanges(row.turns, refused, events)
    kept = [(turn, _corrected(turn, said.get(turn.id))) for turn in row.turns if turn.id not in gone]
    now = {
        before.id: derive_id("turn", before.id, "person", after.text, after.learn) if after != before else before.id
        for before, after in kept
    }
    return tuple(
        after.model_copy(
            update={
                "id": now[before.id],
                "trigger_ref": now.get(after.trigger_ref or "", after.trigger_ref),
                "interrupts": now.get(after.interrupts or "", after.interrupts),
            }
        )
        for before, after in kept
    )


def _is_rejected(verdict: TurnVerdict | None) -> bool:
    return verdict is not None and verdict.verdict == "reject"


def _corrected(turn: Turn, verdict: TurnVerdict | None) -> Turn:
    """A turn after a verdict, under its old name."""
    if verdict is None:
        return turn
    update: dict[str, object] = {}
    text = turn.text if verdict.text is None else verdict.text.strip()
    if text != turn.text.strip():
        update["text"] = text
        if turn.intended_text is not None and turn.truncated_at_char is not None:
            # Nobody saw the rest that was not said.
            update["intended_text"] = text + turn.intended_text[turn.truncated_at_char :]
            update["truncated_at_char"] = len(text)
    if turn.role == "assistant" and (verdict.verdict == "reject" or verdict.timing is not None):
        update |= {"learn": False, "loss_weight": 0.0}
    return turn.model_copy(update=update)


def _exchanges(turns: Sequence[Turn], refused: set[str], events: Sequence[Event]) -> set[str]:
    """Everything that hangs together with some turns: what they name, and what names them."""
    asked_for = _requests(turns, events)
    there = {turn.id for turn in turns}
    links = []
    for turn in turns:
        named = (turn.trigger_ref, turn.interrupts, asked_for.get(turn.id))
        links.append({turn.id, *(name for name in named if name is not None and name in there)})
    gone = set(refused)
    while more := {name for link in links if link & gone for name in link} - gone:
        gone |= more
    return gone


def _requests(turns: Sequence[Turn], events: Sequence[Event]) -> dict[str, str]:
    """The request of each report: the first that waits for its event and has not been told of it yet."""
    by_id = {event.id: event for event in events}
    requests = [turn for turn in turns if turn.task == _REQUEST and turn.about is not None]
    found: dict[str, str] = {}
    told: set[tuple[str, str]] = set()
    for turn in turns:
        event = by_id.get(turn.trigger_ref or "")
        if turn.trigger != "event" or event is None:
            continue
        for request in requests:
            once = request.about is not None and not request.about.every and request.id in found.values()
            if not once and (request.id, event.id) not in told and _waits_for(request, event):
                found[turn.id] = request.id
                told.add((request.id, event.id))
                break
    return found


def _waits_for(request: Turn, event: Event) -> bool:
    return request.about is not None and request.end_ns <= event.start_ns and is_about(request.about, event)


def _held(row: Dialogue, turns: tuple[Turn, ...], clock: FrameClock, edits: Edits, who: tuple[str, ...]) -> Dialogue:
    """The conversation with other turns, its decisions derived anew."""
    return row.model_copy(
        update={
            "id": derive_id("dialogue", row.id, *(turn.id for turn in turns)),
            "turns": turns,
            "decisions": tuple(decisions_on(turns, clock, fps=parse_grid(track.grid)) for track in row.decisions),
            "provenance": edits.by.provenance(who, kept_inputs(row)),
        }
    )
