"""The examples of a stage: its sources with their weights, and a report of what is in them and what was left out."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from datasets_build.core.records import Split
from recipes.data.captions import QUESTION as CAPTION_QUESTION
from recipes.data.captions import captions
from recipes.data.corpus import Corpus, Dataset, Material
from recipes.data.dialogues import NOT_SO, dialogues, replies_by_task
from recipes.data.example import STATES, Example
from recipes.data.frame_events import NONE, frame_events
from recipes.data.frame_events import QUESTION as EVENTS_QUESTION
from recipes.data.moments import moments
from recipes.data.realtime import realtime
from recipes.data.script import Desk, Left, Writer
from recipes.data.traces import preferences
from recipes.data.windows import incremental, sliding_window
from recipes.errors import RecipeError
from recipes.settings import RunConfig, StageName, StreamConfig

Make = Callable[[Material, Desk], list[Example]]
NEEDS: Mapping[str, tuple[Dataset, ...]] = {
    "captions": (),
    "frame_events": ("frame_events",),
    "moments": ("streaming_qa",),
    "sliding_window": ("streaming_qa",),
    "incremental": ("streaming_qa",),
    "realtime": ("streaming_qa",),
    "dialogue": ("dialogue",),
    "preference": ("dialogue",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the examples of a stage are.

    Attributes:
        examples, tokens, said: by source: examples, tokens of blocks (rivals included), things learned.
        tasks: things learned by task.
        left: what was left out, by source and reason, with a few keys.
        unused: videos that are not used, with the reason.
        never: sources that would come in when the stage is over, each with its step.
    """

    examples: Mapping[str, int]
    tokens: Mapping[str, int]
    said: Mapping[str, int]
    tasks: Mapping[str, int]
    left: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]]
    unused: Mapping[str, str]
    never: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """For people, a line for each fact."""
        lines = [
            f"{source}: {count} examples, {self.tokens[source]} tokens, {self.said[source]} things learned"
            for source, count in self.examples.items()
        ]
        lines += [
            f"left out of {source}: {count}, {reason} (such as {', '.join(keys)})"
            for (source, reason), (count, keys) in self.left.items()
        ]
        lines += [f"video {uri} is not used: {reason}" for uri, reason in self.unused.items()]
        lines += [f"{source}: {words}" for source, words in self.told_never().items()]
        return "\n".join(lines)

    def told_never(self) -> dict[str, str]:
        """What is to be said of each source that is never learned."""
        return {
            source: f"comes in at step {step}, when the stage is over, so nothing of it is learned"
            for source, step in self.never.items()
        }


class Mix:
    """Examples with weights.

    Attributes:
        examples: all of them, in the order of sources and videos.
        weights: by source, as in the settings.
        begins: by source, the step from which it is learned, where that is not the first.
        report: what they are.
        counts: how many decisions are silence, standby and respond in an epoch; for losses that balance them.
        seed: decides which examples of a weight that is no whole number stand in which epoch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        weights: Mapping[str, float],
        report: Report,
        *,
        seed: int,
        begins: Mapping[str, int] | None = None,
    ) -> None:
        self.examples = tuple(examples)
        self.weights = dict(weights)
        self.begins = dict(begins or {})
        self.report = report
        self.seed = seed
        self.counts = _decisions(self.examples, weights)

    def passes(self, epoch: int, *, without: Collection[str] = ()) -> list[list[int]]:
        """Places of the examples of an epoch, none twice in a pass.

        There are as many passes as the largest weight needs, and each source is spread over all of them. An epoch takes
        `weight` times the examples of a source, one behind the other, around and around from epoch to epoch.

        Args:
            epoch: which one, from 0.
            without: sources that are left out.
        """
        places: dict[str, list[int]] = {source: [] for source in self.weights if source not in without}
        for place, example in enumerate(self.examples):
            if example.source in places:
                places[example.source].append(place)
        found: list[list[int]] = [[] for _ in range(math.ceil(max((self.weights[s] for s in places), default=0)))]
        for source, mine in places.items():
            taken = self._taken(source, mine, epoch)
            edges = [len(taken) * number // len(found) for number in range(len(found) + 1)]
            for part, (begin, end) in zip(found, pairwise(edges), strict=True):
                part += taken[begin:end]
        return [part for part in found if part]

    def _taken(self, source: str, mine: Sequence[int], epoch: int) -> list[int]:
        each = Fraction(str(self.weights[source])) * len(mine)
        order = list(mine)
        random.Random(f"{self.seed}/{source}").shuffle(order)
        return [order[place % len(order)] for place in range(int(epoch * each), int((epoch + 1) * each))]


def needs(mix: Mapping[str, float]) -> set[Dataset]:
    """The datasets without which the sources of a mix have nothing to say.

    Raises:
        RecipeError: a source is unknown.
    """
    unknown = sorted(set(mix) - set(NEEDS))
    if unknown:
        raise RecipeError(f"mix: found {', '.join(unknown)}, expected some of {', '.join(NEEDS)}")
    return {dataset for source, weight in mix.items() if weight for dataset in NEEDS[source]}


def make_mix(corpus: Corpus, config: RunConfig, stage: StageName, writer: Writer, *, split: Split = "train") -> Mix:
    """The examples of a stage.

    Args:
        corpus: videos and records.
        config: of the run; each source takes its settings from the stage that it belongs to.
        stage: whose mix and packing count.
        writer: writes examples down.
        split: of the corpus.

    Raises:
        RecipeError: a source is unknown, or there is nothing to learn.
    """
    settings = config.stage(stage)
    needs(settings.mix)
    weights = {source: weight for source, weight in settings.mix.items() if weight}
    desk = Desk(writer=writer, limit=settings.pack.tokens, left=Left(), seed=config.seed)
    materials = corpus.materials[split]
    makers = _makers(config, stage, materials)
    examples = [example for source in weights for material in materials for example in makers[source](material, desk)]
    if not examples:
        raise RecipeError(
            f"stage {stage}: {len(materials)} videos of split {split} give no example of {', '.join(weights)}; "
            f"left out were {dict(desk.left.counts)}"
        )
    first = [source for source in weights if not settings.begins.get(source)]
    if not any(example.source in first for example in examples):
        raise RecipeError(
            f"stage {stage}: {', '.join(first)} give no example, and begins lets no other source in before step "
            f"{min(settings.begins.values())}; left out were {dict(desk.left.counts)}"
        )
    unused = {video.uri: video.reason for video in corpus.unused}
    never = {source: step for source, step in settings.begins.items() if step >= settings.steps}
    report = replace(_report(examples, weights, desk.left, unused), never=never)
    return Mix(examples, weights, report, seed=config.seed, begins=settings.begins)


def texts_of(corpus: Corpus, config: RunConfig) -> Iterable[str]:
    """All that a model of this run reads and writes in training: what its tokenizer is learned from."""
    yield from (config.system_prompt, CAPTION_QUESTION, EVENTS_QUESTION, NONE, NOT_SO)
    yield from corpus.texts("train")


def _makers(config: RunConfig, stage: StageName, materials: Sequence[Material]) -> dict[str, Make]:
    replies = replies_by_task(materials)
    window_s = config.stage(stage).window_s
    # Beside stage 2, a window is as long as those of the stage, and half of it is shared.
    windows = config.stream if stage == "stream" else short_windows(config.stream, window_s)
    return {
        "captions": lambda material, desk: captions(material, config.align, desk),
        "frame_events": lambda material, desk: frame_events(material, window_s, desk),
        "moments": lambda material, desk: moments(material, window_s, desk),
        "sliding_window": lambda material, desk: sliding_window(material, windows, desk),
        "incremental": lambda material, desk: incremental(material, config.stream, desk),
        "realtime": lambda material, desk: realtime(material, config.stream, desk),
        "dialogue": lambda material, desk: dialogues(material, config.interact, desk, replies=replies),
        "preference": lambda material, desk: preferences(material, config.interact, desk, replies=replies),
    }


def short_windows(settings: StreamConfig, window_s: float) -> StreamConfig:
    """The settings of sliding windows of another length."""
    return settings.model_copy(update={"window_s": window_s, "overlap_s": min(settings.overlap_s, window_s / 2)})


def tokens_of(example: Example) -> int:
    """Tokens of an example and its rival."""
    return example.tokens + (0 if example.rival is None else example.rival.tokens)


def _decisions(examples: Sequence[Example], weights: Mapping[str, float]) -> tuple[float, float, float]:
    counts = dict.fromkeys(STATES, 0.0)
    for example in examples:
        for said in example.said:
            if not said.asked and said.state is not None:
                counts[said.state] += weights[example.source]
    return counts["silence"], counts["standby"], counts["respond"]


def _report(examples: Sequence[Example], weights: Mapping[str, float], left: Left, unused: Mapping[str, str]) -> Report:
    mine = {source: [example for example in examples if example.source == source] for source in weights}
    return Report(
        examples={source: len(found) for source, found in mine.items()},
        tokens={source: sum(map(tokens_of, found)) for source, found in mine.items()},
        said={source: sum(len(example.said) for example in found) for source, found in mine.items()},
        tasks=dict(Counter(said.task for example in examples for said in example.said)),
        left={key: (count, tuple(left.keys[key])) for key, count in sorted(left.counts.items())},
        unused=dict(unused),
    )
