"""Verbs about shots alone, of `python -m datasets_build`: they need no index and make no stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datasets_build.core.config import load_config
from datasets_build.core.files import DataError, write_json
from datasets_build.perception.detect import Look, detect_shots
from datasets_build.perception.score_shots import RuleName
from datasets_build.perception.shot_report import score_files
from datasets_build.perception.shots import ShotsConfig

app = typer.Typer()
# As `perceive.analysis_side`.
_SIDE = 128


def _path(text: str) -> Path:
    return Path(text).expanduser()


@app.command("detect-shots")
def detect_shots_of(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO...", parser=_path, help="Video files, or folders of them.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", parser=_path, help="Where the transitions go, as JSON.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Such as detector=adaptive or learned.cut=0.6"),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Worker processes.")] = 2,
) -> None:
    """Find the shots of video files: cuts, fades and dissolves by frame, in the form that score-shots reads."""
    config = load_config(ShotsConfig, None, settings or [])
    files = [file for path in videos for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    if missing := [path for path in files if not path.is_file()]:
        raise DataError(f"{missing[0]}: no such file")
    failed = detect_shots([Look(path, config, _SIDE) for path in files], to, workers=workers)
    print(f"{to}: transitions of {len(files) - len(failed)} videos, {len(failed)} could not be decoded")
    for name, error in sorted(failed.items()):
        print(f"left out: {name}: {error.detail}")


@app.command()
def score_shots(
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", parser=_path, help="JSON file of true transitions.")],
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", parser=_path, help="JSON file of found ones.")],
    rule: Annotated[RuleName, typer.Option("--rule", help="Whose published figures to compare with.")],
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="NAME", help="A video to leave out.")] = None,
    to: Annotated[Path | None, typer.Option("--json", metavar="FILE", parser=_path, help="Also write it here.")] = None,
) -> None:
    """Score shot boundaries, hard cuts and gradual transitions apart; docs/shots.md has the rules and the forms."""
    report = score_files(truth, predictions, rule, skip=skip or ())
    print("\n".join(report.lines()))
    if to:
        write_json(to, report.as_json())
