"""Whether an answer is right, and accuracy per task and mode."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recipes.data.questions import LETTERS
from recipes.evaluation.script import Ask, Due, Script
from recipes.evaluation.trace import Reply

_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)} | {"once": "1", "twice": "2", "never": "0"}
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")
_LETTER = re.compile(r"^\W*(?:(?:the )?(?:answer|option)(?: is)?\W*)?([a-z])(?:[.):,]|\W*$)", re.IGNORECASE)
_NOT_KNOWN = re.compile(
    r"can(?:not|'t) be (?:answered|said|told|known)|can(?:not|'t) (?:say|tell|answer|know)|nothing to tell"
    r"|i have (?:not seen|seen no)|do(?:es)? not know|unanswerable"
)
# A lead-in is so many words before a colon at most; it and words for the moment are no part of what is told.
_LEAD = re.compile(r"^(?:[^\s:]+\s+){0,6}[^\s:]+:\s+(?=\S)")
_MOMENT = re.compile(
    r"\b(?:(?:right|just|until|up to) now|at (?:the|this) moment|so far|now|already|yet|look|currently|at present)\b"
)
_POLARITY = {"yes": True, "yeah": True, "no": False, "not": False, "nope": False}


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
    """

    video_id: str
    task: str
    mode: str
    right: bool
    exact: bool
    unanswerable: bool = False
    declined: bool = False


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
    """What a text tells, whichever way it is put; a yes or no alone where it begins with one.

    Lead-ins such as `The last thing was this:` and words for the moment such as `right now` or `so far` are left out.
    """
    plain = _MOMENT.sub(" ", _LEAD.sub("", unicodedata.normalize("NFKC", text).casefold()))
    words = normal(plain)
    first = words.split(" ", 1)[0]
    if first in _POLARITY:
        return "yes" if _POLARITY[first] else "no"
    return words


def number_in(text: str) -> str | None:
    """The last number that a text names, in digits or as a word up to twenty; None where there is none."""
    found = [NUMBERS.get(word, word) for word in re.findall(r"\w+(?:\.\d+)?", text.casefold())]
    digits = [str(int(word)) for word in found if _NUMBER.fullmatch(word)]
    return digits[-1] if digits else None


def letter_in(text: str, options: Sequence[str]) -> int | None:
    """The place of the option that a text chooses, by its letter, else its words; None where it chooses none or two."""
    letter = _LETTER.match(text.strip())
    if letter and letter[1].upper() in LETTERS[: len(options)]:
        return LETTERS.index(letter[1].upper())
    words = [place for place, option in enumerate(options) if same(text, option)]
    if words:
        return words[0]
    held = [place for place, option in enumerate(options) if normal(option) and normal(option) in normal(text)]
    return held[0] if len(held) == 1 else None


def declines(text: str) -> bool:
    """Whether a text says that the question has no answer."""
    return bool(_NOT_KNOWN.search(text.casefold()))


def is_right(text: str, expected: str, *, counting: bool = False) -> bool:
    """Whether an answer is right: equal numbers where it counts, else the same gist (or the same words)."""
    wanted = number_in(expected)
    if counting and wanted is not None:
        return number_in(text) == wanted
    return same(text, expected) or (bool(gist(expected)) and gist(text) == gist(expected))


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
    is judged: it is right where the right one begins with it.
    """
    counting = script.mode == "counting" or due.task == "count_so_far"
    if text is None or not due.worded:
        right = exact = bool(text and text.strip())
    else:
        right, exact = is_right(text, due.text, counting=counting), same(text, due.text)
    if text is not None and cut and not right:
        begun = gist(text)
        right = bool(begun) and gist(due.text).startswith(begun)
    return Mark(video_id=video_id, task=due.task, mode=script.mode, right=right, exact=exact)


def by_task(marks: Iterable[Mark]) -> Mapping[str, list[Mark]]:
    """Marks under `task/mode`, sorted; those of probes and dialogues under names of their own."""
    groups: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        groups[f"{mark.task}/{mark.mode}"].append(mark)
        if mark.unanswerable:
            groups["unanswerable"].append(mark)
    return dict(sorted(groups.items()))
