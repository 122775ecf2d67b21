"""What travels between records and people: an item of work, what is asked about it, and what somebody did.

All times are nanoseconds on the clock of the source video; frames of a screen exist only inside `annotate.screens`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from datasets_build.core.augmentation import Knot
from datasets_build.core.clock import TimeMap
from datasets_build.core.records import Many, Ns, Part, Split

Kind = Literal["events", "qa", "dialogue"]
Verdict = Literal["accept", "fix", "reject"]
Timing = Literal["too_early", "too_late"]
Rating = Annotated[int, Field(ge=1, le=5)]


class Window(Part):
    """A stretch of a video as a person watches it: a proxy file of constant rate that begins at zero.

    `start_ns`, `end_ns`: half-open, on the source's clock. Frame `k` of the proxy, from 0, is on screen from `k / fps`
    to `(k + 1) / fps` and shows what the source shows then. `knots` map the source's clock to the proxy's.
    """

    video_id: str
    start_ns: Ns
    end_ns: Ns
    proxy_sha256: str
    width: int
    height: int
    fps_num: Annotated[int, Field(gt=0)]
    fps_den: Annotated[int, Field(gt=0)]
    frames: Annotated[int, Field(gt=0)]
    knots: Many[Knot]

    @property
    def time_map(self) -> TimeMap:
        """From the source's clock to the proxy's, ns."""
        return TimeMap.through((knot.source, knot.target) for knot in self.knots)


class Mark(Part):
    """An event as a person sees and says it.

    `id` is that of the event it was, or of the region that somebody drew.
    """

    id: str
    label: str
    start_ns: Ns
    end_ns: Ns
    is_point: bool = False
    note: str = ""
    confidence: Literal["sure", "unsure"] | None = None


class Question(Part):
    """A question, with its options on lines of their own, and its first answer; `answer_ns` is when that is given."""

    id: str
    question: str
    ask_ns: Ns
    answer: str
    answer_ns: Ns


class QuestionVerdict(Part):
    """What somebody says of a question; texts and times count only under `fix`."""

    id: str
    verdict: Verdict
    answer: str | None = None
    ask_ns: Ns | None = None
    answer_ns: Ns | None = None
    quality: Rating | None = None

    @model_validator(mode="after")
    def _gated(self) -> Self:
        if self.verdict != "fix" and (self.answer, self.ask_ns, self.answer_ns) != (None, None, None):
            raise ValueError(f"{self.id}: found corrections under {self.verdict}, expected them under fix alone")
        return self


class Said(Part):
    """A turn of a conversation as it is shown."""

    id: str
    role: Literal["user", "assistant"]
    start_ns: Ns
    end_ns: Ns
    text: str


class TurnVerdict(Part):
    """What somebody says of a turn; `text` counts only under `fix`."""

    id: str
    verdict: Verdict
    text: str | None = None
    timing: Timing | None = None

    @model_validator(mode="after")
    def _gated(self) -> Self:
        if self.verdict != "fix" and self.text is not None:
            raise ValueError(f"{self.id}: found a text under {self.verdict}, expected it under fix alone")
        return self


class Sheet(Part):
    """What is asked of a person about a window: events to correct, or questions or turns to judge."""

    kind: Kind
    marks: Many[Mark] = ()
    questions: Many[Question] = ()
    turns: Many[Said] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all that is asked about."""
        shown: tuple[Mark | Question | Said, ...] = (*self.marks, *self.questions, *self.turns)
        return tuple(one.id for one in shown)


class Work(Part):
    """What a person did about a sheet; `usable` is False where the clip cannot be judged."""

    kind: Kind
    marks: Many[Mark] = ()
    questions: Many[QuestionVerdict] = ()
    turns: Many[TurnVerdict] = ()
    usable: bool = True


class Item(Part):
    """A piece of work for one or more people.

    `key` follows from the content (`key_of`) and is its identity everywhere: numbers of tasks on a server are used
    again. `truth` is what a gold item should come back as; it is never sent.
    """

    key: str
    window: Window
    sheet: Sheet
    split: Split
    is_gold: bool = False
    truth: Work | None = None
    priority: float = 0.0


class Done(Part):
    """One person's finished work on one item, as it was pulled and found valid.

    `annotator` is a pseudonym. `untouched`: nothing differs from what was shown. `lead_time_s` is what the server
    counted.
    """

    key: str
    annotator: str
    work: Work
    lead_time_s: float
    updated_at: str
    annotation_id: int
    untouched: bool


def key_of(window: Window, sheet: Sheet, config_sha256: str) -> str:
    """The key of an item: 20 hex digits of blake2b over what is shown, asked and the screen."""
    digest = hashlib.blake2b(digest_size=10)
    for text in (window.model_dump_json(), sheet.model_dump_json(), config_sha256):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()
