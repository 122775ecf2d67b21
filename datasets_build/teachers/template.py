"""The teacher without a model: phrasings from a YAML file, drawn with a seed."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import model_validator

from datasets_build.core.config import Config, load_config
from datasets_build.core.evidence import WORDS_LABELS
from datasets_build.core.records import Provenance
from datasets_build.core.topics import PICTURE_SET, is_determiner, named, plain, quoted, sentence
from datasets_build.teachers.teacher import Happening, Intent, Request, Topic

PHRASES = Path(__file__).with_name("template.yaml")
TERSE = Path(__file__).with_name("terse.yaml")
"""One short phrasing of each intent, for models that learn to speak from nothing."""
_PLACES = frozenset(
    "who Who is Is has Has present past participle progressive subject colour shape quote told number".split()  # noqa: SIM905 - reads as a sentence
)
Listing = Literal["any", "form", "caption", "line"]


class Form(Config):
    """How one label is said; `who: subject` stands for the event's own subject, which may be two ("a and b")."""

    who: str
    present: str
    present_plural: str | None = None
    past: str
    participle: str
    progressive: str | None = None


class Phrases(Config):
    """The YAML file; `tell` says whether answers tell of an event in its own sentence, or by its form in few words."""

    version: str
    language: str
    tell: Literal["sentence", "form"] = "sentence"
    captions: dict[str, str]
    forms: dict[str, Form]
    absent_subjects: tuple[str, ...]
    intents: dict[Intent, dict[Listing, tuple[str, ...]]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = set(get_args(Intent)) - set(self.intents)
        if missing:
            raise ValueError(f"no phrasings for {', '.join(sorted(missing))}")
        for intent, lists in self.intents.items():
            for pattern in (pattern for patterns in lists.values() for pattern in patterns):
                strange = {name for _, name, _, _ in string.Formatter().parse(pattern) if name} - _PLACES
                if strange:
                    raise ValueError(f"{intent}: {pattern!r} names {', '.join(sorted(strange))}, which is no place")
        return self


class Template:
    """Fills phrasings. `caption_of` gives the sentence of a label that the picture itself shows."""

    def __init__(self, phrases: Phrases, sha256: str) -> None:
        self._phrases, self._sha256 = phrases, sha256

    @property
    def digest(self) -> str:
        """The SHA-256 of the YAML file."""
        return self._sha256

    @property
    def language(self) -> str:
        """BCP 47 tag."""
        return self._phrases.language

    def caption_of(self, label: str) -> str:
        """The sentence of a picture label such as `pan_left`."""
        return self._phrases.captions[label]

    def absent_subjects(self) -> Sequence[str]:
        """Things that are in no video unless its annotations name them."""
        return self._phrases.absent_subjects

    def topic(self, happening: Happening) -> Topic | None:
        """Name a happening by its form where its label has one, else by its sentence; None for an empty sentence."""
        who = self._who(happening)
        if who is not None:
            return Topic(f"{happening.label}|{who.casefold()}", "form")
        if not plain(happening.caption):
            return None
        manner: Literal["line", "caption"] = "line" if happening.label in WORDS_LABELS else "caption"
        quote = _quote(happening)
        return Topic(f"{manner}|{quote.casefold()}", manner)

    def write(self, request: Request, rng: random.Random) -> str | None:
        """Fill a phrasing of the intent; None when it has none for this kind of event."""
        patterns = self.patterns(request)
        return _fill(rng.choice(patterns), self.filling(request)) if patterns else None

    def phrasings(self, request: Request) -> frozenset[str]:
        """All that `write` could say to a request."""
        return _phrasings(self, request)

    def patterns(self, request: Request) -> Sequence[str]:
        """What it fills to answer a request."""
        topic = self.topic(request.about) if request.about else None
        lists = self._phrases.intents[request.intent]
        return lists.get("any", ()) or (lists.get(topic.manner, ()) if topic else ())

    def provenance(self, *, seed: int, inputs: Sequence[str]) -> Provenance:
        """A template of this version and content, drawn with this seed."""
        return Provenance(
            kind="template",
            agent="template",
            version=self._phrases.version,
            prompt_sha256=self._sha256,
            seed=seed,
            inputs=tuple(inputs),
        )

    def _who(self, happening: Happening) -> str | None:
        form = self._phrases.forms.get(happening.label)
        if form is None:
            return None
        if form.who != "subject":
            return form.who if happening.label_set == PICTURE_SET else None
        subject = named(happening.subject or "")
        return subject if subject and happening.label_set != PICTURE_SET else None

    def filling(self, request: Request) -> Mapping[str, str]:
        """What it fills the places of a pattern with."""
        filling: dict[str, str] = {}
        if request.about is not None:
            filling |= self._form_filling(request.about)
            filling["quote"] = _quote(request.about)
        if request.told:
            pause = ", " if self._phrases.tell == "form" else " "
            filling["told"] = pause.join(map(self._tell, request.told))
        if request.number is not None:
            filling["number"] = str(request.number)
        return filling

    def _tell(self, happening: Happening) -> str:
        form = self._form_filling(happening) if self._phrases.tell == "form" else {}
        return f"{form['subject']} {form['present']}" if form else _told(happening)

    def _form_filling(self, about: Happening) -> dict[str, str]:
        who = self._who(about)
        if who is None:
            return {}
        form = self._phrases.forms[about.label]
        many = form.present_plural is not None and " and " in who
        is_, has = ("are", "have") if many else ("is", "has")
        filling = {
            "who": who,
            "Who": _capital(who),
            "is": is_,
            "Is": _capital(is_),
            "has": has,
            "Has": _capital(has),
            "present": form.present_plural if many and form.present_plural else form.present,
            "past": form.past,
            "participle": form.participle,
            "subject": _without_determiner(who),
        }
        look = filling["subject"].split()
        filling |= {"colour": look[0], "shape": look[1]} if len(look) == 2 else {}
        return filling | ({"progressive": form.progressive} if form.progressive else {})


# The same things happen in every copy of a video.
@lru_cache(maxsize=8192)
def _phrasings(template: Template, request: Request) -> frozenset[str]:
    filling = template.filling(request)
    texts = (_fill(pattern, filling) for pattern in template.patterns(request))
    return frozenset(text for text in texts if text is not None)


def _fill(pattern: str, filling: Mapping[str, str]) -> str | None:
    return pattern.format_map(filling) if _places(pattern) <= filling.keys() else None


@lru_cache(maxsize=1024)
def _places(pattern: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(pattern) if name)


def _told(happening: Happening) -> str:
    is_line = happening.label in WORDS_LABELS
    return plain(happening.caption) if is_line else sentence(happening.caption)


def _quote(about: Happening) -> str:
    """A spoken or shown line stays as it is; a caption becomes a sentence without quotes of its own."""
    return plain(about.caption) if about.label in WORDS_LABELS else quoted(about.caption)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _without_determiner(who: str) -> str:
    first, _, rest = who.partition(" ")
    return rest if rest and is_determiner(first) else who


@lru_cache(maxsize=4)
def load_template(path: Path = PHRASES) -> Template:
    """Read a template. Raises ConfigError when the file lacks an intent or names an unknown place."""
    phrases = load_config(Phrases, path)
    return Template(phrases, hashlib.sha256(path.read_bytes()).hexdigest())
