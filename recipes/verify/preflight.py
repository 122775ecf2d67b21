"""The preflight of a stage: its own first batches are made, and facts about them proved before time is spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from accelerate import Accelerator

from models.backbone import family_of
from models.layouts import LAYOUTS
from models.streaming import StreamingModel
from recipes.data.batch import Batch
from recipes.data.corpus import Corpus
from recipes.data.example import Example
from recipes.data.frames import DecodeError
from recipes.data.mix import Mix, Report, make_mix
from recipes.errors import RecipeError
from recipes.package import streaming_settings
from recipes.settings import PackConfig, RunConfig, StageConfig, StageName
from recipes.training.material import StageFeed, Trainee, make_trainee, open_base, open_corpus
from recipes.verify.bench import Bench, RecordingWriter
from recipes.verify.finding import Finding
from recipes.verify.gradients import check_gradients
from recipes.verify.kinds import choose
from recipes.verify.memory import Load, check_memory, heaviest, loads
from recipes.verify.packing import check_carried, check_packing
from recipes.verify.positions import check_positions
from recipes.verify.published import check_published
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
        RecipeError: what a stage itself would refuse before it begins, or none of its first examples has pictures.
    """
    ready = prepare(run, stage)
    yield from told_data(ready.mix.report)
    examples, failed = _readable(ready, first_examples(ready))
    yield _told_frames(run, examples, failed)
    learner = ready.trainee.objective.learner.eval()
    bench = Bench(
        learner=learner,
        examples=examples,
        writer=ready.writer,
        sightings=ready.feed.sightings,
        how=ready.feed.format,
    )
    yield check_labels(bench, ready.trainee.base.tokenizer)
    row = _first_row(ready, examples)
    yield check_positions(bench, [*([example] for example in examples), row])
    yield check_published(bench)
    yield from check_sight(bench)
    yield check_packing(bench, row)
    for example in bench.few():
        if example.cuts:
            yield check_carried(bench, example)
    settings = streaming_settings(run)
    with StreamingModel(learner.backbone, ready.trainee.base.processor, settings) as model:
        yield from check_streaming(bench, model, ready.feed.frames)
    learner.train()
    yield from _backward(ready, bench, run.stage(stage))


def _backward(ready: Prepared, bench: Bench, settings: StageConfig) -> Iterator[Finding]:
    """What needs gradients, with the losses that count at first, and with those that count at last."""
    objective, last = ready.trainee.objective, max(0, settings.steps - 1)
    batches = bench.batches([[example] for example in bench.few()])
    yield check_gradients(objective, batches, settings.modules, steps=sorted({0, last}))
    every = _loads(ready, settings.pack)
    yield check_memory(objective, _made(bench, every), of=len(every), step=last)


def told_data(report: Report) -> list[Finding]:
    """What the data are, a finding for each source, and one for videos that are not used."""
    found = []
    for source, count in report.examples.items():
        words = f"{source}: {count} examples, {report.tokens[source]} tokens, {report.said[source]} things learned"
        left = [f"{much} {reason}" for (name, reason), (much, _) in report.left.items() if name == source]
        words += f"; left out: {', '.join(left)}" if left else ""
        if not count:
            words += "; there is nothing to learn: set its weight to 0, or look at what was left out"
        found.append(Finding(check="data", ok=count > 0, words=words))
    found += [Finding(check="data", ok=False, words=f"{name}: {told}") for name, told in report.told_never().items()]
    if report.unused:
        uri, reason = next(iter(report.unused.items()))
        words = f"{len(report.unused)} videos are not used, such as {uri}: {reason}"
        found.append(Finding(check="data", ok=True, words=words))
    return found


def _readable(ready: Prepared, examples: Sequence[Example]) -> tuple[list[Example], list[DecodeError]]:
    """The examples whose pictures can be decoded, and what was wrong with the others."""
    kept: list[Example] = []
    failed: list[DecodeError] = []
    for example in examples:
        try:
            ready.feed.sightings.shown(example.grids)
        except DecodeError as error:
            failed.append(error)
        else:
            kept.append(example)
    if not kept:
        raise RecipeError(f"preflight: none of {len(examples)} examples can be looked at; {failed[0]}")
    return kept, failed


def _told_frames(run: RunConfig, kept: Sequence[Example], failed: Sequence[DecodeError]) -> Finding:
    count = len(kept) + len(failed)
    if not failed:
        return Finding(check="frames", ok=True, words=f"the pictures of all {count} examples looked at are there")
    words = f"{len(failed)} of {count} examples looked at have pictures that cannot be decoded, such as {failed[0]}; "
    words += "a run leaves such examples out; index these videos anew, or mend them"
    return Finding(check="frames", ok=len(failed) <= run.data.max_skipped * count, words=words)


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
    """The examples of the first steps, and one of every kind of each source, wherever in the run it stands."""
    steps = (ready.feed.plan.step(number) for number in range(STEPS))
    places = dict.fromkeys(place for step in steps for row in step for place in row)
    found = [ready.mix.examples[place] for place in places]
    chosen = choose(_apart(ready.mix.examples), ready.writer.scripts)
    known = {example.key: example for example in [*_apart(found), *(row.example for row in chosen)]}
    return list(known.values())


def _apart(examples: Iterable[Example]) -> list[Example]:
    """Both traces of a pair, each by itself."""
    both = [each for example in examples for each in (example, example.rival) if each is not None]
    return [replace(example, rival=None) for example in both]


def _first_row(ready: Prepared, examples: Sequence[Example]) -> list[Example]:
    """The first row with several examples whose pictures are there, or else the first example of all."""
    known = {example.key for example in examples}
    rows = [[ready.mix.examples[place] for place in row] for row in ready.feed.plan.step(0)]
    kept = [[replace(example, rival=None) for example in row if example.key in known] for row in rows]
    return next((row for row in kept if len(row) > 1), [examples[0]])


def _loads(ready: Prepared, pack: PackConfig) -> list[Load]:
    """All batches of the first epoch of each part of the stage."""
    plan, examples = ready.feed.plan, ready.mix.examples
    steps = [
        [tuple(each for place in row for each in (examples[place], examples[place].rival) if each) for row in rows]
        for rows in plan.first_epochs()
    ]
    return loads(steps, pack.micro)


def _made(bench: Bench, every: Sequence[Load]) -> list[list[Batch]]:
    """The heaviest batches; where pictures of one cannot be decoded, the heaviest of the others."""
    left = list(every)
    while left:
        chosen = heaviest(left)
        made = [(load, _batches(bench, load)) for load in chosen]
        if all(batches for _, batches in made):
            return [batches for _, batches in made]
        left = [load for load in left if not any(load is bad and not batches for bad, batches in made)]
    return []


def _batches(bench: Bench, load: Load) -> list[Batch]:
    try:
        return bench.batches(load.rows)
    except DecodeError:
        return []
