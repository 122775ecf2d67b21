"""Stages made ready on small drawn videos, and benches whose batches somebody has meddled with."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from models.streaming import StreamingModel
from recipes.data.batch import Batch
from recipes.package import streaming_settings
from recipes.settings import (
    AlignConfig,
    DataConfig,
    InteractConfig,
    MadeConfig,
    ModelConfig,
    ModuleConfig,
    ModulesConfig,
    PackConfig,
    RunConfig,
    StreamConfig,
)
from recipes.verify.bench import Bench
from recipes.verify.preflight import first_examples, prepare

SMALL = MadeConfig(
    vocabulary=300, layers=2, width=32, heads=2, key_value_heads=1, mlp=32,
    vision_depth=2, vision_width=32, vision_heads=2, vision_mlp=32,
)  # fmt: skip
PIXELS = 56 * 56
WHOLE = ModulesConfig(
    vision=ModuleConfig(train="full"),
    merger=ModuleConfig(train="full"),
    language=ModuleConfig(train="full"),
    head=ModuleConfig(train="full"),
)


def run_of(folder, scratch, *, layout="branch", family="qwen2_5_vl", **data):
    """Settings of a run whose stages all begin with a model from nothing."""
    return RunConfig(
        out=str(scratch / "run"),
        layout=layout,
        model=ModelConfig(family=family, made=SMALL),
        data=DataConfig(
            folders=(str(folder),), min_pixels=PIXELS, max_pixels=PIXELS, cache=str(scratch / "cache"), **data
        ),
        align=AlignConfig(pack=PackConfig(tokens=1024, rows=4, micro=2)),
        stream=StreamConfig(
            begin_with="base",
            carry_s=1.0,
            window_s=3.0,
            overlap_s=1.0,
            modules=WHOLE,
            pack=PackConfig(tokens=3000, rows=4, micro=2),
        ),
        interact=InteractConfig(begin_with="base", pack=PackConfig(tokens=4000, rows=4, micro=2)),
    )


class Ready:
    """A stage up to its first step, with its bench."""

    def __init__(self, folder, scratch, *, stage, layout, family):
        self.run = run_of(folder, scratch, layout=layout, family=family)
        self.stage = stage
        self.prepared = prepare(self.run, stage)
        self.objective = self.prepared.trainee.objective
        self.bench = Bench(
            learner=self.objective.learner.eval(),
            examples=first_examples(self.prepared),
            writer=self.prepared.writer,
            sightings=self.prepared.feed.sightings,
            how=self.prepared.feed.format,
        )

    @property
    def tokenizer(self):
        return self.prepared.trainee.base.tokenizer

    def of(self, source):
        """The shortest example of a source."""
        return next(example for example in self.bench.few() if example.source == source)

    def streaming(self, **changes):
        """The model as it is served, with other settings."""
        settings = replace(streaming_settings(self.run), **changes)
        return StreamingModel(self.bench.learner.backbone, self.prepared.trainee.base.processor, settings)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meddled(Bench):
    """A bench whose batches are changed before anybody sees them."""

    meddle: Callable[[Batch], Batch]

    def batches(self, rows):
        return [self.meddle(batch) for batch in Bench.batches(self, rows)]


def meddled(bench, meddle, **changes):
    """The bench with batches changed by `meddle`."""
    parts = {
        "learner": bench.learner, "examples": bench.examples, "writer": bench.writer,
        "sightings": bench.sightings, "how": bench.how,
    }  # fmt: skip
    return Meddled(**(parts | changes), meddle=meddle)


def narrowed(bench, *examples):
    """The bench with other examples."""
    return replace(bench, examples=list(examples))


def of_layout(bench, **policies):
    """The bench with a layout of the same name and other policies."""
    return replace(bench, how=replace(bench.how, layout=replace(bench.how.layout, **policies)))


def everything(batch):
    """All blocks of a row see one another, whatever comes first."""
    return replace(batch, sees=torch.ones_like(batch.sees))
