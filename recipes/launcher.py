"""accelerate's launcher, silent about a stage that ended with an error: the stage has said what it was."""

from __future__ import annotations

import logging
import signal
import sys

import typer
from accelerate.commands.launch import main as launch
from torch.distributed.elastic.multiprocessing import api
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main() -> None:
    """As `accelerate launch`; exits with the code of the process that failed first."""
    # It tells of exit codes by a logger of its own, as errors.
    logging.getLogger(api.__name__).setLevel(logging.CRITICAL)
    try:
        launch()
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        if failure.exitcode < 0:
            # Who is killed says nothing.
            typer.echo(f"error: a process of the stage was ended by {signal.Signals(-failure.exitcode).name}", err=True)
        sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)


if __name__ == "__main__":
    main()
