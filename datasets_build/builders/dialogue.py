"""Dialogues: questions at random instants, answers when their evidence is complete, reports of awaited events.

An exchange is a question and its answer, or a standing request, its acknowledgement and its reports. Exchanges never
overlap, except where the user barges in: then the assistant's turn is cut at a character, `intended_text` keeps the
whole, and the next answer's trigger is the interruption. A question's `end_ns` is the instant at which it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from datasets_build.builders import counting
from datasets_build.builders.facts import Desk, Draft, FactsConfig, told_names
from datasets_build.builders.streaming_qa import TeacherName
from datasets_build.builders.ways import BARGING, LONG, USUAL, WAYS, Ask, Way
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import About, Dialogue, Turn, Video, derive_id
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor, SpeechConfig, Utterance, answer_at_once, answer_from, question_until
from datasets_build.core.views import grid_name, parse_grid

_NS_PER_MINUTE = 60 * NS_PER_S
_TRIES = 5
_ROUNDS = 3
_INTERRUPTION_TRIES = 120


class DialogueConfig(Config):
    """How talkative a dialogue is: exchanges `per_minute` of video, at least `least`, at most `most`.

    `interruptions` 0..1 is the share of answers that the user tries to cut short; `grids` are the views on which
    decisions are written; `ways` are the ways of asking, as evenly as there is room.
    """

    seed: int = 0
    teacher: TeacherName = "template"
    per_minute: float = Field(default=8.0, gt=0)
    least: int = Field(default=3, ge=1)
    most: int = Field(default=120, ge=1)
    interruptions: float = Field(default=0.8, ge=0, le=1)
    grids: tuple[str, ...] = ("native", "1", "2")
    ways: tuple[Way, ...] = Field(default=USUAL, min_length=1)
    facts: FactsConfig = FactsConfig()
    speech: SpeechConfig = SpeechConfig()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [grid_name(rate) for rate in self.rates]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"expected at least one grid, each once, found {self.grids}")
        return self

    @property
    def rates(self) -> tuple[Fraction | None, ...]:
        """The grids' rates, None for the native one."""
        return tuple(parse_grid(text) for text in self.grids)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Turns that belong together, and the stretches of time that they hold."""

    turns: tuple[Turn, ...]
    held: tuple[tuple[int, int], ...]
    events: tuple[str, ...]
    asks: tuple[str, About] | None = None
    """The task, and what is asked after."""


@dataclass(slots=True)
class Talk:
    """A dialogue in the making: its id, the desk that questions come from, who holds the floor, what has been said."""

    dialogue_id: str
    desk: Desk
    speech: SpeechConfig
    floor: Floor
    ways: tuple[Way, ...] = USUAL
    exchanges: list[Exchange] = field(default_factory=list)
    made: int = 0

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


def _user(talk: Talk, draft: Draft) -> Turn:
    said = question_until(draft.question, draft.ask_ns, talk.desk.clock, talk.speech)
    return Turn(
        id=talk.turn_id(),
        role="user",
        start_ns=said.start_ns,
        end_ns=said.end_ns,
        text=draft.question,
        task=draft.task,
        about=draft.about if draft.standing else _once(draft.about),
    )


def _once(about: About) -> About:
    """What is asked after, answered only once: in a dialogue the first count stands for itself."""
    return about.model_copy(update={"every": False})


def _assistant(
    talk: Talk,
    reply: Reply,
    said: Utterance,
    *,
    trigger: Literal["user_query", "event", "interruption"],
    ref: str,
) -> Turn:
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


def _events_in(replies: Sequence[Reply]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for reply in replies for name in told_names(reply)))


def _spoken(talk: Talk, reply: Reply) -> Utterance | None:
    """Where a reply would be said; None when it would come too late to be right, or not be out while it is."""
    said = answer_from(reply.text, reply.t_ns, talk.desk.clock, talk.speech)
    if said is None or said.start_ns >= reply.window_end_ns:
        return None
    return said if reply.valid_until_ns is None or said.end_ns <= reply.valid_until_ns else None


def answered(talk: Talk, draft: Draft) -> Exchange | None:
    """A question and its first answer; the floor is held while it waits."""
    reply = draft.replies[0]
    said = _spoken(talk, reply)
    if said is None:
        return None
    user = _user(talk, draft)
    answer = _assistant(talk, reply, said, trigger="user_query", ref=user.id)
    asks = (draft.task, _once(draft.about))
    return Exchange((user, answer), ((user.start_ns, answer.end_ns),), _events_in([reply]), asks)


def promised(talk: Talk, draft: Draft) -> Exchange | None:
    """A standing request, its acknowledgement, and a report of each awaited event."""
    desk = talk.desk
    text = desk.write("acknowledge")
    promise = desk.reply(text, draft.ask_ns, evidence=())
    said = _spoken(talk, promise) if promise else None
    reports = [(reply, _spoken(talk, reply)) for reply in draft.replies]
    if promise is None or said is None or any(spoken is None or not reply.event_id for reply, spoken in reports):
        return None
    user = _user(talk, draft)
    ready = Turn(
        id=talk.turn_id(),
        role="assistant",
        start_ns=said.start_ns,
        end_ns=said.end_ns,
        text=promise.text,
        state="respond",
        trigger="user_query",
        trigger_ref=user.id,
        answerable_from_ns=draft.ask_ns,
        window_start_ns=draft.ask_ns,
        window_end_ns=promise.window_end_ns,
    )
    told = [
        _assistant(talk, reply, spoken, trigger="event", ref=reply.event_id)
        for reply, spoken in reports
        if spoken is not None and reply.event_id
    ]
    held = ((user.start_ns, ready.end_ns), *((turn.start_ns, turn.end_ns) for turn in told))
    return Exchange((user, ready, *told), held, _events_in(draft.replies), (draft.task, _once(draft.about)))


def _interrupt(talk: Talk, position: int, reach_ns: int) -> bool:
    """Let the user barge into the answer of an exchange with another question; False when none fits."""
    desk, victim = talk.desk, talk.exchanges[position]
    heard, answer = victim.turns[0], victim.turns[1]
    t = desk.between(answer.start_ns + 1, answer.end_ns + reach_ns)
    barging = [way for way in BARGING if way in talk.ways]
    draft = WAYS[desk.rng.choice(barging)](desk, t) if barging and t is not None else None
    if draft is None or not desk.settled(draft.ask_ns) or draft.standing or draft.replies[0].t_ns > draft.ask_ns:
        return False
    said = _spoken(talk, draft.replies[0])
    asked = question_until(draft.question, draft.ask_ns, desk.clock, talk.speech)
    cut = _cut_short(answer, asked.start_ns, talk.speech)
    if said is None or cut is None or asks_again(victim, draft):
        return False
    (held,) = victim.held
    talk.floor.release(*held)
    whole = (held[0], said.end_ns)
    if not talk.floor.free(*whole):
        talk.floor.take(*held)
        return False
    talk.floor.take(*whole)
    user = _user(talk, draft).model_copy(update={"interrupts": answer.id})
    reply = _assistant(talk, draft.replies[0], said, trigger="interruption", ref=user.id)
    events = tuple(dict.fromkeys((*victim.events, *_events_in(draft.replies[:1]))))
    talk.exchanges[position] = Exchange((heard, cut, user, reply), (whole,), events, victim.asks)
    return True


def asks_again(victim: Exchange, draft: Draft) -> bool:
    """Whether a question is after what is being answered: the same thing, the same events, or the same words."""
    told, asked = told_names(draft.replies[0]), (draft.task, _once(draft.about))
    heard, answer = victim.turns[:2]
    same_words = draft.question == heard.text or draft.replies[0].text == answer.text
    return same_words or asked == victim.asks or (bool(told) and set(told) <= set(victim.events))


def _try_interrupting(talk: Talk, position: int, reach_ns: int) -> None:
    for _ in range(_INTERRUPTION_TRIES):
        if _interrupt(talk, position, reach_ns):
            return


def _cut_short(answer: Turn, at_ns: int, speech: SpeechConfig) -> Turn | None:
    """What of an answer was said before an instant inside it; None when that is next to nothing or everything."""
    if not answer.start_ns < at_ns < answer.end_ns:
        return None
    said = len(answer.text) * (at_ns - answer.start_ns) // (answer.end_ns - answer.start_ns)
    if not speech.least_said <= said <= len(answer.text) - speech.least_left:
        return None
    return answer.model_copy(
        update={
            "end_ns": at_ns,
            "text": answer.text[:said],
            "intended_text": answer.text,
            "truncated_at_char": said,
        }
    )


def _opening(talk: Talk) -> Exchange:
    """The exchange that every video bears, even one of a single frame."""
    draft = counting.opening(talk.desk)
    reply = draft.replies[0]
    user = _user(talk, draft)
    said = answer_at_once(reply.t_ns, talk.desk.clock, reply.text, talk.speech)
    if reply.valid_until_ns is not None:
        # A shot of a few frames leaves no time to speak at leisure.
        said = Utterance(said.start_ns, min(said.end_ns, reply.valid_until_ns))
    answer = _assistant(talk, reply, said, trigger="user_query", ref=user.id)
    asks = (draft.task, _once(draft.about))
    return Exchange((user, answer), ((user.start_ns, answer.end_ns),), _events_in([reply]), asks)


def converse(talk: Talk, config: DialogueConfig, *, wanted: int) -> None:
    """Fill a dialogue with up to `wanted` exchanges, the ways of asking taking turns, then interrupt some of them."""
    asked: set[tuple[str, ...]] = set()
    # What must wait for its answer finds no room later, so it comes first, while the floor is free.
    first = [way for way in LONG if way in talk.ways][:wanted]
    rounds = -(-wanted // len(talk.ways)) * _ROUNDS
    for way in [*first, *(way for _ in range(rounds) for way in talk.desk.rng.sample(talk.ways, len(talk.ways)))]:
        if len(talk.exchanges) >= wanted:
            break
        _try_asking(talk, WAYS[way], asked)
    if not talk.exchanges:
        talk.add(_opening(talk))
    for position, exchange in enumerate(talk.exchanges):
        plain = len(exchange.turns) == 2 and exchange.turns[1].evidence
        if plain and talk.desk.rng.random() < config.interruptions:
            _try_interrupting(talk, position, config.facts.window_ns)


def _try_asking(talk: Talk, way: Ask, asked: set[tuple[str, ...]]) -> None:
    for _ in range(_TRIES):
        draft = way(talk.desk, talk.desk.instant())
        if draft is None or not talk.desk.settled(draft.ask_ns):
            continue
        exchange = promised(talk, draft) if draft.standing else answered(talk, draft)
        key = (draft.question, *(reply.text for reply in draft.replies[:1]))
        if exchange is not None and key not in asked and talk.add(exchange):
            asked.add(key)
            return


def dialogue_of(video: Video, desk: Desk, config: DialogueConfig, *, seed: int) -> Dialogue:
    """The dialogue of one video, over its whole length; there is always at least one exchange.

    Args:
        video: whose it is.
        desk: its facts, a teacher, and a generator made from `seed`.
        config: how talkative it is.
        seed: goes into the record's provenance.
    """
    made = derive_id("dialogue", video.id, 0)
    talk = Talk(made, desk, config.speech, Floor(config.speech.pause_ns), config.ways)
    wanted = min(config.most, max(config.least, int(video.duration_ns * config.per_minute / _NS_PER_MINUTE)))
    converse(talk, config, wanted=wanted)
    turns = [turn for exchange in talk.exchanges for turn in exchange.turns]
    turns.sort(key=lambda turn: (turn.start_ns, turn.role != "user", turn.end_ns, turn.id))
    inputs = dict.fromkeys(event for exchange in talk.exchanges for event in exchange.events)
    return Dialogue(
        id=made,
        video_id=video.id,
        start_ns=0,
        end_ns=desk.clock.end_ns,
        system=desk.write("system") or "",
        language=desk.teacher.language,
        turns=tuple(turns),
        decisions=tuple(decisions_on(turns, desk.clock, fps=rate) for rate in config.rates),
        provenance=desk.teacher.provenance(seed=seed, inputs=list(inputs)),
    )
