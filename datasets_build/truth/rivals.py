"""Wrong answers to choose from: other things of the same video that could be said to a question and are not true."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import permutations

from datasets_build.core.records import About, derive_id
from datasets_build.core.topics import names_in
from datasets_build.truth.due import Due
from datasets_build.truth.grounds import Fact, Grounds
from datasets_build.truth.looks import PLACES as LOOKS
from datasets_build.truth.looks import has_looks, word_of
from datasets_build.truth.places import PLACES
from datasets_build.truth.words import Telling

CHOSEN = frozenset(
    {
        "now",
        "before",
        "happened_yet",
        "count_so_far",
        "next",
        "colour",
        "shape",
        "order",
        "who",
        "where",
        "read",
        "clue",
    }
)
"""Tasks that can be asked with options, where one answer is all."""
AHEAD = frozenset({"next", "clue"})
"""Tasks whose options may tell of what is still to come: the right one does."""
_OFF_BY = (-2, -1, 1, 2, 3)


def rivals(task: str, about: About, ask_ns: int, due: Due, grounds: Grounds) -> list[Telling]:
    """What could be said to a question of this video and is not true, each thing once.

    Of a question about what has been, nothing that could not be known when it is asked: no option gives away what is
    still to come.

    Args:
        task: what is asked.
        about: what it is about.
        ask_ns: when.
        due: what is true then.
        grounds: what happens in the video.
    """
    if task in ("happened_yet", "now") and about.kind in ("label", "caption", "line"):
        return [Telling()] if due.told else [Telling([fact]) for fact in grounds.of(about)[:1]]
    if task == "count_so_far":
        number = due.number or 0
        return [Telling(number=number + by) for by in _OFF_BY if number + by >= 0]
    if task == "where":
        return [Telling(place=place) for place in PLACES if place != due.place]
    if task == "order":
        return [Telling(told) for told in permutations(due.told) if list(told) != list(due.told)]
    known = [fact for fact in _pool(task, about, grounds) if task in AHEAD or fact.known_ns <= ask_ns]
    if task in LOOKS:
        return list(_once(known, {word_of(task, due.told[0])}, lambda fact: _word(task, fact)))
    if task == "who":
        return list(_once(known, {due.told[0].event.subject or ""}, lambda fact: fact.event.subject or ""))
    return list(_groups(known, due.told))


def _pool(task: str, about: About, grounds: Grounds) -> Sequence[Fact]:
    """The events that an answer could tell of by mistake."""
    if task == "before" and about.kind in ("label", "caption"):
        return grounds.scene or grounds.changes
    if task == "who":
        return [fact for fact in grounds.scene if len(names_in(fact.event.subject)) == 1]
    return grounds.scene if task == "colour" else grounds.of(about)


def _word(task: str, fact: Fact) -> str:
    return word_of(task, fact) if has_looks(fact) else ""


def _once(facts: Iterable[Fact], taken: set[str], key: Callable[[Fact], str]) -> Iterator[Telling]:
    """One event for each word that is not taken."""
    for fact in facts:
        if (word := key(fact)) and word not in taken:
            taken.add(word)
            yield Telling([fact])


def _groups(facts: Sequence[Fact], told: Sequence[Fact]) -> Iterator[Telling]:
    """As many events in a row as are told, of which none says what one of those says."""
    size, true = max(1, len(told)), {_caption(fact) for fact in told}
    met: set[tuple[str, ...]] = set()
    for k in range(len(facts) - size + 1):
        group = facts[k : k + size]
        words = tuple(_caption(fact) for fact in group)
        if not true & set(words) and len(set(words)) == size and words not in met:
            met.add(words)
            yield Telling(group)


def _caption(fact: Fact) -> str:
    return fact.event.caption.strip().casefold()


def place_of(name: str, seed: int, count: int) -> int:
    """Where the right one of some options stands, from a question's id and the seed that its record stores."""
    return random.Random(derive_id("options", name, seed)).randrange(count)
