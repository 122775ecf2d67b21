"""Whether a subject is one or several, as far as its words tell: what an English verb has to agree with."""

from __future__ import annotations

import re
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ONE = _words(
    "a an another each either every neither one 1 this that he she it someone somebody something everyone everybody "
    "everything anyone anybody nobody"
)
_SEVERAL = _words(
    "both few many numerous several various these those we you they two three four five six seven eight nine ten "
    "eleven twelve"
)
_ARTICLES = _words("the my your his her its our their some all any no")
_AFTER_NOUN = _words(
    "of in on at with from to by near behind under over beside between inside around without for against through who "
    "that which whose dressed seated"
)
_NOUNS_IN_ING = _words("building ceiling king painting railing ring string swing thing wing wedding")
_SAME_IN_BOTH = _words("sheep deer fish moose bison salmon trout swine offspring aircraft series species")
_NO_TELLING = _words(
    "couple pair trio duo group crowd team band family staff crew class audience majority half rest lot number dozen "
    "bunch variety handful data media elderly young old poor injured i me us them"
)
_PLURALS = _words("police cattle geese mice lice feet teeth oxen dice skis taxis menus gurus")
_PLURAL_ENDS = ("men", "children", "people")
_SINGULARS = _words("specimen omen abdomen regimen stamen lens gas news atlas canvas chaos cosmos bias")
_WORD = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


def is_plural(who: str) -> bool | None:
    """Whether verbs take the plural; None where the words do not tell, as of `a group of men`, `the sheep`, `James`."""
    words = who.split()
    if not words or not all(map(_WORD.fullmatch, words)):
        return None
    low = [word.casefold() for word in words]
    head = low[: _head_end(low)]
    if "and" in low:
        # Of "the man with a cap and a dog" nobody can tell what is joined to what.
        return True if "and" in head else None
    if "or" in low or head[-1] in _NO_TELLING:
        return None
    by_first = _by_first(head[0])
    by_noun = _by_noun(head) if by_first is None or len(head) > 1 else None
    if by_noun is True and by_first is None and _is_name(words):
        return None
    # "A few people" and "five year old boy" say two things.
    says = {by_first, by_noun} - {None}
    return says.pop() if len(says) == 1 else None


def _head_end(low: Sequence[str]) -> int:
    """Where the noun ends that a verb agrees with: before `of`, `in black`, `playing chess`."""
    first = 1 if _is_determiner(low[0]) else 0
    ends = (k for k, word in enumerate(low) if (k > 0 and word in _AFTER_NOUN) or (k > first and _is_doing(word)))
    return next(ends, len(low))


def _is_determiner(word: str) -> bool:
    return word in _ARTICLES or _by_first(word) is not None


def _is_doing(word: str) -> bool:
    return word.endswith("ing") and word not in _NOUNS_IN_ING


def _by_first(word: str) -> bool | None:
    """What a determiner, a pronoun or a number says."""
    if word in _ONE:
        return False
    return True if word in _SEVERAL or word.isdigit() else None


def _by_noun(head: Sequence[str]) -> bool | None:
    """What the last word says, but for the number that it may bear: `player 2`."""
    noun = head[-2] if head[-1].isdigit() and len(head) > 1 else head[-1]
    if noun in _SINGULARS or (noun.endswith(("ss", "us", "is")) and noun not in _PLURALS):
        return False
    if noun in _SAME_IN_BOTH or noun.endswith("ics"):
        return None
    return noun in _PLURALS or noun.endswith((*_PLURAL_ENDS, "s"))


def _is_name(words: Sequence[str]) -> bool:
    """Whether a capital letter makes it a name, whose last letter says nothing."""
    return words[0][0].isupper() and not _is_determiner(words[0].casefold())
