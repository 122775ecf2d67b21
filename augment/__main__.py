"""Command line: `python -m augment VERB …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from augment.encode import Codec
from augment.errors import AugmentError
from augment.figures import figures
from augment.folder import apply
from augment.settings import Pipeline
from augment.source import Source
from datasets_build.core.config import flatten, load_config
from datasets_build.core.files import DataError
from datasets_build.core.progress import print_header, set_up_logging, tool_versions

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Augment records: new times, labels moved exactly.")


def _path(text: str) -> Path:
    # An empty path would be the folder that the command runs in.
    if not text.strip():
        raise typer.BadParameter("is empty, expected a path")
    return Path(text).expanduser()


@app.command("apply")
def apply_pipeline(
    folder: Annotated[
        Path, typer.Argument(metavar="IN", parser=_path, help="A finished output of python -m datasets_build.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="OUT", parser=_path, help="The folder to write to.")],
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", parser=_path, help="YAML file of a pipeline.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as seed=1 or copies=2.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make anew what is there.")] = False,
    render: Annotated[bool, typer.Option("--render", help="Write video files, too.")] = False,
    codec: Annotated[
        Codec | None,
        typer.Option(
            "--codec", help="Of the video files: h264, which every player reads (the default), or every pixel as it is."
        ),
    ] = None,
) -> None:
    """Write the augmented videos of a folder as records; their frames are read through the maps, or rendered."""
    set_up_logging()
    if codec is not None and not render:
        raise AugmentError(f"--codec {codec}: found no --render, expected both or neither")
    pipeline = load_config(Pipeline, config, overrides or [])
    source = Source.open(folder)
    print_header(f"augment {folder} → {to}", tool_versions("numpy", "pyarrow"), flatten(pipeline))
    for name, count in apply(source, to, pipeline, force=force, render=(codec or "h264") if render else None).items():
        typer.echo(f"{name}: {count}")


@app.command("figures")
def draw_figures(
    folder: Annotated[
        Path, typer.Argument(metavar="IN", parser=_path, help="A finished output of python -m datasets_build.")
    ],
    configs: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", parser=_path, help="YAML files of pipelines; each gives NAME.png."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", parser=_path, help="Where the pictures go.")],
    video: Annotated[str | None, typer.Option("--video", help="The video to show; the first without.")] = None,
    begin: Annotated[float, typer.Option("--from", help="Where the shown stretch of the timelines begins, s.")] = 0.0,
    until: Annotated[float | None, typer.Option("--until", help="Where it ends, s; with the longer without.")] = None,
) -> None:
    """Draw what pipelines do to a clip: its timeline before and after, labels on both, and the map between."""
    set_up_logging()
    pipelines = {config.stem: load_config(Pipeline, config) for config in configs}
    for path in figures(Source.open(folder), pipelines, to, video=video, begin_s=begin, until_s=until):
        typer.echo(path)


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    try:
        app()
    except (DataError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
