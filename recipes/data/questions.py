"""Streaming questions as training asks them: those that can be answered at once, and those whose answers come later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets_build.core.asked import put_question
from datasets_build.core.records import Answer, Evidence, StreamingQA
from recipes.data.corpus import Material
from recipes.data.footage import Stretch
from recipes.data.script import Left, Line, shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A question that can be answered when it is asked.

    Attributes:
        key: of its record; a probe's has a number behind it.
        task: of its record.
        t_ns: when it is asked.
        question, text: the words of the user and of the right reply.
        evidence: what proves it.
        known_ns: when it could be known.
        window_end_ns: until when the reply is in time.
        until_ns: until when it is true.
    """

    key: str
    task: str
    t_ns: int
    question: str
    text: str
    evidence: tuple[Evidence, ...]
    known_ns: int
    window_end_ns: int
    until_ns: int

    def line(self, *, aside: bool, learn: bool = True) -> Line:
        """As a turn."""
        return Line(
            t_ns=self.t_ns,
            task=self.task,
            question=self.question,
            text=self.text,
            aside=aside,
            learn=learn,
            evidence_ns=self.known_ns,
            window_end_ns=self.window_end_ns,
            name=self.key,
        )


def is_standing(row: StreamingQA) -> bool:
    """Whether an answer comes later than the question."""
    later = any(answer.t_ns > row.ask_ns for answer in row.answers)
    return bool(row.answers) and (row.mode in ("proactive", "forward") or later)


def instants(material: Material) -> list[Instant]:
    """All questions about a video that can be answered at once, with the probes of counts, by rising time."""
    end_ns = material.footage.end_ns
    found = [asked for row in material.questions for asked in _instants(row, end_ns)]
    return sorted(found, key=lambda asked: (asked.t_ns, asked.key))


def _instants(row: StreamingQA, end_ns: int) -> Iterator[Instant]:
    if row.answers and row.answers[0].t_ns <= row.ask_ns and row.answerable_from_ns <= row.ask_ns:
        yield _instant(row, row.answers[0], t_ns=row.ask_ns, key=row.id, end_ns=end_ns)
    for number, probe in enumerate(row.test_points):
        if probe.kind != "count" or not row.ask_ns < probe.t_ns < end_ns:
            continue
        true = [answer for answer in row.answers if answer.t_ns <= probe.t_ns]
        until = None if not true else true[-1].valid_until_ns
        # Between two answers nobody can tell; and words that say another number would teach a lie.
        if true and (until is None or probe.t_ns < until) and probe.expected in true[-1].text:
            yield _instant(row, true[-1], t_ns=probe.t_ns, key=f"{row.id}/{number}", end_ns=end_ns)


def _instant(row: StreamingQA, answer: Answer, *, t_ns: int, key: str, end_ns: int) -> Instant:
    until = end_ns if answer.valid_until_ns is None else answer.valid_until_ns
    return Instant(
        key=key,
        task=row.task,
        t_ns=t_ns,
        question=put_question(row),
        text=answer.text,
        evidence=tuple(part for part in row.evidence if part.start_ns <= t_ns),
        known_ns=max(row.answerable_from_ns, answer.t_ns),
        window_end_ns=max(answer.window_end_ns, t_ns + 1) if answer.t_ns < t_ns else answer.window_end_ns,
        until_ns=until,
    )


def learnable(
    asked: Sequence[Instant], material: Material, stretch: Stretch, *, source: str, left: Left
) -> list[Instant]:
    """Those that are asked where a stretch learns, and whose evidence it has shown by then; the others are counted."""
    begin, end = material.footage.span(stretch)
    found = []
    for item in asked:
        if not begin <= item.t_ns < end:
            continue
        if shows(material.footage, stretch, item.evidence, at_ns=item.t_ns):
            found.append(item)
        else:
            left.out(source, "evidence is not shown", item.key)
    return found
