"""Laws of steps, places and clues: every yes and no of a step holds then, and a clue is told when it is there."""

from __future__ import annotations

from collections.abc import Iterator

from datasets_build.checks.chinese import in_english
from datasets_build.checks.laws import Breach, Known
from datasets_build.core.records import Answer, StreamingQA
from datasets_build.truth.due import Due
from datasets_build.truth.places import PLACES
from datasets_build.truth.steps import Stance, standing


def step_breaches(row: StreamingQA, due: Due, known: Known) -> Iterator[Breach]:
    """The answers about a step are its yes and no in turn, each while it holds, with the event that brings it."""
    later = [(p.event_id, p.start_ns, p.end_ns) for p in row.evidence if p.role == "sufficient"]
    wanted = [
        (stance.fact.id, stance.fact.event.start_ns, stance.at_ns)
        for stance in due.stances[1 : len(row.answers)]
        if stance.fact is not None
    ]
    if later != wanted:
        yield Breach(f"later evidence {later}", f"{wanted}, of each change in turn")
    if len(row.answers) > len(due.stances):
        yield Breach(f"{len(row.answers)} answers", f"{len(due.stances)}, as often as it changes for certain")
    for answer, stance in zip(row.answers, due.stances, strict=False):
        yield from _stands(answer, stance)
    if row.about is not None and not row.about.every and len(row.answers) != 2:
        yield Breach(f"{len(row.answers)} answers, asked for now and the next change", "2")
    if row.about is not None and row.about.every:
        least = min((answer.window_end_ns - answer.t_ns for answer in row.answers), default=1)
        due_all = standing(due.stances, least_ns=least, most=len(due.stances), end_ns=known.clock.end_ns)
        if len(row.answers) < len(due_all):
            yield Breach(f"{len(row.answers)} answers, followed to the end", f"{len(due_all)}")


def _stands(answer: Answer, stance: Stance) -> Iterator[Breach]:
    if answer.t_ns != stance.at_ns or answer.window_start_ns != stance.at_ns:
        yield Breach(f"an answer at {answer.t_ns}", f"{stance.at_ns}, when it changes")
    if answer.valid_until_ns != stance.until_ns:
        yield Breach(f"valid_until_ns {answer.valid_until_ns} of the answer at {answer.t_ns}", f"{stance.until_ns}")


def place_breaches(text: str, place: str | None) -> Iterator[Breach]:
    """An answer names the quarter that is due, and no other."""
    found = [each for each in PLACES if each in in_english(text)]
    if found != [place]:
        yield Breach(f"{text!r}, which names {found}", f"{place}, and no other place")


def expected_when_known(row: StreamingQA, t_ns: int) -> str:
    """Whether the answer of a question can be told at an instant."""
    return "yes" if t_ns >= row.answerable_from_ns else "no"
