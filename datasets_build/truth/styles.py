"""Styles of talking: what needs no proof, and turns of a user that refer to what the assistant has just said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from datasets_build.core.records import About, Event, Turn
from datasets_build.core.topics import names_in
from datasets_build.teachers.teacher import Intent, Request
from datasets_build.teachers.template import Template
from datasets_build.truth.words import happening_of

SOCIAL: dict[str, dict[Intent, Intent]] = {
    "small_talk": {"ask_greeting": "say_greeting", "ask_thanks": "say_thanks"},
    "delegate": {"ask_delegate": "say_delegate"},
}
"""What is said to what is asked without anything seen, by task."""
FOLLOW_UPS: dict[str, Intent] = {"before": "ask_follow_up", "count_so_far": "ask_follow_count"}
"""How a follow-up is asked, by its task."""
Style = Literal["follow_up", "meant"]


def social_texts(writer: Template, task: str, question: str) -> frozenset[str]:
    """All that may be said to small talk, or to what is handed on; nothing where nobody asks like that."""
    fitting = [say for ask, say in SOCIAL[task].items() if question in writer.phrasings(Request(intent=ask))]
    return frozenset(text for say in fitting for text in writer.phrasings(Request(intent=say)))


def referring_texts(writer: Template, style: Style, task: str, about: About) -> frozenset[str]:
    """All words of a turn that refers to what has just been said."""
    if style == "follow_up":
        return writer.phrasings(Request(intent=FOLLOW_UPS[task])) if task in FOLLOW_UPS else frozenset()
    return writer.phrasings(Request(intent="ask_meant", about=happening_of(about)))


def is_referring(turn: Turn) -> bool:
    """Whether a turn of a user names a turn of the assistant that it refers to."""
    return turn.role == "user" and turn.trigger == "user_query"


def style_of(user: Turn, answer: Turn, heard: Turn | None, events: Mapping[str, Event]) -> Style | None:
    """How a user refers to an answer: by "that" to what it told of, or to the question, of which another is meant.

    Args:
        user: the turn that refers.
        answer: what it refers to.
        heard: the question to that.
        events: of the video, by id.

    Returns:
        None where it does neither, so that its words would be unclear.
    """
    if user.about is None or answer.role != "assistant" or answer.truncated_at_char is not None or not answer.learn:
        return None
    if _is_about_told(user.about, answer, events):
        return "follow_up"
    if heard is None or heard.about is None or heard.task != user.task:
        return None
    other = heard.about.model_copy(update={"subject": user.about.subject})
    differs = None not in (user.about.subject, heard.about.subject) and user.about.subject != heard.about.subject
    return "meant" if differs and other == user.about else None


def told_event(answer: Turn, events: Mapping[str, Event]) -> Event | None:
    """The one event of one subject that an answer rests on; None where it rests on others too, or on none."""
    names = {piece.event_id for piece in answer.evidence if piece.event_id}
    event = events.get(next(iter(names))) if len(names) == 1 else None
    return event if event is not None and len(names_in(event.subject)) == 1 else None


def _is_about_told(about: About, answer: Turn, events: Mapping[str, Event]) -> bool:
    event = told_event(answer, events)
    if event is None or about.subject != event.subject:
        return False
    return about.kind == "subject" or (about.kind == "label" and about.label == event.label)
