"""Command line: `python -m recipes VERB …`: train stages under accelerate, and package what they made.

Exit codes: 0, 1 for an error that a person can mend, 2 for wrong use, 130 after Ctrl-C and 143 after SIGTERM; a stage
then has finished its step and saved it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from transformers.utils import logging as transformers_logging

from datasets_build.core.files import DataError
from datasets_build.core.progress import set_up_logging
from models.errors import StreamError
from recipes.evaluation.stages import evaluate_run
from recipes.launch import launch, launcher_of, processes_of
from recipes.package import package_run
from recipes.settings import STAGES
from recipes.training.command import ConfigOption, FullOverridesArgument, OverridesArgument, read_run, set_up_process
from recipes.training.ready import check_run
from recipes.verify.preflight import preflight

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
LauncherOption = Annotated[
    Path | None,
    typer.Option(
        "--accelerate",
        metavar="FILE",
        help="Config of accelerate; without it one process on a GPU, and on a CPU two where cores and rows allow.",
    ),
]
StageOption = Annotated[int, typer.Option("--stage", "-s", min=1, max=3, help="1 align, 2 stream, 3 interact.")]


@app.command()
def train(
    stage: StageOption,
    config: ConfigOption,
    overrides: OverridesArgument = None,
    accelerate: LauncherOption = None,
) -> None:
    """Train one stage, from its newest checkpoint if there is one, and package it."""
    name = STAGES[stage - 1]
    # What is wrong is told here, before processes are started.
    run = read_run(config, overrides or [], name)
    launcher = launcher_of(accelerate, rows=run.stage(name).pack.rows)
    check_run(run, (name,), processes=processes_of(launcher))
    code = launch(name, config, overrides or [], launcher=launcher)
    if code:
        raise typer.Exit(code)


@app.command("train-all")
def train_all(config: ConfigOption, overrides: FullOverridesArgument = None, accelerate: LauncherOption = None) -> None:
    """Train the three stages one behind the other; what is finished is not trained again. Settings by full path."""
    run = read_run(config, overrides or [], None)
    launcher = launcher_of(accelerate, rows=min(run.stage(name).pack.rows for name in STAGES))
    check_run(run, STAGES, processes=processes_of(launcher))
    for name in STAGES:
        code = launch(name, config, overrides or [], launcher=launcher)
        if code:
            raise typer.Exit(code)
    typer.echo(package_run(Path(run.out), None))


@app.command()
def verify(stage: StageOption, config: ConfigOption, overrides: OverridesArgument = None) -> None:
    """Prove on a stage's own first batches what it sees, learns and changes; exit code 1 if anything is not so."""
    name = STAGES[stage - 1]
    run = read_run(config, overrides or [], name)
    set_up_process(run, quiet=True)
    wrong = 0
    for finding in preflight(run, name):
        wrong += not finding.ok
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.check:<10} {finding.words}", flush=True)
    print(f"{wrong} of these facts do not hold" if wrong else "all of these facts hold")
    if wrong:
        raise typer.Exit(1)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    overrides: FullOverridesArgument = None,
    stage: Annotated[int | None, typer.Option("--stage", "-s", min=1, max=3, help="Which; all finished ones.")] = None,
) -> None:
    """Replay held-out records as live streams through each finished stage, beside baselines that see nothing."""
    set_up_logging()
    evaluate_run(run, None if stage is None else [STAGES[stage - 1]], overrides=overrides or [])
    shown = run if stage is None else run / STAGES[stage - 1] / "evaluation"
    typer.echo((shown / "evaluation.md").read_text(encoding="utf-8"))


@app.command()
def package(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    stage: Annotated[int | None, typer.Option("--stage", "-s", min=1, max=3, help="Which; the last one.")] = None,
) -> None:
    """Put the package of a run's last finished stage, with its card, at RUN/package."""
    typer.echo(package_run(run, None if stage is None else STAGES[stage - 1]))


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    transformers_logging.disable_progress_bar()
    try:
        app()
    except (DataError, StreamError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
