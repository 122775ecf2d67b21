"""Exchanges: a question with its answer, or a request with its acknowledgement and reports, and their place in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from datasets_build.builders import counting
from datasets_build.builders.facts import Desk, Draft, told_names
from datasets_build.builders.ways import USUAL, Way
from datasets_build.core.records import About, Turn, derive_id
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor, SpeechConfig, Utterance, answer_at_once, answer_from, question_until

Outcome = Literal["done", "nothing fits", "no room"]
"""What becomes of a style that is tried on an exchange: no fitting question is certain, or no time is free for it."""
_INSTANTS = 10


@dataclass(frozen=True, slots=True)
class Exchange:
    """Turns that belong together, and the stretches of time that they hold."""

    turns: tuple[Turn, ...]
    held: tuple[tuple[int, int], ...]
    events: tuple[str, ...]
    asks: tuple[str, About] | None = None
    """The task, and what is asked after."""
    right_until_ns: int | None = None
    """Until when its answer is right; None: for good."""


@dataclass(slots=True)
class Talk:
    """A dialogue in the making: its id, the desk that questions come from, who holds the floor, what has been said."""

    dialogue_id: str
    desk: Desk
    speech: SpeechConfig
    floor: Floor
    ways: tuple[Way, ...] = USUAL
    paces: Iterator[SpeechConfig] | None = None
    """How fast each reply in turn is said; None: all as `speech` says."""
    exchanges: list[Exchange] = field(default_factory=list)
    made: int = 0
    styles: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each style was wanted, and what became of it."""

    def instant(self) -> int:
        """A random frame's time, at which nobody speaks if one is soon found."""
        for _ in range(_INSTANTS):
            t = self.desk.instant()
            if self.floor.free(t, t + 1):
                break
        return t

    def pace(self) -> SpeechConfig:
        """How fast the next reply is said."""
        return self.speech if self.paces is None else next(self.paces)

    def turn_id(self) -> str:
        """The next turn's id."""
        self.made += 1
        return derive_id("turn", self.dialogue_id, self.made)

    def add(self, exchange: Exchange) -> bool:
        """Take an exchange up if the floor is free for all of it."""
        for k, held in enumerate(exchange.held):
            # Its own reports may come too close to each other as well.
            if not self.floor.free(*held):
                for taken in exchange.held[:k]:
                    self.floor.release(*taken)
                return False
            self.floor.take(*held)
        self.exchanges.append(exchange)
        return True

    def put(self, position: int, exchange: Exchange) -> bool:
        """Put an exchange of one stretch in the place of another, if the floor is free for it."""
        (before,), (held,) = self.exchanges[position].held, exchange.held
        self.floor.release(*before)
        if not self.floor.free(*held):
            self.floor.take(*before)
            return False
        self.floor.take(*held)
        self.exchanges[position] = exchange
        return True


def user_turn(talk: Talk, draft: Draft) -> Turn:
    """Who asks, with the last word out at the instant of the question."""
    about = draft.about if draft.standing else once(draft.about)
    return asked_turn(talk, draft.question, draft.ask_ns, task=draft.task, about=about)


def asked_turn(talk: Talk, text: str, ask_ns: int, *, task: str, about: About | None) -> Turn:
    """What a user says, out at an instant."""
    said = question_until(text, ask_ns, talk.desk.clock, talk.speech)
    return Turn(
        id=talk.turn_id(), role="user", start_ns=said.start_ns, end_ns=said.end_ns, text=text, task=task, about=about
    )


def once(about: About) -> About:
    """What is asked after, answered only once: in a dialogue the first count stands for itself."""
    return about.model_copy(update={"every": False})


def assistant_turn(
    talk: Talk,
    reply: Reply,
    said: Utterance,
    *,
    trigger: Literal["user_query", "event", "interruption", "correction"],
    ref: str,
) -> Turn:
    """What is said, where it is said."""
    return Turn(
        id=talk.turn_id(),
        role="assistant",
        start_ns=said.start_ns,
        end_ns=said.end_ns,
        text=reply.text,
        state="respond",
        trigger=trigger,
        trigger_ref=ref,
        evidence=tuple(piece.model_copy(update={"role": "necessary"}) for piece in reply.evidence),
        answerable_from_ns=max(piece.end_ns for piece in reply.evidence),
        window_start_ns=reply.t_ns,
        window_end_ns=reply.window_end_ns,
    )


def taken_up(
    talk: Talk, user: Turn, reply: Reply, said: Utterance, *, state: Literal["respond", "delegate"] = "respond"
) -> Turn:
    """What is said to a turn from which alone it follows."""
    return Turn(
        id=talk.turn_id(),
        role="assistant",
        start_ns=said.start_ns,
        end_ns=said.end_ns,
        text=reply.text,
        state=state,
        trigger="user_query",
        trigger_ref=user.id,
        answerable_from_ns=user.end_ns,
        window_start_ns=user.end_ns,
        window_end_ns=reply.window_end_ns,
    )


def events_in(replies: Sequence[Reply]) -> tuple[str, ...]:
    """The events that replies tell of, each once."""
    return tuple(dict.fromkeys(name for reply in replies for name in told_names(reply)))


def spoken(talk: Talk, reply: Reply) -> Utterance | None:
    """Where a reply would be said; None when it would come too late to be right, or not be out while it is."""
    said = answer_from(reply.text, reply.t_ns, talk.desk.clock, talk.pace())
    if said is None or said.start_ns >= reply.window_end_ns:
        return None
    return said if reply.valid_until_ns is None or said.end_ns <= reply.valid_until_ns else None


def answered(talk: Talk, draft: Draft) -> Exchange | None:
    """A question and its first answer; the floor is held while it waits."""
    reply = draft.replies[0]
    said = spoken(talk, reply)
    if said is None:
        return None
    user = user_turn(talk, draft)
    answer = assistant_turn(talk, reply, said, trigger="user_query", ref=user.id)
    asks = (draft.task, once(draft.about))
    inputs = (*events_in([reply]), *draft.inputs)
    return Exchange((user, answer), ((user.start_ns, answer.end_ns),), inputs, asks, reply.valid_until_ns)


def promised(talk: Talk, draft: Draft) -> Exchange | None:
    """A standing request, its acknowledgement, and a report of each awaited event."""
    desk = talk.desk
    text = desk.write("acknowledge")
    promise = desk.reply(text, draft.ask_ns, evidence=())
    said = spoken(talk, promise) if promise else None
    reports = [(reply, spoken(talk, reply)) for reply in draft.replies]
    if promise is None or said is None or any(out is None or not reply.event_id for reply, out in reports):
        return None
    user = user_turn(talk, draft)
    ready = taken_up(talk, user, promise, said)
    told = [
        assistant_turn(talk, reply, out, trigger="event", ref=reply.event_id)
        for reply, out in reports
        if out is not None and reply.event_id
    ]
    held = ((user.start_ns, ready.end_ns), *((turn.start_ns, turn.end_ns) for turn in told))
    return Exchange((user, ready, *told), held, events_in(draft.replies), (draft.task, once(draft.about)))


def opening(talk: Talk) -> Exchange:
    """The exchange that every video bears, even one of a single frame."""
    draft = counting.opening(talk.desk)
    reply = draft.replies[0]
    user = user_turn(talk, draft)
    said = answer_at_once(reply.t_ns, talk.desk.clock, reply.text, talk.speech)
    if reply.valid_until_ns is not None:
        # A shot of a few frames leaves no time to speak at leisure.
        said = Utterance(said.start_ns, min(said.end_ns, reply.valid_until_ns))
    answer = assistant_turn(talk, reply, said, trigger="user_query", ref=user.id)
    asks = (draft.task, once(draft.about))
    return Exchange((user, answer), ((user.start_ns, answer.end_ns),), events_in([reply]), asks, reply.valid_until_ns)
