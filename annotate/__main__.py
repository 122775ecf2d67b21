"""Command line: `python -m annotate VERB …`."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from annotate import server
from annotate.access import Access, connect, invite, read_access
from annotate.board import Studio
from annotate.closing import close, read_closed
from annotate.desk import (
    INSTRUCTIONS,
    Showing,
    clips_folder,
    data_folder,
    posting_of,
    reading_of,
    screen_of,
    show_clips,
)
from annotate.errors import AnnotateError
from annotate.journal import JOURNAL
from annotate.merge import merge, refuse_changed
from annotate.merged import told
from annotate.outcome import Finished, apart, in_dispute, outcome
from annotate.people import People
from annotate.plan import Known, PlanConfig, plan, read_gold
from annotate.published import rebuild
from annotate.pull import Reading, pull
from annotate.push import find_project, push
from annotate.report.build import write_report
from annotate.rounds import Round, load
from annotate.second import second_round
from annotate.standing import finished, status
from annotate.studio import enter
from annotate.tasks import Kind
from datasets_build.core.config import load_config
from datasets_build.core.files import DataError
from datasets_build.core.progress import set_up_logging

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Records to people in Label Studio, and back as better records.",
)


def _path(given: str | Path) -> Path:
    # A default comes here as the path it is. An empty path would be the folder that the command runs in.
    if not str(given).strip():
        raise typer.BadParameter("is empty, expected a path")
    return Path(given).expanduser()


Name = Annotated[str, typer.Argument(metavar="ROUND", help="The round's name: a-z, 0-9, - and _.")]
Rounds = Annotated[
    Path, typer.Option("--rounds", metavar="DIR", parser=_path, help="The folder of all rounds.", show_default=True)
]
ROUNDS = Path("out/rounds")


@app.command("serve")
def serve(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Where to listen; a free port without.")
    ] = None,
) -> None:
    """Start a Label Studio of one's own on this machine, install it first where it is missing, and say its address."""
    set_up_logging()
    home = server.default_home()
    server.install(home, tell=typer.echo)
    access = server.start(home, port, tell=typer.echo)
    typer.echo(f"Label Studio {access.version} at {access.url}, account {access.username}")
    typer.echo(f"its password and token are in {home / 'access.json'}, for you alone")


@app.command("stop")
def stop() -> None:
    """Stop the Label Studio that `serve` started."""
    set_up_logging()
    typer.echo("stopped" if server.stop(server.default_home()) else "none was running")


@app.command("server")
def show_server() -> None:
    """Say whether a Label Studio of one's own is installed and running, and where."""
    set_up_logging()
    found = server.status(server.default_home())
    if not found.is_installed:
        typer.echo(f"not installed in {found.home}; make label-studio does it")
    elif found.url is None:
        typer.echo(f"installed in {found.home}, not running; make label-studio starts it")
    else:
        typer.echo(f"running at {found.url}, version {found.version or 'unknown'}, process {found.pid}")


@app.command("invite")
def invite_person(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The account's name on the server.")],
) -> None:
    """Make an account for an annotator; its password is read from $STREAMVL_ANNOTATOR_PASSWORD."""
    set_up_logging()
    password = os.environ.get("STREAMVL_ANNOTATOR_PASSWORD", "")
    if len(password) < 8:
        raise AnnotateError("STREAMVL_ANNOTATOR_PASSWORD: found fewer than 8 characters, expected the new password")
    typer.echo(f"account {invite(_access(), email, password)}: {email}")


def _access() -> Access:
    """The server that the environment names, or one's own."""
    url, home = os.environ.get("STREAMVL_STUDIO_URL"), server.default_home()
    if url:
        token, media = os.environ.get("STREAMVL_STUDIO_TOKEN"), os.environ.get("STREAMVL_STUDIO_MEDIA")
        if not token:
            raise AnnotateError("STREAMVL_STUDIO_TOKEN: not set, expected a token of the server STREAMVL_STUDIO_URL")
        return connect(url, token, media=Path(media).expanduser().absolute() if media else None)
    found = server.status(home)
    if found.url is None:
        raise AnnotateError(f"{home}: no Label Studio is running; start it with make label-studio")
    return replace(read_access(home), url=found.url)


def _people(access: Access) -> People:
    """Who is who on a server: users are counted on each from 1, so each has its own file."""
    home, url = server.default_home(), access.url.replace("://localhost", "://127.0.0.1")
    # One's own server takes another port now and then and stays the same.
    is_own = url == server.status(home).url
    where = "own" if is_own else re.sub(r"[^A-Za-z0-9.]+", "-", url.partition("://")[2])
    return People(home / "people" / f"{where}.json")


def _people_of(round_: Round, access: Access) -> People:
    """The same, of whom this round has pseudonyms if it was pulled before."""
    people, journal = _people(access), round_.folder / JOURNAL
    if not people.path.exists() and journal.exists() and journal.stat().st_size:
        raise AnnotateError(
            f"{people.path}: no such file, expected the pseudonyms of round {round_.manifest.round}, which has been "
            "pulled: use the address that was used then, or put the file back from a copy"
        )
    return people


@app.command("push")
def push_round(
    name: Name,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", parser=_path, help="A finished output of datasets_build.")
    ],
    kind: Annotated[Kind, typer.Option("--kind", help="What people are asked about.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as sample=200 or overlap=2.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", parser=_path, help="YAML file of settings.")
    ] = None,
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="FILE", parser=_path, help="JSON lines: what is true of some windows."),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ROUND", help="A closed round: `order` sees its disputes.")
    ] = None,
    rounds: Rounds = ROUNDS,
) -> None:
    """Make a round, or find it again, and send what is not there yet; a second push sends nothing."""
    set_up_logging()
    settings = load_config(PlanConfig, config, overrides or [])
    if after and settings.order is None:
        raise AnnotateError("--after: counts only under an order, found none; add one, such as order.disputed=1")
    disputed = apart(_finished(rounds, after)) if after else {}
    known = Known(gold=read_gold(gold) if gold else (), disputed=disputed, after=after)
    access = _access()
    round_ = plan(rounds, name, data, kind, settings, known=known)
    _send(round_, access)


def _send(round_: Round, access: Access) -> None:
    media = show_clips(round_, _media(access))
    with enter(access) as studio:
        pushed = push(
            round_,
            Showing(studio, media),
            config=screen_of(round_),
            posting=posting_of(round_, studio, media),
            instructions=INSTRUCTIONS[round_.manifest.kind],
        )
    typer.echo(f"round {round_.manifest.round}: {pushed.items} items, {pushed.sent} sent")
    typer.echo(f"{access.url}/projects/{pushed.project.id}/data")


def _media(access: Access) -> Path:
    if access.media is None:
        raise AnnotateError("STREAMVL_STUDIO_MEDIA: not set, expected the folder that the server shows files from")
    return access.media


def _sent_reading(round_: Round, studio: Studio, access: Access) -> Reading:
    """How what comes back is read: with a look at whether each task still shows what was sent."""
    return reading_of(round_, posting_of(round_, studio, clips_folder(round_, _media(access))))


@app.command("screen")
def show_screen(name: Name, rounds: Rounds = ROUNDS) -> None:
    """Print the round's labelling configuration, to put it back where somebody changed it."""
    set_up_logging()
    typer.echo(screen_of(load(rounds, name)))


@app.command("status")
def show_status(name: Name, rounds: Rounds = ROUNDS) -> None:
    """Say how far a round is, by what was pulled; no server is asked."""
    set_up_logging()
    found = status(load(rounds, name))
    by = ", ".join(f"{count} by {people}" for people, count in found.annotated.items()) or "none"
    typer.echo(f"items: {found.items}, pushed: {found.pushed}, open: {found.open}, annotated: {by}")
    typer.echo(f"skipped: {found.skipped}, flagged: {found.flagged}, deleted: {found.deleted}")
    typer.echo("closed" if found.is_closed else "open to pulls")


@app.command("pull")
def pull_round(
    name: Name,
    everything: Annotated[
        bool, typer.Option("--everything", help="Read every task again, and see what is gone.")
    ] = False,
    rounds: Rounds = ROUNDS,
) -> None:
    """Bring what people did since the last pull into the round's journal."""
    set_up_logging()
    round_, access = load(rounds, name), _access()
    with enter(access) as studio:
        project = find_project(round_, studio, config=screen_of(round_))
        found = pull(
            round_,
            studio,
            project=project,
            reading=_sent_reading(round_, studio, access),
            people=_people_of(round_, access),
            everything=everything,
        )
    typer.echo(f"new: {found.new}, changed: {found.changed}, deleted: {found.deleted}, flagged: {found.flagged}")


@app.command("close")
def close_round(name: Name, rounds: Rounds = ROUNDS) -> None:
    """Pull once more, keep a full snapshot with its checksum, and take no more pulls."""
    set_up_logging()
    round_, access = load(rounds, name), _access()
    with enter(access) as studio:
        project = find_project(round_, studio, config=screen_of(round_))
        reading = _sent_reading(round_, studio, access)
        closed = close(round_, studio, project=project, reading=reading, people=_people_of(round_, access))
    typer.echo(f"closed: {closed.tasks} tasks, {closed.annotations} annotations, sha256 {closed.sha256}")
    for one in closed.differences:
        typer.echo(f"differs: {one.what} {one.key}")


@app.command("adjudicate")
def adjudicate(
    name: Name,
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The name of the second round.")],
    rounds: Rounds = ROUNDS,
) -> None:
    """Make and send a blind second round of what people did not agree about."""
    set_up_logging()
    first, access = _finished(rounds, name), _access()
    _send(second_round(rounds, second, first.round_, in_dispute(first)), access)


@app.command("merge")
def merge_round(
    name: Name,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="OUT", parser=_path, help="The folder to write to; DATA-ROUND beside it without."),
    ] = None,
    second: Annotated[
        str | None, typer.Option("--second", metavar="ROUND", help="The round in which disputes were decided.")
    ] = None,
    rounds: Rounds = ROUNDS,
) -> None:
    """Write what people corrected as a new folder of records, built anew and checked; the old one stays as it is."""
    set_up_logging()
    first = _finished(rounds, name)
    results = outcome(first, _finished(rounds, second) if second else None)
    data = data_folder(first.round_)
    target = to or data.with_name(f"{data.name}-{name}")
    refuse_changed(first.round_.items, data, first.round_.manifest.kind)
    page = merge(first.round_.manifest, first.round_.items, results, data=data, to=target)
    rebuild(target)
    typer.echo(f"{target}: " + "\n".join(told(page)))


@app.command("report")
def report(name: Name, rounds: Rounds = ROUNDS) -> None:
    """Write the round's page, report.html in its folder: for who runs it, not for annotators."""
    set_up_logging()
    round_ = load(rounds, name)
    typer.echo(write_report(round_, round_.folder / "report.html"))


def _finished(rounds: Path, name: str) -> Finished:
    round_ = load(rounds, name)
    if read_closed(round_) is None:
        raise AnnotateError(f"round {name}: is not closed yet; close it, so that what is merged is what stays")
    return Finished(round_=round_, done=finished(round_, reading_of(round_)))


def main() -> int:
    """Run the command line; an error that a person can mend is one sentence and exit code 1."""
    try:
        app()
    except shutil.Error as error:  # of a copied folder: all files that were not, each with its reason
        typer.echo(f"error: {error.args[0][0][2]}", err=True)
    except (DataError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
