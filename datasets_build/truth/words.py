"""What the template could have said: the words of a question and of its answers, from what they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from datasets_build.core.records import About, Provenance
from datasets_build.core.topics import ACTS, PICTURE_SET, SOMETHING, name_after
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import PHRASES, TERSE, Template, load_template
from datasets_build.truth.grounds import Fact

_NOW = re.compile(r"\b(?:now|just|moment|look|there it is|here|recently|current(?:ly)?)\b", re.IGNORECASE)
_ASKS: dict[tuple[str, str], tuple[Intent, ...]] = {
    ("now", "scene"): ("ask_now",),
    ("now", "camera"): ("ask_now_camera",),
    ("now", "label"): ("ask_is_on",),
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
}


def writer_of(provenance: Provenance) -> Template | None:
    """The template that wrote a record, if it is one of those at hand."""
    at_hand = (load_template(path) for path in (PHRASES, TERSE)) if provenance.kind == "template" else ()
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
    return _all(writer, intents, about=happening_of(about))


def answer_texts(
    writer: Template, task: str, about: About, told: Sequence[Fact], *, number: int | None, absent: bool = False
) -> frozenset[str]:
    """All answers to a question: with these events, this number, or none because it is about nothing."""
    said = tuple(_happening(fact) for fact in told)
    if task == "tell_me_when":
        return _all(writer, ("say_tell",), about=said[0] if said else None)
    if task in _LOOKS:
        names = (name_after(fact.event) for fact in told)
        return frozenset[str]().union(
            *(_all(writer, (_LOOKS[task],), about=Happening("enter", "", name, "")) for name in names)
        )
    if task in ("happened_yet", "now") and about.kind not in ("scene", "camera"):
        yes, no = ("say_yes", "say_not_yet") if task == "happened_yet" else ("say_is_on", "say_is_off")
        verdict: Intent = yes if said else no  # type: ignore[assignment]  # both are intents
        return _all(writer, (verdict,), about=happening_of(about))
    if absent:
        refusal: Intent = "say_no_subject" if about.kind == "subject" else "say_not_happened"
        return _all(writer, (refusal,), about=happening_of(about))
    if task == "count_so_far":
        return _all(writer, ("say_count",), number=number)
    return _all(writer, (_TELLS.get((task, about.kind), "say_before"),), told=said)


_LOOKS: dict[str, Intent] = {"colour": "say_colour", "shape": "say_shape"}
_TELLS: dict[tuple[str, str], Intent] = {
    ("now", "scene"): "say_now",
    ("now", "camera"): "say_now",
    ("before", "scene"): "say_last",
    ("before", "changes"): "say_last",
    ("before", "subject"): "say_subject",
    ("next", "scene"): "say_next",
}


def _happening(fact: Fact) -> Happening:
    event = fact.event
    return Happening(event.label, event.label_set, event.subject, event.caption)


def _all(
    writer: Template,
    intents: Sequence[Intent],
    *,
    about: Happening | None = None,
    told: tuple[Happening, ...] = (),
    number: int | None = None,
) -> frozenset[str]:
    requests = (Request(intent=intent, about=about, told=told, number=number) for intent in intents)
    return frozenset(text for request in requests for text in writer.phrasings(request))


def acknowledgements(writer: Template) -> frozenset[str]:
    """All ways of taking up a request."""
    return _all(writer, ("acknowledge",))


def speaks_of_now(text: str) -> bool:
    """Whether a text says when it is said, so that it is false when it is said later."""
    return _NOW.search(text) is not None


def late_texts(writer: Template, fact: Fact) -> list[str]:
    """What can be told of an event when it is over, in words that stay true."""
    texts = answer_texts(writer, "before", About(kind="scene"), [fact], number=None)
    return sorted(text for text in texts if not speaks_of_now(text))
