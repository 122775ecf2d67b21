"""Dialogues: questions at random instants, answers when their evidence is complete, reports of awaited events.

An exchange is a question and its answer, or a standing request, its acknowledgement and its reports. Exchanges never
overlap, except where the user barges in: then the assistant's turn is cut at a character, `intended_text` keeps the
whole, and the next answer's trigger is the interruption. A question's `end_ns` is the instant at which it is asked.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Self

from pydantic import Field, model_validator

from datasets_build.builders.exchanges import (
    Exchange,
    Talk,
    answered,
    assistant_turn,
    events_in,
    once,
    opening,
    promised,
    spoken,
    user_turn,
)
from datasets_build.builders.facts import Desk, Draft, FactsConfig, seed_of, told_names
from datasets_build.builders.streaming_qa import TeacherName
from datasets_build.builders.styles import BENDS, StylesConfig, chat
from datasets_build.builders.ways import BARGING, LONG, USUAL, WAYS, Ask, Way
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.core.cutting import cut_short, ends_amid_word
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Video, derive_id
from datasets_build.core.speech import Floor, LatencyConfig, SpeechConfig, drawn_paces, question_until
from datasets_build.core.views import grid_name, parse_grid

_NS_PER_MINUTE = 60 * NS_PER_S
_TRIES = 5
_ROUNDS = 3
_INTERRUPTION_TRIES = 120


class DialogueConfig(Config):
    """How talkative a dialogue is: exchanges `per_minute` of video, at least `least`, at most `most`.

    `interruptions` 0..1 is the share of answers that the user tries to cut short; `grids` are the views on which
    decisions are written; `ways` are the ways of asking, as evenly as there is room. With `latency` each reply has a
    first token and a speed of its own, in place of those that `speech` gives to all; `styles` are the shares of what is
    more than a question and its answer.
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
    latency: LatencyConfig | None = None
    styles: StylesConfig = StylesConfig()

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


def _interrupt(talk: Talk, position: int, reach_ns: int, *, amid_word: bool) -> bool:
    """Let the user barge into the answer of an exchange with another question; False when none fits."""
    desk, victim = talk.desk, talk.exchanges[position]
    heard, answer = victim.turns[0], victim.turns[1]
    t = desk.between(answer.start_ns + 1, answer.end_ns + reach_ns)
    barging = [way for way in BARGING if way in talk.ways]
    draft = WAYS[desk.rng.choice(barging)](desk, t) if barging and t is not None else None
    if draft is None or not desk.settled(draft.ask_ns) or draft.standing or draft.replies[0].t_ns > draft.ask_ns:
        return False
    said = spoken(talk, draft.replies[0])
    asked = question_until(draft.question, draft.ask_ns, desk.clock, talk.speech)
    cut = cut_short(answer, asked.start_ns, least_said=talk.speech.least_said, least_left=talk.speech.least_left)
    if said is None or cut is None or asks_again(victim, draft) or (amid_word and not ends_amid_word(cut)):
        return False
    user = user_turn(talk, draft).model_copy(update={"interrupts": answer.id})
    reply = assistant_turn(talk, draft.replies[0], said, trigger="interruption", ref=user.id)
    events = tuple(dict.fromkeys((*victim.events, *events_in(draft.replies[:1]))))
    whole = (victim.held[0][0], said.end_ns)
    return talk.put(position, Exchange((heard, cut, user, reply), (whole,), events, victim.asks))


def asks_again(victim: Exchange, draft: Draft) -> bool:
    """Whether a question is after what is being answered: the same thing, the same events, or the same words."""
    told, asked = told_names(draft.replies[0]), (draft.task, once(draft.about))
    heard, answer = victim.turns[:2]
    same_words = draft.question == heard.text or draft.replies[0].text == answer.text
    return same_words or asked == victim.asks or (bool(told) and set(told) <= set(victim.events))


def _try_interrupting(talk: Talk, position: int, reach_ns: int) -> None:
    # People break into words; between two words only where no such instant is found.
    for attempt in range(_INTERRUPTION_TRIES):
        if _interrupt(talk, position, reach_ns, amid_word=attempt < _INTERRUPTION_TRIES // 2):
            return


def converse(talk: Talk, config: DialogueConfig, *, wanted: int) -> None:
    """Fill a dialogue with up to `wanted` exchanges, the ways of asking taking turns, then interrupt some of them."""
    asked: set[tuple[str, ...]] = set()
    for _ in range(round(config.styles.small_talk * wanted)):
        chat(talk, "small_talk")
    for _ in range(round(config.styles.delegate * wanted)):
        chat(talk, "delegate")
    chats = len(talk.exchanges)
    # What must wait for its answer finds no room later, so it comes first, while the floor is free.
    first = [way for way in LONG if way in talk.ways][:wanted]
    rounds = -(-wanted // len(talk.ways)) * _ROUNDS
    for way in [*first, *(way for _ in range(rounds) for way in talk.desk.rng.sample(talk.ways, len(talk.ways)))]:
        if len(talk.exchanges) >= wanted + chats:
            break
        _try_asking(talk, WAYS[way], asked)
    if len(talk.exchanges) == chats:
        talk.add(opening(talk))
    for position, exchange in enumerate(talk.exchanges):
        plain = len(exchange.turns) == 2 and exchange.turns[1].evidence
        if plain and talk.desk.rng.random() < config.interruptions:
            _try_interrupting(talk, position, config.facts.window_ns)
        elif plain:
            _bend(talk, position, config)


def _bend(talk: Talk, position: int, config: DialogueConfig) -> None:
    """Make more of a plain exchange than a question and its answer, in one style that its share draws."""
    for share_of, bend in BENDS:
        share = share_of(config.styles)
        if share and talk.desk.rng.random() < share and bend(talk, position, config.facts.recent_ns):
            return


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
    # A generator of its own: the same is asked, however fast the answers come.
    rng = Random(seed_of(made, "latency", seed))
    paces = drawn_paces(config.speech, config.latency, rng) if config.latency else None
    talk = Talk(made, desk, config.speech, Floor(config.speech.pause_ns), config.ways, paces)
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
