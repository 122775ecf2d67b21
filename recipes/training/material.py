"""From settings to what a stage trains on and with: checks first, then data, model, objective and feed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator, PartialState
from peft.tuners.lora import LoraModel

from models.backbone import Family, family_of
from models.layouts import LAYOUTS
from models.manifest import SETTINGS_FILE, read_manifest
from models.patches import FrameFormat
from models.prompts import Prompts
from recipes.base import Base, frames_of, load_stage, make_base
from recipes.data.augmented import with_augmented
from recipes.data.batch import Batch
from recipes.data.collate import collate
from recipes.data.corpus import Corpus, dataset_digests
from recipes.data.course import Course
from recipes.data.example import Example
from recipes.data.features import Sightings
from recipes.data.feed import Feed as StepFeed
from recipes.data.feed import Share, Stock
from recipes.data.frames import DecodeError, Frames
from recipes.data.mix import Mix, make_mix, needs, texts_of
from recipes.data.rows import Format
from recipes.data.script import Writer
from recipes.errors import CheckpointError, RecipeError
from recipes.learner import Learner
from recipes.settings import STAGES, RunConfig, StageName
from recipes.training.checkpoint import begin_digest
from recipes.training.cursor import Cursor, Fed
from recipes.training.loop import is_sharded
from recipes.training.modules import freeze
from recipes.training.objective import Objective, Wording

log = logging.getLogger(__name__)


def begins_with(run: RunConfig, stage: StageName) -> Path | None:
    """The folder of the model that a stage begins with; None is the base.

    Raises:
        RecipeError: it is a stage of this run that has not been finished or was trained for another layout, or a
            folder that is not there.
    """
    name = run.stage(stage).begin_with
    if name == "base":
        return None
    if name in STAGES:
        folder = Path(run.out) / name / "package"
        if not folder.is_dir():
            number = STAGES.index(name) + 1
            raise RecipeError(
                f"{stage}.begin_with: stage {name} has left no package at {folder}; train it first "
                f"(python -m recipes train --stage {number} --config …), or set {stage}.begin_with to base or a package"
            )
        trained = layout_of(folder)
        if trained not in (None, run.layout):
            raise CheckpointError(
                f"{folder}: stage {name} of this run was trained for layout {trained}, expected {run.layout} (layout); "
                f"put it back, use another out, or name that folder in {stage}.begin_with to go over to a new layout"
            )
        return folder
    folder = Path(name)
    if not folder.is_dir():
        raise RecipeError(
            f"{stage}.begin_with: {name} is no folder; expected base, {', '.join(STAGES)}, or a package's folder"
        )
    return folder


def layout_of(folder: Path) -> str | None:
    """The layout that a package was trained for; None where the folder is a plain checkpoint."""
    return read_manifest(folder).settings.layout if (folder / SETTINGS_FILE).is_file() else None


def open_corpus(run: RunConfig, stage: StageName) -> Corpus:
    """The data of a run with the datasets that a stage needs, checked before the model is loaded."""
    began = begins_with(run, stage)
    frames = frames_of(run.model, run.data, folder=began)
    settings = run.stage(stage)
    corpus = Corpus.open(run.data, frames, needs=needs(settings.mix))
    return corpus if settings.augment is None else with_augmented(corpus, run.data, frames, settings.augment)


def open_base(run: RunConfig, stage: StageName, corpus: Corpus) -> Base:
    """The model that a stage begins with."""
    folder = begins_with(run, stage)
    if folder is not None:
        trained = layout_of(folder)
        if trained not in (None, run.layout) and PartialState().is_main_process:
            log.warning(
                "%s was trained for layout %s, and goes on with layout %s: what it has learned of times and order has "
                "to be learned anew",
                folder,
                trained,
                run.layout,
            )
        return load_stage(folder, run.model)
    return make_base(run.model, texts=texts_of(corpus, run), seed=run.seed)


def write_examples(run: RunConfig, stage: StageName, corpus: Corpus, base: Base) -> Mix:
    """The examples of a stage."""
    writer = Writer.of(
        base.tokenizer,
        family_of(base.model.config),
        LAYOUTS[run.layout],
        decision_ids=base.decision_ids,
        system_prompt=run.system_prompt,
    )
    return make_mix(corpus, run, stage, writer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trainee:
    """A model as a stage trains it.

    Attributes:
        base: model and processor; the model has the stage's freeze map, and its adapters.
        tuner: what holds the adapters; None: there are none.
        objective: the model with the stage's losses.
        began: fingerprint of the weights that it begins with.
    """

    base: Base
    tuner: LoraModel | None
    objective: Objective
    began: str


def make_trainee(run: RunConfig, stage: StageName, base: Base, counts: Sequence[float]) -> Trainee:
    """Freezes a model as a stage says and gives it the stage's losses.

    Args:
        run: the settings.
        stage: which.
        base: the model it begins with; changed in place.
        counts: how many decisions of each state the data has.
    """
    settings = run.stage(stage)
    tuner = freeze(base.model, settings.modules, seed=run.seed)
    learner = Learner(base.model, checkpointing=run.model.checkpointing)
    end = Prompts(base.tokenizer, family_of(base.model.config)).turn_end
    objective = Objective(
        learner,
        settings.losses,
        counts=[round(count) for count in counts],
        wording=Wording(decision_ids=base.decision_ids, end_id=end),
    )
    return Trainee(base=base, tuner=tuner, objective=objective, began=_beginning(run, base))


def _beginning(run: RunConfig, base: Base) -> str:
    """Fingerprint of what a stage begins with: weights, tokenizer, and the datasets by their own fingerprints."""
    vocabulary = sorted(base.tokenizer.get_vocab().items())
    told = json.dumps([begin_digest(base.model), vocabulary, sorted(dataset_digests(run.data).items())])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


class StageFeed:
    """The data side of a stage as the loop asks for it.

    Attributes:
        format: how examples become tensors.
        frames: pixels of grids.
        sightings: what grids show, in batches.
        plan: which examples stand in which step.
    """

    def __init__(
        self, run: RunConfig, stage: StageName, mix: Mix, corpus: Corpus, trainee: Trainee, *, accelerator: Accelerator
    ) -> None:
        settings, family = run.stage(stage), family_of(trainee.base.model.config)
        self.format = _format(run, trainee.base, family, tau=settings.losses.consistency.tau)
        self._mix, self._settings, self._data = mix, settings, run.data
        cache = Path(run.data.cache) if run.data.cache else Path(run.out) / "cache"
        self.frames = Frames(corpus.footage(), self.format.frames, decoder=run.data.decoder, cache=cache)
        tower = None if _encodes(run, stage, accelerator) else trainee.objective.learner.tower
        self.sightings = Sightings(self.frames, self.format.frames, tower=tower, cache=cache)
        self.plan = Course(mix, settings.pack)
        if settings.pack.rows < accelerator.num_processes:
            raise RecipeError(
                f"{stage}.pack.rows: found {settings.pack.rows}, expected at least one row for each of "
                f"{accelerator.num_processes} processes"
            )
        self._share = Share(rank=accelerator.process_index, world=accelerator.num_processes, micro=settings.pack.micro)

    def steps(self, cursor: Cursor) -> Iterator[Fed]:
        """Steps from a cursor to the stage's last."""
        with StepFeed(
            Stock(examples=self._mix.examples, plan=self.plan, sightings=self.sightings, how=self.format),
            share=self._share,
            workers=self._data.workers,
            max_skipped=self._data.max_skipped,
            skipped=cursor.skipped,
        ) as feed:
            for step in feed.steps(cursor.step, self._settings.steps):
                after = feed.cursor(step.number + 1)
                skipped = tuple(sorted(feed.skipped))
                yield Fed(batches=step.batches, cursor=Cursor(epoch=after.epoch, step=after.step, skipped=skipped))

    def pairs(self) -> Iterator[Batch]:
        """This process's share of all pairs of traces, each in a batch of its own; those it cannot decode left out."""
        pairs = [example for example in self._mix.examples if example.rival is not None]
        for example in pairs[self._share.rank :: self._share.world]:
            both = _with_rival(example)
            try:
                shown = self.sightings.shown([grid for each in both for grid in each.grids])
            except DecodeError:
                continue
            yield from collate([both], shown, self.format)


def _with_rival(example: Example) -> list[Example]:
    assert example.rival is not None
    return [example, example.rival]


def _format(run: RunConfig, base: Base, family: Family, *, tau: float) -> Format:
    pad = base.tokenizer.pad_token_id
    frames = FrameFormat.from_processor(
        base.processor, family, min_pixels=run.data.min_pixels, max_pixels=run.data.max_pixels
    )
    return Format(
        layout=LAYOUTS[run.layout],
        clock=family.clock,
        frames=frames,
        decision_ids=base.decision_ids,
        pad_id=int(pad) if isinstance(pad, int) else 0,
        tau=tau,
    )


def _encodes(run: RunConfig, stage: StageName, accelerator: Accelerator) -> bool:
    """Whether every batch goes through the tower: features hold what the merger made of them, too."""
    modules = run.stage(stage).modules
    # A tower in shards works inside a forward alone.
    return modules.vision.train != "frozen" or modules.merger.train != "frozen" or is_sharded(accelerator)
