"""accelerate's launcher, silent about a stage that ended with an error: the stage has said what it was."""

from __future__ import annotations

import logging
import signal
import subprocess
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
        _end(failure.exitcode)
    except subprocess.CalledProcessError as error:
        _end(error.returncode)
    except (ImportError, KeyError, TypeError, ValueError) as error:
        # What it does not find installed, or does not understand in its config.
        words = " ".join(str(error).split())
        typer.echo(f"error: accelerate cannot start with this config ({type(error).__name__}: {words})", err=True)
        sys.exit(1)


def _end(code: int) -> None:
    """Ends with the code of a process, and tells of the signal that killed it: who is killed says nothing."""
    if code < 0:
        typer.echo(f"error: a process of the stage was ended by {signal.Signals(-code).name}", err=True)
    sys.exit(code if code > 0 else 128 - code)


if __name__ == "__main__":
    main()
