"""Whether an answer is right, and accuracy per task and mode."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from datasets_build.core.asked import LETTERS
from recipes.evaluation.script import Ask, Due, Script
from recipes.evaluation.trace import Reply

_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)} | {"once": "1", "twice": "2", "never": "0"}
_ARTICLES = re.compile(r"\b(a|an|the)\b")
# A number may have a sign or decimals; only one that has neither counts anything.
_FIGURE = re.compile(r"(?:(?<!\w)[-−])?\w+(?:\.\d+)?")
_DIGITS = re.compile(r"[-−]?\d+(?:\.\d+)?")
_LETTER = re.compile(r"^\W*(?:(?:the )?(?:answer|option)(?: is)?\W*)?([a-z])(?:[.):,]|\W*$)", re.IGNORECASE)
_FURTHER = re.compile(r"\b([A-Z])(?=[.):,]|\W*$)")
_NOT_KNOWN = re.compile(
    r"can(?:not|'t) be (?:answered|said|told|known)|can(?:not|'t) (?:say|tell|answer|know)|nothing to tell"
    r"|i have (?:not seen|seen no)|do(?:es)? not know|unanswerable"
)
# A lead-in is made of these before a colon; it and words for the moment are no part of what is told.
_LEAD_WORDS = frozenset(
    (
        *("after", "and", "answer", "are", "at", "before", "came", "comes", "far", "happened", "happening"),
        *("happens", "here", "is", "it", "just", "last", "look", "moment", "most", "next", "now", "option"),
        *("recently", "right", "so", "that", "the", "then", "there", "they", "thing", "this", "to", "up", "was"),
    )
)
_LEAD = re.compile(rf"^(?:(?:{'|'.join(sorted(_LEAD_WORDS))})(?:\s+|(?=:))){{1,7}}:\s+(?=\S)")
_MOMENT = re.compile(
    r"\b(?:(?:right|just|until|up to) now|at (?:the|this) moment|so far|now|already|yet|look|currently|at present)\b"
)
_YES = re.compile(r"^\W*(?:yes|yeah|yep)\b")
# In front of anything else, `no` denies that thing, and `not` what comes next: neither answers a question.
_NO = re.compile(
    r"^\W*(?:not (?:yet|so far|now|right now|at the moment)\b"
    r"|(?:no|nope)(?=\W*$|\s*[,.;:!–—]|\s+-\s|\s+(?:it|he|she|they|there|this|that|the|an?)\b))"
)
_AGREES = re.compile(r"\b(?:yes|yeah|yep)\b")
_DENIES = re.compile(r"\b(?:no|nope|not|never|none|nothing)\b|n['’]t\b")
_UNSURE = re.compile(r"\b(?:not sure|unsure|no (?:idea|clue)|maybe|perhaps|possibly)\b")
# Words that tell nothing of their own in the explanation of a yes or no.
_SMALL = frozenset(
    (
        *("yes", "yeah", "yep", "no", "nope", "not", "it", "its", "he", "she", "they", "there", "this", "that"),
        *("i", "is", "isnt", "are", "arent", "was", "wasnt", "were", "werent", "has", "hasnt", "have", "havent"),
        *("had", "hadnt", "do", "dont", "does", "doesnt", "did", "didnt", "been", "being", "just"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whether one answer was right.

    Attributes:
        video_id: of which video.
        task, mode: of the question.
        right: by the rule of its kind (`judge`, `judge_due`).
        exact: equal to the expected words after normalisation.
        unanswerable: whether it had no answer.
        declined: whether the model said that there is none.
        left_out: whether the user broke in before so much was out that it can be judged; it counts in no accuracy.
    """

    video_id: str
    task: str
    mode: str
    right: bool
    exact: bool
    unanswerable: bool = False
    declined: bool = False
    left_out: bool = False


def normal(text: str) -> str:
    """Text without case, punctuation, articles and surplus space.

    As the answers of SQuAD are compared (Rajpurkar et al., EMNLP 2016), after Unicode's compatibility composition.
    """
    lowered = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(c if c.isalnum() else " " if c.isspace() or c in "-–—/" else "" for c in lowered)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def same(one: str, other: str) -> bool:
    """Whether two texts are equal after normalisation."""
    return normal(one) == normal(other)


def gist(text: str) -> str:
    """What a text tells, whichever way it is put.

    Lead-ins such as `The last thing was this:` and words for the moment such as `right now` or `so far` are left out.
    """
    return normal(_MOMENT.sub(" ", _LEAD.sub("", unicodedata.normalize("NFKC", text).casefold())))


def polarity(text: str) -> bool | None:
    """True for a yes, False for a no or not yet, whatever explains it; None for anything else, and for both at once."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if _UNSURE.search(plain) or declines(plain):
        return None
    if _YES.match(plain):
        return None if _DENIES.search(plain) else True
    if _NO.match(plain):
        return None if _AGREES.search(plain) else False
    return None


def number_in(text: str) -> str | None:
    """The number that a text names, in digits or as a word up to twenty; None for none, two or one that counts nothing.

    Said twice, it is two numbers.
    """
    found = [NUMBERS.get(word, word) for word in _FIGURE.findall(text.casefold())]
    numbers = [word for word in found if _DIGITS.fullmatch(word)]
    return str(int(numbers[0])) if len(numbers) == 1 and numbers[0].isdecimal() else None


def letter_in(text: str, options: Sequence[str]) -> int | None:
    """The place of the option that a text chooses, by its letter, else its words; None where it chooses none or two."""
    letter = _LETTER.match(text.strip())
    if letter and letter[1].upper() in LETTERS[: len(options)]:
        place = LETTERS.index(letter[1].upper())
        rest = text.strip()[letter.end() :]
        further = {LETTERS.index(found) for found in _FURTHER.findall(rest) if found in LETTERS[: len(options)]}
        return place if {*further, *_held(rest.replace(options[place], ""), options)} <= {place} else None
    words = [place for place, option in enumerate(options) if same(text, option)]
    if words:
        return words[0]
    held = _held(text, options)
    return held[0] if len(held) == 1 else None


def _held(text: str, options: Sequence[str]) -> list[int]:
    words = f" {normal(text)} "
    return [place for place, option in enumerate(options) if normal(option) and f" {normal(option)} " in words]


def declines(text: str) -> bool:
    """Whether a text says that the question has no answer."""
    return bool(_NOT_KNOWN.search(text.casefold()))


def is_right(text: str, expected: str, *, counting: bool = False) -> bool:
    """Whether an answer is right.

    Where it counts, it names the number and no other. To a yes or no, it says the same and nothing else, and its
    explanation names nothing that the right one does not. Any other has the same gist.
    """
    wanted = number_in(expected)
    if counting and wanted is not None:
        return number_in(text) == wanted
    if same(text, expected):
        return bool(normal(expected))
    right = polarity(expected)
    if right is None:
        return bool(gist(expected)) and gist(text) == gist(expected)
    explained = _content(expected)
    return polarity(text) is right and (not explained or _content(text) <= explained)


def _content(text: str) -> set[str]:
    return set(gist(text).split()) - _SMALL


def judge(ask: Ask, reply: Reply, *, video_id: str) -> Mark:
    """Marks the answer to a question that was asked aside.

    A question with options is right where the right one is chosen; one that counts, or a probe of a count, where the
    numbers agree; one without an answer where the model says so; every other where the gist agrees.
    """
    exact = same(reply.text, ask.expected)
    if ask.options and ask.option is not None:
        right = letter_in(reply.text, ask.options) == ask.option
    elif ask.unanswerable:
        right = exact or declines(reply.text)
    else:
        counting = ask.mode == "counting" or (ask.mode == "probe" and ask.expected.isdigit())
        right = is_right(reply.text, ask.expected, counting=counting)
    return Mark(
        video_id=video_id,
        task=ask.task,
        mode=ask.mode,
        right=right,
        exact=exact,
        unanswerable=ask.unanswerable,
        declined=declines(reply.text),
    )


def judge_due(script: Script, text: str | None, due: Due, *, video_id: str, cut: bool = False) -> Mark:
    """Marks what was said in time for a thing due; nothing said in time is wrong.

    Where its words do not matter, as of a promise, any will do. Of an answer that the user `cut` short, what came out
    is judged: it is right where the right one begins with it and half of its words are out, left out where fewer are.
    """
    counting = script.mode == "counting" or due.task == "count_so_far"
    left_out = False
    if text is None or not due.worded:
        right = exact = bool(text and text.strip())
    else:
        right, exact = is_right(text, due.text, counting=counting), same(text, due.text)
        if cut and not right:
            right, left_out = _broken_off(text, due.text)
    return Mark(video_id=video_id, task=due.task, mode=script.mode, right=right, exact=exact, left_out=left_out)


def _broken_off(text: str, expected: str) -> tuple[bool, bool]:
    """Whether what came out of an answer is enough to be right, and whether it is too little to be judged."""
    told, whole = gist(text), gist(expected)
    if told and whole.startswith(told):
        # The last word may be a piece of one.
        words = whole.split()
        enough = 2 * sum(map(str.__eq__, told.split(), words)) >= len(words)
        return enough, not enough
    return False, not told or _only_leads(text)


def _only_leads(text: str) -> bool:
    *words, last = re.findall(r"\w+", text.casefold())
    return all(word in _LEAD_WORDS for word in words) and any(word.startswith(last) for word in _LEAD_WORDS)


def by_task(marks: Iterable[Mark]) -> Mapping[str, list[Mark]]:
    """Marks that count under `task`, and under `task/mode`: probes and dialogues are modes of their own; sorted."""
    groups: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        if mark.left_out:
            continue
        groups[mark.task].append(mark)
        groups[f"{mark.task}/{mark.mode}"].append(mark)
        if mark.unanswerable:
            groups["unanswerable"].append(mark)
    return dict(sorted(groups.items()))
