"""The real board: rounds in a Label Studio. Every request is made once, over `annotate.wire`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from annotate.access import Access, connect, other_than
from annotate.board import (
    KEY_FIELD,
    AlteredError,
    Changed,
    Counts,
    MissingError,
    Posting,
    Project,
    RefusedError,
    Studio,
)
from annotate.errors import AnnotateError
from annotate.wire import TIMEOUT_S, Wire, once, wire_to
from datasets_build.core.files import whole_file
from datasets_build.core.records import Json

SEND_S = 300.0
SNAPSHOT_S = 600.0
#: The server slows down with the square of their number, and their length in an address has an end at 64 kB.
KEYS_AT_ONCE = 200
KEY_BYTES_AT_ONCE = 16_000
TASKS_AT_ONCE = 1000
#: A page of tasks with everything that was done in them is long.
WORK_AT_ONCE = 100
#: A change carries the time at which it began; it may be written this much later, behind others.
MARGIN = timedelta(seconds=10)
#: What is asked for of a task and, by the same list, of its annotations: all but what the server words for people.
WORK = (
    "id,data,updated_at,annotations,result,completed_by,lead_time,was_cancelled,created_at,ground_truth,task,project,"
    "updated_by,last_created_by,draft_created_at,parent_prediction,parent_annotation,import_id,last_action,bulk_created"
)
#: Bytes of a clip that are looked at: its index is in front, and no two are alike.
_SEEN = 4096
BEGINNING = "1970-01-01T00:00:00.000000Z"


class LabelStudio(Studio):
    """`annotate.board.Studio` for a Label Studio; made by `enter`. One thread at a time."""

    def __init__(self, access: Access, wire: Wire) -> None:
        self.access = access
        self._wire = wire

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._wire.close()

    def project(self, title: str, config: str, *, instructions: str = "", overlap: int = 1) -> Project:
        """Find the project of this title or make it, with predictions shown and empty answers allowed.

        Raises AlteredError where its configuration or overlap is another, RefusedError where two have the title.
        """
        with suppress(MissingError):
            return self.find(title, config, overlap=overlap)
        self._wire.ask(
            f"making project {title!r}",
            lambda: self._wire.client.projects.create(
                title=title,
                label_config=config,
                maximum_annotations=overlap,
                expert_instruction=instructions,
                show_instruction=bool(instructions),
                show_collab_predictions=True,
                enable_empty_annotation=True,
                evaluate_predictions_automatically=False,
                request_options=once(TIMEOUT_S),
            ),
        )
        return self.find(title, config, overlap=overlap)

    def find(self, title: str, config: str, *, overlap: int = 1) -> Project:
        """Find a project that was made before. Raises MissingError or AlteredError."""
        numbers = self._titled(title)
        if not numbers:
            raise MissingError(f"{self.access.url}: no project {title!r}; somebody deleted it or gave it another title")
        if len(numbers) > 1:
            raise RefusedError(f"{self.access.url}: found {len(numbers)} projects {title!r}, expected one: {numbers}")
        found = self._wire.ask(
            f"looking at project {title!r}",
            lambda: self._wire.client.projects.get(numbers[0], request_options=once(TIMEOUT_S)),
        )
        project = Project(
            id=found.id,
            title=title,
            config_sha256=_config_sha256(found.label_config or ""),
            overlap=found.maximum_annotations or 1,
        )
        expected = _config_sha256(config)
        if project.config_sha256 != expected:
            raise AlteredError(
                f"{self.access.url}: project {title!r}: somebody changed its labelling configuration: found "
                f"{project.config_sha256[:12]}, expected {expected[:12]}; put back what `annotate screen` prints, or "
                "start another round"
            )
        if project.overlap != overlap:
            raise AlteredError(
                f"{self.access.url}: project {title!r}: found {project.overlap} annotations a task, expected "
                f"{overlap}; put it back in its settings"
            )
        return project

    def media(self, project: Project, folder: Path) -> None:
        """Let the project show the files of a folder: a real one below the server's media folder.

        Raises AnnotateError where the server does not see it.
        """
        path = str(self._root() / self._below(folder))
        if not folder.is_dir():
            raise AnnotateError(f"{folder}: no such folder; make it before the project is to show it")
        storages = self._wire.client.import_storage.local
        doing = f"letting project {project.title!r} show {folder}"
        options = once(TIMEOUT_S)
        known = self._wire.ask(doing, lambda: storages.list(project=project.id, request_options=options), project)
        if not any(storage.path == path for storage in known):
            self._wire.ask(
                doing,
                lambda: storages.create(
                    project=project.id, path=path, title=folder.name, use_blob_urls=True, request_options=options
                ),
                project,
            )
        self._see(folder)

    def _see(self, folder: Path) -> None:
        """Look at a file of a folder as people will: a folder that the server lists may still not be what it shows."""
        path = min((path for path in folder.iterdir() if path.is_file()), default=None)
        if path is None:
            return
        with path.open("rb") as file:
            expected = file.read(_SEEN)
        url = self.media_url(path)
        if found := other_than(self.access, url, expected):
            raise AnnotateError(
                f"{self.access.url}{url}: found {found}, expected {path}: {self._root()} is not what the server shows "
                "files from; STREAMVL_STUDIO_MEDIA is to be its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"
            )

    def media_url(self, path: Path) -> str:
        """What a task's data says for a file of such a folder."""
        return f"/data/local-files/?d={quote(self._below(path).as_posix())}"

    def keys(self, project: Project, wanted: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Which of these keys have tasks, with the numbers of all of them: more than one is a duplicate."""
        found: dict[str, tuple[int, ...]] = {}
        for some in _slices(wanted):
            condition = _condition(f"data.{KEY_FIELD}", "in_list", "List", some)
            for task in self._tasks(project, [condition], "id,data", with_work=False):
                key = str(task.data.get(KEY_FIELD))
                found[key] = (*found.get(key, ()), task.id)
        return found

    def send(self, project: Project, postings: Sequence[Posting]) -> None:
        """Make these tasks in one request. RefusedError: none was made; UnknownError: look with `keys`."""
        rows = [_row(posting) for posting in postings]
        self._wire.ask(
            f"sending {len(rows)} tasks to project {project.title!r}",
            lambda: self._wire.client.projects.import_tasks(id=project.id, request=rows, request_options=once(SEND_S)),
            project,
        )

    def mark(self, project: Project) -> str:
        """A time on the server's clock before which nothing is still to come: a little before the last change."""
        page = self._page(project, [], fields="id,updated_at", order="-tasks:updated_at", size=1, with_work=False)
        return _stamp(page.items[0].updated_at - MARGIN) if page.items else BEGINNING

    def changed(self, project: Project, since: str | None = None) -> Iterator[Changed]:
        """Tasks in which something happened after a mark, each once, by number; every task where there is no mark.

        What happened within `MARGIN` before the mark is told again. An annotation that was deleted is one that is no
        longer among its task's; a deleted task is one that `keys` finds no more.
        """
        conditions = [_condition("updated_at", "greater", "Datetime", since)] if since else []
        for task in self._tasks(project, conditions, WORK, with_work=True):
            key = task.data.get(KEY_FIELD)
            yield Changed(
                key=key if isinstance(key, str) else None,
                task_id=task.id,
                updated_at=_stamp(task.updated_at),
                data=task.data,
                annotations=tuple(task.annotations or ()),
            )

    def counts(self, project: Project) -> Counts:
        """How far the project is."""
        found = self._wire.ask(
            f"counting project {project.title!r}",
            lambda: self._wire.client.projects.get(project.id, request_options=once(TIMEOUT_S)),
            project,
        )
        return Counts(
            tasks=found.task_number or 0,
            finished=found.finished_task_number or 0,
            annotations=found.total_annotations_number or 0,
            skipped=found.skipped_annotations_number or 0,
        )

    def people(self) -> dict[int, str]:
        """The number and e-mail address of everybody with an account."""
        users = self._wire.ask("listing people", lambda: self._wire.client.users.list(request_options=once(TIMEOUT_S)))
        return {user.id: user.email for user in users}

    def snapshot(self, project: Project, path: Path, *, timeout_s: float = SNAPSHOT_S) -> str:
        """Write the whole project, predictions with it, as JSON to a file; its MD5 as the server has it.

        A snapshot of ours that a dying server left unfinished is deleted first. Raises AnnotateError where what came is
        not what the server has; the file is then as it was.
        """
        name = f"streamvl {project.title}"
        exports, doing = self._wire.client.projects.exports, f"taking a snapshot of project {project.title!r}"
        options = once(timeout_s)
        for old in self._wire.ask(doing, lambda: exports.list(project.id, request_options=options), project):
            if old.title == name and old.status in ("created", "in_progress"):
                self._drop(project, old.id)
        made = self._wire.ask(
            doing,
            lambda: exports.create(
                project.id,
                title=name,
                serialization_options={"predictions": {"only_id": False}},
                request_options=options,
            ),
            project,
        )
        md5 = self._finished(project, made.id, timeout_s)
        with whole_file(path) as aside:
            self._wire.ask(doing, lambda: self._download(project, made.id, aside, timeout_s), project)
            with aside.open("rb") as handle:
                got = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if got != md5:
                raise AnnotateError(f"{path}: found MD5 {got}, expected the server's {md5}: it came broken; ask again")
        return got

    def _finished(self, project: Project, number: int, timeout_s: float) -> str:
        """Wait for a snapshot; its MD5. One that does not end in time is deleted."""
        began = time.monotonic()
        exports = self._wire.client.projects.exports
        while True:
            export = self._wire.ask(
                f"looking at snapshot {number} of project {project.title!r}",
                lambda: exports.get(project.id, number, request_options=once(TIMEOUT_S)),
            )
            if export.status == "completed" and export.md5:
                return str(export.md5)
            if export.status == "failed" or time.monotonic() - began > timeout_s:
                self._drop(project, number)
                raise AnnotateError(
                    f"{self.access.url}: project {project.title!r}: its snapshot is {export.status} after "
                    f"{time.monotonic() - began:.0f} s; it is deleted: ask again"
                )
            time.sleep(0.2)

    def _drop(self, project: Project, number: int) -> None:
        self._wire.ask(
            f"deleting snapshot {number} of project {project.title!r}",
            lambda: self._wire.client.projects.exports.delete(project.id, number, request_options=once(TIMEOUT_S)),
        )

    def _download(self, project: Project, number: int, path: Path, timeout_s: float) -> None:
        with path.open("wb") as out:
            for piece in self._wire.client.projects.exports.download(
                project.id, number, export_type="JSON", request_options=once(timeout_s)
            ):
                out.write(piece)

    def _titled(self, title: str) -> list[int]:
        """The numbers of all projects of exactly this title; the server's own filter looks for parts of it."""
        numbers: list[int] = []
        for page in count(1):
            answer = self._wire.ask(
                "listing projects",
                partial(
                    self._wire.client.projects.list,
                    title=title,
                    page=page,
                    page_size=100,
                    request_options=once(TIMEOUT_S),
                ),
            ).response
            numbers += [project.id for project in answer.results if project.title == title]
            if page * 100 >= answer.count:
                break
        return sorted(numbers)

    def _tasks(self, project: Project, conditions: Sequence[Json], fields: str, *, with_work: bool) -> Iterator[Any]:
        """Tasks by number, asked for from after the last one seen: nothing is missed where others come and go."""
        last, size = 0, WORK_AT_ONCE if with_work else TASKS_AT_ONCE
        while True:
            after: list[Json] = [*conditions, _condition("id", "greater", "Number", last)]
            page = self._page(project, after, fields=fields, order="tasks:id", size=size, with_work=with_work)
            found = list(page.items or ())
            yield from found
            if not found or len(found) >= page.response.total:
                return
            last = found[-1].id

    def _page(
        self, project: Project, conditions: Sequence[Json], *, fields: str, order: str, size: int, with_work: bool
    ) -> Any:  # noqa: ANN401 # the client library's own
        query = {"filters": {"conjunction": "and", "items": conditions}, "ordering": [order]}
        return self._wire.ask(
            f"listing tasks of project {project.title!r}",
            lambda: self._wire.client.tasks.list(
                project=project.id,
                query=json.dumps(query, separators=(",", ":")),
                fields="all" if with_work else "task_only",
                include=fields,
                resolve_uri=False,
                page=1,
                page_size=size,
                request_options=once(TIMEOUT_S),
            ),
            project,
        )

    def _root(self) -> Path:
        if self.access.media is None:
            raise AnnotateError(
                f"{self.access.url}: not known which folder it shows files from; name its "
                "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT as the media folder of the access"
            )
        return self.access.media

    def _below(self, path: Path) -> Path:
        root = self._root()
        # Not resolved: links from there to files elsewhere are how one file serves many rounds.
        if ".." in path.parts or not path.is_relative_to(root) or path == root:
            raise AnnotateError(f"{path}: not below {root}, which is all that the server shows; put or link it there")
        return path.relative_to(root)


def enter(access: Access) -> LabelStudio:
    """Come in and look around: that it answers, which version it is, and that the token is this account's.

    Raises AnnotateError with what to do where the client library is missing or of another version, or where the server
    is not as `access` says.
    """
    wire = wire_to(access)
    found = connect(access.url, access.token, media=access.media)
    if access.username and found.username != access.username:
        raise AnnotateError(f"{access.url}: found the account {found.username}, expected {access.username}")
    return LabelStudio(access if access.username else found, wire)


def _slices(wanted: Sequence[str]) -> Iterator[list[Json]]:
    """Each key once, as many at a time as fit into an address."""
    some: list[Json] = []
    size = 0
    for key in dict.fromkeys(wanted):
        length = len(quote(key))
        if some and (len(some) == KEYS_AT_ONCE or size + length > KEY_BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(key)
        size += length
    if some:
        yield some


def _condition(field: str, operator: str, kind: str, value: Json) -> dict[str, Json]:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def _row(posting: Posting) -> dict[str, Json]:
    row: dict[str, Json] = {"data": {**posting.data, KEY_FIELD: posting.key}}
    if posting.result:
        row["predictions"] = [{"model_version": posting.model_version, "result": list(posting.result)}]
    return row


def _config_sha256(config: str) -> str:
    """Of a configuration as the server keeps it: without white space at its ends."""
    return hashlib.sha256(config.strip().encode()).hexdigest()


def _stamp(moment: datetime) -> str:
    """The one way of writing a time that the server's filter reads."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
