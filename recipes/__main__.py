"""Command line: `python -m recipes VERB …`: train stages under accelerate, and package what they made.

Exit codes: 0, 1 for an error that a person can mend, 2 for wrong use, 130 after Ctrl-C and 143 after SIGTERM; a stage
then has finished its step and saved it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import torch
import typer
from transformers.utils import logging as transformers_logging

from datasets_build.core.config import read_yaml
from datasets_build.core.files import DataError
from datasets_build.core.progress import set_up_logging
from models.errors import StreamError
from recipes.evaluation.stages import evaluate_run
from recipes.package import package_run
from recipes.settings import STAGES, StageName
from recipes.training.command import ConfigOption, OverridesArgument, read_run, set_up_process
from recipes.training.ready import check_run
from recipes.verify.preflight import preflight

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
ACCELERATE = Path(__file__).with_name("accelerate")
SCRIPTS = {"align": "stage1_align", "stream": "stage2_stream", "interact": "stage3_interact"}
LauncherOption = Annotated[
    Path | None,
    typer.Option(
        "--accelerate", metavar="FILE", help="Config of accelerate; cpu.yaml, or gpu1.yaml where there is a GPU."
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
    check_run(read_run(config, overrides or [], name), (name,), processes=_processes(_launcher(accelerate)))
    code = _launch(name, config, overrides or [], accelerate)
    if code:
        raise typer.Exit(code)


@app.command("train-all")
def train_all(config: ConfigOption, overrides: OverridesArgument = None, accelerate: LauncherOption = None) -> None:
    """Train the three stages one behind the other; what is finished is not trained again. Settings by full path."""
    run = read_run(config, overrides or [], None)
    check_run(run, STAGES, processes=_processes(_launcher(accelerate)))
    for name in STAGES:
        code = _launch(name, config, overrides or [], accelerate)
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
    overrides: OverridesArgument = None,
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


def _launch(stage: StageName, config: Path, overrides: Sequence[str], accelerate: Path | None) -> int:
    """Runs a stage's script under accelerate's launcher; its exit code, or the signal's that was passed on."""
    chosen = _launcher(accelerate)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(chosen)]
    command += ["--num_cpu_threads_per_process", os.environ.get("OMP_NUM_THREADS", str(_threads(chosen)))]
    # Quiet: a stage has said what was wrong, in one sentence.
    command += ["--quiet", "-m", f"recipes.{SCRIPTS[stage]}", "--config", str(config), *overrides]
    # The launcher ignores what is passed on, and ends after the processes that it started; those take it as their own.
    started = subprocess.Popen(command, start_new_session=True, preexec_fn=_ignore)
    with _passed_on(started.pid) as passed:
        code = started.wait()
    return 128 + passed[0] if passed and code else code


def _launcher(accelerate: Path | None) -> Path:
    """The config of accelerate."""
    chosen = accelerate or ACCELERATE / ("gpu1.yaml" if torch.cuda.is_available() else "cpu.yaml")
    if not chosen.is_file():
        raise typer.BadParameter(f"{chosen} is no file; expected a config of accelerate, as in {ACCELERATE}")
    return chosen


def _processes(accelerate: Path) -> int:
    """How many a config of accelerate starts, on all machines."""
    count = read_yaml(accelerate).get("num_processes", 1)
    return count if isinstance(count, int) else 1


def _ignore() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _threads(accelerate: Path) -> int:
    """Threads for each process of a machine."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // 2) if accelerate.name == "cpu2.yaml" else cores


@contextmanager
def _passed_on(group: int) -> Iterator[list[int]]:
    """Passes SIGTERM and SIGINT on to a group of processes, each as SIGTERM, which may come twice without harm."""
    passed: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        passed.append(number)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield passed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
