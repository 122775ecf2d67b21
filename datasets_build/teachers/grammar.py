"""How a language names what happens: its nouns, its quotes, its numbers of verbs, and how it tells of an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import Field

from datasets_build.core.config import Config
from datasets_build.core.evidence import WORDS_LABELS
from datasets_build.core.topics import (
    COMPLETE_SETS,
    PICTURE_SET,
    SOMETHING,
    is_determiner,
    named,
    plain,
    quoted,
    sentence,
)
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


class Drawn(Config):
    """Words for what this project draws itself: by colour, by shape, by what a caption says after its subject."""

    colours: dict[str, str] = Field(default_factory=dict)
    shapes: dict[str, str] = Field(default_factory=dict)
    acts: dict[str, str] = Field(default_factory=dict)

    def named(self, name: str) -> str | None:
        """`red circle` in the words of the language."""
        colour, _, shape = name.partition(" ")
        known = colour in self.colours and shape in self.shapes
        return self.colours[colour] + self.shapes[shape] if known else None

    def look(self, who: str) -> dict[str, str]:
        """The colour and the shape of what `named` gave; nothing of anything else."""
        found = ((c, who.removeprefix(c)) for c in self.colours.values() if who.startswith(c))
        return next(({"colour": c, "shape": rest} for c, rest in found if rest in self.shapes.values()), {})

    def does(self, act: str) -> str | None:
        """What is done: `moves left`, `turns blue`."""
        verb, _, colour = act.partition(" ")
        if verb in self.acts and colour in self.colours:
            return self.acts[verb] + self.colours[colour]
        return self.acts.get(act)


class Chinese:
    """No inflection and no spaces; what a corpus says stays as it is, in quotes. `own` is what the house itself says.

    Attributes:
        captions: sentences of the picture's own labels.
        places: where something is, by the English word.
        drawn: what is drawn here, and what it does.
    """

    def __init__(self, captions: Mapping[str, str], places: Mapping[str, str], drawn: Drawn) -> None:
        self.captions, self.places, self.drawn = captions, places, drawn

    def named(self, subject: str) -> str:
        """In quotes, without `the`, which the words of this house put there: two are joined."""
        return "和".join(self._one(name) for name in named(subject).split(" and ") if name)

    def _one(self, name: str) -> str:
        if name == SOMETHING:
            return "有东西"
        own = self.drawn.named(name.casefold().removeprefix("the ")) if name.casefold().startswith("the ") else None
        return own or f"“{name.removeprefix('the ')}”"

    def filling(self, who: str, form: Form) -> Mapping[str, str]:
        """A verb has one form."""
        filling = {
            "who": who,
            "present": form.present,
            "past": form.past,
            "participle": form.participle,
            "subject": who,
        }
        foreign = {place: f"“{word}”" for place, word in _look(who.strip("“”")).items()}
        return filling | (self.drawn.look(who) or foreign)

    def told(self, happening: Happening) -> str:
        """The picture's own events, places and what is drawn here in Chinese, all else quoted."""
        if happening.label_set == PICTURE_SET and happening.label in self.captions:
            return self.captions[happening.label]
        if happening.label == "place" and not happening.label_set:
            place = happening.caption.removesuffix(".").rpartition(" is at the ")[2]
            if place in self.places:
                return f"{self.named(happening.subject or '')}在画面{self.places[place]}。"
        if happening.label_set in COMPLETE_SETS and (own := self._drawn(happening)):
            return own
        return f"“{_told(happening)}”"

    def _drawn(self, happening: Happening) -> str | None:
        """A caption of ours is its subject and what that does."""
        subject = happening.subject or ""
        begins = f"{named(subject)} ".casefold()
        caption = plain(happening.caption).removesuffix(".").casefold()
        does = self.drawn.does(caption.removeprefix(begins)) if caption.startswith(begins) else None
        who = self.named(subject)
        return f"{who}{does}。" if does and "“" not in who else None

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
