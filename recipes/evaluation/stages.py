"""A run's stages side by side: each finished one is evaluated, and one table says what it bought."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets_build.core.config import load_config
from datasets_build.core.files import write_bytes
from recipes.errors import RecipeError
from recipes.evaluation.evaluate import evaluate
from recipes.evaluation.report import Evaluation, write_evaluation
from recipes.evaluation.table import compare
from recipes.settings import STAGES, RunConfig, StageName

RECIPE = "recipe.json"
PACKAGE = "package"


def recipe_path(run: Path, stage: StageName) -> Path:
    """Where a finished stage says with which settings it was trained."""
    return run / stage / RECIPE


def write_recipe(run: RunConfig, stage: StageName) -> Path:
    """Writes the resolved settings of a stage beside its package."""
    path = recipe_path(Path(run.out), stage)
    write_bytes(path, (run.model_dump_json(indent=1) + "\n").encode())
    return path


def evaluate_run(
    run: Path, stages: Sequence[StageName] | None = None, *, overrides: Sequence[str] = ()
) -> dict[StageName, Evaluation]:
    """Evaluates finished stages of a run.

    Writes `RUN/<stage>/evaluation/` for each, and for all of them `RUN/evaluation.json`, the last one's, and
    `RUN/evaluation.md`, a table with a column for each.

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
    write_evaluation(run / "evaluation.json", found[chosen[-1]])
    write_bytes(run / "evaluation.md", compare({stage: [found[stage]] for stage in chosen}).encode())
    return found
