"""What a round asks of a labelling server: records and a protocol, free of any server's own library.

`annotate.studio` is the real one; a test may have one in memory. Whoever sends or pulls imports this file alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from annotate.errors import AnnotateError
from datasets_build.core.records import Json

#: The field of a task's data that holds its key; numbers of tasks are used again after a deletion and name nothing.
KEY_FIELD = "item_key"


class RefusedError(AnnotateError):
    """The server understood a request and would not do it: nothing was written."""


class UnknownError(AnnotateError):
    """A request got no answer in time or lost its connection: it may have been carried out, so look before another."""


class MissingError(AnnotateError):
    """A project that should be there is not."""


class AlteredError(AnnotateError):
    """A project is there but is not what was made: somebody changed its configuration or its overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project on the server. `config_sha256` is of the labelling configuration as the server has it now."""

    id: int
    title: str
    config_sha256: str
    overlap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A task to be sent.

    `data` is what the configuration's `$names` refer to; the key goes in beside it under `KEY_FIELD`. `result` are the
    regions and choices that a person finds filled in, as `model_version` proposed them; empty for none.
    """

    key: str
    data: Mapping[str, Json]
    result: Sequence[Json] = ()
    model_version: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("found an empty key, expected the key of an item")
        if self.data.get(KEY_FIELD, self.key) != self.key:
            raise ValueError(f"{self.key}: found {KEY_FIELD} {self.data[KEY_FIELD]!r} in its data, expected the key")
        if self.result and not self.model_version:
            raise ValueError(f"{self.key}: found a result without a model version, expected who proposes it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A task in which something happened, with everything that people did in it.

    `key` is None where the task's data has none: somebody else made it. `annotations` are the server's own words, one
    mapping an annotation (`id`, `result`, `completed_by`, `lead_time`, `was_cancelled`, `updated_at` and more).
    """

    key: str | None
    task_id: int
    updated_at: str
    data: Mapping[str, Json]
    annotations: tuple[Mapping[str, Json], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How far a project is: tasks, tasks with as many annotations as the overlap asks for, annotations, skips."""

    tasks: int
    finished: int
    annotations: int
    skipped: int


class Studio(Protocol):
    """A labelling server with one round's tasks in one project. Every call ends: with an answer, or with an error.

    Besides the errors named below, every call raises RefusedError or UnknownError. Nothing is asked twice by itself.
    """

    def project(self, title: str, config: str, *, instructions: str = "", overlap: int = 1) -> Project:
        """Find the project of this title or make it.

        Raises AlteredError where its configuration or overlap is another, RefusedError where two have the title.
        """
        ...

    def find(self, title: str, config: str, *, overlap: int = 1) -> Project:
        """Find a project that was made before. Raises MissingError or AlteredError."""
        ...

    def media(self, project: Project, folder: Path) -> None:
        """Let the project show the files of a folder. Raises AnnotateError where the server does not see it."""
        ...

    def media_url(self, path: Path) -> str:
        """What a task's data says for a file of such a folder."""
        ...

    def keys(self, project: Project, wanted: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Which of these keys have tasks, with the numbers of all of them: more than one is a duplicate."""
        ...

    def send(self, project: Project, postings: Sequence[Posting]) -> None:
        """Make these tasks in one request. RefusedError: none was made; UnknownError: look with `keys`."""
        ...

    def mark(self, project: Project) -> str:
        """A time on the server's clock before which nothing is still to come; asked for before `changed`."""
        ...

    def changed(self, project: Project, since: str | None = None) -> Iterator[Changed]:
        """Tasks in which something happened after a mark, each once, by number; every task where there is no mark."""
        ...

    def counts(self, project: Project) -> Counts:
        """How far the project is."""
        ...

    def people(self) -> dict[int, str]:
        """The number and e-mail address of everybody with an account."""
        ...

    def snapshot(self, project: Project, path: Path) -> str:
        """Write the whole project, predictions with it, as JSON to a file; its MD5 as the server has it."""
        ...
