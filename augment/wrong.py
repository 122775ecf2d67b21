"""What is not true of an augmented video, and could be said to a question all the same."""

from __future__ import annotations

from itertools import permutations

from augment.answers import Asked, CannotAskError, true_texts
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.grounds import Fact
from datasets_build.truth.places import PLACES
from datasets_build.truth.words import Telling, texts_of, writer_of

# Wrong answers are looked for among so many other events.
_MOST_WRONG = 12


def wrong_texts(asked: Asked) -> list[str]:
    """What could be said to a question and is not true: another number, verdict, event, look, place or order.

    Raises:
        CannotAskError: nothing can be said for certain then, or nobody finds words for it.
    """
    due = due_of(asked.task, asked.about, asked.ask_ns, asked.scene.grounds)
    writer = writer_of(asked.words.written)
    if isinstance(due, str) or writer is None:
        raise CannotAskError("nobody finds wrong words for it")
    true, tellings = true_texts(asked), _other_tellings(asked, due)
    found = {text for telling in tellings for text in texts_of(writer, asked.task, asked.about, telling)}
    return sorted(text for text in found - true if text)


def _other_tellings(asked: Asked, due: Due) -> list[Telling]:
    """What else than the truth could be told: another number, place or order, other events, or none."""
    if due.number is not None:
        return [Telling(number=number) for number in (due.number - 1, due.number + 1, due.number + 2) if number >= 0]
    if due.place is not None:
        return [Telling(place=place) for place in PLACES if place != due.place]
    if asked.task == "order":
        return [Telling(told) for told in permutations(due.told)]
    facts = [fact for fact in asked.scene.grounds.by_id.values() if _may_be_meant(fact, asked, due)]
    return [*(Telling([fact]) for fact in facts[:_MOST_WRONG]), *([Telling()] if due.told else [])]


def _may_be_meant(fact: Fact, asked: Asked, due: Due) -> bool:
    """Whether somebody who errs may mean an event: it has been seen, and it is of the subject that is asked after."""
    name = asked.about.subject
    seen = fact.known_ns <= asked.ask_ns and fact not in due.told and fact.event.label != "video_start"
    return seen and (name is None or asked.about.kind != "subject" or fact.event.subject == name)
