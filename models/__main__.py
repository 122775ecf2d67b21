"""Command line: `python -m models VERB …`: look at a package, stream a film through it, compare ways of asking.

Exit codes: 0, 1 for an error that a person can mend, 2 for wrong use, 130 after Ctrl-C and 143 after SIGTERM; `watch`
then still tells what the film has cost so far.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging
from typer.core import TyperGroup

from models.compare import Way, compare
from models.errors import StreamError
from models.film import Frame, frames
from models.info import Info, inspect
from models.memory.policy import POLICIES
from models.model_card import NOT_STATED, ModelCard
from models.package import PROCESSORS, SaveOptions
from models.settings import MODES, StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config, tiny_processor
from models.watch import SECOND_NS, Answered, Asked, Decided, Ended, Event, Pace, Said, Watch, pair


class Terminated(KeyboardInterrupt):
    """SIGTERM came, and ends a verb as Ctrl-C does."""


class Verbs(TyperGroup):
    """The verbs; one that is stopped says so in a sentence, and its exit code tells the signal as shells expect."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer hides its own type of `ctx`
        """Run a verb, with SIGTERM as a second Ctrl-C."""
        try:
            with _sigterm_raises():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            code = _TERMINATED if isinstance(stop, Terminated) else _INTERRUPTED
            typer.echo(f"stopped by {'SIGTERM' if code == _TERMINATED else 'Ctrl-C'}", err=True)
            raise typer.Exit(code) from None


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    # Python takes signals in its main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A packaged streaming model: look at it, let it watch a film, compare ways of asking. "
    "Ctrl-C ends it with exit code 130, SIGTERM with 143.",
)


def _path(text: str) -> Path:
    if not text.strip():
        raise typer.BadParameter("is empty, expected a path")
    return Path(text).expanduser()


FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", parser=_path, help="A package folder.")]
SourceArgument = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A package, or a plain checkpoint: a folder, or a name on the hub.")
]
VideoArgument = Annotated[Path, typer.Argument(metavar="VIDEO", parser=_path, help="A video file.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the model goes, as in cpu or cuda:0.")]
FpsOption = Annotated[float, typer.Option("--fps", help="Frames per second that are looked at.")]
TokensOption = Annotated[int | None, typer.Option("--max-new-tokens", min=1, help="Tokens of an answer, at most.")]


def _screen() -> Console:
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


@app.command()
def info(
    folder: FolderArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Hash the weights too.")] = False,
) -> None:
    """Say what a package is, what it costs, where it comes from, and whether every file is whole."""
    found = inspect(folder, verify=verify)
    screen = _screen()
    screen.print(_described(found))
    for check in found.checks:
        screen.print(f"{'ok' if check.problem is None else 'BAD':>4}  {check.how:6}  {check.size:>13,}  {check.name}")
    if found.problems:
        raise typer.Exit(_told(*found.problems))


@app.command()
def watch(
    folder: SourceArgument,
    video: VideoArgument,
    *,
    ask: Annotated[list[str] | None, typer.Option("--ask", help="A question; may be repeated.")] = None,
    at: Annotated[
        list[float] | None, typer.Option("--at", help="Its time in seconds; as often as --ask, or never: at the end.")
    ] = None,
    fps: FpsOption = 2.0,
    mode: Annotated[str | None, typer.Option("--mode", help=f"One of {', '.join(MODES)}.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help=f"One of {', '.join(sorted(POLICIES))}.")] = None,
    speed: Annotated[float, typer.Option("--speed", help="1 is as if live, 0 as fast as possible.")] = 0.0,
    speak: Annotated[bool, typer.Option("--speak", help="Let the model decide when to speak.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    max_new_tokens: TokensOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Stream a film as if it were live; print answers, decisions and latencies as they come, at the end the costs.

    The costs so far are also printed when Ctrl-C or SIGTERM stops it, and when the film breaks off.
    """
    questions, pace = pair(ask or [], at or []), Pace(speed=speed)
    film = _opened(video, fps)
    model = StreamingModel.from_pretrained(folder, device=device)
    settings = _changed(model.settings, mode=mode, memory=memory, max_new_tokens=max_new_tokens)
    screen = _screen()
    with closing(model), model.session(settings) as session:
        watching = Watch(session, film, questions, pace=pace, speak=speak)
        try:
            for event in watching.events():
                _show(screen, event, as_json=as_json)
        except (KeyboardInterrupt, StreamError):
            _show(screen, watching.summary(), as_json=as_json)
            raise


@app.command(name="compare")
def compare_ways(
    folder: SourceArgument,
    video: VideoArgument,
    *,
    ask: Annotated[str, typer.Option("--ask", help="The question.")],
    count: Annotated[int, typer.Option("--frames", min=1, help="How many frames of the film.")] = 16,
    fps: FpsOption = 2.0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Of each answer, at most.")] = 32,
    device: DeviceOption = "cpu",
) -> None:
    """Ask the same about the same frames one-shot, delayed, incrementally and as a clip; print what each costs."""
    film = list(islice(_opened(video, fps), count))
    model = StreamingModel.from_pretrained(folder, device=device)
    with closing(model):
        ways = compare(model, film, ask, max_new_tokens=max_new_tokens)
    screen = _screen()
    screen.print(f"{len(film)} frames, the newest at {film[-1][1] / SECOND_NS:.3f} s; all remembered, but for clip")
    screen.print(_compared(ways), soft_wrap=False)
    for way in ways:
        same = (
            "same tokens as one-shot" if way.differs_at is None else f"differs from one-shot at token {way.differs_at}"
        )
        screen.print(f"{way.name:>12}: {same}: {_printable(way.text)}")


@app.command()
def tiny(
    folder: FolderArgument,
    family: Annotated[str, typer.Option("--family", help=f"One of {', '.join(PROCESSORS)}.")] = "qwen2_5_vl",
    seed: Annotated[int, typer.Option("--seed", help="Of the random weights.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is there.")] = False,
) -> None:
    """Write a tiny package with random weights, to try everything without a hub; what it says means nothing."""
    model = StreamingModel.from_random(tiny_config(family), seed=seed, processor=tiny_processor(family))
    card = ModelCard(
        name=f"Tiny {family}",
        license="apache-2.0",
        summary="Random weights: its answers mean nothing. For trying out and for tests.",
    )
    model.save(folder, card=card, options=SaveOptions(overwrite=overwrite))
    _screen().print(f"{folder}: a tiny package with random weights; try `python -m models info {folder}`")


def _opened(video: Path, fps: float) -> Iterator[tuple[Frame, int]]:
    """The film, its first frame decoded, so that a bad file is told before a model is loaded."""
    film = frames(video, fps=fps)
    first = next(film)
    return chain([first], film)


def _changed(
    settings: StreamingSettings, *, mode: str | None, memory: str | None, max_new_tokens: int | None
) -> StreamingSettings:
    settings = settings if mode is None else replace(settings, mode=mode)
    settings = settings if memory is None else replace(settings, memory=memory)
    return settings if max_new_tokens is None else replace(settings, max_new_tokens=max_new_tokens)


def _described(found: Info) -> str:
    rows: list[tuple[str, str]] = []
    if found.costs is not None:
        costs, slots = found.costs, found.settings.slots
        rows += [
            ("family", costs.family),
            ("decoder", f"{costs.layers} layers, {costs.width} wide"),
            ("parameters", f"{costs.parameters:,} in {costs.dtype}"),
            (
                "cache",
                f"{costs.kv_bytes:,} bytes a token; {slots:,} slots take {costs.pool_bytes:,} bytes",
            ),
            *((f"{cost.width}x{cost.height}", f"{cost.tokens:g} tokens a frame") for cost in costs.frames),
        ]
    rows += [(name, json.dumps(value, ensure_ascii=False)) for name, value in found.settings.to_json().items()]
    if found.manifest is None:
        rows.append(("package", "no: a plain checkpoint, with default settings"))
    else:
        card = found.manifest.card
        given = asdict(card.provenance)
        rows += [
            ("package", f"{card.name}, format {found.manifest.version[0]}.{found.manifest.version[1]}"),
            ("licence", card.license),
            *((name.replace("_", " "), NOT_STATED if value is None else str(value)) for name, value in given.items()),
            ("written by", ", ".join(f"{name} {version}" for name, version in found.manifest.libraries)),
        ]
    return "\n".join(f"{name:>20}: {_printable(text)}" for name, text in rows)


def _compared(ways: list[Way]) -> Table:
    table = Table("", *(way.name for way in ways), box=None)
    rows: list[tuple[str, list[str]]] = [
        ("grids seen", [f"{way.frames}" for way in ways]),
        ("tokens seen", [f"{way.visible_tokens}" for way in ways]),
        ("cache bytes", [f"{way.cache_bytes:,}" for way in ways]),
        ("done ahead, s", [f"{way.ahead_s:.4f}" for way in ways]),
        ("of all: vision, s", [f"{way.vision_s:.4f}" for way in ways]),
        ("to first token, s", [f"{way.first_token_s:.4f}" for way in ways]),
        ("to last token, s", [f"{way.total_s:.4f}" for way in ways]),
        ("answer's tokens", [f"{len(way.token_ids)}" for way in ways]),
    ]
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def _show(screen: Console, event: Event, *, as_json: bool) -> None:
    if as_json:
        screen.print(json.dumps({"event": type(event).__name__.lower()} | asdict(event), ensure_ascii=True))
    elif isinstance(event, Said):
        screen.print(_printable(event.text), end="")
    else:
        screen.print(_line(event))


def _line(event: Asked | Answered | Decided | Ended) -> str:
    if isinstance(event, Asked):
        late = " (the film ends before its time: asked at the end)" if event.late else ""
        return f"[{_seconds(event.t_ns)}] {event.question}{late}"
    if isinstance(event, Decided):
        chances = ", ".join(f"{chance:.3f}" for chance in event.probabilities)
        return f"[{_seconds(event.t_ns)}] {event.state} ({chances}; {event.decided_s:.4f} s)"
    if isinstance(event, Answered):
        stats = event.stats
        return (
            f"\n    first token after {stats.time_to_first_token_s:.4f} s, {stats.tokens} tokens in "
            f"{stats.total_s:.4f} s, {stats.visible_tokens} tokens seen; stopped by {stats.stopped_by}"
        )
    behind = f", {event.behind_s:.3f} s behind at most" if event.behind_s > 0 else ""
    costs = "\n".join(
        f"{name:>20}: {value:,}" if isinstance(value, int) else f"{name:>20}: {value:.4f}"
        for name, value in event.metrics.as_dict().items()
    )
    return f"{event.frames} frames, {event.film_s:.3f} s of film in {event.wall_s:.3f} s{behind}\n{costs}"


def _seconds(t_ns: int) -> str:
    return f"{t_ns / SECOND_NS:.3f} s"


def _printable(text: str) -> str:
    # What a model says may hold bytes that would steer a terminal.
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _told(*problems: str) -> int:
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    return 1


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        app()
    except StreamError as error:
        return _told(str(error))
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _told(f"{os.strerror(error.errno)}{where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
