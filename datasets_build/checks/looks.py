"""Does an answer name the one colour or shape that is due."""

from __future__ import annotations

import re
from collections.abc import Iterator

from datasets_build.checks.chinese import in_english
from datasets_build.checks.laws import Breach
from datasets_build.core.topics import name_after, names_in
from datasets_build.truth.grounds import Fact, Grounds
from datasets_build.truth.looks import PLACES, word_of


def look_breaches(text: str, task: str, fact: Fact, grounds: Grounds) -> Iterator[Breach]:
    """An answer names the colour (the shape) that is due, and no other of the video."""
    names = {name for told in grounds.scene for name in (*names_in(told.event.subject), name_after(told.event) or "")}
    others = {name.split()[PLACES[task]] for name in names if len(name.split()) == len(PLACES)}
    said, due = set(re.findall(r"\w+", in_english(text))), word_of(task, fact)
    found = sorted(said & {word.casefold() for word in others})
    if found != [due.casefold()]:
        yield Breach(f"{text!r}, which names {found}", f"{due}, and no other {task}")
