"""Conversations held again in an augmented video: the same people ask at the same moments and hear what is true there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from datasets_build.core.records import Dialogue, Turn


class Left(NamedTuple):
    """A turn of a user that the augmented conversation does not have, and why."""

    turn_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A user's turn with what answers it; `cuts` is the reply that it cuts short."""

    user: Turn
    reply: Turn
    reports: tuple[Turn, ...]
    cuts: str | None


def exchanges_of(dialogue: Dialogue) -> Iterator[_Exchange]:
    """The exchanges of a conversation, by the order in which they are heard."""
    replies = {
        turn.trigger_ref: turn for turn in dialogue.turns if turn.role == "assistant" and turn.trigger != "event"
    }
    for user in sorted((turn for turn in dialogue.turns if turn.role == "user"), key=lambda turn: turn.end_ns):
        if user.id in replies:
            yield _Exchange(user, replies[user.id], (), user.interrupts)
