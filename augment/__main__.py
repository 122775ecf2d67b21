"""Command line: `python -m augment VERB …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from augment.encode import Codec
from augment.folder import apply
from augment.settings import Pipeline
from augment.source import Source
from datasets_build.core.config import flatten, load_config
from datasets_build.core.files import DataError
from datasets_build.core.progress import print_header, set_up_logging, tool_versions

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Augment records: new times, labels moved exactly.")


@app.callback()
def _verbs() -> None:
    """Keeps the verbs, of which there is one so far."""


@app.command("apply")
def apply_pipeline(
    folder: Annotated[Path, typer.Argument(metavar="IN", help="A finished output of python -m datasets_build.")],
    to: Annotated[Path, typer.Option("--to", metavar="OUT", help="The folder to write to.")],
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="YAML file of a pipeline.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as seed=1 or copies=2.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make anew what is there.")] = False,
    render: Annotated[bool, typer.Option("--render", help="Write video files, too.")] = False,
    codec: Annotated[
        Codec, typer.Option("--codec", help="Of the video files: what every player reads, or every pixel as it is.")
    ] = "h264",
) -> None:
    """Write the augmented videos of a folder as records; their frames are read through the maps, or rendered."""
    set_up_logging()
    pipeline = load_config(Pipeline, config, overrides or [])
    source = Source.open(folder)
    print_header(f"augment {folder} → {to}", tool_versions("numpy", "pyarrow"), flatten(pipeline))
    for name, count in apply(source, to, pipeline, force=force, render=codec if render else None).items():
        typer.echo(f"{name}: {count}")


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    try:
        app()
    except DataError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
