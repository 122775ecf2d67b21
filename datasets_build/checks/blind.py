"""Blind baselines: how often an answer can be guessed without a look at the video, per task and kind of answer.

Each guesses from less than a viewer has: `majority` says the same every time; `longest` and `shortest` go by the length
of the options; `clock` knows when a question is asked; `ngram` reads it (and the options); `marks` sees only how it is
written; `delay` answers a fixed time after it. Those that learn do so from other groups of videos than those they are
asked about. What they get right beyond chance is no sight.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from datasets_build.checks.figures import Figure, Least, Share, judged, most_common, shares_of
from datasets_build.checks.guesses import best_delay, features_of, folds_of, learned, marks_of
from datasets_build.checks.shingles import words_of
from datasets_build.checks.tasks import number_in
from datasets_build.checks.text_leaks import gold_of, replies_of, verdict_in
from datasets_build.core.config import Config
from datasets_build.core.records import Dialogue, StreamingQA, Video, derive_id
from datasets_build.truth.asides import said

Kind = Literal["yes_no", "answerable", "options", "number", "text", "when"]
Baseline = Literal["majority", "longest", "shortest", "clock", "ngram", "marks", "delay"]
ABOUT: Mapping[Baseline, str] = {
    "majority": "one and the same answer to every question is seldom right",
    "longest": "the longest option is right no more often than another",
    "shortest": "the shortest option is right no more often than another",
    "clock": "the time of a question does not tell its answer",
    "ngram": "the words of a question do not tell its answer",
    "marks": "case, marks and length do not tell an answer",
    "delay": "no fixed time after the question is the time to answer",
}
_OPEN: frozenset[Kind] = frozenset({"number", "text", "when"})
_BINS = 10
_LEAST_ANSWERS = 4


class BlindConfig(Config):
    """How far a blind guess may be above chance.

    `margin` is for yes and no and for options, `open_margin` for numbers, words and instants, where a few answers are
    always more frequent than others. A share counts as above only where its lower bound is, of at least `least_items`
    from `least_groups` groups of videos. At most `sample` questions of a task and kind are looked at, drawn by their
    ids. `warn` names figures, with `*` for any dataset, that are told and do not fail: by default those in which
    our own builders are known to leak (docs/checks.md says why).
    """

    margin: float = Field(default=0.15, gt=0, lt=1)
    open_margin: float = Field(default=0.4, gt=0, lt=1)
    least_items: int = Field(default=30, ge=1)
    least_groups: int = Field(default=5, ge=2)
    sample: int = Field(default=5000, ge=1)
    warn: tuple[str, ...] = ("majority */count_so_far/number", "delay */tell_me_when/when")


class Item(NamedTuple):
    """A question as a blind sees it, and the answer to guess; times in ns, delays are from the question."""

    group: str
    question: str
    asked: float
    ask_ns: int
    answer: str
    options: tuple[str, ...] = ()
    window: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class _Sample:
    """The items with the smallest digests of their ids: the same ones in every order, however many there are."""

    most: int
    heap: list[tuple[int, Item]] = field(default_factory=list)

    def add(self, made: str, item: Item) -> None:
        key = -int(derive_id("blind", made)[:15], 16)
        push = heapq.heappush if len(self.heap) < self.most else heapq.heappushpop
        push(self.heap, (key, item))

    @property
    def items(self) -> list[Item]:
        return [item for _, item in sorted(self.heap, reverse=True)]


class Blind:
    """Collects questions as they are walked over, and scores the baselines in the end."""

    def __init__(self, config: BlindConfig) -> None:
        self._config = config
        self._samples: dict[tuple[str, Kind], _Sample] = {}

    def _add(self, task: str, kind: Kind, made: str, item: Item) -> None:
        sample = self._samples.setdefault((task, kind), _Sample(self._config.sample))
        sample.add(f"{made} {kind}", item)

    def question(self, row: StreamingQA, video: Video) -> None:
        """Take in a question."""
        where = f"streaming_qa/{row.task}"
        base = Item(video.group, row.question, row.ask_ns / max(1, video.duration_ns), row.ask_ns, "")
        if row.twin_id is not None:
            self._add(where, "answerable", row.id, base._replace(answer="no" if row.unanswerable else "yes"))
        if row.mode == "proactive" and row.answers:
            first = row.answers[0]
            window = (first.window_start_ns - row.ask_ns, first.window_end_ns - row.ask_ns)
            self._add(where, "when", row.id, base._replace(window=window))
        elif row.options and row.correct_option is not None:
            chosen = base._replace(answer=str(row.correct_option), options=row.options)
            self._add(where, "options", row.id, chosen)
        elif row.answers and not row.unanswerable:
            self._answer(where, row.id, row.answers[0].text, base)

    def dialogue(self, row: Dialogue, video: Video) -> None:
        """Take in the questions of a dialogue that were answered from what was seen."""
        length = max(1, row.end_ns - row.start_ns)
        for question, turn in replies_of(row):
            at = question.end_ns - row.start_ns
            base = Item(video.group, question.text, at / length, at, "")
            self._answer(f"dialogue/{question.task}", turn.id, turn.intended_text or turn.text, base)

    def _answer(self, where: str, made: str, text: str, base: Item) -> None:
        verdict, number = verdict_in(said(text).text), number_in(text)
        kind: Kind = "yes_no" if verdict else "number" if number is not None else "text"
        answer = verdict or (str(number) if number is not None else " ".join(gold_of(text)))
        self._add(where, kind, made, base._replace(answer=answer))

    def figures(self) -> Iterator[tuple[Figure, str]]:
        """Every baseline on every task and kind that has items, with its law's words, in order."""
        for (task, kind), sample in sorted(self._samples.items()):
            of = f"{task}/{kind}"
            for name, share, chance, above in _scores(kind, sample.items):
                margin = self._config.open_margin if kind in _OPEN else self._config.margin
                least = Least(items=self._config.least_items, groups=self._config.least_groups)
                made = judged(f"blind_{name}", of, share, chance=chance, limit=min(1.0, above + margin), least=least)
                if made.verdict == "broken" and self._is_warning(name, of):
                    made = made.model_copy(update={"verdict": "warned"})
                yield made, ABOUT[name]

    def _is_warning(self, name: Baseline, of: str) -> bool:
        dataset, _, rest = of.partition("/")
        return bool({f"{name} {dataset}/{rest}", f"{name} */{rest}"} & set(self._config.warn))


def _scores(kind: Kind, items: Sequence[Item]) -> Iterator[tuple[Baseline, Share, float, float]]:
    """Name, share of right guesses, chance, and what it may be above: chance, or what the majority gets anyway."""
    groups = [item.group for item in items]
    if kind == "when":
        windows = [item.window for item in items]
        right, chance = best_delay(windows, folds_of(groups))
        yield "delay", shares_of(groups, right), chance, chance
        return
    counts = Counter(item.answer for item in items)
    chance = _chance(kind, items, len(counts))
    constant, _ = most_common(counts)
    majority = shares_of(groups, [item.answer == constant for item in items])
    yield "majority", majority, chance, chance
    if kind == "options":
        yield from _by_length(items, chance)
    above = max(chance, majority.share)
    # Where there is one answer alone, the majority has said it.
    if len(counts) > 1:
        yield "clock", shares_of(groups, _guess(items, [_clock(item) for item in items])), chance, above
        for name, see in _BY_TEXT.items():
            is_choice = kind == "options"
            right = _choose(items, see.options) if is_choice else _guess(items, [see.question(item) for item in items])
            yield name, shares_of(groups, right), chance, above


def _chance(kind: Kind, items: Sequence[Item], distinct: int) -> float:
    if kind == "options":
        return sum(1 / len(item.options) for item in items) / len(items)
    if kind in ("yes_no", "answerable"):
        return 0.5
    # Where nothing says what could be answered, a dataset of one answer must not make that one the only one.
    return 1 / max(_LEAST_ANSWERS, distinct)


def _by_length(items: Sequence[Item], chance: float) -> Iterator[tuple[Baseline, Share, float, float]]:
    for name, pick in (("longest", max), ("shortest", min)):
        share = Share()
        for item in items:
            lengths = [len(option) for option in item.options]
            best = [k for k, length in enumerate(lengths) if length == pick(lengths)]
            # Of options of one length it takes any.
            share.add(item.group, (int(item.answer) in best) / len(best))
        yield "longest" if name == "longest" else "shortest", share, chance, chance


def _looks(item: Item) -> list[NDArray[np.int64]]:
    """Options without their words: as they are written, and which each is by its length."""
    lengths = sorted({len(option) for option in item.options})
    places = [lengths.index(len(option)) for option in item.options]
    return [
        marks_of(option, f"{place} from the shortest", f"{len(lengths) - place} from the longest")
        for option, place in zip(item.options, places, strict=True)
    ]


class _ByText(NamedTuple):
    """What a baseline sees of a question, and of its options."""

    question: Callable[[Item], NDArray[np.int64]]
    options: Callable[[Item], Sequence[NDArray[np.int64]]]


_BY_TEXT: Mapping[Baseline, _ByText] = {
    "ngram": _ByText(
        lambda item: features_of(words_of(item.question)),
        lambda item: [features_of(words_of(option)) for option in item.options],
    ),
    "marks": _ByText(lambda item: marks_of(item.question), _looks),
}


def _clock(item: Item) -> NDArray[np.int64]:
    """Which tenth of the video and of its second, and which doubling of seconds since the start, a question is in."""
    tenth = min(_BINS - 1, max(0, int(item.asked * _BINS)))
    octave = (item.ask_ns // 1_000_000_000 + 1).bit_length()
    phase = item.ask_ns % 1_000_000_000 // 100_000_000
    return np.array([tenth, _BINS + phase, 2 * _BINS + octave], np.int64)


def _guess(items: Sequence[Item], features: Sequence[NDArray[np.int64]]) -> list[bool]:
    answers = sorted({item.answer for item in items})
    place = {answer: k for k, answer in enumerate(answers)}
    labels = np.array([place[item.answer] for item in items], np.int64)
    scores = learned(features, labels, folds_of([item.group for item in items]))
    return [bool(hit) for hit in scores.argmax(axis=1) == labels]


def _choose(items: Sequence[Item], look: Callable[[Item], Sequence[NDArray[np.int64]]]) -> list[bool]:
    """Whether the option that looks most like right ones is right."""
    features = [each for item in items for each in look(item)]
    right = np.array([str(k) == item.answer for item in items for k in range(len(item.options))], np.int64)
    folds = folds_of([item.group for item in items for _ in item.options])
    scores = learned(features, right, folds)
    liking = scores[:, 1] - scores[:, 0]
    hits, start = list[bool](), 0
    for item in items:
        end = start + len(item.options)
        hits.append(str(int(liking[start:end].argmax())) == item.answer)
        start = end
    return hits
