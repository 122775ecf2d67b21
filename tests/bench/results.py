"""What each stage and each loss buys on drawn lessons, over seeds: `python -m tests.bench.results OUT [--seeds 3]`.

Trains the tiny recipe once per seed, and its second stage again for each loss left out; evaluates all of them on
held-out lessons; writes OUT/results.md. Takes two hours and a half on two cores. What is finished is not done again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from recipes.evaluation.report import Evaluation, read_evaluation
from recipes.evaluation.table import compare
from recipes.settings import STAGES, StageName
from recipes.training import checkpoint
from recipes.training.command import read_run
from recipes.training.logs import CURVES, drop_lines

CONFIG = Path("recipes/configs/tiny.yaml")
STAGE_NAMES = {"align": "after stage 1", "stream": "after stage 2", "interact": "after stage 3"}
# The second stage without one of its losses; everything else is the recipe's.
VARIANTS: dict[str, tuple[str, ...]] = {
    "without consistency": ("stream.losses.consistency.decisions=0.0", "stream.losses.consistency.tokens=0.0"),
    "without latency": ("stream.losses.latency.form=none",),
}
BRANCHED: StageName = "stream"


@dataclass(frozen=True, slots=True)
class Job:
    """A run of the recipe.

    Attributes:
        out: its folder.
        settings: those that are not the file's.
        stages: which it trains.
        trunk: the run whose second stage it leaves where the first ramp begins; None: it begins by itself.
    """

    out: Path
    settings: tuple[str, ...]
    stages: tuple[StageName, ...]
    trunk: Path | None = None

    @property
    def all_settings(self) -> list[str]:
        """The settings with the folder and the checkpoints that variants leave from."""
        return [f"out={self.out}", f"data.cache={self.out.parent / 'cache'}", f"{BRANCHED}.keep=1000", *self.settings]


def train(job: Job) -> Job:
    """Trains what is not finished of a job."""
    for stage in job.stages:
        if (job.out / stage / "recipe.json").exists():
            continue
        if job.trunk is not None:
            branch(job, job.trunk)
        command = ["train", "--stage", str(STAGES.index(stage) + 1), "--config", str(CONFIG), *job.all_settings]
        _recipes(job.out, command, environment={})
    return job


def evaluate(job: Job) -> Job:
    """Evaluates what is not evaluated of a job, with one thread."""
    for stage in job.stages:
        if not _evaluation(job, stage).exists():
            command = ["evaluate", str(job.out), "--stage", str(STAGES.index(stage) + 1)]
            _recipes(job.out, command, environment={"OMP_NUM_THREADS": "1"})
    return job


def _recipes(out: Path, words: Sequence[str], *, environment: dict[str, str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a", encoding="utf-8") as log:
        command = [sys.executable, "-m", "recipes", *words]
        subprocess.run(command, stdout=log, stderr=log, check=True, env=os.environ | environment)


def branch(job: Job, trunk: Path) -> Path:
    """Lets a variant begin with the steps of a whole run up to the first ramp of its losses.

    Until then no loss that a variant leaves out counts, so those steps would come out the same.

    Returns:
        The checkpoint that it goes on from.
    """
    variant = read_run(CONFIG, job.all_settings, None)
    stage = read_run(CONFIG, [], None).stage(BRANCHED)
    step = min(stage.losses.consistency.ramp.begin, stage.losses.latency.ramp.begin)
    source, folder = checkpoint.folder_of(trunk / BRANCHED, step), job.out / BRANCHED
    target = checkpoint.folder_of(folder, step)
    if checkpoint.checkpoints(folder):
        return target
    if not source.is_dir():
        raise SystemExit(f"{trunk}: has no {source.name} of stage {BRANCHED}; train it with {BRANCHED}.keep=1000")
    saved = checkpoint.read_saved(source)
    aside = checkpoint.begin(folder, step)
    shutil.copytree(source, aside, dirs_exist_ok=True, ignore=shutil.ignore_patterns(checkpoint.STATE))
    shutil.copy(trunk / BRANCHED / CURVES, folder / CURVES)
    drop_lines(folder / CURVES, after=step)
    changed = replace(saved, settings=checkpoint.settings_of(variant), files={})
    return checkpoint.publish(aside, changed, keep=stage.keep)


def _evaluation(job: Job, stage: StageName) -> Path:
    return job.out / stage / "evaluation" / "evaluation.json"


def main_jobs(out: Path, seeds: int) -> Iterator[Job]:
    """The whole recipe, once per seed."""
    for seed in range(seeds):
        yield Job(out / f"seed{seed}", (f"seed={seed}",), STAGES)


def variant_jobs(out: Path, seeds: int) -> Iterator[Job]:
    """The second stage without one of its losses, from each seed's own first stage and first steps."""
    for seed in range(seeds):
        trunk = out / f"seed{seed}"
        for name, settings in VARIANTS.items():
            began = f"{BRANCHED}.begin_with={trunk / 'align' / 'package'}"
            yield Job(out / f"{name.replace(' ', '_')}{seed}", (f"seed={seed}", began, *settings), (BRANCHED,), trunk)


def read_all(jobs: Sequence[Job], stage: StageName) -> list[Evaluation]:
    """The evaluations of a stage, one per job."""
    return [read_evaluation(_evaluation(job, stage)) for job in jobs]


def report(out: Path, seeds: int) -> str:
    """The tables, in Markdown."""
    main = list(main_jobs(out, seeds))
    variants = list(variant_jobs(out, seeds))
    stages = compare({STAGE_NAMES[stage]: read_all(main, stage) for stage in STAGES})
    without = {name: variants[place :: len(VARIANTS)] for place, name in enumerate(VARIANTS)}
    losses = compare(
        {name: read_all(jobs, BRANCHED) for name, jobs in without.items()} | {"both": read_all(main, BRANCHED)},
        baselines=False,
    )
    about = read_all(main, STAGES[-1])[0].about
    told = f"{seeds} seeds, {about.videos} videos of split {about.split}: mean ± standard deviation over seeds."
    return f"## Stages\n\n{told}\n\n{stages}\n## Losses of the second stage\n\n{told}\n\n{losses}"


def main() -> None:
    """Runs what is not finished, trainings one by one and two evaluations at a time, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    jobs = [*main_jobs(given.out, given.seeds), *variant_jobs(given.out, given.seeds)]
    for job in jobs:
        # Each takes all cores by itself.
        print(f"trained: {train(job).out}", flush=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for job in pool.map(evaluate, jobs):
            print(f"evaluated: {job.out}", flush=True)
    (given.out / "results.md").write_text(report(given.out, given.seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
