"""What each stage and each loss buys on drawn lessons, over seeds: `python -m tests.bench.results OUT [--seeds 3]`.

Trains the tiny recipe once per seed, and its second stage again for each loss left out, from the same first stage;
evaluates all of them on held-out lessons; writes OUT/results.md. Takes hours on two cores. What is finished is not
done again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recipes.evaluation.report import Evaluation, read_evaluation
from recipes.evaluation.table import compare
from recipes.settings import STAGES, StageName

CONFIG = Path("recipes/configs/tiny.yaml")
STAGE_NAMES = {"align": "after stage 1", "stream": "after stage 2", "interact": "after stage 3"}
# The second stage without one of its losses; everything else is the recipe's.
VARIANTS: dict[str, tuple[str, ...]] = {
    "without consistency": ("stream.losses.consistency.decisions=0.0", "stream.losses.consistency.tokens=0.0"),
    "without latency": ("stream.losses.latency.form=none",),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A run of the recipe: its folder, and the settings that are not the file's."""

    out: Path
    settings: tuple[str, ...]
    stages: tuple[StageName, ...]


def run_job(job: Job) -> Job:
    """Trains and evaluates a job's stages, each in a process of its own, with one thread."""
    for stage in job.stages:
        command = ["train", "--stage", str(STAGES.index(stage) + 1), "--config", str(CONFIG)]
        _recipes(job, [*command, f"out={job.out}", *job.settings], done=job.out / stage / "recipe.json")
        _recipes(job, ["evaluate", str(job.out), "--stage", str(STAGES.index(stage) + 1)], done=_evaluation(job, stage))
    return job


def _recipes(job: Job, words: Sequence[str], *, done: Path) -> None:
    if done.exists():
        return
    job.out.mkdir(parents=True, exist_ok=True)
    with (job.out / "log.txt").open("a", encoding="utf-8") as log:
        subprocess.run(
            [sys.executable, "-m", "recipes", *words],
            stdout=log,
            stderr=log,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def _evaluation(job: Job, stage: StageName) -> Path:
    return job.out / stage / "evaluation" / "evaluation.json"


def main_jobs(out: Path, seeds: int) -> Iterator[Job]:
    """The whole recipe, once per seed."""
    for seed in range(seeds):
        yield Job(out / f"seed{seed}", (f"seed={seed}",), STAGES)


def variant_jobs(out: Path, seeds: int) -> Iterator[Job]:
    """The second stage without one of its losses, from each seed's own first stage."""
    for seed in range(seeds):
        for name, settings in VARIANTS.items():
            began = f"stream.begin_with={out / f'seed{seed}' / 'align' / 'package'}"
            yield Job(out / f"{name.replace(' ', '_')}{seed}", (f"seed={seed}", began, *settings), ("stream",))


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
        {name: read_all(jobs, "stream") for name, jobs in without.items()} | {"both": read_all(main, "stream")},
        baselines=False,
    )
    about = read_all(main, STAGES[-1])[0].about
    told = f"{seeds} seeds, {about.videos} videos of split {about.split}: mean ± standard deviation over seeds."
    return f"## Stages\n\n{told}\n\n{stages}\n## Losses of the second stage\n\n{told}\n\n{losses}"


def main() -> None:
    """Runs what is not finished, two jobs at a time, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with ThreadPoolExecutor(max_workers=given.jobs) as pool:
        for jobs in (main_jobs(given.out, given.seeds), variant_jobs(given.out, given.seeds)):
            for job in pool.map(run_job, jobs):
                print(job.out, flush=True)
    (given.out / "results.md").write_text(report(given.out, given.seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
