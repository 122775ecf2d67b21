"""The screen for questions: a block each with accept, fix or reject, the right answer and frames, and a rating.

Under `fix` only what differs from what was filled in counts, under another verdict none of it does.

Moments are frames as the counter below the picture shows them, from 1: Label Studio's clock beside it has minutes,
seconds and frames, and no part of a second that anybody could copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotate.frames import first_frame, frames_to_span
from annotate.screens.blocks import Block, Blocks
from annotate.screens.regions import Reading, Task, data_of, moment, render
from annotate.tasks import Item, Question, QuestionVerdict, Verdict, Window, Work
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Json

STARS = 5
BLOCKS = Blocks(
    about="question",
    types={
        "verdict": "choices",
        "answer": "textarea",
        "ask_frame": "number",
        "answer_frame": "number",
        "quality": "rating",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A block as it was filled in; None for what does not count or does not differ. Frames are from 1."""

    question: Question
    verdict: Verdict
    answer: str | None
    ask_frame: int | None
    answer_frame: int | None
    quality: int | None


def config() -> str:
    """The labelling configuration, the same for all questions."""
    return render("qa")


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets: the questions as they are read, and what can be fixed filled in. No verdict is chosen.

    Raises:
        ScreenError: no question, or two of one id.
    """
    result = BLOCKS.filled(item, item.sheet.questions, lambda question: _values(item.window, question))
    blocks: list[Json] = [
        {"id": question.id, "text": _words(item.window, place, question)}
        for place, question in enumerate(item.sheet.questions)
    ]
    return Task(data={**data_of(item, video), "questions": blocks}, result=result)


def _values(window: Window, question: Question) -> dict[str, dict[str, Json]]:
    values: dict[str, dict[str, Json]] = {
        "ask_frame": {"number": first_frame(window, question.ask_ns)},
        "answer_frame": {"number": first_frame(window, question.answer_ns)},
    }
    if question.answer.strip():
        values["answer"] = {"text": [question.answer]}
    return values


def _words(window: Window, place: int, question: Question) -> str:
    return (
        f"{place + 1}. {question.question}\n"
        f"asked {moment(window, question.ask_ns)}\n"
        f"→ {question.answer}\n"
        f"answered {moment(window, question.answer_ns)}"
    )


def read(result: Sequence[Json], item: Item, *, is_finished: bool = True) -> tuple[list[Judged], bool, Reading]:
    """The questions that have a verdict, whether the clip can be judged, and the reading with its flaws."""
    return BLOCKS.read(
        result,
        item.sheet.questions,
        lambda block, question: _judged(block, question, item.window),
        is_finished=is_finished,
    )


def _judged(block: Block, question: Question, window: Window) -> Judged | None:
    reading, before = block.reading, len(block.reading.flaws)
    verdict = block.verdict()
    quality = reading.whole(block.field("quality"), "rating", STARS)
    answer: str | None = None
    ask_frame: int | None = None
    answer_frame: int | None = None
    if block.is_open(verdict):
        answer = reading.text(block.field("answer"))
        answer = None if answer == question.answer.strip() else answer
        ask_frame, answer_frame = _frames(block, question, window)
    if verdict is None:
        return None
    is_same = (answer, ask_frame, answer_frame) == (None, None, None)
    if verdict == "fix" and len(reading.flaws) == before and is_same:
        reading.flaw("unchanged", block.where, "fix without a change", "something that differs")
    return Judged(
        question=question,
        verdict=verdict,
        answer=answer,
        ask_frame=ask_frame,
        answer_frame=answer_frame,
        quality=quality,
    )


def _frames(block: Block, question: Question, window: Window) -> tuple[int | None, int | None]:
    """The frames of question and answer that differ from what was filled in."""
    shown = [first_frame(window, question.ask_ns), first_frame(window, question.answer_ns)]
    found = [block.reading.whole(block.field(name), "number", window.frames) for name in ("ask_frame", "answer_frame")]
    meant = [new or old for new, old in zip(found, shown, strict=True)]
    if meant != shown and meant[0] > meant[1]:
        expected = "an answer at or after its question"
        block.reading.flaw("order", block.where, f"frames {meant[0]} and {meant[1]}", expected)
    ask, answer = (None if new == old else new for new, old in zip(found, shown, strict=True))
    return ask, answer


def decode(result: Sequence[Json], item: Item, clock: FrameClock) -> Work:
    """What a person said of the questions, in the order of the sheet.

    A corrected moment is when the source frame came on that its frame shows. Of a clip that cannot be judged nothing
    else counts.

    Raises:
        ScreenError: the result has a flaw (`annotate.validate` finds all of them).
    """
    judged, is_usable, reading = read(result, item)
    reading.check()
    verdicts = tuple(_verdict(item.window, clock, each) for each in judged)
    return Work(kind="qa", questions=verdicts, usable=is_usable)


def _verdict(window: Window, clock: FrameClock, judged: Judged) -> QuestionVerdict:
    ask, answer = (
        None if frame is None else frames_to_span(window, clock, frame, frame).start_ns
        for frame in (judged.ask_frame, judged.answer_frame)
    )
    return QuestionVerdict(
        id=judged.question.id,
        verdict=judged.verdict,
        answer=judged.answer,
        ask_ns=ask,
        answer_ns=answer,
        quality=judged.quality,
    )
