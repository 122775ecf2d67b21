"""A labelling server in memory that behaves like the real one at its worst.

Replies get lost after and before the work is done, or it is done a while later; numbers of tasks are used again;
instants are coarse and equal, and what is equal comes in any order; anybody may do anything.
"""

import hashlib
import json
import os
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from annotate.board import KEY_FIELD, AlteredError, Changed, MissingError, Project, RefusedError, UnknownError

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LATE_S = 3.0  # how long a request that got no answer may still be at work


class Killed(BaseException):
    """The process is no more: nothing of ours may catch it."""


@dataclass
class Fuse:
    """Kills at the n-th thing that is done, counted from 0; never where there is none."""

    left: int | None = None

    def burn(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@contextmanager
def killed_at_writes(fuse):
    """Every write, sync and renaming of a file burns the fuse; a journal's write is torn in the middle by it."""
    pwrite, fsync, replace = os.pwrite, os.fsync, Path.replace

    def torn(handle, content, at):
        try:
            fuse.burn()
        except Killed:
            pwrite(handle, content[: len(content) // 2], at)
            raise
        return pwrite(handle, content, at)

    def synced(handle):
        fuse.burn()
        fsync(handle)

    def replaced(path, target):
        fuse.burn()
        return replace(path, target)

    with (
        mock.patch.object(os, "pwrite", torn),
        mock.patch.object(os, "fsync", synced),
        mock.patch.object(Path, "replace", replaced),
    ):
        yield


@dataclass
class Task:
    id: int
    key: str | None
    data: dict
    updated_at: datetime
    annotations: dict = field(default_factory=dict)


class BoardOfLies:
    """See the module; `honest` turns the lies off, `fuse` kills whoever asks."""

    def __init__(self, seed=0, *, honest=False, tick_s=1.0):
        self.rng, self.honest, self.tick_s = random.Random(seed), honest, tick_s
        self.fuse = Fuse()
        self.now_s = 0.0
        self.projects = {}
        self.tasks = {}
        self.late = []
        self.annotations_made = 0
        self.sends = 0
        self.slept_s = 0.0

    # The clock and what happens in its time

    def sleep(self, seconds):
        """What a pusher's patience sleeps with."""
        self.fuse.burn()
        self.slept_s += seconds
        self.pass_time(seconds)

    def pass_time(self, seconds):
        self.now_s += seconds
        due = [posting for at, posting in self.late if at <= self.now_s]
        self.late = [(at, posting) for at, posting in self.late if at > self.now_s]
        for postings in due:
            self.make(postings)

    @property
    def now(self):
        """Coarse, so that much happens in the same instant."""
        return EPOCH + timedelta(seconds=self.now_s // self.tick_s * self.tick_s)

    # The protocol

    def project(self, title, config, *, instructions="", overlap=1):
        lie = self._lie("fine", "lost request", "lost reply")
        if title not in self.projects and lie != "lost request":
            number = 1 + max((project.id for project, _ in self.projects.values()), default=0)
            made = Project(id=number, title=title, config_sha256=_sha256(config), overlap=overlap)
            self.projects[title] = (made, config)
        if lie != "fine":
            raise UnknownError(f"lies: {lie}")
        return self._same(title, config)

    def find(self, title, config, *, overlap=1):
        self._may_fail()
        if title not in self.projects:
            raise MissingError(f"no project {title!r}")
        return self._same(title, config)

    def _same(self, title, config):
        project, found = self.projects[title]
        if found != config:
            raise AlteredError(f"project {title!r}: another configuration")
        return project

    def keys(self, project, wanted):
        self._may_fail()
        found = {}
        for task in self.tasks.values():
            if task.key in set(wanted):
                found.setdefault(task.key, []).append(task.id)
        return found

    def send(self, project, postings):
        lie = self._lie("fine", "fine", "fine", "lost request", "lost reply", "late")
        self.sends += 1
        if lie in ("fine", "lost reply"):
            self.make(postings)
        if lie == "late":
            self.late.append((self.now_s + self.rng.uniform(0, LATE_S), postings))
        if lie != "fine":
            raise UnknownError(f"lies: {lie}")

    def mark(self, project):
        self._may_fail()
        return _iso(self.now)

    def changed(self, project, since=None):
        self._may_fail()
        after = datetime.fromisoformat(since) if since else EPOCH - timedelta(days=1)
        found = [task for task in self.tasks.values() if task.updated_at > after]
        self.rng.shuffle(found)
        for task in found:
            self.fuse.burn()
            yield Changed(
                key=task.key,
                task_id=task.id,
                updated_at=_iso(task.updated_at),
                data=dict(task.data),
                annotations=tuple(json.loads(json.dumps(one)) for one in task.annotations.values()),
            )

    def snapshot(self, project, path):
        self._may_fail()
        content = json.dumps(
            [
                {
                    "id": task.id,
                    "updated_at": _iso(task.updated_at).replace("Z", "+00:00"),
                    "data": task.data,
                    "annotations": [
                        {**one, "updated_at": one["updated_at"].replace("Z", "+00:00"), "unique_id": str(number)}
                        for number, one in task.annotations.items()
                    ],
                }
                for task in self.tasks.values()
            ]
        ).encode()
        path.write_bytes(content)
        return hashlib.md5(content).hexdigest()

    # What people and strangers do

    def make(self, postings):
        """Tasks are made with the numbers after the last one that is there, as SQLite does."""
        for posting in postings:
            number = 1 + max(self.tasks, default=0)
            data = {**posting.data, KEY_FIELD: posting.key}
            self.tasks[number] = Task(number, posting.key, data, self.now)

    def make_foreign(self, key):
        """Somebody else makes a task, perhaps without a key or with one of ours."""
        number = 1 + max(self.tasks, default=0)
        self.tasks[number] = Task(number, key, {} if key is None else {KEY_FIELD: key}, self.now)
        return number

    def delete_task(self, number):
        del self.tasks[number]

    def annotate(self, number, user, result, *, skipped=False):
        self.annotations_made += 1
        self.tasks[number].annotations[self.annotations_made] = {
            "id": self.annotations_made,
            "completed_by": user,
            "updated_by": None,
            "created_at": _iso(self.now),
            "created_ago": f"{self.rng.random()} minutes",
            "updated_at": _iso(self.now),
            "lead_time": 12.5,
            "was_cancelled": skipped,
            "result": result,
        }
        self.tasks[number].updated_at = self.now
        return self.annotations_made

    def edit(self, number, annotation, user, result):
        """Anybody may edit anybody's work."""
        self.tasks[number].annotations[annotation].update(updated_by=user, result=result, updated_at=_iso(self.now))
        self.tasks[number].updated_at = self.now

    def forge(self, number, annotation, user):
        self.tasks[number].annotations[annotation].update(completed_by=user, updated_at=_iso(self.now))
        self.tasks[number].updated_at = self.now

    def delete(self, number, annotation):
        del self.tasks[number].annotations[annotation]
        self.tasks[number].updated_at = self.now

    def of_key(self, key):
        return [task.id for task in self.tasks.values() if task.key == key]

    # Lies

    def _lie(self, *lies):
        self.fuse.burn()
        return "fine" if self.honest else self.rng.choice(lies)

    def _may_fail(self):
        if self._lie("fine", "fine", "fine", "no answer") == "no answer":
            raise UnknownError("lies: no answer")


class Refusing(BoardOfLies):
    """Says no to every task."""

    def send(self, project, postings):
        raise RefusedError("400: no such field")


def _iso(when):
    """As Django writes it: no fraction where it is zero."""
    return when.isoformat().replace("+00:00", "Z")


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
