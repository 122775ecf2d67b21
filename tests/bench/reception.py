"""What learning with lost and late frames buys where frames are lost and late: `python -m tests.bench.reception OUT`.

Needs the runs of `tests.bench.results` in OUT. Trains the second stage of each seed once more with augmented copies
behind the lessons, for as many steps; evaluates both on the held-out lessons as they are, and as `reception.yaml` makes
them; writes OUT/reception.md. What is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml

from datasets_build.core.config import load_config
from recipes.evaluation.evaluate import evaluate
from recipes.evaluation.report import read_evaluation
from recipes.evaluation.stages import recipe_path
from recipes.evaluation.table import compare
from recipes.settings import RunConfig
from tests.bench.results import BRANCHED, Job, main_jobs, train

PIPELINE = Path("augment/configs/reception.yaml")
# The evaluated copy is drawn with another seed than those that are learned.
HELD_SEED = 1
LESSONS = Path("out/lessons")


class Score(NamedTuple):
    """A run evaluated on a folder."""

    run: Path
    folder: Path
    out: Path


def augmented_jobs(out: Path, seeds: int) -> Iterator[Job]:
    """The second stage with augmented copies, from each seed's own first stage."""
    pipeline = json.dumps(yaml.safe_load(PIPELINE.read_text(encoding="utf-8")))
    for seed in range(seeds):
        began = f"{BRANCHED}.begin_with={out / f'seed{seed}' / 'align' / 'package'}"
        settings = (f"seed={seed}", began, f"{BRANCHED}.augment={pipeline}")
        yield Job(out / f"reception{seed}", settings, (BRANCHED,))


def scores(out: Path, seeds: int) -> dict[str, list[Score]]:
    """All evaluations by the column in which they stand."""
    made = out / "reception_lessons"
    jobs = {"without": list(main_jobs(out, seeds)), "with": list(augmented_jobs(out, seeds))}
    return {
        f"{name}, {place}": [Score(job.out, folder, out / "reception_scores" / job.out.name / place) for job in found]
        for place, folder in (("as they are", LESSONS), ("lost and late", made))
        for name, found in jobs.items()
    }


def score(wanted: Score) -> Path:
    """Evaluates what is not evaluated yet, in a process of its own."""
    if not (wanted.out / "evaluation.json").exists():
        config = load_config(RunConfig, recipe_path(wanted.run, BRANCHED), [f"data.folders=[{wanted.folder}]"])
        evaluate(wanted.run / BRANCHED / "package", config, wanted.out)
    return wanted.out


def main() -> None:
    """Trains one by one, evaluates two at a time, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-only", action="store_true")
    given = parser.parse_args()
    for job in augmented_jobs(given.out, given.seeds):
        print(f"trained: {train(job).out}", flush=True)
    if given.train_only:
        return
    command = ["apply", str(LESSONS), "--to", str(given.out / "reception_lessons"), "-c", str(PIPELINE)]
    subprocess.run([sys.executable, "-m", "augment", *command, f"seed={HELD_SEED}"], check=True)
    columns = scores(given.out, given.seeds)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in pool.map(score, [each for found in columns.values() for each in found]):
            print(f"evaluated: {done}", flush=True)
    found = {
        name: [read_evaluation(each.out / "evaluation.json") for each in each_of] for name, each_of in columns.items()
    }
    # Two tables: numbers of other lessons do not stand in one.
    tables = [
        f"## {place}\n\n"
        + compare({name: rows for name, rows in found.items() if name.endswith(place)}, baselines=False)
        for place in ("as they are", "lost and late")
    ]
    (given.out / "reception.md").write_text("\n".join(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
