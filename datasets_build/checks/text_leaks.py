"""Text leaks: words that give an answer away, or tell what no viewer can know yet.

The wording alone is looked at. That an answer is true, and not told before it can be seen, is proved elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.shingles import contains, words_of
from datasets_build.core.records import Dialogue, Event, StreamingQA, Turn
from datasets_build.core.wording import absolute_time_in
from datasets_build.truth.asides import said

_VERDICT = re.compile(r"\W*(?:(yes)\b|(no|not)\b|(是的?|对|有的?)(?=\W|$)|(不是|没有|还没|否|不))", re.IGNORECASE)
_PLACE = r"(?!\s+(?:the|an?|his|her|its|their|my|our|your|this|that|school|bed|work|sleep)\b)"
_FUTURE = re.compile(
    # William's short name begins with a capital, and who is going to the door is under way.
    r"\b(?-i:will|shall|WILL|SHALL)\b|\bwon['’]t\b|\b(?:I|you|he|she|it|we|they)['’]ll\b|\bin\s+the\s+future\b|"
    rf"\b(?:is|are|am|be|['’]s|['’]re|['’]m)\s+(?:about\s+to\b|going\s+to\b{_PLACE})|"
    r"\bgonna\b|\bbound\s+to\b|\bin\s+the\s+next\s+(?:shot|scene|frame|moment)s?\b|"
    r"(?:^|[.!?:]\s+)(?:very\s+)?soon\b(?!\s+after)|(?<!\btoo )(?<!\bso )(?<!\bas )\bsoon[.!]?\s*$|"
    r"将会|将要|即将|快要|马上就|待会|稍后|过一会|不久后|接下来会|之后会|最终会",
    re.IGNORECASE,
)
_WAITED_FOR = frozenset({"proactive"})
"""Modes in which the question names what the answer reports: there the instant is the answer."""


def verdict_in(text: str) -> str | None:
    """`yes` or `no` where a text begins with one, in English or Chinese; None for any other text."""
    found = _VERDICT.match(text)
    return None if found is None else "yes" if found[1] or found[3] else "no"


def future_in(text: str) -> str | None:
    """The first phrase that tells of the future; None where there is none."""
    found = _FUTURE.search(text)
    return found.group(0) if found else None


def gold_of(text: str) -> tuple[str, ...]:
    """The words of an answer that say it: without an aside and without words up to a colon."""
    return words_of(said(text).text.rpartition(": ")[2])


def gives_away(text: str, gold: Sequence[str], others: Iterable[Sequence[str]] = ()) -> bool:
    """Whether a text holds an answer's words, and not those of every other option as well."""
    words = words_of(text)
    wrong = list(others)
    return contains(words, gold) and not (wrong and all(contains(words, option) for option in wrong))


def _gold_in_question(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    if row.options and row.correct_option is not None and 0 <= row.correct_option < len(row.options):
        right = row.options[row.correct_option]
        wrong = [words_of(option) for option in row.options if option != right]
        if verdict_in(right) is None and gives_away(row.question, words_of(right), wrong):
            yield Breach(f"the right option {right!r} in the question {row.question!r}", "a question without it")
    for answer in row.answers if row.mode not in _WAITED_FOR else ():
        if verdict_in(answer.text) is None and not row.options and gives_away(row.question, gold_of(answer.text)):
            yield Breach(f"the answer {answer.text!r} in the question {row.question!r}", "a question without it")


def _no_future(row: StreamingQA, known: Known) -> Iterator[Breach]:
    for answer in row.answers:
        yield from _future_breaches(answer.text, known.events.values())


def _future_breaches(text: str, events: Iterable[Event]) -> Iterator[Breach]:
    """Words about the future that are not those of a caption or line, which a corpus may say as it likes."""
    if future_in(text) is None:
        return
    for quote in sorted({event.caption.strip().rstrip(".") for event in events}, key=lambda each: (-len(each), each)):
        # A sentence begins with a capital letter where it is told.
        text = re.sub(re.escape(quote), " ", text, flags=re.IGNORECASE) if quote else text
    if found := future_in(text):
        yield Breach(f"{found!r} in {text!r}", "an answer of what has been seen")


def _turn_no_future(row: Dialogue, known: Known) -> Iterator[Breach]:
    for turn in row.turns:
        # Who takes a request up tells what they will do.
        if turn.role == "assistant" and turn.evidence and turn.learn:
            yield from _future_breaches(turn.intended_text or turn.text, known.events.values())


def replies_of(row: Dialogue) -> Iterator[tuple[Turn, Turn]]:
    """Each user turn that asks something with the turn that answers it from what was seen, in the answers' order."""
    asked = {turn.id: turn for turn in row.turns if turn.role == "user"}
    for turn in row.turns:
        question = asked.get(turn.trigger_ref or "") if turn.role == "assistant" and turn.evidence else None
        if question is not None:
            yield question, turn


def _turn_gold_in_question(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for question, turn in replies_of(row):
        text = turn.intended_text or turn.text
        if turn.learn and verdict_in(said(text).text) is None and gives_away(question.text, gold_of(text)):
            yield Breach(f"the answer {text!r} in the question {question.text!r}", "a question without it")


def _system_silent(row: Dialogue, known: Known) -> Iterator[Breach]:
    """Instructions say nothing of the video: no answer, no time."""
    del known
    told = [turn.text for turn in row.turns if turn.role == "system"]
    for system in (row.system, *told):
        if found := absolute_time_in(system):
            yield Breach(f"{found!r} in the instructions", "no absolute time in words")
        for turn in row.turns:
            gold = gold_of(turn.intended_text or turn.text)
            if turn.role == "assistant" and turn.evidence and len(gold) > 1 and contains(words_of(system), gold):
                yield Breach(f"the words of turn {turn.id} in the instructions", "instructions without them")
                break


def early_words(row: Dialogue) -> Iterator[bool]:
    """For each answer of three words or more: whether what was said before its question holds them.

    What was said when everything the answer rests on had been seen is no leak: it may well be asked after again.
    """
    for question, turn in replies_of(row):
        gold = gold_of(turn.intended_text or turn.text)
        if len(gold) < 3 or verdict_in(said(turn.text).text) is not None or not turn.learn:
            continue
        since = min((piece.start_ns for piece in turn.evidence if piece.event_id), default=0)
        before = (each for each in row.turns if each.id != question.id and each.end_ns <= min(since, question.start_ns))
        yield any(contains(words_of(each.text), gold) for each in before)


LEAK_LAWS: tuple[Law[StreamingQA], ...] = (
    Law("gold_not_in_question", "no question holds the words of its answer or of its right option", _gold_in_question),
    Law("answer_without_future", "no answer tells of the future", _no_future),
)
TURN_LEAK_LAWS: tuple[Law[Dialogue], ...] = (
    Law("turn_gold_not_in_question", "no user turn holds the words of the reply to it", _turn_gold_in_question),
    Law("turn_without_future", "no reply tells of the future", _turn_no_future),
    Law("instructions_without_answers", "instructions hold no answer and no time", _system_silent),
)
