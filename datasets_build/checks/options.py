"""Laws of options: one is right, the others are wrong and of the same video, and a stored seed orders them."""

from __future__ import annotations

from collections.abc import Iterator

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.tasks import number_in
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.records import About, StreamingQA
from datasets_build.teachers.template import Template
from datasets_build.truth.due import Due, due_of, unfit
from datasets_build.truth.rivals import folded, is_refusable, least_count, numbers_around, place_of, rivals
from datasets_build.truth.words import Telling, requests_of, texts_of, writer_of


def _options(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    right = row.correct_option
    if (right is None) != (not row.options) or len(set(map(folded, row.options))) < len(row.options):
        yield Breach(
            f"options {row.options}, correct_option {right}", "different options, one of them correct, or none"
        )
    elif right is not None and (right not in range(len(row.options)) or row.options[right] != row.answers[0].text):
        yield Breach(f"correct_option {right} of {row.options}", "the one that says what the answer says")
    elif right is not None and len(row.options) < 2:
        yield Breach(f"options {row.options}", "at least one that is wrong")


def _wrong(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """No wrong option says what is true, or what the video does not suggest, or what nobody can know yet."""
    writer, about = writer_of(row.provenance), row.about
    if any(_options(row, known)):
        return
    if writer is None or about is None or not row.options or unfit(row.task, about, known.grounds):
        return
    due = due_of(row.task, about, row.ask_ns, known.grounds)
    if isinstance(due, str):
        return
    true = set(map(folded, texts_of(writer, row.task, about, _true(row, due))))
    # Of an augmented video the options are its parent's.
    suggested = None if known.video.source == AUGMENTED else _suggested(row, about, due, known, writer)
    for k, text in enumerate(row.options):
        if k == row.correct_option:
            continue
        if folded(text) in true:
            yield Breach(f"option {text!r}", "something that is not true, unlike the answer")
        elif suggested is not None and text not in suggested:
            yield Breach(f"option {text!r}", "something else that this video has shown by then")


def _true(row: StreamingQA, due: Due) -> Telling:
    return Telling(due.told, number=due.number, place=due.place, absent=row.unanswerable)


def _suggested(row: StreamingQA, about: About, due: Due, known: Known, writer: Template) -> frozenset[str]:
    tellings = rivals(row.task, about, row.ask_ns, due, known.grounds)
    refusals = _refusals(row, writer) if not row.unanswerable else frozenset()
    requests = {request for telling in tellings for request in requests_of(row.task, about, telling)}
    return refusals.union(*map(writer.phrasings, requests))


def _refusals(row: StreamingQA, writer: Template) -> frozenset[str]:
    """How it can be said that what is asked after was never shown; nothing where nobody is asked so."""
    if row.about is None or not is_refusable(row.task, row.about):
        return frozenset()
    return texts_of(writer, row.task, row.about, Telling(absent=True))


def _refused(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Of all that are asked as twins are one option refuses, or its presence would tell."""
    writer = writer_of(row.provenance)
    if writer is None or not row.options or known.video.source == AUGMENTED or any(_options(row, known)):
        return
    refusals = _refusals(row, writer)
    found = [text for text in row.options if text in refusals]
    if len(found) != bool(refusals):
        yield Breach(f"{len(found)} options that refuse", f"{int(bool(refusals))}, as of all such questions")


def _counted(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Numbers to choose from are a row in which the seed of the record gives the right one its place."""
    seed, about = row.provenance.seed, row.about
    if row.task != "count_so_far" or about is None or writer_of(row.provenance) is None or not row.options:
        return
    right = None if any(_options(row, known)) else number_in(row.answers[0].text)
    if seed is None or right is None or known.video.source == AUGMENTED:
        return
    found = sorted(-1 if (number := number_in(text)) is None else number for text in row.options)
    wanted = numbers_around(right, least_count(about), count=len(row.options), name=row.id, seed=seed)
    if found != list(wanted):
        yield Breach(f"numbers {found}", f"{list(wanted)}, as its seed {seed} says")


def _placed(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """The right option stands where the seed of the record puts it."""
    if any(_options(row, known)) or known.video.source == AUGMENTED or row.provenance.kind == "person":
        return
    if not row.options:
        return
    seed = row.provenance.seed
    wanted = None if seed is None else place_of(row.id, seed, len(row.options))
    if row.correct_option != wanted:
        yield Breach(f"correct_option {row.correct_option}", f"{wanted}, as its seed {seed} says")


def _twins(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Twins both have options or neither has."""
    other = known.questions.get(row.twin_id or "")
    if other is None or known.video.source == AUGMENTED or "person" in (row.provenance.kind, other.provenance.kind):
        return
    if bool(other.options) != bool(row.options):
        yield Breach(f"{len(row.options)} options, {len(other.options)} of its twin", "options of both or of neither")


OPTION_LAWS: tuple[Law[StreamingQA], ...] = (
    Law("options_fit", "of different options the correct one says what the answer says", _options),
    Law("options_wrong", "the other options are of the same video, known by then, and not true", _wrong),
    Law("options_refuse", "one option refuses exactly where twins are asked so, of all of them", _refused),
    Law("options_counted", "numbers are a row in which the stored seed gives the right one its place", _counted),
    Law("options_placed", "the right option stands where the stored seed puts it", _placed),
    Law("options_of_twins", "twins have options both or neither", _twins),
)
