"""All scores of one video, and the figures that many of them add up to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from datasets_build.core.clock import NS_PER_S
from recipes.data.frame_events import names_in
from recipes.errors import RecipeError
from recipes.evaluation.answers import Mark, by_task, judge, judge_due
from recipes.evaluation.clip import Clip
from recipes.evaluation.decisions import Decided, decided, total
from recipes.evaluation.events import Seen, count_names, mean_average_precision, stretches
from recipes.evaluation.interaction import Worth, worth
from recipes.evaluation.matching import EXACT, Matched, Tolerance, match
from recipes.evaluation.script import Kind
from recipes.evaluation.stability import Steady, steady
from recipes.evaluation.trace import Reply, Talk, Trace
from recipes.losses.interaction import Prices

RESAMPLES = 400
Value = tuple[float | None, int]
Count = TypeVar("Count")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScores:
    """What is counted of one video; what was not tried is empty.

    Attributes:
        video_id: whose.
        marks: of answers.
        decided, worth: by kind of conversation.
        steady: of all conversations.
        grids: what was said to be on.
        matched: the conversations, for thresholds.
        borders_ns: when its events begin and end.
    """

    video_id: str
    marks: tuple[Mark, ...] = ()
    decided: Mapping[Kind, Decided] = field(default_factory=dict)
    worth: Mapping[Kind, Worth] = field(default_factory=dict)
    steady: Steady = field(default_factory=Steady)
    grids: tuple[Seen, ...] = ()
    matched: tuple[Matched, ...] = ()
    borders_ns: tuple[int, ...] = ()


def score_video(clip: Clip, trace: Trace, *, tolerance: Tolerance = EXACT, prices: Prices) -> VideoScores:
    """Scores a trace of a clip.

    Raises:
        RecipeError: the trace is of another video, or of other questions.
    """
    asks = {ask.key: ask for ask in clip.asks}
    talks = {talk.key: talk for talk in trace.talks}
    strange = {reply.key for reply in trace.replies} ^ asks.keys() | talks.keys() ^ {s.key for s in clip.scripts}
    if trace.video_id != clip.video_id or strange:
        raise RecipeError(
            f"trace of {trace.video_id}: found another video or other questions than {clip.video_id} has "
            f"({', '.join(sorted(strange)[:3])}); remove it, and evaluate again"
        )
    matched = [match(script, talks[script.key], tolerance=tolerance) for script in clip.scripts]
    marks = [judge(asks[reply.key], reply, video_id=clip.video_id) for reply in trace.replies]
    marks += [mark for found in matched for mark in _due_marks(found, clip.video_id)]
    return VideoScores(
        video_id=clip.video_id,
        marks=tuple(marks),
        decided=_by_kind(matched, functools.partial(decided, tolerance=tolerance), Decided.__add__),
        worth=_by_kind(matched, functools.partial(worth, prices=prices), Worth.__add__),
        steady=functools.reduce(Steady.__add__, (steady(found, clip.borders_ns) for found in matched), Steady()),
        grids=tuple(seen_grids(clip, trace.on)),
        matched=tuple(matched),
        borders_ns=clip.borders_ns,
    )


def score_clock(clip: Clip, talks: Sequence[Talk], *, tolerance: Tolerance = EXACT) -> VideoScores:
    """Scores conversations of which only the times are known."""
    found = [match(script, talk, tolerance=tolerance) for script, talk in zip(clip.scripts, talks, strict=True)]
    counts = _by_kind(found, functools.partial(decided, tolerance=tolerance), Decided.__add__)
    return VideoScores(video_id=clip.video_id, decided=counts)


def _by_kind(
    matched: Sequence[Matched], count: Callable[[Matched], Count], add: Callable[[Count, Count], Count]
) -> dict[Kind, Count]:
    sums: dict[Kind, Count] = {}
    for found in matched:
        kind = found.script.kind
        sums[kind] = add(sums[kind], count(found)) if kind in sums else count(found)
    return sums


def _due_marks(matched: Matched, video_id: str) -> list[Mark]:
    marks = []
    for outcome in matched.outcomes:
        speech = matched.speech_of(outcome) if outcome.fate == "hit" else None
        text = None if speech is None else speech.text
        if outcome.due.worded:
            cut = speech is not None and speech.cut
            marks.append(judge_due(matched.script, text, outcome.due, video_id=video_id, cut=cut))
    return marks


def seen_grids(clip: Clip, replies: Sequence[Reply]) -> list[Seen]:
    """What was said to be on at each grid, beside what is."""
    said = {reply.t_ns: reply for reply in replies}
    before = [0, *(row.t_ns for row in clip.on)]
    return [
        Seen(
            video_id=clip.video_id,
            start_ns=start,
            t_ns=max(row.t_ns, start + 1),
            true=frozenset(row.names),
            said=frozenset(names_in(said[row.t_ns].text)),
            confidence=said[row.t_ns].confidence,
        )
        for start, row in zip(before, clip.on, strict=False)
        if row.t_ns in said
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        name: such as `decisions/f1`.
        value: None where there was nothing to count.
        n: how many things it is of.
        low, high: 95 % interval over videos; None where it was not taken.
        blind, clock, majority: the same of the baselines; None where it means nothing there.
    """

    name: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    blind: float | None = None
    clock: float | None = None
    majority: float | None = None


Counted = Callable[[Sequence[VideoScores]], Value]


def all_decided(scores: Sequence[VideoScores], kind: Kind | None = None) -> Decided:
    """Decisions of all conversations, or those of one kind."""
    return total(part for score in scores for name, part in score.decided.items() if kind in (None, name))


def all_worth(scores: Sequence[VideoScores], kind: Kind) -> Worth:
    """What conversations of a kind are worth together."""
    parts = (score.worth[kind] for score in scores if kind in score.worth)
    return functools.reduce(Worth.__add__, parts, Worth())


def all_steady(scores: Sequence[VideoScores]) -> Steady:
    """Steadiness over all conversations."""
    return functools.reduce(Steady.__add__, (score.steady for score in scores), Steady())


def _of_marks(group: str, *, exact: bool = False) -> Counted:
    def value(scores: Sequence[VideoScores]) -> Value:
        marks = [mark for score in scores for mark in score.marks]
        chosen = [m for m in marks if not m.left_out] if group == "all" else by_task(marks).get(group, [])
        right = [mark.exact if exact else mark.right for mark in chosen]
        return (sum(right) / len(right) if right else None), len(right)

    return value


def _left_out(scores: Sequence[VideoScores]) -> Value:
    marks = [mark for score in scores for mark in score.marks]
    return (sum(mark.left_out for mark in marks) / len(marks) if marks else None), len(marks)


def _of_decided(read: Callable[[Decided], float | None], n: Callable[[Decided], int], kind: Kind | None) -> Counted:
    def value(scores: Sequence[VideoScores]) -> Value:
        found = all_decided(scores, kind)
        return (read(found) if n(found) else None), n(found)

    return value


def _of_steady(read: Callable[[Steady], float | None], n: Callable[[Steady], int]) -> Counted:
    def value(scores: Sequence[VideoScores]) -> Value:
        found = all_steady(scores)
        return (read(found) if n(found) else None), n(found)

    return value


def _of_worth(read: Callable[[Worth], float], n: Callable[[Worth], int], kind: Kind) -> Counted:
    def value(scores: Sequence[VideoScores]) -> Value:
        found = all_worth(scores, kind)
        return (read(found) if n(found) else None), n(found)

    return value


def _of_events(read: Callable[[Sequence[Seen]], float]) -> Counted:
    def value(scores: Sequence[VideoScores]) -> Value:
        grids = [grid for score in scores for grid in score.grids]
        return (read(grids) if grids else None), len(grids)

    return value


def _map_at(least: float) -> Callable[[Sequence[Seen]], float]:
    def read(grids: Sequence[Seen]) -> float:
        return mean_average_precision(stretches(grids, said=False), stretches(grids, said=True), least)

    return read


def _seconds(value: float | None) -> float | None:
    return None if value is None else value / 1e9


def figures_of(scores: Sequence[VideoScores], tious: Sequence[float]) -> dict[str, Counted]:
    """How each figure is counted, by its name, in the order of a report."""
    groups = by_task([mark for score in scores for mark in score.marks])
    table: dict[str, Counted] = {"accuracy/all": _of_marks("all")}
    table |= {f"accuracy/{group}": _of_marks(group) for group in groups}
    table["exact/all"] = _of_marks("all", exact=True)
    table["cut/left_out"] = _left_out
    table |= _decision_figures()
    table |= {
        "stability/flip_rate": _of_steady(lambda found: found.flip_rate, lambda found: found.pairs),
        "stability/lag_p50_s": _of_steady(lambda found: _seconds(found.lag_ns(50)), lambda found: len(found.lags_ns)),
        "stability/lag_p95_s": _of_steady(lambda found: _seconds(found.lag_ns(95)), lambda found: len(found.lags_ns)),
        "events/micro_f1": _of_events(lambda grids: count_names(grids).micro_f1),
        "events/macro_f1": _of_events(lambda grids: count_names(grids).macro_f1),
    }
    table |= {f"events/map@{least:g}": _of_events(_map_at(least)) for least in tious}
    return table | {
        "interaction/dialogue": _of_worth(lambda found: found.score, lambda found: found.due, "dialogue"),
        "interaction/standing": _of_worth(lambda found: found.score, lambda found: found.due, "standing"),
        "interaction/stops": _of_worth(lambda found: found.stopped / found.barges, lambda f: f.barges, "dialogue"),
    }


def _decision_figures() -> dict[str, Counted]:
    def of(
        read: Callable[[Decided], float | None], n: Callable[[Decided], int] | None = None, kind: Kind | None = None
    ) -> Counted:
        return _of_decided(read, n or (lambda found: found.due), kind)

    return {
        "decisions/precision": of(lambda found: found.precision, lambda found: found.responses),
        "decisions/recall": of(lambda found: found.recall),
        "decisions/f1": of(lambda found: found.f1),
        "decisions/f1_standing": of(lambda found: found.f1, kind="standing"),
        "decisions/f1_dialogue": of(lambda found: found.f1, kind="dialogue"),
        "decisions/early_rate": of(lambda found: found.rate(found.early)),
        "decisions/late_rate": of(lambda found: found.rate(found.late)),
        "decisions/missed_rate": of(lambda found: found.rate(found.missed)),
        "decisions/false_per_due": of(lambda found: found.rate(found.false)),
        "decisions/false_per_minute": of(
            lambda found: found.false_per_minute, lambda found: found.watched_ns // NS_PER_S
        ),
        "decisions/duplicate_rate": of(lambda found: found.duplicate_rate, lambda found: found.responses),
        "decisions/delay_mean_s": of(lambda found: _seconds(found.delay_mean_ns), lambda found: found.hit),
        "decisions/delay_p50_s": of(lambda found: _seconds(found.delay_ns(50)), lambda found: found.hit),
        "decisions/delay_p95_s": of(lambda found: _seconds(found.delay_ns(95)), lambda found: found.hit),
        "decisions/silence_accuracy": of(lambda found: found.silence_accuracy, lambda found: found.quiet),
        "decisions/state_accuracy": of(lambda found: found.state_accuracy, lambda found: sum(found.confusion)),
        "decisions/state_f1": of(lambda found: found.state_f1, lambda found: sum(found.confusion)),
        "decisions/at_once": of(lambda found: found.asked_hit / found.asked, lambda found: found.asked),
        "decisions/utility": of(lambda found: found.utility),
    }


def interval(scores: Sequence[VideoScores], counted: Counted, *, seed: int) -> tuple[float, float] | None:
    """The 95 % percentile interval of a figure when videos are drawn again with replacement (Efron, 1979).

    A draw that holds nothing to count is left out.

    Args:
        scores: of all videos.
        counted: the figure.
        seed: of the draws.

    Returns:
        Low and high; None for fewer than two videos, or where the figure means nothing.
    """
    if len(scores) < 2 or counted(scores)[0] is None:
        return None
    draws = np.random.default_rng(seed).integers(len(scores), size=(RESAMPLES, len(scores)))
    found = (counted([scores[place] for place in draw])[0] for draw in draws.tolist())
    low, high = np.percentile([value for value in found if value is not None], [2.5, 97.5])
    return float(low), float(high)
