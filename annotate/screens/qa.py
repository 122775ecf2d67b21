"""The screen for questions: a block each with accept, fix or reject, the right answer and frames, and a rating.

Blocks are numbered in the order of the sheet, from 0, and their controls are named after the number (`verdict_0`).
What can be fixed is filled in; under `fix` only what differs from it counts, under another verdict none of it does.

Moments are frames as the counter below the picture shows them, from 1: Label Studio's clock beside it has minutes,
seconds and frames, and no part of a second that anybody could copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotate.frames import first_frame, frames_to_span
from annotate.screens.regions import (
    CLIP,
    Control,
    Reading,
    Region,
    ScreenError,
    Task,
    block_controls,
    data_of,
    moment,
    render,
    sent,
)
from annotate.tasks import Item, Question, QuestionVerdict, Verdict, Window, Work
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Json

STARS = 5
_TYPES = {
    "verdict": "choices",
    "answer": "textarea",
    "ask_frame": "number",
    "answer_frame": "number",
    "quality": "rating",
}


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


def _controls(count: int) -> dict[str, Control]:
    return block_controls(_TYPES, "question", count)


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets: the questions as they are read, and what can be fixed filled in. No verdict is chosen.

    Raises:
        ScreenError: no question, or two of one id.
    """
    questions = item.sheet.questions
    if len({question.id for question in questions}) != len(questions) or not questions:
        raise ScreenError(f"item {item.key}: found {len(questions)} questions, expected one or more, each id once")
    controls, blocks, result = _controls(len(questions)), list[Json](), list[Json]()
    for place, question in enumerate(questions):
        blocks.append({"id": question.id, "text": _words(item.window, place, question)})
        values: dict[str, dict[str, Json]] = {
            "ask_frame": {"number": first_frame(item.window, question.ask_ns)},
            "answer_frame": {"number": first_frame(item.window, question.answer_ns)},
        }
        if question.answer.strip():
            values["answer"] = {"text": [question.answer]}
        for field, value in values.items():
            name = f"{field}_{place}"
            result.append(sent(controls[name], f"{question.id}-{field}", name, value))
    return Task(data={**data_of(item, video), "questions": blocks}, result=tuple(result))


def _words(window: Window, place: int, question: Question) -> str:
    return (
        f"{place + 1}. {question.question}\n"
        f"asked {moment(window, question.ask_ns)}\n"
        f"→ {question.answer}\n"
        f"answered {moment(window, question.answer_ns)}"
    )


def read(result: Sequence[Json], item: Item, *, is_finished: bool = True) -> tuple[list[Judged], bool, Reading]:
    """The blocks that have a verdict, whether the clip can be judged, and the reading with its flaws.

    A result that is not finished, as a prediction is, need not have verdicts.
    """
    questions = item.sheet.questions
    controls = _controls(len(questions))
    reading = Reading(result, controls)
    fields = reading.single(controls)
    if not reading.is_usable(fields.get(CLIP)):
        return [], False, reading
    blocks = [_Block(reading=reading, fields=fields, place=place) for place in range(len(questions))]
    judged = [
        block.judged(question, item.window, is_finished=is_finished)
        for block, question in zip(blocks, questions, strict=True)
    ]
    return [each for each in judged if each], True, reading


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    reading: Reading
    fields: Mapping[str, Region]
    place: int

    def field(self, name: str) -> Region | None:
        return self.fields.get(f"{name}_{self.place}")

    def judged(self, question: Question, window: Window, *, is_finished: bool) -> Judged | None:
        reading, before = self.reading, len(self.reading.flaws)
        verdict = reading.verdict(self.field("verdict"), f"question {question.id}", is_finished=is_finished)
        quality = reading.whole(self.field("quality"), "rating", STARS)
        if verdict is None:
            return None
        answer: str | None = None
        frames: tuple[int | None, int | None] = (None, None)
        if verdict == "fix":
            answer = reading.text(self.field("answer"))
            answer = None if answer == question.answer.strip() else answer
            frames = self._frames(question, window)
            if len(reading.flaws) == before and (answer, *frames) == (None, None, None):
                reading.flaw("unchanged", f"question {question.id}", "fix without a change", "something that differs")
        return Judged(
            question=question,
            verdict=verdict,
            answer=answer,
            ask_frame=frames[0],
            answer_frame=frames[1],
            quality=quality,
        )

    def _frames(self, question: Question, window: Window) -> tuple[int | None, int | None]:
        """The frames of question and answer that differ from what was filled in."""
        shown = [first_frame(window, question.ask_ns), first_frame(window, question.answer_ns)]
        found = [
            self.reading.whole(self.field(name), "number", window.frames) for name in ("ask_frame", "answer_frame")
        ]
        meant = [new or old for new, old in zip(found, shown, strict=True)]
        if meant != shown and meant[0] > meant[1]:
            where = f"question {question.id}"
            self.reading.flaw("order", where, f"frames {meant[0]} and {meant[1]}", "an answer at or after its question")
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
