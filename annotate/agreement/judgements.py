"""Agreement about questions and turns: verdicts, ratings, complaints about timing, corrected texts and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from annotate.agreement.alpha import nominal, nominal_rows, ordinal, ordinal_parts
from annotate.agreement.bootstrap import of_mean, of_sums
from annotate.agreement.boundaries import Bounds, bounds
from annotate.agreement.events import ONE_VALUE
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.panels import Panel
from annotate.agreement.text import chrf, token_f1
from annotate.tasks import Item, Question, QuestionVerdict, Said, Timing, TurnVerdict, Verdict, Work
from datasets_build.core.records import Part

RATINGS = 5


class JudgementMeasures(Part):
    """Agreement about questions or turns.

    `same_verdict`: share of pairs of people with one verdict. `token_f1`, `chrf`: texts as they would stand, over pairs
    of which neither rejects and at least one corrected the text; `ask`, `answer`: times, in the same way.
    """

    verdict_alpha: Figure
    same_verdict: Figure
    rating_alpha: Figure
    timing_alpha: Figure
    token_f1: Figure
    chrf: Figure
    ask: Bounds
    answer: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What somebody says of one question or turn, with the text and times that it would have; times of turns are None.

    `has_text`, `has_ask`, `has_answer`: whether the person corrected that.
    """

    verdict: Verdict
    text: str
    has_text: bool
    quality: int | None = None
    timing: Timing | None = None
    ask_ns: int | None = None
    answer_ns: int | None = None
    has_ask: bool = False
    has_answer: bool = False


def judgements(item: Item, work: Work) -> dict[str, Judgement]:
    """What `work` says of each question or turn that `item` shows and that it speaks of, by id."""
    questions = {question.id: question for question in item.sheet.questions}
    turns = {turn.id: turn for turn in item.sheet.turns}
    found = {said.id: _of_question(questions[said.id], said) for said in work.questions if said.id in questions}
    return found | {said.id: _of_turn(turns[said.id], said) for said in work.turns if said.id in turns}


def measure_judgements(panels: Sequence[Panel], config: AgreementConfig, *, signed: bool = False) -> JudgementMeasures:
    """Agreement of panels about questions or turns; `signed`: the first of each panel is measured against the second.

    Somebody who found the clip unfit, or left a question alone, is missing there.
    """
    rows = {key: row for row, key in enumerate(sorted({panel.item.key for panel in panels}))}
    units = [unit for panel in panels for unit in _units(panel, rows[panel.item.key])]
    pairs = [_Pair(row=unit.row, left=a, right=b) for unit in units for a, b in combinations(unit.said, 2)]
    kept = [pair for pair in pairs if "reject" not in (pair.left.verdict, pair.right.verdict)]
    verdicts = [_Values(row=unit.row, values=[one.verdict for one in unit.said]) for unit in units]
    # Nobody is asked whether a question is timely; turns have no times of their own.
    turns = [unit for unit in units if unit.said[0].ask_ns is None]
    timings = [_Values(row=unit.row, values=[one.timing or "" for one in unit.said]) for unit in turns]
    same = np.array([float(pair.left.verdict == pair.right.verdict) for pair in pairs])
    return JudgementMeasures(
        verdict_alpha=_nominal(verdicts, len(rows), config, unit="verdicts"),
        same_verdict=of_mean(same, _rows(pairs), unit="pairs of verdicts", config=config),
        rating_alpha=_ordinal(units, len(rows), config),
        timing_alpha=_nominal(timings, len(rows), config, unit="complaints about timing or none"),
        token_f1=_texts(kept, config, measure="token_f1"),
        chrf=_texts(kept, config, measure="chrf"),
        ask=_times(kept, config, signed=signed, which="ask"),
        answer=_times(kept, config, signed=signed, which="answer"),
    )


def measure_usable(panels: Sequence[Panel], config: AgreementConfig) -> Figure:
    """Nominal alpha of whether clips can be judged at all."""
    rows = {key: row for row, key in enumerate(sorted({panel.item.key for panel in panels}))}
    units = [_Values(row=rows[panel.item.key], values=[work.usable for work in panel.works]) for panel in panels]
    return _nominal(units, len(rows), config, unit="clips judged fit or unfit")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    row: int
    said: list[Judgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    row: int
    left: Judgement
    right: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    row: int
    values: Sequence[Hashable]


def _of_question(question: Question, said: QuestionVerdict) -> Judgement:
    return Judgement(
        verdict=said.verdict,
        text=question.answer if said.answer is None else said.answer,
        has_text=said.answer is not None,
        quality=said.quality,
        ask_ns=question.ask_ns if said.ask_ns is None else said.ask_ns,
        answer_ns=question.answer_ns if said.answer_ns is None else said.answer_ns,
        has_ask=said.ask_ns is not None,
        has_answer=said.answer_ns is not None,
    )


def _of_turn(turn: Said, said: TurnVerdict) -> Judgement:
    text = turn.text if said.text is None else said.text
    return Judgement(verdict=said.verdict, text=text, has_text=said.text is not None, timing=said.timing)


def _units(panel: Panel, row: int) -> list[_Unit]:
    people = [judgements(panel.item, work) for work in panel.usable]
    ids = sorted({name for person in people for name in person})
    return [_Unit(row=row, said=[person[name] for person in people if name in person]) for name in ids]


def _rows(pairs: Sequence[_Pair]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([pair.row for pair in pairs], dtype=np.int64)


def _nominal(units: Sequence[_Values], rows: int, config: AgreementConfig, *, unit: str) -> Figure:
    paired = [one for one in units if len(one.values) > 1]
    values: dict[Hashable, int] = {}
    for one in paired:
        for value in one.values:
            values.setdefault(value, len(values))
    counts = [_counted([values[value] for value in one.values], len(values)) for one in paired]
    table = np.array(counts, dtype=np.float64).reshape(len(paired), len(values))
    parts = nominal_rows(table, np.ones(len(paired)), [one.row for one in paired], rows=rows)
    n = sum(len(one.values) for one in paired)
    return of_sums(parts, nominal, n=n, unit=unit, why=ONE_VALUE, config=config)


def _ordinal(units: Sequence[_Unit], rows: int, config: AgreementConfig) -> Figure:
    parts = np.zeros((rows, RATINGS**2))
    n = 0
    for unit in units:
        given = [one.quality - 1 for one in unit.said if one.quality is not None]
        if len(given) > 1:
            parts[unit.row] += ordinal_parts([_counted(given, RATINGS)])
            n += len(given)
    return of_sums(parts, ordinal, n=n, unit="ratings", why=ONE_VALUE, config=config)


def _counted(numbers: Sequence[int], size: int) -> list[int]:
    counts = Counter(numbers)
    return [counts[number] for number in range(size)]


def _texts(pairs: Sequence[_Pair], config: AgreementConfig, *, measure: str) -> Figure:
    chosen = [pair for pair in pairs if pair.left.has_text or pair.right.has_text]
    alike = token_f1 if measure == "token_f1" else chrf
    values = np.array([alike(pair.left.text, pair.right.text) for pair in chosen], dtype=np.float64)
    return of_mean(values, _rows(chosen), unit="pairs of texts", config=config)


def _times(pairs: Sequence[_Pair], config: AgreementConfig, *, signed: bool, which: str) -> Bounds:
    errors, rows = [], []
    for pair in pairs:
        left, right = (_time(one, which) for one in (pair.left, pair.right))
        if left.ns is not None and right.ns is not None and (left.corrected or right.corrected):
            errors.append(left.ns - right.ns)
            rows.append(pair.row)
    return bounds(errors, rows, signed=signed, unit=f"pairs of {which} times", config=config)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    ns: int | None
    corrected: bool


def _time(one: Judgement, which: str) -> _Time:
    if which == "ask":
        return _Time(ns=one.ask_ns, corrected=one.has_ask)
    return _Time(ns=one.answer_ns, corrected=one.has_answer)
