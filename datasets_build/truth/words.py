"""What the template could have said: the words of a question and of its answers, from what they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from datasets_build.core.records import About, Event, Provenance
from datasets_build.core.topics import ACTS, PICTURE_SET, SOMETHING
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import CHINESE, PHRASES, TERSE, Template, load_template
from datasets_build.truth.grounds import Fact
from datasets_build.truth.looks import name_of
from datasets_build.truth.places import place_sentence

_NOW = re.compile(
    r"\b(?:now|just|moment|look|there it is|here|recently|current(?:ly)?)\b"
    # Chinese has no spaces; "to this day" is no now.
    r"|(?<!到)(?:现在|目前)|此刻|眼下|这会儿|这下|当前|刚|正[在处]|看[，：]",
    re.IGNORECASE,
)
_YES, _NO = re.compile("yes|是|对", re.IGNORECASE), re.compile("no|不|没|并非", re.IGNORECASE)
_ASKS: dict[tuple[str, str], tuple[Intent, ...]] = {
    ("now", "scene"): ("ask_now",),
    ("now", "camera"): ("ask_now_camera",),
    ("now", "label"): ("ask_is_on",),
    ("now", "caption"): ("ask_is_on",),
    ("before", "scene"): ("ask_last",),
    ("before", "changes"): ("ask_last_picture",),
    ("before", "subject"): ("ask_subject",),
    ("before", ""): ("ask_before", "ask_before_picture"),
    ("happened_yet", ""): ("ask_yet",),
    ("tell_me_when", "scene"): ("ask_narrate",),
    ("tell_me_when", ""): ("ask_tell",),
    ("count_so_far", "shots"): ("ask_count_shots",),
    ("count_so_far", ""): ("ask_count",),
    ("next", "scene"): ("ask_next",),
    ("colour", "scene"): ("ask_colour",),
    ("shape", "scene"): ("ask_shape",),
    ("colour", "label"): ("ask_colour_of",),
    ("order", "scene"): ("ask_order",),
    ("order", "label"): ("ask_order_of",),
    ("who", "label"): ("ask_who",),
    ("where", "subject"): ("ask_where",),
    ("read", "label"): ("ask_read",),
    ("step", ""): ("ask_step",),
    ("clue", "subject"): ("ask_clue",),
}


def writer_of(provenance: Provenance) -> Template | None:
    """The template that wrote a record, if it is one of those at hand."""
    at_hand = (load_template(path) for path in (PHRASES, CHINESE, TERSE)) if provenance.kind == "template" else ()
    return next((template for template in at_hand if template.digest == provenance.prompt_sha256), None)


def happening_of(about: About) -> Happening | None:
    """What a question names, as its writer was told it."""
    if about.kind == "label" and about.subject is None and about.label in ACTS:
        return Happening(about.label, "", SOMETHING, "")
    if about.kind == "label":
        return Happening(about.label or "", PICTURE_SET if about.subject is None else "", about.subject, "")
    if about.kind == "subject":
        # Any act will do: only the subject is named.
        return Happening("move", "", about.subject, "")
    if about.kind in ("caption", "line"):
        return Happening("subtitle" if about.kind == "line" else "caption", "", None, about.text or "")
    return None


def question_texts(writer: Template, task: str, about: About) -> frozenset[str]:
    """All questions of a task about something."""
    intents: tuple[Intent, ...] = _ASKS.get((task, about.kind)) or _ASKS.get((task, ""), ())
    if task == "tell_me_when" and about.every and about.kind != "scene":
        intents = ("ask_tell_each",)
    if task == "step" and not about.every:
        intents = ("ask_step_once",)
    return _all(writer, intents, about=happening_of(about))


class Told(Protocol):
    """Something that tells of an event."""

    @property
    def event(self) -> Event:
        """What happened."""
        ...


class Telling(NamedTuple):
    """What an answer says: some events, a number or a place; `absent`: that what is asked after never happened."""

    told: Sequence[Told] = ()
    number: int | None = None
    place: str | None = None
    absent: bool = False


def answer_texts(
    writer: Template, task: str, about: About, told: Sequence[Fact], *, number: int | None, absent: bool = False
) -> frozenset[str]:
    """All answers to a question: with these events, this number, or none because it is about nothing."""
    return texts_of(writer, task, about, Telling(told, number=number, absent=absent))


def texts_of(writer: Template, task: str, about: About, telling: Telling) -> frozenset[str]:
    """All answers to a question that say one thing."""
    return frozenset[str]().union(*map(writer.phrasings, requests_of(task, about, telling)))


def requests_of(task: str, about: About, telling: Telling) -> list[Request]:
    """What a teacher is asked for so that an answer says something; several where each of them says it."""
    said = tuple(_happening(fact) for fact in telling.told)
    if task == "tell_me_when":
        return [Request(intent="say_tell", about=said[0] if said else None)]
    if task in _LOOKS:
        names = (name_of(fact.event) for fact in telling.told)
        return [Request(intent=_LOOKS[task], about=Happening("enter", "", name, "")) for name in names]
    if task in _VERDICTS and about.kind not in ("scene", "camera"):
        return [Request(intent=_VERDICTS[task][not said], about=happening_of(about))]
    if telling.absent:
        refusal: Intent = "say_no_subject" if about.kind == "subject" else "say_not_happened"
        return [Request(intent=refusal, about=happening_of(about))]
    if task == "count_so_far":
        return [Request(intent="say_count", number=telling.number)]
    if task == "who":
        return [Request(intent="say_who", about=one) for one in said[:1]]
    if task == "where":
        text = place_sentence(about.subject or "", telling.place or "")
        return [Request(intent="say_where", told=(Happening("place", "", about.subject, text),))]
    return [Request(intent=_TELLS.get((task, about.kind), "say_before"), told=said)]


_VERDICTS: dict[str, tuple[Intent, Intent]] = {
    "happened_yet": ("say_yes", "say_not_yet"),
    "now": ("say_is_on", "say_is_off"),
    "step": ("say_is_under_way", "say_is_not_under_way"),
}
_LOOKS: dict[str, Intent] = {"colour": "say_colour", "shape": "say_shape"}
_TELLS: dict[tuple[str, str], Intent] = {
    ("now", "scene"): "say_now",
    ("now", "camera"): "say_now",
    ("before", "scene"): "say_last",
    ("before", "changes"): "say_last",
    ("before", "subject"): "say_subject",
    ("next", "scene"): "say_next",
    ("order", "scene"): "say_order",
    ("order", "label"): "say_order",
    ("read", "label"): "say_read",
    ("clue", "subject"): "say_clue",
}


def _happening(fact: Told) -> Happening:
    event = fact.event
    return Happening(event.label, event.label_set, event.subject, event.caption)


def _all(
    writer: Template,
    intents: Sequence[Intent],
    *,
    about: Happening | None = None,
) -> frozenset[str]:
    return frozenset[str]().union(*(writer.phrasings(Request(intent=intent, about=about)) for intent in intents))


def acknowledgements(writer: Template) -> frozenset[str]:
    """All ways of taking up a request."""
    return _all(writer, ("acknowledge",))


def speaks_of_now(text: str) -> bool:
    """Whether a text says when it is said, so that it is false when it is said later."""
    return _NOW.search(text) is not None


def says_yes(text: str) -> bool:
    """Whether an answer to a question of yes or no is a yes: its first word says so."""
    return _YES.match(text) is not None


def says_no(text: str) -> bool:
    """Whether an answer begins as a no does."""
    return _NO.match(text) is not None


def late_texts(writer: Template, fact: Fact) -> list[str]:
    """What can be told of an event when it is over, in words that stay true."""
    texts = answer_texts(writer, "before", About(kind="scene"), [fact], number=None)
    return sorted(text for text in texts if not speaks_of_now(text))
