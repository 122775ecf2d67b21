"""Barging in: a user breaks into an answer with another question, and what was left of the answer is not said."""

from __future__ import annotations

from datasets_build.builders.exchanges import (
    Exchange,
    Outcome,
    Talk,
    assistant_turn,
    events_in,
    once,
    spoken,
    user_turn,
)
from datasets_build.builders.facts import Draft, told_names
from datasets_build.builders.ways import BARGING
from datasets_build.core.cutting import cut_short, ends_amid_word
from datasets_build.core.speech import question_until

_TRIES = 120


def barge_in(talk: Talk, position: int, reach_ns: int) -> Outcome:
    """Let the user break into the answer of a plain exchange with another question, inside a word if that can be."""
    outcome: Outcome = "nothing fits"
    for attempt in range(_TRIES):
        # People break into words; between two words only where no such instant is found.
        found = _interrupt(talk, position, reach_ns, amid_word=attempt < _TRIES // 2)
        if found == "done":
            return found
        outcome = found if found == "no room" else outcome
    return outcome


def _interrupt(talk: Talk, position: int, reach_ns: int, *, amid_word: bool) -> Outcome:
    desk, victim = talk.desk, talk.exchanges[position]
    heard, answer = victim.turns[0], victim.turns[1]
    t = desk.between(answer.start_ns + 1, answer.end_ns + reach_ns)
    asks = [ask for way, ask in BARGING.items() if way in talk.ways]
    draft = desk.rng.choice(asks)(desk, t) if asks and t is not None else None
    if draft is None or not desk.settled(draft.ask_ns) or draft.standing or draft.replies[0].t_ns > draft.ask_ns:
        return "nothing fits"
    said = spoken(talk, draft.replies[0])
    asked = question_until(draft.question, draft.ask_ns, desk.clock, talk.speech)
    cut = cut_short(answer, asked.start_ns, least_said=talk.speech.least_said, least_left=talk.speech.least_left)
    if said is None or cut is None or asks_again(victim, draft) or (amid_word and not ends_amid_word(cut)):
        return "no room"
    user = user_turn(talk, draft).model_copy(update={"interrupts": answer.id})
    reply = assistant_turn(talk, draft.replies[0], said, trigger="interruption", ref=user.id)
    events = tuple(dict.fromkeys((*victim.events, *events_in(draft.replies[:1]), *draft.inputs)))
    whole = (victim.held[0][0], said.end_ns)
    return (
        "done" if talk.put(position, Exchange((heard, cut, user, reply), (whole,), events, victim.asks)) else "no room"
    )


def asks_again(victim: Exchange, draft: Draft) -> bool:
    """Whether a question is after what is being answered: the same thing, the same events, or the same words."""
    told, asked = told_names(draft.replies[0]), (draft.task, once(draft.about))
    heard, answer = victim.turns[:2]
    same_words = draft.question == heard.text or draft.replies[0].text == answer.text
    return same_words or asked == victim.asks or (bool(told) and set(told) <= set(victim.events))
