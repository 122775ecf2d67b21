"""What can be had without the video: the commonest answer of each task, and responses timed by the clock alone.

The third baseline, the model itself in front of grey frames, is a replay like any other (`clip.Pictures`, `blind`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets_build.core.clock import NS_PER_S
from recipes.evaluation.answers import Mark, gist, judge, judge_due, number_in
from recipes.evaluation.clip import Clip
from recipes.evaluation.decisions import decided, total
from recipes.evaluation.matching import EXACT, Tolerance, match
from recipes.evaluation.script import Ask, Script, reference
from recipes.evaluation.stability import wordless
from recipes.evaluation.trace import Decision, Reply, Talk

# Seconds since the last thing that happened are counted up to here.
LONGEST_S = 60
# So many thresholds are tried, spread over the hazards that occur.
TRIED = 24
Since = tuple[bool, int]
Timed = tuple[Script, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority:
    """The commonest right answer of each `(task, mode)` of a training split, in words that stand for it."""

    answers: Mapping[tuple[str, str], str]

    def marks(self, clip: Clip) -> list[Mark]:
        """Marks of these answers to all questions of a clip; when they are given is not looked at."""
        marks = []
        for ask in clip.asks:
            text = self.answers.get((ask.task, ask.mode), "")
            reply = Reply(key=ask.key, t_ns=ask.t_ns, text=text, state=None, confidence=1.0)
            marks.append(judge(ask, reply, video_id=clip.video_id))
        for script in clip.scripts:
            for due in filter(lambda due: due.worded, script.dues):
                text = self.answers.get((due.task, script.mode), "")
                marks.append(judge_due(script, text, due, video_id=clip.video_id))
        return marks


def fit_majority(clips: Sequence[Clip]) -> Majority:
    """Counts the answers of a training split: numbers where it counts, options by their place, else words."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    words: dict[tuple[str, str, str], str] = {}
    for clip in clips:
        told = [(ask.task, ask.mode, _words(ask)) for ask in clip.asks]
        told += [(due.task, script.mode, due.text) for script in clip.scripts for due in script.dues if due.worded]
        for task, mode, text in told:
            number = number_in(text) if task == "count_so_far" or mode in ("counting", "probe") else None
            key = gist(text) if number is None else number
            counts[task, mode][key] += 1
            words.setdefault((task, mode, key), text)
    return Majority(
        answers={
            (task, mode): words[task, mode, min(found, key=lambda key: (-found[key], key))]
            for (task, mode), found in counts.items()
        }
    )


def _words(ask: Ask) -> str:
    return ask.options[ask.option] if ask.options and ask.option is not None else ask.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Responds where the hazard by time alone reaches a threshold.

    Attributes:
        hazards: share of grids with a response, by what happened last (True: the user spoke; False: a response) and
            the whole seconds since.
        threshold: hazards from it on respond; above 1: never.
    """

    hazards: Mapping[Since, float]
    threshold: float

    def talk(self, script: Script, grids_ns: Sequence[int]) -> Talk:
        """The conversation as the clock would have it: decisions and responses without words."""
        decisions: list[Decision] = []
        spoken: list[int] = []
        for t_ns in grids_ns:
            since = _since(script, spoken, t_ns)
            hazard = 0.0 if since is None else self.hazards.get(since, 0.0)
            responds = hazard >= self.threshold and hazard > 0
            chances = (1.0 - hazard, 0.0, hazard)
            decisions.append(Decision(t_ns=t_ns, state="respond" if responds else "silence", chances=chances))
            spoken += [t_ns] if responds else []
        return Talk(key=script.key, decisions=tuple(decisions), speeches=tuple(map(wordless, spoken)))


def _since(script: Script, spoken: Sequence[int], t_ns: int) -> Since | None:
    """What happened last before a grid, and how many seconds ago; None where nothing has."""
    heard = max((turn.t_ns for turn in script.heard if turn.t_ns < t_ns), default=None)
    last = spoken[bisect_left(spoken, t_ns) - 1] if spoken and spoken[0] < t_ns else None
    if heard is None and last is None:
        return None
    user = last is None or (heard is not None and heard >= last)
    begin = heard if user else last
    assert begin is not None, "one of the two has happened"
    return user, min((t_ns - begin) // NS_PER_S, LONGEST_S)


def fit_clock(timed: Sequence[Timed], *, tolerance: Tolerance = EXACT) -> Clock:
    """Estimates hazards on a training split, and takes the threshold with the best F1 there (the highest of equals).

    Args:
        timed: conversations with the grids of their videos.
        tolerance: as in scoring.
    """
    at_risk: Counter[Since] = Counter()
    responses: Counter[Since] = Counter()
    for script, grids_ns in timed:
        states = reference(script, grids_ns)
        spoken = [t_ns for t_ns, state in zip(grids_ns, states, strict=True) if state == "respond"]
        for t_ns, state in zip(grids_ns, states, strict=True):
            since = _since(script, spoken, t_ns)
            if since is not None:
                at_risk[since] += 1
                responses[since] += state == "respond"
    hazards = {since: responses[since] / count for since, count in at_risk.items()}
    found = sorted({hazard for hazard in hazards.values() if hazard > 0})
    tried = sorted({found[k * (len(found) - 1) // max(1, TRIED - 1)] for k in range(TRIED)}) if found else []
    best, threshold = 0.0, 2.0
    for candidate in tried:
        clock = Clock(hazards=hazards, threshold=candidate)
        score = _f1(clock, timed, tolerance)
        if score >= best and score > 0:
            best, threshold = score, candidate
    return Clock(hazards=hazards, threshold=threshold)


def _f1(clock: Clock, timed: Sequence[Timed], tolerance: Tolerance) -> float:
    counts = (
        decided(match(script, clock.talk(script, grids_ns), tolerance=tolerance), tolerance=tolerance)
        for script, grids_ns in timed
    )
    return total(counts).f1
