"""Whether a sentence says in other words what a template's sentence says: no more, no less, and nothing of the clock.

What the template filled in (subjects, acts, captions, numbers) has to stand in the same words and the same order, so
who does what to whom cannot turn round. Around it words are free, but for those that change what is said.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets_build.core.config import Config, load_config
from datasets_build.core.wording import absolute_time_in

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|n't", re.UNICODE)
_QUOTE = re.compile(r'"([^"]*)"')
_NO_PLACE = re.compile(r"\b(?:right(?= (?:now|before|after|away|at)\b)|all right|alright|up(?= to\b))", re.IGNORECASE)
"""Where `right`, `up` and `all` are no direction and no number."""
_MOST_NEW = 4
LISTS = Path(__file__).with_name("faithful.yaml")


class _Lists(Config):
    """The words of the YAML file, which says what each list is for."""

    denying: str
    same: dict[str, str]
    moving: str
    polite: str
    free: str


_LISTS = load_config(_Lists, LISTS)
_NOT, _MOVING, _POLITE, _FREE = (
    frozenset(words.split()) for words in (_LISTS.denying, _LISTS.moving, _LISTS.polite, _LISTS.free)
)
_SAME = {name: frozenset(words.split()) for name, words in _LISTS.same.items()}
LISTS_DIGEST = hashlib.sha256(LISTS.read_bytes()).hexdigest()
"""What the lists say, for a fingerprint."""


def tokens(text: str) -> list[str]:
    """Words and numbers in lower case; `isn't` gives `is` and `not`, `I'll` gives `i` and `will`."""
    found = []
    for word in _TOKEN.findall(text.casefold().replace("’", "'")):
        head, _, tail = word.partition("'")
        if word in ("can't", "won't"):
            found += ["can" if head == "can" else "will", "not"]
        elif word.endswith("n't"):
            found += [word.removesuffix("n't"), "not"]
        elif tail in ("ll", "d"):
            found += [head, "will" if tail == "ll" else "would"]
        else:
            found += [head, *([tail] if tail not in ("s", "m", "re", "ve", "") else [])]
    return [word for word in found if word]


def named_words(draft: str, filled: Iterable[str]) -> tuple[str, ...]:
    """The words of a template's sentence that were filled in, in their order; articles and the like are none."""
    inside = {word for text in filled for word in tokens(text) if word not in _FREE or word.isdigit()}
    return tuple(word for word in tokens(draft) if word in inside)


def unfaithful(draft: str, words: str, named: Sequence[str], *, by_user: bool, most: int) -> str | None:
    """Why some words may not stand for a template's sentence; None when they may.

    Args:
        draft: the template's sentence.
        words: those of a model.
        named: what has to be named (`named_words`).
        by_user: a person asks; else the assistant answers.
        most: how many characters the words may have.
    """
    if not words or words != " ".join(words.split()) or not words.isprintable():
        return "no text on one line"
    if len(words) > most:
        return f"{len(words)} characters, more than {most}"
    if found := absolute_time_in(words):
        return f"names a time, {found!r}"
    if _QUOTE.findall(draft) != _QUOTE.findall(words) or draft.count('"') != words.count('"'):
        return "quotes something else"
    if words.count(":") > draft.count(":") or any(mark in words for mark in "{}<>|*_#`\\"):
        return "holds marks that are no words"
    # What is quoted is compared above, letter by letter.
    bare, said = _QUOTE.sub(" ", draft), _QUOTE.sub(" ", words)
    quoted = set(tokens(" ".join(_QUOTE.findall(draft))))
    return (
        _other_kind(bare, said, by_user)
        or _lost(said, [word for word in named if word not in quoted])
        or _changed(tokens(_NO_PLACE.sub(" ", bare)), tokens(_NO_PLACE.sub(" ", said)), by_user)
    )


def _other_kind(draft: str, words: str, by_user: bool) -> str | None:
    asks, asked = words.rstrip(" .!").endswith("?"), draft.rstrip(" .!").endswith("?")
    if (asked and not asks) or (asks and not asked and not by_user):
        return "no question any more" if asked else "a question in place of an answer"
    first, was = (tokens(words) or [""])[0], (tokens(draft) or [""])[0]
    verdicts = ("yes", "no", "not")
    if not by_user and (was in verdicts or first in verdicts) and (first == "yes") != (was == "yes"):
        return "another verdict"
    if not by_user and was in ("no", "not") and first not in ("no", "not"):
        return "another verdict"
    return None


def _lost(words: str, named: Sequence[str]) -> str | None:
    left = iter(tokens(words))
    for word in named:
        if word not in left:
            return f"does not name {word!r}, or not in its place"
    return None


def _changed(draft: Sequence[str], words: Sequence[str], by_user: bool) -> str | None:
    before, after = set(draft), set(words)
    # Two denials are none.
    if sum(word in _NOT for word in draft) != sum(word in _NOT for word in words):
        return "denies what was said, or says what was denied"
    if numbers := {word for word in before ^ after if word[0].isdigit()}:
        return f"another number, {', '.join(sorted(numbers))}"
    for name, kept in _SAME.items():
        if other := (before ^ after) & kept:
            return f"another {name}, {', '.join(sorted(other))}"
    new = after - before
    if moved := (new & _MOVING) - (_POLITE if by_user else frozenset()):
        return f"adds {', '.join(sorted(moved))}"
    more = new - _FREE - _NOT - _POLITE
    if len(more) > _MOST_NEW:
        return f"adds {len(more)} words: {', '.join(sorted(more))}"
    return None
