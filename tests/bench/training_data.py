"""The data side of the training benchmark: lessons drawn for it, its runs, and how long a trainer waits for batches."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from accelerate import Accelerator

from datasets_build.core.config import load_config
from recipes.base import Base
from recipes.data.collate import Shown, collate
from recipes.data.corpus import Corpus
from recipes.data.example import Example, GridRef
from recipes.data.features import Sightings
from recipes.data.frames import Frames
from recipes.data.mix import Mix
from recipes.data.plan import Plan
from recipes.data.rows import Format, pack_row
from recipes.settings import PackConfig, RunConfig
from recipes.training.cursor import Cursor
from recipes.training.loop import Job, set_up
from recipes.training.material import StageFeed, make_trainee, open_base, open_corpus, write_examples
from recipes.training.step import take_step
from tests.bench.training_contenders import Turn
from tests.bench.training_samples import Pictures, first_fit, packed, padded, samples_of

ROOT = Path(__file__).resolve().parents[2]
RECIPE, DRAWN = ROOT / "recipes/configs/tiny.yaml", ROOT / "datasets_build/configs/lessons.yaml"
# A quarter of the recipe's step, so that the slowest of six contenders takes seconds.
SMALL = ("align.pack.rows=2", "align.pack.micro=2")
# 43 million parameters, and a vocabulary of a sixth of the decoder's weights, as in the small released models.
MIDDLE = (
    "model.made.layers=8", "model.made.width=512", "model.made.heads=8", "model.made.key_value_heads=2",
    "model.made.mlp=1536", "model.made.vision_depth=6", "model.made.vision_width=384", "model.made.vision_heads=6",
    "model.made.vision_mlp=1024", "align.pack.tokens=512", "align.pack.rows=1", "align.pack.micro=1",
    "align.modules.vision.train=frozen", "align.modules.merger.lr=1e-4", "align.modules.language.lr=1e-4",
    "align.modules.head.lr=1e-4",
)  # fmt: skip
MIDDLE_VOCABULARY = 8192
T = TypeVar("T")


def draw(folder: Path, *, videos: int) -> Path:
    """Lessons in a folder, by the commands that a user has."""
    amount = f"index.world.videos={videos}"
    config = ("--config", str(DRAWN))
    for verb in (
        ("index", "--out", str(folder), *config, "--workers", "1", "--", str(folder / "videos"), amount),
        ("perceive", str(folder), *config, "--workers", "1", amount),
        ("build", str(folder), *config, amount),
    ):
        command = [sys.executable, "-m", "datasets_build", *verb]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return folder


def run_of(lessons: Path, scratch: Path, changes: Sequence[str] = ()) -> RunConfig:
    """The tiny recipe on some lessons, with changes."""
    paths = (f"data.folders=[{lessons}]", f"out={scratch / 'run'}", f"data.cache={scratch / 'cache'}")
    return load_config(RunConfig, RECIPE, [*paths, *changes])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stand:
    """Stage 1 of a run, ready to train: its settings, data and model."""

    run: RunConfig
    corpus: Corpus
    base: Base
    mix: Mix

    @classmethod
    def of(cls, run: RunConfig, *, vocabulary: int = 0) -> Stand:
        """Opens a run; `vocabulary` widens the embeddings of its model, whose tokenizer stays."""
        corpus = open_corpus(run, "align")
        base = open_base(run, "align", corpus)
        if vocabulary:
            base.model.resize_token_embeddings(vocabulary, mean_resizing=False)
        return cls(run=run, corpus=corpus, base=base, mix=write_examples(run, "align", corpus, base))


class Turns:
    """The first steps of a stage, each in all forms, under a tower that is called in each step."""

    def __init__(self, stand: Stand, how: Format) -> None:
        self._stand, self._how = stand, how
        cache = Path(stand.run.data.cache)
        frames = Frames(stand.corpus.footage(), how.frames, decoder=stand.run.data.decoder, cache=cache)
        self._sightings = Sightings(frames, how.frames, tower=None, cache=cache)
        self._plan = Plan.of(stand.mix, stand.run.align.pack)

    def step(self, number: int) -> Turn:
        """One of them."""
        rows = [[self._stand.mix.examples[place] for place in row] for row in self._plan.step(number)]
        shown = self._sightings.shown(grid for row in rows for example in row for grid in example.grids)
        return turn_of(rows, shown, self._how, pack=self._stand.run.align.pack)


def turn_of(
    rows: Sequence[Sequence[Example]], shown: Mapping[GridRef, Shown], how: Format, *, pack: PackConfig
) -> Turn:
    """Rows of examples in all forms.

    Args:
        rows: as this project packs them.
        shown: the pixels of what they show.
        how: the format of batches.
        pack: how long a row is, and how many of them go through together.
    """
    samples = [sample for row in rows for sample in samples_of(pack_row(row, how))]
    pictures, pad = Pictures(shown, how.frames), how.pad_id
    # A pass of every contender has about as many places.
    size = max(1, pack.micro * pack.tokens // max(map(len, samples)))
    fitted = cut(first_fit(samples, pack.tokens), pack.micro)
    return Turn(
        supervised=sum(sample.supervised for sample in samples),
        padded=[padded(part, pictures, pad_id=pad) for part in cut(spread(samples), size)],
        alike=[padded(part, pictures, pad_id=pad) for part in cut(sorted(samples, key=len), size)],
        packed=[packed(part, pictures, pad_id=pad, once=False) for part in fitted],
        once=[packed(part, pictures, pad_id=pad, once=True) for part in fitted],
        shared=[batch for part in cut(rows, pack.micro) for batch in collate(part, shown, how)],
    )


def cut(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Parts of so many, the last of them shorter."""
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def spread(items: Sequence[T]) -> list[T]:
    """The same in an order that has nothing to do with theirs, always the same one."""
    stride = 7919
    return [items[k] for k in sorted(range(len(items)), key=lambda k: (k * stride) % 10_007)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Wall-clock seconds of steps: for data, and in all."""

    data_s: float
    whole_s: float

    @property
    def share(self) -> float:
        """Of the time, what was spent on waiting for data."""
        return self.data_s / self.whole_s


def waiting(stand: Stand, accelerator: Accelerator, *, steps: int, ahead: bool, skip: int = 0) -> Waited:
    """Trains so many steps with the feed of the stage; steps before `skip` are not counted.

    Args:
        stand: what trains; a copy of its model is not taken, its weights change.
        accelerator: of the process.
        steps: how many.
        ahead: the feed works in the background; False: each step's batches are made when they are asked for.
        skip: steps at the beginning that do not count.
    """
    run = stand.run.model_copy(
        update={
            "data": stand.run.data.model_copy(update={"workers": int(ahead)}),
            "align": stand.run.align.model_copy(update={"steps": steps}),
        }
    )
    trainee = make_trainee(run, "align", stand.base, stand.mix.counts)
    running = set_up(accelerator, trainee.objective, Job.of(run, "align"))
    feed = StageFeed(run, "align", stand.mix, stand.corpus, trainee, accelerator=accelerator)
    data_s = whole_s = 0.0
    since = time.perf_counter()
    for number, fed in enumerate(feed.steps(Cursor())):
        made = time.perf_counter()
        take_step(running, fed.batches, step=number, stop=False)
        done = time.perf_counter()
        if number >= skip:
            data_s, whole_s = data_s + made - since, whole_s + done - since
        since = time.perf_counter()
    return Waited(data_s=data_s, whole_s=whole_s)


def scratch_folder() -> TemporaryDirectory[str]:
    """A folder that is gone afterwards."""
    return TemporaryDirectory(prefix="streamvl-bench-")
