"""The interface to whoever writes the words of a dataset: a template, a model, a person.

A teacher is told what is to be said and about what, never when it happens nor what comes later: what it does not know
it cannot give away.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from datasets_build.core.records import Provenance

Intent = Literal[
    "system",
    "acknowledge",
    "ask_now",
    "ask_now_camera",
    "say_now",
    "ask_is_on",
    "say_is_on",
    "say_is_off",
    "ask_last",
    "ask_last_picture",
    "say_last",
    "ask_before",
    "ask_before_picture",
    "say_before",
    "say_not_happened",
    "ask_subject",
    "say_subject",
    "say_no_subject",
    "ask_yet",
    "say_yes",
    "say_not_yet",
    "ask_tell",
    "ask_tell_each",
    "say_tell",
    "ask_count",
    "ask_count_shots",
    "say_count",
    "ask_colour",
    "say_colour",
    "ask_shape",
    "say_shape",
    "ask_next",
    "say_next",
    "ask_order",
    "ask_order_of",
    "say_order",
    "ask_who",
    "say_who",
    "ask_where",
    "say_where",
    "ask_read",
    "say_read",
    "ask_step",
    "ask_step_once",
    "say_is_under_way",
    "say_is_not_under_way",
    "ask_clue",
    "say_clue",
    "ask_colour_of",
    "ask_greeting",
    "say_greeting",
    "ask_thanks",
    "say_thanks",
    "ask_delegate",
    "say_delegate",
    "ask_follow_up",
    "ask_follow_count",
    "ask_meant",
    "ask_narrate",
]
Manner = Literal["form", "caption", "line"]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event without its times: a class, who it is about, and a sentence."""

    label: str
    label_set: str
    subject: str | None
    caption: str


@dataclass(frozen=True, slots=True)
class Topic:
    """What a teacher's words can name.

    Two happenings of one `key` cannot be told apart by the words. `manner` says how they are named: a `form` of
    grammar built from label and subject, which says no more than can be seen at the onset; the whole `caption` in
    quotes; a spoken or shown `line` in quotes. The last two are complete only when the event is over.
    """

    key: str
    manner: Manner


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something to say: `about` is asked for, `told` is the answer's content, `number` a count."""

    intent: Intent
    about: Happening | None = None
    told: tuple[Happening, ...] = ()
    number: int | None = None


class Teacher(Protocol):
    """Writes words. Everything random comes from the generator that is passed in."""

    @property
    def digest(self) -> str:
        """What decides its words, as a digest."""
        ...

    @property
    def language(self) -> str:
        """BCP 47 tag of its words."""
        ...

    def topic(self, happening: Happening) -> Topic | None:
        """What its words can name of a happening; None when it has no words for it."""
        ...

    def absent_subjects(self) -> Sequence[str]:
        """Things that are in no video unless its annotations name them."""
        ...

    def write(self, request: Request, rng: random.Random) -> str | None:
        """One sentence or two; None when it has no words for the request."""
        ...

    def provenance(self, *, seed: int, inputs: Sequence[str]) -> Provenance:
        """Who wrote, from which records."""
        ...
