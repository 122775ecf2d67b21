"""What can be had without the video: the commonest answer to each question, and responses timed by the clock alone.

The third baseline, the model itself in front of another video, is a replay like any other (`blind.Elsewhere`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from datasets_build.core.clock import NS_PER_S
from recipes.evaluation.answers import Mark, gist, judge, judge_due, number_in, polarity
from recipes.evaluation.clip import Clip
from recipes.evaluation.decisions import decided, total
from recipes.evaluation.matching import EXACT, Tolerance, match
from recipes.evaluation.script import Ask, Script, reference, window
from recipes.evaluation.stability import wordless
from recipes.evaluation.trace import Decision, Reply, Talk

# Time since the last thing that happened is counted in steps of so long, up to so many, and responses up to so many.
STEP_NS = NS_PER_S // 2
STEPS = 120
MOST_SAID = 3
# So many thresholds are tried, spread over the chances that occur, on so many conversations of a group at most.
TRIED = 24
FITTED_ON = 300
# A chance counts as if so many more grids with the chance of its group had been seen.
PRIOR = 4.0
Group = tuple[str, str]
Since = tuple[int, int]
Timed = tuple[Script, Sequence[int]]
Told = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority:
    """The commonest right answer of a training split, in words that stand for it.

    Attributes:
        answers: of each `(task, mode, question)`, and with an empty question of each task and mode.
    """

    answers: Mapping[Told, str]

    def answer(self, task: str, mode: str, question: str) -> str:
        """The commonest answer to a question; to one that was never asked, that of its task; else nothing."""
        return self.answers.get((task, mode, question)) or self.answers.get((task, mode, "")) or ""

    def marks(self, clip: Clip) -> list[Mark]:
        """Marks of these answers to all questions of a clip; when they are given is not looked at."""
        marks = []
        for ask in clip.asks:
            text = self.answer(ask.task, ask.mode, ask.question)
            reply = Reply(key=ask.key, t_ns=ask.t_ns, text=text, state=None, confidence=1.0)
            marks.append(judge(ask, reply, video_id=clip.video_id))
        for script in clip.scripts:
            for due in filter(lambda due: due.worded, script.dues):
                text = self.answer(due.task, script.mode, script.question(due))
                marks.append(judge_due(script, text, due, video_id=clip.video_id))
        return marks


def fit_majority(clips: Sequence[Clip]) -> Majority:
    """Counts the answers of a training split: numbers where it counts, yes and no, options by their words, else gists.

    Of answers that occur equally often the first in the order of their gists is taken.
    """
    counts: dict[Told, Counter[str]] = defaultdict(Counter)
    words: dict[tuple[Told, str], str] = {}
    for clip in clips:
        for (task, mode, question), text in _told(clip):
            key = _key(text, counting=task == "count_so_far" or mode in ("counting", "probe"))
            for group in {(task, mode, question), (task, mode, "")}:
                counts[group][key] += 1
                words.setdefault((group, key), key if key in ("yes", "no") else text)
    return Majority(
        answers={group: words[group, min(found, key=lambda key: (-found[key], key))] for group, found in counts.items()}
    )


def _told(clip: Clip) -> Iterator[tuple[Told, str]]:
    for ask in clip.asks:
        yield (ask.task, ask.mode, ask.question), _words(ask)
    for script in clip.scripts:
        for due in script.dues:
            if due.worded:
                yield (due.task, script.mode, script.question(due)), due.text


def _words(ask: Ask) -> str:
    return ask.options[ask.option] if ask.options and ask.option is not None else ask.expected


def _key(text: str, *, counting: bool) -> str:
    """What a right answer has in common with others: its number, its yes or no, its gist."""
    number, says = number_in(text) if counting else None, polarity(text)
    if number is not None:
        return number
    return gist(text) if says is None else "yes" if says else "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Responds where the chance to be in time, by what the clock tells alone, reaches a threshold.

    Attributes:
        chances: by task and mode; of each how many responses there were since a user spoke (`MOST_SAID`: so many or
            more), and how many steps of time since the last of them, or since the user: share of grids in the window
            of what is due next.
        thresholds: by task and mode; chances from it on respond. A group that has none is silent.
    """

    chances: Mapping[Group, Mapping[Since, float]] = field(default_factory=dict)
    thresholds: Mapping[Group, float] = field(default_factory=dict)

    def talk(self, script: Script, grids_ns: Sequence[int]) -> Talk:
        """The conversation as the clock would have it: decisions and responses without words.

        As in a replay, there is nothing to decide before a standing question is asked.
        """
        group = (script.task, script.mode)
        chances, threshold = self.chances.get(group, {}), self.thresholds.get(group, 2.0)
        decisions: list[Decision] = []
        spoken: list[int] = []
        for t_ns in _decided_on(script, grids_ns):
            since = _since(script, spoken, t_ns)
            chance = 0.0 if since is None else chances.get(since, 0.0)
            responds = chance >= threshold and chance > 0
            state = (1.0 - chance, 0.0, chance)
            decisions.append(Decision(t_ns=t_ns, state="respond" if responds else "silence", chances=state))
            spoken += [t_ns] if responds else []
        return Talk(key=script.key, decisions=tuple(decisions), speeches=tuple(map(wordless, spoken)))


def _decided_on(script: Script, grids_ns: Sequence[int]) -> Sequence[int]:
    if script.kind != "standing" or not script.heard:
        return grids_ns
    return [t_ns for t_ns in grids_ns if t_ns > script.heard[0].t_ns]


def _since(script: Script, spoken: Sequence[int], t_ns: int) -> Since | None:
    """How often something was said since a user spoke, and how many steps ago the last of all that was; None: never."""
    heard = max((turn.t_ns for turn in script.heard if turn.t_ns < t_ns), default=None)
    if heard is None:
        return None
    said = [at for at in spoken if heard < at < t_ns]
    return min(len(said), MOST_SAID), min((t_ns - (said[-1] if said else heard)) // STEP_NS, STEPS)


def fit_clock(timed: Sequence[Timed], *, tolerance: Tolerance = EXACT) -> Clock:
    """Estimates chances on a training split, and takes each group's threshold with the best F1 there.

    Of equally good thresholds the highest is taken.

    Args:
        timed: conversations with the grids of their videos.
        tolerance: as in scoring.
    """
    groups: dict[Group, list[Timed]] = defaultdict(list)
    for script, grids_ns in timed:
        groups[script.task, script.mode].append((script, grids_ns))
    chances = {group: _chances(rows, tolerance) for group, rows in groups.items()}
    thresholds = {}
    for group, rows in groups.items():
        some = rows[:: max(1, -(-len(rows) // FITTED_ON))]
        best = 0.0
        for candidate in _candidates(chances[group].values()):
            score = _f1(Clock(chances=chances, thresholds={group: candidate}), some, tolerance)
            if score >= best and score > 0:
                best, thresholds[group] = score, candidate
    return Clock(chances=chances, thresholds=thresholds)


def _chances(rows: Sequence[Timed], tolerance: Tolerance) -> dict[Since, float]:
    """Share of grids in the window of what is due next, drawn towards the share over all of them."""
    seen: Counter[Since] = Counter()
    inside: Counter[Since] = Counter()
    for script, grids_ns in rows:
        for since, hits in _marked(script, _decided_on(script, grids_ns), tolerance):
            seen[since] += 1
            inside[since] += hits
    mean = inside.total() / max(1, seen.total())
    return {since: (inside[since] + PRIOR * mean) / (count + PRIOR) for since, count in seen.items()}


def _marked(script: Script, grids_ns: Sequence[int], tolerance: Tolerance) -> Iterator[tuple[Since, bool]]:
    """Each grid as the clock knows it if everything so far was said when it should be, and if it is held back now.

    Held back, the last thing said stays the last, until what is due after the next one begins.
    """
    dues = [due for due in script.dues if due.heard < 0]
    at = [t_ns for t_ns, state in zip(grids_ns, reference(script, grids_ns), strict=True) if state == "respond"]
    spans = [window(due, grids_ns, early_ns=tolerance.early_ns, late_ns=tolerance.late_ns) for due in dues]
    for t_ns in grids_ns:
        open_now = any(low <= t_ns < high for low, high in spans)
        before = [one for one in at if one < t_ns]
        # Inside a window its own response is taken back.
        held = before[:-1] if open_now and before and _same_window(spans, before[-1], t_ns) else before
        since = _since(script, held, t_ns)
        if since is not None:
            yield since, open_now


def _same_window(spans: Sequence[tuple[int, int]], one_ns: int, other_ns: int) -> bool:
    return any(low <= one_ns < high and low <= other_ns < high for low, high in spans)


def _candidates(chances: Iterable[float]) -> list[float]:
    found = sorted({chance for chance in chances if chance > 0})
    return sorted({found[k * (len(found) - 1) // max(1, TRIED - 1)] for k in range(TRIED)}) if found else []


def _f1(clock: Clock, timed: Sequence[Timed], tolerance: Tolerance) -> float:
    counts = (
        decided(match(script, clock.talk(script, grids_ns), tolerance=tolerance), tolerance=tolerance)
        for script, grids_ns in timed
    )
    return total(counts).f1
