"""Styles of talking: small talk, tasks that are handed on, follow-ups, and corrections by both sides.

A follow-up says "that" of what the answer before it told of; with "No, I meant the blue square." a user asks the same
of another. An answer of the assistant may be wrong: it is not learned, and the assistant corrects it at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, Self

from pydantic import Field

from datasets_build.builders import counting, questions
from datasets_build.builders.barging import barge_in
from datasets_build.builders.exchanges import (
    Exchange,
    Outcome,
    Talk,
    asked_turn,
    assistant_turn,
    events_in,
    spoken,
    taken_up,
    user_turn,
)
from datasets_build.builders.facts import Desk, Draft, about_of
from datasets_build.builders.tracks import Track, is_form
from datasets_build.core.config import Config
from datasets_build.core.records import About, Turn
from datasets_build.core.reply import Reply
from datasets_build.teachers.teacher import Intent
from datasets_build.truth.asides import ASIDES
from datasets_build.truth.styles import FOLLOW_UPS, SOCIAL, told_event
from datasets_build.truth.words import happening_of

_TRIES = 30
_DUE = 1 - 1e-9
Share = Field(default=0.0, ge=0, le=1)


class StylesConfig(Config):
    """Shares of 0..1 of the exchanges of a dialogue, as far as there is room and something to refer to.

    `small_talk` and `delegate` come beside the others. `follow_up`, `correction` (the user meant another one) and
    `mistake` (the assistant is wrong, and says so) are shares of the plain answers; each has one of them at most.
    """

    small_talk: float = Share
    delegate: float = Share
    follow_up: float = Share
    correction: float = Share
    mistake: float = Share


Bend = Callable[[Talk, int, int], Outcome]
Chat = Literal["small_talk", "delegate"]
CHATS: tuple[Chat, ...] = ("small_talk", "delegate")


def chat(talk: Talk, task: Chat) -> Outcome:
    """Add small talk, or a task that is handed on, at some instant at which somebody is free for it."""
    desk, pairs = talk.desk, SOCIAL[task]
    for _ in range(_TRIES):
        ask, say = desk.rng.choice(list(pairs.items()))
        question, text = desk.write(ask), desk.write(say)
        t = talk.instant()
        reply = desk.reply(text, t, evidence=())
        said = spoken(talk, reply) if reply else None
        if question is None or reply is None or said is None:
            continue
        user = asked_turn(talk, question, t, task=task, about=None)
        answer = taken_up(talk, user, reply, said, state="delegate" if task == "delegate" else "respond")
        if talk.add(Exchange((user, answer), ((user.start_ns, answer.end_ns),), ())):
            return "done"
    return "no room"


def follow_up(talk: Talk, position: int, reach_ns: int) -> Outcome:
    """Let the user ask more of what an answer told of; nothing fits where it told of several things."""
    answer = talk.exchanges[position].turns[1]
    line = talk.desk.timeline
    found = {item.event.id: item for item in line.scene.told if is_form(item)}
    event = told_event(answer, {name: item.event for name, item in found.items()})
    if event is None or event.subject is None:
        return "nothing fits"
    topic, name = found[event.id].topic, event.subject

    def drafts(t: int) -> Iterator[Draft | None]:
        yield questions.subject_did(talk.desk, t, name) if name in line.subjects else None
        yield counting.times_at(talk.desk, t, topic.key) if topic is not None and topic.key in line.closed else None

    return _refer(talk, position, reach_ns, drafts, lambda draft: FOLLOW_UPS[draft.task])


def meant(talk: Talk, position: int, reach_ns: int) -> Outcome:
    """Let the user say that another was meant; nothing fits where the same cannot be asked of any other."""
    heard = talk.exchanges[position].turns[0]
    about, ask = heard.about, _OF_ANOTHER.get(heard.task or "")
    if about is None or about.subject is None or ask is None:
        return "nothing fits"
    return _refer(talk, position, reach_ns, lambda t: ask(talk.desk, t, about), lambda _: "ask_meant")


def _others(desk: Desk, about: About) -> dict[str, Track]:
    """The topics that differ in their subject alone."""
    found = {}
    for key, track in desk.timeline.closed.items():
        other = about_of(track.told[0])
        same = other.model_copy(update={"subject": about.subject}) == about
        if same and other.subject not in (None, about.subject) and is_form(track.told[0]):
            found[key] = track
    return found


def _did(desk: Desk, t: int, about: About) -> Iterator[Draft | None]:
    names = [name for name in desk.timeline.subjects if name != about.subject]
    if about.kind == "subject" and names:
        yield questions.subject_did(desk, t, desk.rng.choice(names))


def _times(desk: Desk, t: int, about: About) -> Iterator[Draft | None]:
    if keys := list(_others(desk, about)):
        yield counting.times_at(desk, t, desk.rng.choice(keys))


def _yet(desk: Desk, t: int, about: About) -> Iterator[Draft | None]:
    if keys := list(_others(desk, about)):
        key = desk.rng.choice(keys)
        yield questions.yet_at(desk, t, key, wanted=bool(desk.timeline.closed[key].done(t)))


def _on(desk: Desk, t: int, about: About) -> Iterator[Draft | None]:
    if keys := [key for key in _others(desk, about) if about.kind == "label"]:
        key = desk.rng.choice(keys)
        yield questions.is_on_at(desk, t, key, wanted=bool(desk.timeline.closed[key].on(t)))


_OF_ANOTHER: Mapping[str, Callable[[Desk, int, About], Iterator[Draft | None]]] = {
    "before": _did,
    "count_so_far": _times,
    "happened_yet": _yet,
    "now": _on,
}


def _refer(
    talk: Talk,
    position: int,
    reach_ns: int,
    drafts: Callable[[int], Iterator[Draft | None]],
    intent_of: Callable[[Draft], Intent],
) -> Outcome:
    """Let the user refer to an answer soon after it, in the words of an intent."""
    desk, answer = talk.desk, talk.exchanges[position].turns[1]
    outcome: Outcome = "nothing fits"
    for _ in range(_TRIES):
        t = desk.between(answer.end_ns + talk.speech.pause_ns, answer.end_ns + reach_ns)
        found = [draft for draft in drafts(t) if draft is not None] if t is not None else []
        if not found:
            continue
        outcome, draft = "no room", desk.rng.choice(found)
        text = desk.write(intent_of(draft), about=happening_of(draft.about))
        if text is not None and _put_behind(talk, position, replace(draft, question=text)):
            return "done"
    return outcome


def _put_behind(talk: Talk, position: int, draft: Draft) -> bool:
    """Put a question that refers to an answer right behind it, if there is room and it gets another answer."""
    before, reply = talk.exchanges[position], draft.replies[0]
    heard, answer = before.turns
    said = spoken(talk, reply)
    if said is None or reply.t_ns > draft.ask_ns or reply.text == answer.text or not talk.desk.settled(draft.ask_ns):
        return False
    user = user_turn(talk, draft).model_copy(update={"trigger": "user_query", "trigger_ref": answer.id})
    if user.start_ns < answer.end_ns + talk.speech.pause_ns:
        return False
    told = assistant_turn(talk, reply, said, trigger="user_query", ref=user.id)
    events = tuple(dict.fromkeys((*before.events, *events_in([reply]), *draft.inputs)))
    return talk.put(position, Exchange((heard, answer, user, told), ((before.held[0][0], told.end_ns),), events))


def mistake(talk: Talk, position: int, reach_ns: int) -> Outcome:
    """Let the assistant be wrong, and correct itself at once; nothing fits where it has nothing wrong to say."""
    del reach_ns
    desk, before = talk.desk, talk.exchanges[position]
    heard, answer = before.turns
    text, start, end = _wrong(desk, heard, answer), answer.window_start_ns, answer.window_end_ns
    if text is None or start is None or end is None or text == answer.text:
        return "nothing fits"
    said = spoken(talk, Reply(text, start, end, None, answer.evidence))
    if said is None:
        return "no room"
    corrected, until = ASIDES["corrected"] + answer.text, before.right_until_ns
    right = desk.reply(corrected, said.end_ns, evidence=answer.evidence, until=until)
    then = spoken(talk, right) if right else None
    if right is None or then is None:
        return "no room"
    wrong = answer.model_copy(
        update={"text": text, "start_ns": said.start_ns, "end_ns": said.end_ns, "learn": False, "loss_weight": 0.0}
    )
    told = assistant_turn(talk, right, then, trigger="correction", ref=wrong.id)
    held = ((before.held[0][0], told.end_ns),)
    put = talk.put(position, Exchange((heard, wrong, told), held, before.events, before.asks))
    return "done" if put else "no room"


def _wrong(desk: Desk, heard: Turn, answer: Turn) -> str | None:
    """Another number, or the other verdict; None for answers of other kinds."""
    about = happening_of(heard.about) if heard.about is not None else None
    number = re.search(r"\d+", answer.text)
    if heard.task == "count_so_far" and number is not None:
        return desk.write("say_count", number=int(number.group()) + desk.rng.choice([1, 2]))
    happened = any(piece.event_id for piece in answer.evidence)
    if heard.task == "happened_yet":
        return desk.write("say_not_yet" if happened else "say_yes", about=about)
    if heard.task == "now" and heard.about is not None and heard.about.kind in ("label", "caption"):
        return desk.write("say_is_off" if happened else "say_is_on", about=about)
    return None


BENDS: Mapping[str, Bend] = {"barge_in": barge_in, "follow_up": follow_up, "correction": meant, "mistake": mistake}
"""What each style makes of a plain question and its answer."""


@dataclass(slots=True)
class Owed:
    """How much of each style a dialogue still owes to its share, so that one that does not fit here is made up for.

    Attributes:
        shares: of the plain answers (of the exchanges, for small talk and what is handed on), by style.
        owed: exchanges; at 1 one is due. Starts anywhere below it, so that short dialogues have rare styles too.
        why: what became of the last try, by style.
    """

    shares: Mapping[str, float]
    owed: dict[str, float]
    why: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, shares: Mapping[str, float], rng: Random) -> Self:
        """Nothing yet. Styles of no share are left out."""
        wanted = {style: share for style, share in shares.items() if share > 0}
        return cls(wanted, {style: rng.random() for style in wanted})

    def grow(self) -> None:
        """One more exchange counts."""
        for style, share in self.shares.items():
            self.owed[style] += share

    def due(self) -> list[str]:
        """The styles that are due, those that wait longest first."""
        found = [style for style, owed in self.owed.items() if owed >= _DUE]
        return sorted(found, key=lambda style: -self.owed[style])

    def tried(self, talk: Talk, style: str, outcome: Outcome) -> bool:
        """Takes note of a try; whether it succeeded."""
        self.why[style] = outcome
        if outcome != "done":
            return False
        self.owed[style] -= 1
        talk.styles[style, "wanted"] += 1
        talk.styles[style, "done"] += 1
        return True

    def close(self, talk: Talk) -> None:
        """Takes note of what is still due, and why."""
        for style in self.due():
            number, why = int(self.owed[style] + 1 - _DUE), self.why.get(style, "nothing fits")
            talk.styles[style, "wanted"] += number
            talk.styles[style, "nothing fits" if why == "done" else why] += number


def is_plain(exchange: Exchange) -> bool:
    """Whether it is a question and its answer, of something that was seen."""
    return len(exchange.turns) == 2 and bool(exchange.turns[1].evidence)


def bend(talk: Talk, position: int, owed: Owed, reach_ns: Mapping[str, int]) -> None:
    """Make more of a plain exchange than a question and its answer, in one of the styles that are due."""
    if not is_plain(talk.exchanges[position]):
        return
    for style in owed.due():
        if owed.tried(talk, style, BENDS[style](talk, position, reach_ns[style])):
            return
