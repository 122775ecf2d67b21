"""How a language names what happens: its nouns, its quotes, its numbers of verbs, and how it tells of an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from datasets_build.core.config import Config
from datasets_build.core.evidence import WORDS_LABELS
from datasets_build.core.topics import PICTURE_SET, SOMETHING, is_determiner, named, plain, quoted, sentence
from datasets_build.teachers.number import is_plural
from datasets_build.teachers.teacher import Happening


class Form(Config):
    """How one label is said; `who: subject` stands for the event's own subject, which may be several."""

    who: str
    present: str
    present_plural: str | None = None
    past: str
    participle: str
    progressive: str | None = None


class Grammar(Protocol):
    """What differs between languages."""

    def named(self, subject: str) -> str:
        """A subject as it stands in a sentence; empty for an empty one. Other subjects have other names."""
        ...

    def filling(self, who: str, form: Form) -> Mapping[str, str]:
        """What the places of a pattern are filled with for somebody who does something."""
        ...

    def told(self, happening: Happening) -> str:
        """An event's own sentence as it is told."""
        ...

    def joined(self, told: Sequence[str]) -> str:
        """Several sentences one after the other."""
        ...


class English:
    """Articles, and verbs in their number."""

    def named(self, subject: str) -> str:
        """With its articles: `the red circle`."""
        return named(subject)

    def filling(self, who: str, form: Form) -> Mapping[str, str]:
        """Verbs agree with who does it; where its number cannot be told, only the plain form of a verb is there."""
        filling = {
            "who": who,
            "Who": _capital(who),
            "past": form.past,
            "participle": form.participle,
            "subject": _without_determiner(who),
        }
        # Who has but one form of a verb is of the picture: "the camera".
        many = is_plural(who) if form.present_plural else False
        if form.present_plural:
            filling["base"] = form.present_plural
        if many is not None:
            filling |= _agreeing(form, many=many)
        look = _look(filling["subject"])
        return filling | look | ({"a_shape": _with_article(look["shape"])} if look else {})

    def told(self, happening: Happening) -> str:
        """As it is."""
        return _told(happening)

    def joined(self, told: Sequence[str]) -> str:
        """With a space."""
        return " ".join(told)


class Chinese:
    """No inflection and no spaces; what a corpus says stays as it is, in quotes. `own` is what the house itself says.

    Attributes:
        captions: sentences of the picture's own labels.
        places: where something is, by the English word.
    """

    def __init__(self, captions: Mapping[str, str], places: Mapping[str, str]) -> None:
        self.captions, self.places = captions, places

    def named(self, subject: str) -> str:
        """In quotes, without `the`, which the words of this house put there: two are joined."""
        names = [name.removeprefix("the ") for name in named(subject).split(" and ") if name]
        return "和".join("某个东西" if name == SOMETHING else f"“{name}”" for name in names)

    def filling(self, who: str, form: Form) -> Mapping[str, str]:
        """A verb has one form."""
        filling = {
            "who": who,
            "present": form.present,
            "past": form.past,
            "participle": form.participle,
            "subject": who,
        }
        return filling | _look(who.strip("“”"))

    def told(self, happening: Happening) -> str:
        """The picture's own events and places in Chinese, all else quoted."""
        if happening.label_set == PICTURE_SET and happening.label in self.captions:
            return self.captions[happening.label]
        if happening.label == "place" and not happening.label_set:
            place = happening.caption.removesuffix(".").rpartition(" is at the ")[2]
            if place in self.places:
                return f"{self.named(happening.subject or '')}在画面{self.places[place]}。"
        return f"“{_told(happening)}”"

    def joined(self, told: Sequence[str]) -> str:
        """Without a space."""
        return "".join(told)


def quote_of(about: Happening) -> str:
    """A spoken or shown line stays as it is; a caption becomes a sentence without quotes of its own."""
    return plain(about.caption) if about.label in WORDS_LABELS else quoted(about.caption)


def _told(happening: Happening) -> str:
    if happening.label in WORDS_LABELS:
        return plain(happening.caption)
    told = sentence(happening.caption)
    # "iPhone" and "pH" are written as they are.
    return told if told[1:2].isupper() else told[:1].upper() + told[1:]


def _agreeing(form: Form, *, many: bool) -> dict[str, str]:
    is_, has, does, that = ("are", "have", "do", "those") if many else ("is", "has", "does", "that")
    present = form.present_plural if many and form.present_plural else form.present
    words = {"is": is_, "has": has, "that": that}
    capitals = {_capital(name): _capital(word) for name, word in words.items()}
    return words | capitals | {"does": does, "present": present}


def _look(name: str) -> dict[str, str]:
    words = name.split()
    return {"colour": words[0], "shape": words[1]} if len(words) == 2 else {}


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].casefold() in 'aeiou' else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _without_determiner(who: str) -> str:
    first, _, rest = who.partition(" ")
    return rest if rest and is_determiner(first) else who
