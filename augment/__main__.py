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

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Make other videos of finished ones (faster, with lost, late or changed frames, with people who interrupt): "
        "every label moves with them exactly. Pipelines are YAML files, such as augment/configs/time.yaml; "
        "docs/augmentation.md shows every operation."
    ),
)


def _path(text: str) -> Path:
    # An empty path would be the folder that the command runs in.
    if not text.strip():
        raise typer.BadParameter("is empty, expected a path")
    return Path(text).expanduser()


_In = Annotated[
    Path,
    typer.Argument(
        metavar="IN",
        parser=_path,
        help="A finished output of python -m datasets_build, with one dataset or more. It is never written to.",
    ),
]
_Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings of the pipeline over those of FILE, such as seed=1 or copies=2 (default: those of FILE).",
    ),
]
_Codec = Annotated[
    Codec | None,
    typer.Option(
        "--codec", help="Of the files of --render: every player reads h264 (default), lossless keeps every pixel."
    ),
]


@app.command("apply")
def apply_pipeline(
    folder: _In,
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="OUT",
            parser=_path,
            help="The folder to write to, not inside IN: a new one, or that of the same command, which then goes on.",
        ),
    ],
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            parser=_path,
            help="The pipeline, a YAML file: operations and, if need be, seed (0), copies (1), views (1), gone (drop).",
        ),
    ],
    overrides: _Overrides = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Make anew what another pipeline has made there, or older code (default: that is refused).",
        ),
    ] = False,
    render: Annotated[
        bool,
        typer.Option(
            "--render",
            help="Write video files, too (default: records alone, whose frames are read from the files of IN).",
        ),
    ] = False,
    codec: _Codec = None,
) -> None:
    """Write augmented videos of a folder, as an output folder that check, report and recipes take like any other."""
    set_up_logging()
    if codec is not None and not render:
        raise AugmentError(f"--codec {codec}: found no --render, without which no video file is written; add it")
    pipeline = load_config(Pipeline, config, overrides or [])
    source = Source.open(folder)
    print_header(f"augment {folder} → {to}", tool_versions("numpy", "pyarrow"), flatten(pipeline))
    for name, count in apply(source, to, pipeline, force=force, render=(codec or "h264") if render else None).items():
        typer.echo(f"{name}: {count}")


@app.command("figures")
def draw_figures(
    folder: _In,
    configs: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", parser=_path, help="Pipelines, YAML files; NAME.yaml gives DIR/NAME.png."),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", parser=_path, help="Where the pictures go, over those of these names."),
    ],
    video: Annotated[
        str | None,
        typer.Option("--video", metavar="URI", help="The video to show, such as bikes.mp4 (default: the first)."),
    ] = None,
    begin: Annotated[
        float, typer.Option("--from", metavar="SECONDS", help="Where the shown stretch of both timelines begins.")
    ] = 0.0,
    until: Annotated[
        float | None,
        typer.Option("--until", metavar="SECONDS", help="Where it ends (default: with the longer of both)."),
    ] = None,
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
