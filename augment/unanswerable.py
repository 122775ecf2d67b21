"""Questions whose evidence is gone, asked nevertheless: the right answer is that it has not been seen."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from augment.answers import CannotAskError, Scene
from augment.questions import ask_again
from augment.view import View
from datasets_build.core.records import About, Event, StreamingQA, derive_id
from datasets_build.core.topics import COMPLETE_SETS
from datasets_build.truth.words import question_texts, writer_of

_ASKED = ("subject", "label")
_TRIES = 8


def absent_subjects(view: View, sources: Mapping[str, Sequence[Event]]) -> frozenset[str]:
    """Subjects of which nothing is ever seen in a view: they left before what is shown, or come in behind it.

    Only of those whose coming and going is told this is certain.

    Args:
        view: what is shown.
        sources: the events of each source, by its id.
    """
    found = []
    for events in sources.values():
        for name in {event.subject for event in events if event.subject}:
            acts = sorted((e for e in events if e.subject == name), key=lambda e: (e.end_ns, e.start_ns))
            pieces = [piece for piece in view.pieces if sources.get(piece.source) is events]
            if all(_is_away(acts, *piece.span) for piece in pieces):
                found.append(name)
    everyone = [{event.subject for event in events} for events in sources.values()]
    # Who has the same name elsewhere may be seen there.
    return frozenset(name for name in found if sum(name in names for names in everyone) == found.count(name))


def _is_away(acts: Sequence[Event], low: Fraction, high: Fraction) -> bool:
    """Whether somebody with these acts is out of the picture in a stretch of the source."""
    if any(act.start_ns < high and act.end_ns > low for act in acts):
        return False
    before = [act for act in acts if act.end_ns <= low]
    last, coming = before[-1:], [act for act in acts if act.start_ns >= high]
    gone = not before or (last[0].label == "leave" and last[0].label_set in COMPLETE_SETS)
    yet_to_come = bool(before) or (bool(coming) and coming[0].label == "enter" and coming[0].label_set in COMPLETE_SETS)
    return gone and yet_to_come


def ask_in_vain(row: StreamingQA, ask_ns: int, scene: Scene) -> tuple[StreamingQA, StreamingQA]:
    """A question about what is not shown any more, and its twin: the same about something that is.

    Only what came before can be asked in vain; else "no" or "not yet" is an answer like any other.

    Args:
        row: the question, which had an answer.
        ask_ns: when it is asked in the augmented video, at a frame.
        scene: that video.

    Raises:
        CannotAskError: it is no such question, what it asks after is there, or there is nothing for a twin.
    """
    if row.task != "before" or row.unanswerable or row.about is None or row.about.kind not in _ASKED:
        raise CannotAskError("what it asks after is gone")
    if row.about.subject is not None and row.about.subject not in scene.absent:
        raise CannotAskError("what it asks after does nothing, but may be seen")
    lonely = row.model_copy(update={"unanswerable": True, "options": (), "correct_option": None, "answers": ()})
    refused = ask_again(lonely, ask_ns, scene)
    twin = next(_twins(lonely, ask_ns, scene), None)
    if twin is None:
        raise CannotAskError("what it asks after is gone, and nothing else can be asked in its place")
    name = derive_id("twin", refused.id)
    return refused.model_copy(update={"twin_id": name}), twin.model_copy(update={"id": name, "twin_id": refused.id})


def _twins(row: StreamingQA, ask_ns: int, scene: Scene) -> Iterator[StreamingQA]:
    """The same question about other things, in the words of who wrote it, that have an answer."""
    writer = writer_of(row.provenance)
    topics = sorted(set(_topics(row, scene)), key=lambda about: (about.label or "", about.subject or ""))
    rng = random.Random(derive_id("in vain", scene.video_id, row.id))
    for about in rng.sample(topics, min(_TRIES, len(topics))) if writer else ():
        texts = sorted(question_texts(writer, row.task, about)) if writer else []
        if texts:
            changed = {"about": about, "question": rng.choice(texts), "unanswerable": False}
            try:
                yield ask_again(row.model_copy(update=changed), ask_ns, scene)
            except CannotAskError:
                continue


def _topics(row: StreamingQA, scene: Scene) -> Iterator[About]:
    assert row.about is not None, "it says what it is about"
    for fact in scene.grounds.by_id.values():
        event = fact.event
        if row.about.kind == "subject" and event.subject:
            yield About(kind="subject", subject=event.subject)
        elif row.about.kind == "label" and (event.subject is None) == (row.about.subject is None):
            yield About(kind="label", label=event.label, subject=event.subject)
