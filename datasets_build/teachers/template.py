"""The teacher without a model: phrasings from a YAML file, drawn with a seed."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from datasets_build.core.config import Config, load_config
from datasets_build.core.evidence import WORDS_LABELS
from datasets_build.core.records import Provenance
from datasets_build.core.topics import PICTURE_SET, plain
from datasets_build.teachers.grammar import Chinese, Drawn, English, Form, Grammar, quote_of
from datasets_build.teachers.phrasings import expanded
from datasets_build.teachers.teacher import Happening, Intent, Request, Topic

PHRASES = Path(__file__).with_name("template.yaml")
CHINESE = Path(__file__).with_name("template_zh.yaml")
TERSE = Path(__file__).with_name("terse.yaml")
"""One short phrasing of each intent, for models that learn to speak from nothing."""
_PLACES = frozenset(
    "who Who is Is has Has that That does base present past participle progressive subject colour shape a_shape "  # noqa: SIM905 - reads as a sentence
    "quote told number".split()
)
Listing = Literal["any", "form", "caption", "line"]


class Phrases(Config):
    """The YAML file; `tell` says whether answers tell of an event in its own sentence, or by its form in few words.

    The lines of an intent may hold alternatives, and `parts` that several share (`teachers/phrasings.py`).
    """

    version: str
    language: Literal["en", "zh"]
    tell: Literal["sentence", "form"] = "sentence"
    captions: dict[str, str]
    places: dict[str, str] = Field(default_factory=dict)
    drawn: Drawn = Field(default_factory=Drawn)
    forms: dict[str, Form]
    absent_subjects: tuple[str, ...]
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    intents: dict[Intent, dict[Listing, tuple[str, ...]]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = set(get_args(Intent)) - set(self.intents)
        if missing:
            raise ValueError(f"no phrasings for {', '.join(sorted(missing))}")
        for intent, lists in self.intents.items():
            for listing in lists:
                self._sound(intent, [text for texts in self.sentences(intent, listing) for text in texts])
        return self

    def _sound(self, intent: Intent, patterns: Sequence[str]) -> None:
        for pattern in patterns:
            strange = _places(pattern) - _PLACES
            if strange:
                raise ValueError(f"{intent}: {pattern!r} names {', '.join(sorted(strange))}, which is no place")

    def sentences(self, intent: Intent, listing: Listing) -> tuple[tuple[str, ...], ...]:
        """What each line of an intent stands for. Raises ValueError where they cannot be worked out."""
        try:
            return expanded(self.intents[intent].get(listing, ()), self.parts)
        except ValueError as error:
            raise ValueError(f"{intent}: {error}") from None

    @property
    def grammar(self) -> Grammar:
        """Of its language."""
        return Chinese(self.captions, self.places, self.drawn) if self.language == "zh" else English()


class _Pattern(NamedTuple):
    """A sentence with places, and which."""

    text: str
    places: frozenset[str]


_Line = tuple[_Pattern, ...]


class Template:
    """Fills phrasings. `caption_of` gives the sentence of a label that the picture itself shows."""

    def __init__(self, phrases: Phrases, sha256: str) -> None:
        self._phrases, self._sha256, self._grammar = phrases, sha256, phrases.grammar
        self._lines: dict[tuple[Intent, Listing], tuple[_Line, ...]] = {
            (intent, listing): tuple(map(_line, phrases.sentences(intent, listing)))
            for intent, lists in phrases.intents.items()
            for listing in lists
        }
        self._fitting: dict[tuple[Intent, Listing, frozenset[str]], Sequence[_Line]] = {}

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
        quote = quote_of(happening)
        return Topic(f"{manner}|{quote.casefold()}", manner)

    def write(self, request: Request, rng: random.Random) -> str | None:
        """Fill a phrasing of the intent: of any line, then of its sentences; None when it has none for this event."""
        filling = self.filling(request)
        lines = self._lines_for(request, frozenset(filling))
        return rng.choice(rng.choice(lines)).text.format_map(filling) if lines else None

    def phrasings(self, request: Request) -> frozenset[str]:
        """All that `write` could say to a request."""
        return _phrasings(self, request)

    def patterns(self, request: Request, places: frozenset[str]) -> Iterator[_Pattern]:
        """What it fills to answer a request, where it can fill such places."""
        return (pattern for line in self._lines_for(request, places) for pattern in line)

    def _lines_for(self, request: Request, places: frozenset[str]) -> Sequence[_Line]:
        """The lines of a request without the patterns that need more, such as a number that cannot be told."""
        topic = self.topic(request.about) if request.about else None
        own: Listing = topic.manner if topic else "any"
        listing: Listing = "any" if (request.intent, "any") in self._lines else own
        key = (request.intent, listing, places)
        if key not in self._fitting:
            lines = self._lines.get((request.intent, listing), ())
            kept = (tuple(pattern for pattern in line if pattern.places <= places) for line in lines)
            self._fitting[key] = tuple(line for line in kept if line)
        return self._fitting[key]

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
        subject = self._grammar.named(happening.subject or "")
        return subject if subject and happening.label_set != PICTURE_SET else None

    def filling(self, request: Request) -> Mapping[str, str]:
        """What it fills the places of a pattern with."""
        filling: dict[str, str] = {}
        if request.about is not None:
            filling |= self._form_filling(request.about)
            filling["quote"] = quote_of(request.about)
        if request.told:
            told = [self._tell(happening) for happening in request.told]
            filling["told"] = ", ".join(told) if self._phrases.tell == "form" else self._grammar.joined(told)
        if request.number is not None:
            filling["number"] = str(request.number)
        return filling

    def _tell(self, happening: Happening) -> str:
        form = self._form_filling(happening) if self._phrases.tell == "form" else {}
        return f"{form['subject']} {form['present']}" if "present" in form else self._grammar.told(happening)

    def _form_filling(self, about: Happening) -> dict[str, str]:
        who = self._who(about)
        if who is None:
            return {}
        form = self._phrases.forms[about.label]
        filling = dict(self._grammar.filling(who, form))
        return filling | ({"progressive": form.progressive} if form.progressive else {})


# The same things happen in every copy of a video; a request has hundreds of texts.
@lru_cache(maxsize=512)
def _phrasings(template: Template, request: Request) -> frozenset[str]:
    filling = template.filling(request)
    patterns = template.patterns(request, frozenset(filling))
    return frozenset(pattern.text.format_map(filling) for pattern in patterns)


def _line(texts: Sequence[str]) -> _Line:
    return tuple(_Pattern(text, _places(text)) for text in texts)


def _places(pattern: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(pattern) if name)


@lru_cache(maxsize=8)
def load_template(path: Path = PHRASES) -> Template:
    """Read a template. Raises ConfigError when the file lacks an intent or names an unknown place."""
    phrases = load_config(Phrases, path)
    return Template(phrases, hashlib.sha256(path.read_bytes()).hexdigest())
