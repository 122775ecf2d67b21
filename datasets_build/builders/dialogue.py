"""Dialogues: questions at random instants, answers when their evidence is complete, reports of awaited events.

An exchange is a question and its answer, or a standing request, its acknowledgement and its reports. Exchanges never
overlap, except where the user barges in: then the assistant's turn is cut at a character, `intended_text` keeps the
whole, and the next answer's trigger is the interruption. A question's `end_ns` is the instant at which it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from random import Random
from typing import Self

from pydantic import Field, model_validator

from datasets_build.builders.balance import Balance
from datasets_build.builders.exchanges import Talk, answered, opening, promised
from datasets_build.builders.facts import Desk, FactsConfig, seed_of
from datasets_build.builders.streaming_qa import TeacherName
from datasets_build.builders.styles import BENDS, CHATS, Owed, StylesConfig, bend, chat, is_plain
from datasets_build.builders.ways import LONG, USUAL, WAYS, Ask, Way
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.core.decisions import State, decisions_on
from datasets_build.core.records import Dialogue, Video, derive_id
from datasets_build.core.speech import Floor, LatencyConfig, SpeechConfig, drawn_paces
from datasets_build.core.views import grid_name, parse_grid

_NS_PER_MINUTE = 60 * NS_PER_S
_TRIES = 5
_ROUNDS = 3


class DialogueConfig(Config):
    """How talkative a dialogue is: exchanges `per_minute` of video, at least `least`, at most `most`.

    `interruptions` 0..1 is the share of answers that the user tries to cut short; `grids` are the views on which
    decisions are written; `ways` are the ways of asking, as evenly as there is room. With `latency` each reply has a
    first token and a speed of its own, in place of those that `speech` gives to all; `styles` are the shares of what is
    more than a question and its answer. `mix` gives states a share of the steps of `mix_grid`, in each split, 0 to 1,
    and leaves the rest to the others; exchanges too many are left out.
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
    mix: dict[State, float] = Field(default_factory=dict)
    mix_grid: str = "1"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [grid_name(rate) for rate in self.rates]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"expected at least one grid, each once, found {self.grids}")
        wrong = [f"{state}: {share}" for state, share in self.mix.items() if not 0 <= share <= 1]
        if wrong or sum(self.mix.values()) > 1 + 1e-9:
            found = ", ".join(wrong) or sum(self.mix.values())
            raise ValueError(f"mix: found {found}, expected shares from 0 to 1, 1 in all")
        if self.mix and grid_name(parse_grid(self.mix_grid)) not in names:
            raise ValueError(f"mix_grid: found {self.mix_grid}, expected one of grids: {', '.join(self.grids)}")
        return self

    @property
    def style_shares(self) -> dict[str, float]:
        """The share of each style."""
        return {"barge_in": self.interruptions, **self.styles.model_dump()}

    def balance(self) -> Balance:
        """What keeps the shares of a build, and counts them."""
        return Balance(self.mix, parse_grid(self.mix_grid), self.style_shares)

    @property
    def rates(self) -> tuple[Fraction | None, ...]:
        """The grids' rates, None for the native one."""
        return tuple(parse_grid(text) for text in self.grids)


def converse(talk: Talk, config: DialogueConfig, *, wanted: int) -> None:
    """Fill a dialogue with up to `wanted` exchanges, the ways of asking taking turns, and with its styles as it grows.

    Each style comes while there is room for it: behind an exchange, before the next one is made.
    """
    asked: set[tuple[str, ...]] = set()
    shares, rng = config.style_shares, talk.desk.rng
    owed = Owed.of({style: shares[style] for style in BENDS}, rng)
    chats = Owed.of({task: shares[task] for task in CHATS}, rng)
    reach = dict.fromkeys(BENDS, config.facts.recent_ns) | {"barge_in": config.facts.window_ns}
    # What must wait for its answer finds no room later, so it comes first, while the floor is free.
    long = [way for way in LONG if way in talk.ways]
    first = rng.sample(long, min(len(long), max(1, wanted // 2)))
    rounds = -(-wanted // len(talk.ways)) * _ROUNDS
    made = 0
    for way in [*first, *(way for _ in range(rounds) for way in rng.sample(talk.ways, len(talk.ways)))]:
        if made >= wanted:
            break
        if _try_asking(talk, WAYS[way], asked):
            made += 1
            _style(talk, owed, reach)
            _chat(talk, chats)
    if not made:
        talk.add(opening(talk))
        _chat(talk, chats)
    for position in range(len(talk.exchanges)):
        bend(talk, position, owed, reach)
    owed.close(talk)
    chats.close(talk)


def _style(talk: Talk, owed: Owed, reach: Mapping[str, int]) -> None:
    """Bend the newest exchange, if it is a plain one."""
    if is_plain(talk.exchanges[-1]):
        owed.grow()
        bend(talk, len(talk.exchanges) - 1, owed, reach)


def _chat(talk: Talk, chats: Owed) -> None:
    """Small talk, and what is handed on, as often as is due after one more exchange."""
    chats.grow()
    for task in CHATS:
        if task in chats.due():
            chats.tried(talk, task, chat(talk, task))


def _try_asking(talk: Talk, way: Ask, asked: set[tuple[str, ...]]) -> bool:
    for _ in range(_TRIES):
        draft = way(talk.desk, talk.instant())
        if draft is None or not talk.desk.settled(draft.ask_ns):
            continue
        exchange = promised(talk, draft) if draft.standing else answered(talk, draft)
        key = (draft.question, *(reply.text for reply in draft.replies[:1]))
        if exchange is not None and key not in asked and talk.add(exchange):
            asked.add(key)
            return True
    return False


def dialogue_of(
    video: Video, desk: Desk, config: DialogueConfig, *, seed: int, balance: Balance | None = None
) -> Dialogue:
    """The dialogue of one video, over its whole length; there is always at least one exchange.

    Args:
        video: whose it is.
        desk: its facts, a teacher, and a generator made from `seed`.
        config: how talkative it is.
        seed: goes into the record's provenance.
        balance: keeps the shares of states over the dialogues of a build; None: everything stays.
    """
    made = derive_id("dialogue", video.id, 0)
    # A generator of its own: the same is asked, however fast the answers come.
    rng = Random(seed_of(made, "latency", seed))
    paces = drawn_paces(config.speech, config.latency, rng) if config.latency else None
    talk = Talk(made, desk, config.speech, Floor(config.speech.pause_ns), config.ways, paces)
    wanted = min(config.most, max(config.least, int(video.duration_ns * config.per_minute / _NS_PER_MINUTE)))
    converse(talk, config, wanted=wanted)
    exchanges = talk.exchanges
    if balance is not None:
        balance.tried(video.split, talk.styles)
        exchanges = balance.thinned(video.split, exchanges, desk.clock)
    turns = [turn for exchange in exchanges for turn in exchange.turns]
    turns.sort(key=lambda turn: (turn.start_ns, turn.role != "user", turn.end_ns, turn.id))
    inputs = dict.fromkeys(event for exchange in exchanges for event in exchange.events)
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
