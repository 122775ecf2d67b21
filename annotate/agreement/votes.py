"""What several people decide about one question or turn: the verdict of more than half, or what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Literal, TypeVar

from annotate.agreement.groups import median_ns
from annotate.agreement.judgements import Judgement
from annotate.agreement.text import chrf
from annotate.tasks import Question, QuestionVerdict, Said, Timing, TurnVerdict, Verdict
from datasets_build.core.clock import format_ns

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What is judged, what people said of it, and when texts (chrF) and times (ns from the median) agree."""

    shown: Question | Said
    said: tuple[Judgement, ...]
    text_agree: float
    tolerance_ns: int

    @property
    def span(self) -> tuple[int, int]:
        """Where to look, ns."""
        if isinstance(self.shown, Question):
            return self.shown.ask_ns, max(self.shown.ask_ns, self.shown.answer_ns)
        return self.shown.start_ns, self.shown.end_ns

    @property
    def name(self) -> str:
        """What is judged, for people."""
        what = self.shown.question if isinstance(self.shown, Question) else self.shown.text
        # Options have lines of their own, a name has one line.
        asked = what.partition("\n")[0]
        return f"{format_ns(self.span[0])} “{asked}”"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What must still be decided, and between what, in order of the alphabet."""

    about: Literal["verdict", "text", "time", "timing"]
    decide: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What stands: of a question or of a turn, the other is None."""

    question: QuestionVerdict | None = None
    turn: TurnVerdict | None = None


def unlike(left: Judgement, right: Judgement, *, tolerance_ns: int) -> float:
    """How far two judgements are apart, 0..1.

    1 for two verdicts and 0 for two rejections; else the greatest of: 1 minus the chrF of the texts that would stand,
    `d / (d + tolerance)` for times `d` apart, and 1/2 where complaints about timing differ.
    """
    if left.verdict != right.verdict:
        return 1.0
    if left.verdict == "reject":
        return 0.0
    times = ((left.ask_ns, right.ask_ns), (left.answer_ns, right.answer_ns))
    gaps = [abs(a - b) for a, b in times if a is not None and b is not None]
    return max(
        1 - chrf(left.text, right.text),
        0.5 * (left.timing != right.timing),
        *(gap / (gap + tolerance_ns) for gap in gaps),
    )


def count(ballot: Ballot) -> Outcome | Open:
    """The verdict of more than half of those who judged, with what they corrected, or what is open.

    A rating is the lower median of all that were given.
    """
    verdict = _majority([one.verdict for one in ballot.said])
    if verdict is None:
        options = tuple(sorted({one.verdict for one in ballot.said}))
        return Open(about="verdict", decide=f"{ballot.name}: accept, fix or reject?", options=options)
    voters = [one for one in ballot.said if one.verdict == verdict]
    if isinstance(ballot.shown, Question):
        return _question(ballot, ballot.shown, verdict, voters)
    return _turn(ballot, ballot.shown, verdict, voters)


def _question(ballot: Ballot, shown: Question, verdict: Verdict, voters: Sequence[Judgement]) -> Outcome | Open:
    ratings = [one.quality for one in ballot.said if one.quality is not None]
    quality = median_low(ratings) if ratings else None
    if verdict != "fix":
        return Outcome(question=QuestionVerdict(id=shown.id, verdict=verdict, quality=quality))
    text = _text(ballot, voters)
    if isinstance(text, Open):
        return text
    ask = _time(ballot, [one.ask_ns for one in voters], "asked")
    answer = _time(ballot, [one.answer_ns for one in voters], "answered")
    if isinstance(ask, Open):
        return ask
    if isinstance(answer, Open):
        return answer
    said = QuestionVerdict(
        id=shown.id,
        verdict=verdict,
        answer=text if any(one.has_text for one in voters) else None,
        ask_ns=ask if any(one.has_ask for one in voters) else None,
        answer_ns=answer if any(one.has_answer for one in voters) else None,
        quality=quality,
    )
    return Outcome(question=said)


def _turn(ballot: Ballot, shown: Said, verdict: Verdict, voters: Sequence[Judgement]) -> Outcome | Open:
    said = [one.timing or "in_time" for one in voters]
    timing = _majority(said)
    if timing is None:
        options = tuple(sorted(set(said)))
        return Open(about="timing", decide=f"{ballot.name}: in time, too early or too late?", options=options)
    text = _text(ballot, voters) if verdict == "fix" else None
    if isinstance(text, Open):
        return text
    if not any(one.has_text for one in voters):
        text = None
    complaints: dict[str, Timing | None] = {"in_time": None, "too_early": "too_early", "too_late": "too_late"}
    return Outcome(turn=TurnVerdict(id=shown.id, verdict=verdict, text=text, timing=complaints[timing]))


def _majority(values: Sequence[T]) -> T | None:
    top = Counter(values).most_common(1)
    return top[0][0] if top and 2 * top[0][1] > len(values) else None


def _text(ballot: Ballot, voters: Sequence[Judgement]) -> str | Open:
    texts = sorted(one.text for one in voters)
    likes = [[chrf(a, b) for b in texts] for a in texts]
    best = max(range(len(texts)), key=lambda at: (sum(likes[at]), -at))
    if 2 * sum(like >= ballot.text_agree for like in likes[best]) > len(texts):
        return texts[best]
    return Open(about="text", decide=f"{ballot.name}: which words are right?", options=tuple(sorted(set(texts))))


def _time(ballot: Ballot, given: Sequence[int | None], what: str) -> int | Open:
    times = [time for time in given if time is not None]
    middle = median_ns(times)
    if 2 * sum(abs(time - middle) <= ballot.tolerance_ns for time in times) > len(times):
        return middle
    options = tuple(format_ns(time) for time in sorted(set(times)))
    return Open(about="time", decide=f"{ballot.name}: when is it {what}?", options=options)
