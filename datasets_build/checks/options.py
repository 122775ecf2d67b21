"""Laws of options: one is right, the others are wrong and of the same video, and a stored seed orders them."""

from __future__ import annotations

from collections.abc import Iterator

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.records import About, StreamingQA
from datasets_build.teachers.template import Template
from datasets_build.truth.due import Due, due_of, unfit
from datasets_build.truth.rivals import place_of, rivals
from datasets_build.truth.words import Telling, texts_of, writer_of


def _options(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    right = row.correct_option
    if (right is None) != (not row.options) or len({text.casefold() for text in row.options}) < len(row.options):
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
    true = texts_of(writer, row.task, about, _true(row, due))
    # Of an augmented video the options are its parent's.
    suggested = None if known.video.source == AUGMENTED else _suggested(row, about, due, known, writer)
    for k, text in enumerate(row.options):
        if k == row.correct_option:
            continue
        if text in true:
            yield Breach(f"option {text!r}", "something that is not true, unlike the answer")
        elif suggested is not None and text not in suggested:
            yield Breach(f"option {text!r}", "something else that this video has shown by then")


def _true(row: StreamingQA, due: Due) -> Telling:
    return Telling(due.told, number=due.number, place=due.place, absent=row.unanswerable)


def _suggested(row: StreamingQA, about: About, due: Due, known: Known, writer: Template) -> frozenset[str]:
    tellings = rivals(row.task, about, row.ask_ns, due, known.grounds)
    if row.twin_id is not None and not row.unanswerable:
        tellings.append(Telling(absent=True))
    return frozenset[str]().union(*(texts_of(writer, row.task, about, telling) for telling in tellings))


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
    """Twins both have options or neither has, and both may be refused."""
    other = known.questions.get(row.twin_id or "")
    if other is None or known.video.source == AUGMENTED or "person" in (row.provenance.kind, other.provenance.kind):
        return
    if bool(other.options) != bool(row.options):
        yield Breach(f"{len(row.options)} options, {len(other.options)} of its twin", "options of both or of neither")


OPTION_LAWS: tuple[Law[StreamingQA], ...] = (
    Law("options_fit", "of different options the correct one says what the answer says", _options),
    Law("options_wrong", "the other options are of the same video, known by then, and not true", _wrong),
    Law("options_placed", "the right option stands where the stored seed puts it", _placed),
    Law("options_of_twins", "twins have options both or neither", _twins),
)
