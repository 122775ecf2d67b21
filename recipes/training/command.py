"""The command line of a stage: a configuration and `key=value` settings, and what a run says about itself."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated

import torch
import typer
from transformers.utils import logging as transformers_logging

from datasets_build.core.config import load_config
from datasets_build.core.files import DataError
from datasets_build.core.progress import set_up_logging
from models.errors import StreamError
from recipes.errors import CheckpointError
from recipes.settings import ModulesConfig, RunConfig, StageName

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="YAML file of a run, such as recipes/configs/tiny.yaml.")
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings by full path, such as out=out/mine, or of the stage, such as steps=100; lr=1e-5 sets the rate "
        "of every part that trains.",
    ),
]
FullOverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings by full path, such as out=out/mine, align.steps=100 or evaluate.videos=8.",
    ),
]
HELD = ".held"
_PARTS = ("vision", "merger", "language", "head")


def read_run(path: Path, overrides: Sequence[str], stage: StageName | None) -> RunConfig:
    """The settings of a run from a file and the command line.

    Args:
        path: the YAML file.
        overrides: `key=value`; a key that is no section of a run belongs to the stage, and `lr` sets the learning rate
            of every part of the stage's model that trains.
        stage: which; None leaves only full paths.

    Raises:
        ConfigError: an unknown key or a value that does not fit.
    """
    full = [_full(override, stage) for override in overrides if stage is None or not override.startswith("lr=")]
    run = load_config(RunConfig, path, full)
    rates = [override.partition("=")[2] for override in overrides if override.startswith("lr=")]
    if not rates or stage is None:
        return run
    modules: ModulesConfig = run.stage(stage).modules
    chosen = {"vision": modules.vision, "merger": modules.merger, "language": modules.language, "head": modules.head}
    full += [f"{stage}.modules.{part}.lr={rates[-1]}" for part in _PARTS if chosen[part].train != "frozen"]
    return load_config(RunConfig, path, full)


def _full(override: str, stage: StageName | None) -> str:
    first = override.partition("=")[0].split(".")[0]
    if stage is None or not first or first in RunConfig.model_fields:
        return override
    return f"{stage}.{override}"


def set_up_process(run: RunConfig, *, quiet: bool) -> None:
    """Logging and threads of a process; one that is quiet tells only what went wrong."""
    set_up_logging()
    ours, theirs = logging.getLogger("recipes"), logging.getLogger("datasets_build")
    ours.handlers[:] = theirs.handlers
    ours.setLevel(logging.WARNING if quiet else logging.INFO)
    ours.propagate = False
    # Bars of loading and saving would tear our own.
    transformers_logging.disable_progress_bar()
    if run.threads:
        torch.set_num_threads(run.threads)


@contextmanager
def held_folder(run: RunConfig, stage: StageName) -> Iterator[None]:
    """Holds a stage's folder for this run; the first of its processes does so for all.

    The folder itself is locked by who publishes a package in it, so a file of its own is locked here.

    Raises:
        CheckpointError: another run is training there, such as one whose command was killed.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    folder = Path(run.out) / stage
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / HELD
    with path.open("w") as handle:
        if not _locked(handle, path):
            raise CheckpointError(f"{folder}: another run is training here; wait for it or stop it")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                # One that stays empty goes again.
                folder.rmdir()
                folder.parent.rmdir()


def _locked(handle: IO[str], path: Path) -> bool:
    """Whether a file could be locked that is still the one at its path: who leaves takes it away."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(handle.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def run_stage(main: Callable[..., None]) -> None:
    """Runs a stage's script as a program: errors that a person can mend are one sentence and exit code 1.

    The exit code of a run that was asked to stop is the signal's, 143 or 130.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    code = 0
    try:
        app()
    except (DataError, StreamError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command line prints
        code = 1
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
    _leave(code)


def _leave(code: int) -> None:
    if torch.distributed.is_initialized():
        if code:
            # Others may wait for this process in a collective that it will never join.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        torch.distributed.destroy_process_group()
    sys.exit(code)
