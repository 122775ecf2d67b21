"""Wrong answers to choose from: what would be right at another instant, or of another subject of the same video."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, permutations, product, repeat

from datasets_build.core.records import About, derive_id
from datasets_build.core.topics import name_after, named, names_in, quoted
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.grounds import Fact, Grounds, last_done
from datasets_build.truth.looks import PLACES as LOOKS
from datasets_build.truth.looks import RENAMING, has_looks, word_of
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
COUNTED = 4
"""How many numbers there are to choose from at most."""
_SPREAD = _NEAR = 64
_LEAST_NS = 500_000_000


def rivals(task: str, about: About, ask_ns: int, due: Due, grounds: Grounds) -> list[Telling]:
    """What could be said to a question of this video and is not true; what would be right more often stands there more.

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
        numbers = range(max(least_count(about), number - COUNTED + 1), number + COUNTED)
        return [Telling(number=each) for each in numbers if each != number]
    if task == "where":
        return [Telling(place=place) for place in PLACES if place != due.place]
    if task == "order":
        return [Telling(told) for told in permutations(due.told) if list(told) != list(due.told)]
    if task in LOOKS or task in ("who", "read"):
        return list(_others(task, about, ask_ns, due, grounds))
    true = {_caption(fact) for fact in due.told}
    if task not in AHEAD:
        true |= _to_come(ask_ns, grounds)
    found = [group for group in _elsewhere(task, about, ask_ns, grounds) if _is_other(group, true)]
    if about.kind == "scene" and len(set(map(_words, found))) < COUNTED - 1:
        names = _names(task, ask_ns, grounds)
        found += [group for group in _renamed([due.told, *found], names, grounds) if _is_other(group, true)]
    return [Telling(group) for group in found]


def _to_come(ask_ns: int, grounds: Grounds) -> set[str]:
    """What is still to come and has not been before: another subject's act, told of this one, may be just that."""
    facts = [*grounds.scene, *grounds.changes]
    seen = {_caption(fact) for fact in facts if fact.known_ns <= ask_ns}
    return {_caption(fact) for fact in facts if fact.known_ns > ask_ns} - seen


def _is_other(group: Sequence[Fact], true: set[str]) -> bool:
    """Whether a group tells of something, and of nothing that is or will be true."""
    return len(group) > 0 and true.isdisjoint(map(_caption, group))


def _words(group: Sequence[Fact]) -> tuple[str, ...]:
    return tuple(map(_caption, group))


def _others(task: str, about: About, ask_ns: int, due: Due, grounds: Grounds) -> Iterator[Telling]:
    """One event for each other word that the video has shown by then: a colour, a shape, a name or a text."""
    right = due.told[0]
    facts = grounds.scene if task in ("colour", "who") else grounds.of(about)
    known = [fact for fact in facts if fact.known_ns <= ask_ns]
    if task in LOOKS:
        return _once(known, {word_of(task, right)}, lambda fact: word_of(task, fact) if has_looks(fact) else "")
    if task == "who":
        single = [fact for fact in known if len(names_in(fact.event.subject)) == 1]
        return _once(single, called(right.event.subject or "", grounds), lambda fact: fact.event.subject or "")
    return _once(known, {_caption(right)}, _caption)


def _once(facts: Iterable[Fact], taken: set[str], key: Callable[[Fact], str]) -> Iterator[Telling]:
    """One event for each word that is not taken."""
    for fact in facts:
        if (word := key(fact)) and word not in taken:
            taken.add(word)
            yield Telling([fact])


def called(name: str, grounds: Grounds) -> set[str]:
    """All that one subject is called in a video, before and after it changes colour."""
    turns = [(fact.event.subject or "", name_after(fact.event)) for fact in grounds.scene]
    pairs = [{was, then} for was, then in turns if then is not None and was != then]
    names = {name}
    while more := [pair for pair in pairs if pair & names and not pair <= names]:
        names |= more[0]
    return names


def _elsewhere(task: str, about: About, ask_ns: int, grounds: Grounds) -> Iterator[list[Fact]]:
    """What the answer to the same question is at other instants, of another marker, or of another subject."""
    marks = _marks(task, ask_ns, grounds)
    if task == "before" and about.kind in ("label", "caption"):
        yield from _before_others(about, ask_ns, grounds)
    elif about.kind == "subject":
        for name in _names(task, ask_ns, grounds):
            # The answer is that of the instant before at most of them.
            for told, same in groupby(_told(task, About(kind="subject", subject=name), marks, grounds)):
                yield from repeat(_as_if(told, name, about.subject or ""), len(list(same)))
    else:
        yield from _told(task, about, marks, grounds)


def _names(task: str, ask_ns: int, grounds: Grounds) -> list[str]:
    """The subjects that answers may name: those known by then."""
    facts = [fact for fact in grounds.scene if task in AHEAD or fact.known_ns <= ask_ns]
    return list(dict.fromkeys(name for fact in facts for name in names_in(fact.event.subject)))


def _renamed(groups: Iterable[Sequence[Fact]], names: Sequence[str], grounds: Grounds) -> Iterator[list[Fact]]:
    """What some events would be of other subjects."""
    for group in {_words(group): group for group in groups}.values():
        theirs = dict.fromkeys(name for fact in group for name in names_in(fact.event.subject))
        for name, other in product(theirs, names):
            if other not in theirs and other not in called(name, grounds):
                yield _as_if(group, name, other)


def _told(task: str, about: About, marks: Sequence[int], grounds: Grounds) -> Iterator[list[Fact]]:
    for t in marks:
        due = due_of(task, about, t, grounds)
        # What is right for less is an answer to nobody.
        if isinstance(due, Due) and (due.until_ns is None or due.until_ns - t >= _LEAST_NS):
            yield list(due.told)


def _before_others(about: About, ask_ns: int, grounds: Grounds) -> Iterator[list[Fact]]:
    """What was over last when something else began; not what is asked after itself."""
    track, marker = grounds.scene or grounds.changes, {fact.id for fact in grounds.of(about)}
    for other in track:
        if other.known_ns <= ask_ns:
            group = last_done(track, other.early_ns)
            yield group if marker.isdisjoint(fact.id for fact in group) else []


def _marks(task: str, ask_ns: int, grounds: Grounds) -> list[int]:
    """Instants to ask at: evenly spread ones, so that what is right for longer comes up more often, and each change.

    Of a long video with much in it only the nearest changes.
    """
    facts = [*grounds.scene, *grounds.changes]
    end_ns = grounds.clock.end_ns if task in AHEAD else ask_ns + 1
    turns = sorted({t for fact in facts for t in (fact.known_ns, fact.done_ns) if t < end_ns})
    turns.sort(key=lambda t: abs(t - ask_ns))
    return sorted([*(end_ns * k // _SPREAD for k in range(_SPREAD)), *turns[:_NEAR]])


def _as_if(group: Sequence[Fact], name: str, other: str) -> list[Fact]:
    """Some events as if another subject had taken part in them; none where one cannot be turned so."""
    turned = [_turned(fact, name, other) if name != other else fact for fact in group]
    return [fact for fact in turned if fact is not None] if None not in turned else []


def _turned(fact: Fact, name: str, other: str) -> Fact | None:
    event, theirs = fact.event, names_in(fact.event.subject)
    if name not in theirs:
        return fact
    names = [other if each == name else each for each in theirs]
    # Of several the verb is another one than of one.
    is_alike = name.endswith("s") == other.endswith("s") and len(set(names)) == len(names)
    pattern = re.compile(rf"\b{re.escape(named(name))}\b", re.IGNORECASE)
    # Who changes colour is called by its name no more.
    if event.label == RENAMING or not is_alike or len(pattern.findall(event.caption)) != 1:
        return None
    caption = pattern.sub(lambda _: named(other), event.caption)
    caption = caption[:1].upper() + caption[1:] if event.caption[:1].isupper() else caption
    return fact._replace(event=event.model_copy(update={"subject": " and ".join(names), "caption": caption}))


def _caption(fact: Fact) -> str:
    return folded(fact.event.caption)


# What a video shows is compared again for each of its questions.
@lru_cache(maxsize=1 << 14)
def folded(text: str) -> str:
    """A text without what makes no other sentence of it: case, spaces and the final stop."""
    return quoted(text).casefold()


def told_key(telling: Telling) -> tuple[object, ...]:
    """What a wrong answer says, whatever its words."""
    return (*(folded(fact.event.caption) for fact in telling.told), telling.number, telling.place, telling.absent)


def is_refusable(task: str, about: About) -> bool:
    """Whether such questions are also asked of what was never shown: then all of them can be refused, or it tells."""
    return task == "before" and about.kind in ("subject", "label", "caption")


def least_count(about: About) -> int:
    """The smallest number that can be right: a video begins with a shot."""
    return 1 if about.kind == "shots" else 0


def numbers_around(number: int, least: int, *, count: int, name: str, seed: int) -> tuple[int, ...]:
    """Numbers to choose from in a row, in which a drawn place is the right one's; none where too few are below it.

    Args:
        number: the right one.
        least: the smallest that can be right.
        count: how many to choose from.
        name: the question's id.
        seed: which its record stores.
    """
    # Small numbers have few below them, so the places that they cannot have are drawn more often.
    weights = range(1, count + 1)
    (place,) = random.Random(derive_id("rank", name, seed)).choices(range(count), weights)
    first = number - place
    return tuple(range(first, first + count)) if first >= least else ()


def place_of(name: str, seed: int, count: int) -> int:
    """Where the right one of some options stands, from a question's id and the seed that its record stores."""
    return random.Random(derive_id("options", name, seed)).randrange(count)
