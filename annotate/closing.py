"""A round ends: all of the project in one file with its checksum, held against what was pulled, item by item."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ValidationError

from annotate.board import KEY_FIELD, Changed, Project
from annotate.errors import AnnotateError
from annotate.journal import JOURNAL, Version, plain, read
from annotate.lock import hold
from annotate.people import People
from annotate.pull import CLOSED, Giver, Reading, instant, pull_held, version_of
from annotate.rounds import Round
from datasets_build.core.files import read_json, sha256_file, whole_file, write_bytes
from datasets_build.core.records import Json, Many, Part

SNAPSHOT = "closed/snapshot.json"
_TRIES = 2

log = logging.getLogger(__name__)


class Closer(Giver, Protocol):
    """What closing asks of a server: what a pull asks, and all of it at once."""

    def snapshot(self, project: Project, path: Path) -> str:
        """Write the whole project as JSON to a file; its MD5 as the server has it."""
        ...


class Difference(Part):
    """Where the server's last word and the journal differ.

    `no_task`, `two_tasks`: of an item; `foreign_task`: of a key that the round does not have; `not_pulled`, `gone`,
    `differs`: of an annotation that only the server has, only the journal has, or that is another in each.
    """

    what: Literal["no_task", "two_tasks", "foreign_task", "not_pulled", "gone", "differs"]
    key: str
    annotation: int | None = None


class Closed(Part):
    """How a round ended: its snapshot's checksums, what is in it, and how it differs from what was pulled."""

    md5: str
    sha256: str
    tasks: int
    annotations: int
    journal_sha256: str
    differences: Many[Difference] = ()


def close(round_: Round, board: Closer, *, project: Project, reading: Reading, people: People) -> Closed:
    """Pull once more, keep a snapshot, and close the round; one that is closed already stays as it is.

    What differs is told in the answer and the log: tasks that somebody deleted or doubled do not keep a round open.

    Raises:
        AnnotateError: the snapshot is not what the server says it is; people are still at work, so that annotations
            differ after a full pull. The round stays open.
    """
    with hold(round_.folder / ".pull.lock", "pulling this round"):
        before = read_closed(round_)
        if before is not None:
            return before
        (round_.folder / CLOSED).parent.mkdir(exist_ok=True)
        with whole_file(round_.folder / SNAPSHOT) as aside:
            closed = _agreed(round_, board, project, reading, people, aside)
            aside.chmod(0o600)  # it has the server's own numbers of people
        write_bytes(round_.folder / CLOSED, (closed.model_dump_json(indent=2) + "\n").encode())
    for one in closed.differences:
        what = "" if one.annotation is None else f", annotation {one.annotation}"
        log.warning("round %s: %s: %s%s", round_.manifest.round, one.what, one.key or "no key", what)
    return closed


def read_closed(round_: Round) -> Closed | None:
    """How a round ended, None for one that is open.

    Raises:
        AnnotateError: its snapshot or journal is no longer what it was.
    """
    path = round_.folder / CLOSED
    if not path.exists():
        return None
    try:
        closed = Closed.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise AnnotateError(f"{path}: not the end of a round ({error.errors()[0]['msg']})") from error
    for name, said in ((SNAPSHOT, closed.sha256), (JOURNAL, closed.journal_sha256)):
        file = round_.folder / name
        found = sha256_file(file) if file.exists() else "no file"
        if found != said:
            raise AnnotateError(f"{file}: SHA-256: found {found}, expected {said}: somebody changed a closed round")
    return closed


def _agreed(round_: Round, board: Closer, project: Project, reading: Reading, people: People, path: Path) -> Closed:
    """A snapshot whose annotations are those of the journal; after a first try that failed everything is read."""
    wrong: list[Difference] = []
    for attempt in range(_TRIES):
        pull_held(round_, board, project=project, reading=reading, people=people, everything=attempt > 0)
        md5 = board.snapshot(project, path)
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "md5").hexdigest()
        if found != md5:
            raise AnnotateError(f"{round_.folder / SNAPSHOT}: MD5: found {found}, the server says {md5}; repeat")
        tasks = list(_tasks(read_json(path), path))
        differences = [*_of_tasks(round_, tasks), *_of_annotations(round_, tasks, people)]
        wrong = [one for one in differences if one.what in ("not_pulled", "gone", "differs")]
        if not wrong:
            return Closed(
                md5=md5,
                sha256=sha256_file(path),
                tasks=len(tasks),
                annotations=sum(len(task.annotations) for task in tasks),
                journal_sha256=_journal_sha256(round_.folder / JOURNAL),
                differences=tuple(differences),
            )
        log.info("round %s: %d annotations differ; reading everything", round_.manifest.round, len(wrong))
    first = wrong[0]
    raise AnnotateError(
        f"round {round_.manifest.round}: {len(wrong)} annotations of the snapshot and the journal differ, the first "
        f"{first.annotation} of {first.key} ({first.what}): close it when nobody is at work"
    )


def _journal_sha256(path: Path) -> str:
    return sha256_file(path) if path.exists() else hashlib.sha256().hexdigest()


def _tasks(content: Json, path: Path) -> Iterator[Changed]:
    """The tasks of a snapshot."""
    if not isinstance(content, list):
        raise AnnotateError(f"{path}: found {type(content).__name__}, expected a list of tasks")
    for at, task in enumerate(content):
        match task:
            case {"id": int(number), "updated_at": str(when), "data": dict(data), "annotations": list(annotations)}:
                key = data.get(KEY_FIELD)
                yield Changed(
                    key=key if isinstance(key, str) else None,
                    task_id=number,
                    updated_at=when,
                    data=data,
                    annotations=tuple(raw for raw in annotations if isinstance(raw, dict)),
                )
            case _:
                raise AnnotateError(f"{path}: task {at}: expected a record with id, updated_at, data, annotations")


def _of_tasks(round_: Round, tasks: list[Changed]) -> Iterator[Difference]:
    count: dict[str, int] = {}
    for task in tasks:
        key = plain(task.key or "")
        count[key] = count.get(key, 0) + 1
    for item in round_.items:
        found = count.pop(item.key, 0)
        if found != 1:
            yield Difference(what="two_tasks" if found else "no_task", key=item.key)
    yield from (Difference(what="foreign_task", key=key) for key in sorted(count))


def _of_annotations(round_: Round, tasks: list[Changed], people: People) -> Iterator[Difference]:
    pulled = latest(round_)
    there: dict[tuple[str, int], Version] = {}
    for task in tasks:
        for raw in task.annotations:
            number = raw.get("id")
            if isinstance(number, int):
                there[plain(task.key or ""), number] = version_of(raw, people)
    for key, number in sorted(pulled.keys() | there.keys()):
        old, new = pulled.get((key, number)), there.get((key, number))
        if old is None or new is None:
            yield Difference(what="not_pulled" if old is None else "gone", key=key, annotation=number)
        elif _core(old) != _core(new):
            yield Difference(what="differs", key=key, annotation=number)


def latest(round_: Round) -> Mapping[tuple[str, int], Version]:
    """The last version of every annotation that was not deleted, by key and number."""
    versions: dict[tuple[str, int], Version] = {}
    for placed in read(round_.folder / JOURNAL):
        row = placed.row
        if row.version is not None:
            versions[row.key, row.annotation] = row.version
        if row.what == "deleted":
            versions.pop((row.key, row.annotation), None)
    return versions


def _core(version: Version) -> tuple[str, bool, str]:
    """What must be equal; an export leaves out some fields and writes instants in its own way."""
    return version.by, version.skipped, f"{instant(version.updated_at)} {version.result}"
