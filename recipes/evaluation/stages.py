"""A run's stages side by side: each finished one is evaluated, and one table says what it bought."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from augment.latency import WHOLE_PATHS
from datasets_build.core.config import load_config
from datasets_build.core.files import write_bytes
from recipes.errors import RecipeError
from recipes.evaluation.evaluate import evaluate, model_digest
from recipes.evaluation.report import Evaluation, read_evaluation, write_evaluation
from recipes.evaluation.table import compare
from recipes.settings import STAGES, RunConfig, StageName

log = logging.getLogger(__name__)
RECIPE = "recipe.json"
PACKAGE = "package"


def recipe_path(run: Path, stage: StageName) -> Path:
    """Where a finished stage says with which settings it was trained."""
    return run / stage / RECIPE


def write_recipe(run: RunConfig, stage: StageName) -> Path:
    """Writes the resolved settings of a stage beside its package."""
    path = recipe_path(Path(run.out), stage)
    write_bytes(path, (run.model_dump_json(indent=1, context=WHOLE_PATHS) + "\n").encode())
    return path


def evaluate_run(
    run: Path, stages: Sequence[StageName] | None = None, *, overrides: Sequence[str] = ()
) -> dict[StageName, Evaluation]:
    """Evaluates finished stages of a run.

    Writes `RUN/<stage>/evaluation/` for each. `RUN/evaluation.json`, the last stage's, and `RUN/evaluation.md`, a table
    with a column for each stage, are those of the whole run: of every stage whose package has been evaluated, now or
    before. They stay as they are where what was evaluated before was evaluated on other data.

    Args:
        run: its folder.
        stages: which; None: all that are finished.
        overrides: `key=value` over the settings that a stage was trained with, such as `evaluate.videos=4`.

    Raises:
        RecipeError: a stage is not finished, or none is.
    """
    done = [stage for stage in STAGES if (run / stage / PACKAGE).is_dir() and recipe_path(run, stage).is_file()]
    chosen = list(stages) if stages is not None else done
    missing = [stage for stage in chosen if stage not in done]
    if missing or not chosen:
        there = f"finished are {', '.join(done)}" if done else "no stage is finished"
        raise RecipeError(f"{run}: {', '.join(missing) or 'nothing'} to evaluate, {there}; train it to its last step")
    found: dict[StageName, Evaluation] = {}
    for stage in chosen:
        config = load_config(RunConfig, recipe_path(run, stage), overrides)
        found[stage] = evaluate(run / stage / PACKAGE, config, run / stage / "evaluation")
    write_table(run, found)
    return found


def write_table(run: Path, found: Mapping[StageName, Evaluation]) -> None:
    """Writes what is known of all stages of a run: what was found now, and what lies there of the others."""
    known = {stage: found.get(stage) or evaluation_there(run, stage) for stage in STAGES}
    columns: dict[str, list[Evaluation]] = {
        stage: [evaluation] for stage, evaluation in known.items() if evaluation is not None
    }
    try:
        table = compare(columns)
    except RecipeError as error:
        log.warning("%s is left as it is: %s", run / "evaluation.md", error)
        return
    write_evaluation(run / "evaluation.json", list(columns.values())[-1][0])
    write_bytes(run / "evaluation.md", table.encode())


def evaluation_there(run: Path, stage: StageName) -> Evaluation | None:
    """What lies in `RUN/<stage>/evaluation/`; None where there is none, or where it is of another package."""
    path, package = run / stage / "evaluation" / "evaluation.json", run / stage / PACKAGE
    if not path.is_file() or not package.is_dir():
        return None
    try:
        found = read_evaluation(path)
    except RecipeError as error:
        log.warning("stage %s is left out: %s", stage, error)
        return None
    if found.about.model_sha256 != model_digest(package):
        log.warning("%s: is of another package than %s, and left out; evaluate the stage again", path, package)
        return None
    return found
