"""Whether a sentence says in other words what a template's sentence says: no more, no less, and nothing of the clock.

What the template filled in (subjects, acts, captions, numbers) has to stand in the same words and the same order, so
who does what to whom cannot turn round. Every other word has to be one of the template's, or one that says the same by
a list, or a function word; and none of the template's may be missing. Whatever no list knows is refused.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from datasets_build.core.config import Config, load_config
from datasets_build.core.wording import absolute_time_in

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_NUMBER = rf"(?:[-\u2013\u2014\u2212]\s*)?\d+(?:[.,]\d+)*[^\W\d_{_HAN}]*"
_TOKEN = re.compile(rf"{_NUMBER}|[{_HAN}]|[^\W\d_{_HAN}]+(?:['’][^\W\d_{_HAN}]+)*|n't", re.UNICODE)
_CHINESE = re.compile(f"[{_HAN}]")
_QUOTE = re.compile(r'"[^"]*"|“[^”]*”|「[^」]*」')
_QUOTING = '"“”「」'
_COLONS = ":："
_PLAIN = frozenset(" .,;:!?'’()-–—…，。？！；：、（）")
"""Besides letters and digits, what a sentence may hold that the template's does not."""
_LEAST_SHARE = 3
"""Of the template's words at least one in so many stands in the other sentence, which is as long as that part."""
_MOST_ADDED = 6
"""So many words that say nothing may come in, and not a whole sentence of them."""
LISTS = Path(__file__).with_name("faithful.yaml")


class _Lists(Config):
    """The words of the YAML file, which says what each list is for."""

    alike: tuple[str, ...]
    free: str
    asking: str
    requesting: str
    answering: str
    affirming: str
    fading: str
    links: str
    yes: str
    no: str
    denying: str
    same: dict[str, str]


_LISTS = load_config(_Lists, LISTS)
LISTS_DIGEST = hashlib.sha256(LISTS.read_bytes()).hexdigest()
"""What the lists say, for a fingerprint."""


def tokens(text: str) -> list[str]:
    """Words, Chinese characters and numbers with their sign, in lower case; `isn't` gives `is` and `not`."""
    return list(_tokens(text))


# A template's sentence, and what it fills in, is compared with each of a model's.
@lru_cache(maxsize=1024)
def _tokens(text: str) -> tuple[str, ...]:
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
            found += ["".join(head.split()), *([tail] if tail not in ("s", "m", "re", "ve", "") else [])]
    return tuple(word for word in found if word)


def _split(phrases: str) -> list[str]:
    return [phrase.strip() for phrase in phrases.split(",")]


def _phrases() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Every phrase of the lists by its first token, the longest first, with what stands for it."""
    heads: dict[tuple[str, ...], str] = {}
    for line in _LISTS.alike:
        head, *others = _split(line)
        for phrase in (head, *others):
            if (known := heads.setdefault(tuple(tokens(phrase)), head)) != head:
                raise ValueError(f"{LISTS}: alike: {phrase!r} stands with {known!r} and with {head!r}")
    for text in (_LISTS.free, _LISTS.asking, _LISTS.answering, _LISTS.affirming):
        for phrase in _split(text):
            heads.setdefault(tuple(tokens(phrase)), phrase)
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for key in sorted(heads, key=len, reverse=True):
        found.setdefault(key[0], []).append((key, heads[key]))
    return found


_PHRASES = _phrases()
_FREE, _ASKING, _REQUESTING, _ANSWERING, _AFFIRMING, _FADING, _NOT, _YES, _NO = (
    frozenset(_split(text))
    for text in (
        *(_LISTS.free, _LISTS.asking, _LISTS.requesting, _LISTS.answering, _LISTS.affirming, _LISTS.fading),
        *(_LISTS.denying, _LISTS.yes, _LISTS.no),
    )
)
_LINKS = frozenset(_split(_LISTS.links))
_SAME = {name: frozenset(_split(words)) for name, words in _LISTS.same.items()}


def _meaning(words: Sequence[str]) -> list[tuple[str, str]]:
    """What stands for each word or phrase (the first of its line, or itself), and the phrase."""
    found, at = [], 0
    while at < len(words):
        for phrase, head in _PHRASES.get(words[at], ()):
            if tuple(words[at : at + len(phrase)]) == phrase:
                found.append((head, " ".join(phrase)))
                at += len(phrase)
                break
        else:
            found.append((words[at], words[at]))
            at += 1
    return found


def named_words(draft: str, filled: Iterable[str]) -> tuple[str, ...]:
    """The words of a template's sentence that were filled in, in their order; articles and the like are none."""
    inside = {word for text in filled for word in tokens(text) if word not in _FREE}
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
    if _QUOTE.findall(draft) != _QUOTE.findall(words) or any(draft.count(q) != words.count(q) for q in _QUOTING):
        return "quotes something else"
    if not _scripts(words) <= _scripts(draft):
        return "another script"
    if any(words.count(mark) > draft.count(mark) for mark in _COLONS) or not all(
        map(_is_word, set(words) - set(draft))
    ):
        return "holds marks that are no words"
    # What is quoted is compared above, letter by letter.
    bare, said = _QUOTE.sub(" ", draft), _QUOTE.sub(" ", words)
    quoted = set(tokens(" ".join(_QUOTE.findall(draft))))
    before, after = tokens(bare), tokens(said)
    asked, asks = _is_question(bare), _is_question(said)
    if (asked and not asks) or (
        not by_user and said.count("?") + said.count("？") > bare.count("?") + bare.count("？")
    ):
        return "no question any more" if asked else "a question in place of an answer"
    free = _ANSWERING if not by_user else _ASKING if asked else _REQUESTING
    if misnamed := _misnamed(before, after, [word for word in named if word not in quoted]):
        return misnamed
    was, now = _meaning(before), _meaning(after)
    return _changed(was, now, verdict=not by_user) or _more_or_less(was, now, _FREE | free)


def _is_word(character: str) -> bool:
    letter = unicodedata.category(character)[0] in "LM"
    return letter or character.isdecimal() or character in _PLAIN or character in _QUOTING


def _scripts(text: str) -> set[bool]:
    """Whether a text holds Chinese characters, and whether it holds letters of alphabets."""
    return {bool(_CHINESE.match(character)) for character in text if character.isalpha()}


def _is_question(text: str) -> bool:
    return text.rstrip(" .!。！").endswith(("?", "？"))


def _misnamed(draft: Sequence[str], words: Sequence[str], named: Sequence[str]) -> str | None:
    was, now = -1, -1
    for k, word in enumerate(named):
        if word not in draft[was + 1 :] or word not in words[now + 1 :]:
            return f"does not name {word!r}, or not in its place"
        next_was, next_now = draft.index(word, was + 1), words.index(word, now + 1)
        links = [each for each in draft[was + 1 : next_was] if each in _LINKS]
        if k and links != [each for each in words[now + 1 : next_now] if each in _LINKS]:
            return f"does not name {word!r} in the same way as {named[k - 1]!r}"
        was, now = next_was, next_now
    return None


_Meaning = Sequence[tuple[str, str]]


def _changed(draft: _Meaning, words: _Meaning, *, verdict: bool) -> str | None:
    """What tells the two apart that a list has a name for."""
    before, after = dict(draft), dict(words)
    was, now = next(iter(before), ""), next(iter(after), "")
    if verdict and any((was in said) != (now in said) for said in (_YES, _NO)):
        return "another verdict"
    # Two denials are none.
    if sum(head in _NOT for head, _ in draft) != sum(head in _NOT for head, _ in words):
        return "denies what was said, or says what was denied"
    old, new = ([head for head, _ in each if any(map(str.isdecimal, head))] for each in (draft, words))
    if old != new:
        return f"another number, {', '.join(sorted(set(old) ^ set(new))) or ', '.join(new)}"
    phrases = before | after
    for name, kept in _SAME.items():
        if other := (before.keys() ^ after.keys()) & kept:
            return f"another {name}, {', '.join(sorted(phrases[head] for head in other))}"
    return None


def _more_or_less(draft: _Meaning, words: _Meaning, free: frozenset[str]) -> str | None:
    """What is said beyond the template's sentence, or is missing."""
    before, after = (Counter(head for head, _ in each) for each in (draft, words))
    phrases: Mapping[str, str] = dict(draft) | dict(words)
    may_come = free | (_AFFIRMING if before.keys() & _YES else frozenset())
    if more := [phrases[head] for head in (after - before).elements() if head not in may_come]:
        return f"adds {f'{len(more)} words: ' if len(more) > 1 else ''}{', '.join(sorted(more))}"
    if (after - before).total() > _MOST_ADDED:
        return f"adds {(after - before).total()} words that say nothing"
    if less := [head for head in (before - after).elements() if head not in may_come | _FADING]:
        return f"leaves out {', '.join(sorted(less))}"
    shared = (before & after).total()
    if shared * _LEAST_SHARE < before.total() or after.total() * _LEAST_SHARE < before.total():
        return "says hardly anything of it"
    return None
