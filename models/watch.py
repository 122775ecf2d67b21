"""A film streamed into a session as if it were live: questions at their times, decisions, answers, latencies."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.answer import Answer, AnswerStats
from models.errors import QuestionError, SettingsError
from models.film import Frame
from models.metrics import Metrics
from models.session import Session
from models.speaking import Turn

SECOND_NS: Final = 1_000_000_000
# Of a question; nanoseconds of it still fit in 64 bits.
LATEST_S: Final = 9e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and the time of the film at which it is asked; None is at the end.

    Raises:
        QuestionError: it is empty; told before the film is watched for it.
        SettingsError: its time lies before the film.
    """

    text: str
    t_ns: int | None

    def __post_init__(self) -> None:
        """Refuse what a session would refuse when the film is half over."""
        if not self.text.strip():
            raise QuestionError(f"question: found {self.text!r}, expected text; nothing was watched")
        if self.t_ns is not None and (type(self.t_ns) is not int or self.t_ns < 0):
            raise SettingsError(f"question {self.text!r}: its time is {self.t_ns!r}, expected an int of 0 ns or more")


def pair(texts: Sequence[str], seconds: Sequence[float]) -> list[Question]:
    """Questions with their times, one each in order; no times at all put every question at the end.

    Raises:
        SettingsError: there are more of the one than of the other, or a time lies before the film or is no number.
    """
    if seconds and len(seconds) != len(texts):
        raise SettingsError(
            f"found {len(texts)} questions and {len(seconds)} times, expected a time for each: repeat --ask … --at …"
        )
    for time_s in seconds:
        if not 0 <= time_s <= LATEST_S:
            raise SettingsError(f"time {time_s!r} of a question: expected seconds in [0, {LATEST_S:g}]")
    times = [round(time_s * SECOND_NS) for time_s in seconds] if seconds else [None] * len(texts)
    return [Question(text=text, t_ns=t_ns) for text, t_ns in zip(texts, times, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question is being put. `t_ns` is the time it is asked at, `late` that the film ended before its own time."""

    question: str
    t_ns: int
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A piece of an answer, as it comes."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer is whole; `question` is empty where the model spoke by itself."""

    question: str
    t_ns: int
    text: str
    token_ids: tuple[int, ...]
    stats: AnswerStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The model decided to be silent, to stand by or to respond."""

    t_ns: int
    state: str
    probabilities: tuple[float, float, float]
    decided_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The film is over, or was stopped.

    Attributes:
        frames: how many were watched.
        film_s: time of the newest one.
        wall_s: seconds that it took.
        behind_s: how late a frame was taken in at most, where the film ran at a speed.
        metrics: the session's.
    """

    frames: int
    film_s: float
    wall_s: float
    behind_s: float
    metrics: Metrics


Event = Asked | Said | Answered | Decided | Ended


@dataclass(slots=True, kw_only=True)
class Pace:
    """When frames are due: at `speed` times real time, or at once where `speed` is 0.

    Attributes:
        speed: film seconds per second of the clock.
        now: a clock in seconds that never runs backwards.
        sleep: waits so many seconds.
    """

    speed: float = 0.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    behind_s: float = field(default=0.0, init=False)
    _begun: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Refuse a speed that is none."""
        if not 0 <= self.speed < float("inf"):
            raise SettingsError(f"speed is {self.speed!r}, expected 0 (as fast as possible) or more; 1 is as if live")

    def elapsed(self) -> float:
        """Seconds since the film began."""
        self._begun = self.now() if self._begun is None else self._begun
        return self.now() - self._begun

    def due(self, t_ns: int) -> bool:
        """Whether that time of the film has come."""
        return self.speed == 0 or self.elapsed() * self.speed * SECOND_NS >= t_ns

    def wait(self, t_ns: int) -> None:
        """Return when that time of the film has come, and note how long ago that was."""
        if self.speed:
            left = t_ns / SECOND_NS / self.speed - self.elapsed()
            if left > 0:
                self.sleep(left)
            self.behind_s = max(self.behind_s, -left)


class Watch:
    """Streams a film into a session.

    Questions are asked in the order of their times, before the first frame that is later; what lies beyond the film's
    end is asked there. In mode `parallel` frames keep coming while an answer is written, otherwise they wait for it.

    Args:
        session: an open one.
        film: frames with their times, as `models.film.frames` gives them.
        questions: in any order.
        pace: when frames are due.
        speak: let the model decide after each grid whether to speak.
    """

    def __init__(
        self,
        session: Session,
        film: Iterator[tuple[Frame, int]],
        questions: Sequence[Question],
        *,
        pace: Pace,
        speak: bool = False,
    ) -> None:
        self._session = session
        self._film = film
        self._pace = pace
        self._speak = speak
        timed = sorted((q for q in questions if q.t_ns is not None), key=lambda q: q.t_ns or 0)
        self._questions = deque([*timed, *(q for q in questions if q.t_ns is None)])
        self._next: tuple[Frame, int] | None = None
        self._frames = 0
        self._newest_ns = 0

    def events(self) -> Iterator[Event]:
        """All that happens, as it happens; the last one is `Ended`, which `summary` gives at any time.

        Raises:
            StreamError: what the film or the session refuses.
        """
        self._pace.elapsed()
        self._next = next(self._film, None)
        while self._next is not None:
            if self._question_is_before(self._next[1]):
                yield from self._ask(self._questions.popleft())
                continue
            self._pace.wait(self._next[1])
            self._take()
            if self._speak:
                yield from self._decide()
        while self._questions:
            yield from self._ask(self._questions.popleft())
        yield self.summary()

    def summary(self) -> Ended:
        """How far the film was watched, and what it cost so far."""
        return Ended(
            frames=self._frames,
            film_s=self._newest_ns / SECOND_NS,
            wall_s=self._pace.elapsed(),
            behind_s=self._pace.behind_s,
            metrics=self._session.metrics(),
        )

    def _question_is_before(self, t_ns: int) -> bool:
        due_ns = self._questions[0].t_ns if self._questions else None
        return due_ns is not None and due_ns < t_ns

    def _take(self) -> None:
        assert self._next is not None
        frame, t_ns = self._next
        self._session.add_frame(frame, t_ns)
        self._frames, self._newest_ns = self._frames + 1, t_ns
        self._next = next(self._film, None)

    def _ask(self, question: Question) -> Iterator[Event]:
        ended = self._next is None
        t_ns = self._newest_ns if ended or question.t_ns is None else question.t_ns
        self._pace.wait(t_ns)
        late = question.t_ns is not None and question.t_ns > t_ns
        yield Asked(question=question.text, t_ns=t_ns, late=late)
        answer = self._session.ask(question.text, t_ns=t_ns)
        yield from self._write(answer, question=question.text, t_ns=t_ns)

    def _decide(self) -> Iterator[Event]:
        for turn in self._session.speak():
            yield _decided(turn)
            if turn.answer is not None:
                yield from self._write(turn.answer, question="", t_ns=turn.t_ns)

    def _write(self, answer: Answer, *, question: str, t_ns: int) -> Iterator[Event]:
        for piece in answer:
            yield Said(text=piece)
            if self._session.settings.mode == "parallel":
                self._keep_watching()
        yield Answered(question=question, t_ns=t_ns, text=answer.text, token_ids=answer.token_ids, stats=answer.stats)

    def _keep_watching(self) -> None:
        """Take the next frame if it is due and no question stands before it."""
        if self._next is not None and self._pace.due(self._next[1]) and not self._question_is_before(self._next[1]):
            self._pace.wait(self._next[1])
            self._take()


def _decided(turn: Turn) -> Decided:
    return Decided(t_ns=turn.t_ns, state=turn.state, probabilities=turn.probabilities, decided_s=turn.decided_s)
