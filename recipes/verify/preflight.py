"""The preflight of a stage: its own first batches are made, and facts about them proved before time is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from accelerate import Accelerator

from models.backbone import family_of
from models.layouts import LAYOUTS
from models.streaming import StreamingModel
from recipes.data.batch import Batch
from recipes.data.corpus import Corpus
from recipes.data.example import Example
from recipes.data.mix import Mix, make_mix
from recipes.package import streaming_settings
from recipes.settings import RunConfig, StageName
from recipes.training.material import StageFeed, Trainee, make_trainee, open_base, open_corpus
from recipes.verify.bench import Bench, RecordingWriter
from recipes.verify.finding import Finding
from recipes.verify.gradients import check_gradients
from recipes.verify.memory import check_memory
from recipes.verify.packing import check_packing
from recipes.verify.rows import check_labels
from recipes.verify.sight import check_sight
from recipes.verify.streaming import check_streaming

# Steps whose examples are looked at.
STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A stage up to its first step.

    Attributes:
        corpus, mix: its data.
        writer: with the script behind every example.
        trainee: its model.
        feed: makes batches.
    """

    corpus: Corpus
    mix: Mix
    writer: RecordingWriter
    trainee: Trainee
    feed: StageFeed


def preflight(run: RunConfig, stage: StageName) -> Iterator[Finding]:
    """Checks a stage, one finding after the other as they come.

    Raises:
        RecipeError: what a stage itself would refuse before it begins.
    """
    ready = prepare(run, stage)
    yield Finding(check="data", ok=True, words=ready.mix.report.text().replace("\n", "; "))
    examples = first_examples(ready)
    learner = ready.trainee.objective.learner.eval()
    bench = Bench(
        learner=learner,
        examples=examples,
        scripts=ready.writer.scripts,
        sightings=ready.feed.sightings,
        how=ready.feed.format,
    )
    yield check_labels(bench, ready.trainee.base.tokenizer)
    yield from check_sight(bench)
    yield check_packing(bench, _first_row(ready))
    settings = streaming_settings(run)
    with StreamingModel(learner.backbone, ready.trainee.base.processor, settings) as model:
        yield from check_streaming(bench, model, ready.feed.frames)
    learner.train()
    yield check_gradients(ready.trainee.objective, bench.batches([[example] for example in bench.few()]))
    yield check_memory(ready.trainee.objective, _largest(run, stage, bench, ready))


def prepare(run: RunConfig, stage: StageName) -> Prepared:
    """A stage up to its first step, on one process.

    Raises:
        RecipeError: what the stage would refuse.
    """
    corpus = open_corpus(run, stage)
    base = open_base(run, stage, corpus)
    plain = RecordingWriter.of(
        base.tokenizer,
        family_of(base.model.config),
        LAYOUTS[run.layout],
        decision_ids=base.decision_ids,
        system_prompt=run.system_prompt,
    )
    assert isinstance(plain, RecordingWriter)
    mix = make_mix(corpus, run, stage, plain)
    trainee = make_trainee(run, stage, base, mix.counts)
    feed = StageFeed(run, stage, mix, corpus, trainee, accelerator=Accelerator())
    return Prepared(corpus=corpus, mix=mix, writer=plain, trainee=trainee, feed=feed)


def first_examples(ready: Prepared) -> list[Example]:
    """The examples of the first steps, and one of every source at least."""
    steps = (ready.feed.plan.step(number) for number in range(STEPS))
    places = dict.fromkeys(place for step in steps for row in step for place in row)
    found = [ready.mix.examples[place] for place in places]
    missing = set(ready.mix.weights) - {example.source for example in found}
    found += [example for example in _one_of_each(ready.mix.examples) if example.source in missing]
    # Both traces of a pair are looked at, each by itself.
    both = [each for example in found for each in (example, example.rival) if each is not None]
    return [replace(example, rival=None) for example in both]


def _one_of_each(examples: Sequence[Example]) -> list[Example]:
    """The first example of each source."""
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.source, example)
    return list(first.values())


def _first_row(ready: Prepared) -> list[Example]:
    """The first row that holds several examples, or else the first row."""
    rows = [[ready.mix.examples[place] for place in row] for row in ready.feed.plan.step(0)]
    shared = [row for row in rows if len(row) > 1]
    return [replace(example, rival=None) for example in (shared or rows)[0]]


def _largest(run: RunConfig, stage: StageName, bench: Bench, ready: Prepared) -> Batch:
    """The longest rows of the first epoch, as many as go through together."""
    plan = ready.feed.plan
    longest = sorted(plan.rows(0), key=plan.tokens, reverse=True)[: run.stage(stage).pack.micro]
    rows = [[ready.mix.examples[place] for place in row] for row in longest]
    with_rivals = [[each for one in row for each in (one, one.rival) if each is not None] for row in rows]
    # What goes through the decoder at once is a square of places.
    return max(bench.batches(with_rivals), key=lambda batch: batch.token_ids.numel() * batch.block_of.shape[1])
