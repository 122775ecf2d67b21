"""Laws of styles of talking: what needs no proof says nothing of the video, and references are clear."""

from __future__ import annotations

from collections.abc import Iterator

from datasets_build.checks.exchanges import is_acknowledgement, said_by, turns_of
from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.records import Dialogue, Turn
from datasets_build.core.topics import UNPROVED
from datasets_build.truth.styles import is_referring, referring_texts, social_texts, style_of
from datasets_build.truth.words import writer_of


def _social(row: Dialogue, known: Known) -> Iterator[Breach]:
    """Small talk and what is handed on stand without evidence, and say nothing that could be wrong."""
    del known
    turns, writer = turns_of(row), writer_of(row.provenance)
    for turn in said_by(row, "assistant"):
        asked = turns.get(turn.trigger_ref or "")
        task = asked.task if asked is not None else None
        if (turn.state == "delegate") != (task == "delegate"):
            yield Breach(f"turn {turn.id} in state {turn.state}", "delegate exactly where a task is handed on")
        if asked is None or task not in UNPROVED:
            continue
        if not is_acknowledgement(turn, asked):
            yield Breach(f"turn {turn.id} of {task} with evidence", "none, from the end of what it answers")
        texts = social_texts(writer, task, asked.text) if writer is not None else frozenset({turn.text})
        if turn.text not in texts:
            yield Breach(f"{turn.text!r} of turn {turn.id}", f"words that answer {asked.text!r}")


def _refers(row: Dialogue, known: Known) -> Iterator[Breach]:
    """A user refers to what the assistant has said last, and it is clear to what of it."""
    turns, writer = turns_of(row), writer_of(row.provenance)
    for k, user in enumerate(row.turns):
        if not is_referring(user):
            continue
        answer = turns.get(user.trigger_ref or "")
        last = row.turns[k - 1] if k else None
        if answer is None or last is None or last.id != answer.id or answer.end_ns > user.start_ns:
            yield Breach(f"turn {user.id} refers to {user.trigger_ref}", "the turn of the assistant right before it")
            continue
        style = style_of(user, answer, _heard(answer, turns), known.events)
        if style is None and row.provenance.kind != "person":
            yield Breach(
                f"turn {user.id} about {user.about}", "what the turn before told of, or another subject than was asked"
            )
        elif style is not None and writer is not None and user.about is not None:
            texts = referring_texts(writer, style, user.task or "", user.about)
            yield from [] if user.text in texts else [Breach(f"{user.text!r} of turn {user.id}", f"words of a {style}")]


def _heard(answer: Turn, turns: dict[str, Turn]) -> Turn | None:
    return turns.get(answer.trigger_ref or "")


STYLE_LAWS: tuple[Law[Dialogue], ...] = (
    Law("social_unproved", "small talk and what is handed on have no evidence, and fitting words", _social),
    Law("references_clear", "a follow-up refers to the answer right before it, and to one thing of it", _refers),
)
