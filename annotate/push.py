"""A round's items go to a server, each once, however often it is tried and whatever the connection does.

A request without an answer may have been carried out, or may yet be. It is never simply made again: who asks waits
until what is there stops growing, and then sends what is missing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import ValidationError

from annotate.board import MissingError, Posting, Project, UnknownError
from annotate.errors import AnnotateError
from annotate.lock import hold
from annotate.rounds import Round, blind
from annotate.tasks import Item
from datasets_build.core.files import write_bytes
from datasets_build.core.progress import track
from datasets_build.core.records import Many, Part

CHUNK = 100
"""Items in a request: small, so that little is in doubt when one gets no answer."""
SENT = "pushed.json"
_SHOWN = 5  # how many of many are named in a message

T = TypeVar("T")
log = logging.getLogger(__name__)


class Finder(Protocol):
    """A server on which a round's project can be found again."""

    def find(self, title: str, config: str, *, overlap: int = 1) -> Project:
        """Find a project that was made before."""
        ...


class Receiver(Finder, Protocol):
    """What a push asks of a server (`annotate.board` says how it may fail)."""

    def project(self, title: str, config: str, *, instructions: str = "", overlap: int = 1) -> Project:
        """Find the project of this title or make it."""
        ...

    def keys(self, project: Project, wanted: Sequence[str]) -> Mapping[str, Sequence[int]]:
        """Which of these keys have tasks, with the numbers of all of them."""
        ...

    def send(self, project: Project, postings: Sequence[Posting]) -> None:
        """Make these tasks in one request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a push waits for a server that does not answer: `tries` times, ever longer, from `first_s` to `most_s`.

    `settle_s` is how long a request without an answer may still be at work on the server.
    """

    tries: int = 8
    first_s: float = 1.0
    most_s: float = 30.0
    settle_s: float = 10.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 <= self.first_s <= self.most_s or self.settle_s < 0:
            raise ValueError(f"found {self}, expected at least one try and 0 <= first_s <= most_s, settle_s >= 0")

    def pause(self, attempt: int) -> None:
        """Wait after a failed attempt, counted from 0."""
        self.sleep(min(self.most_s, self.first_s * 2**attempt))

    def ask(self, question: Callable[[], T]) -> T:
        """An answer to what may be asked again without harm. Raises UnknownError when none comes."""
        for attempt in range(self.tries - 1):
            try:
                return question()
            except UnknownError as error:
                log.warning("no answer (%s); asking again", error)
                self.pause(attempt)
        return question()


class Sent(Part):
    """What a round's folder says of its push: the project, how many items are known to be there, and what is in doubt.

    `sending` are the keys of a request that was begun and whose end is not known.
    """

    title: str
    project: int
    there: int = 0
    sending: Many[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did. `duplicates`: keys with more than one task, each with the numbers of all."""

    project: Project
    items: int
    sent: int
    duplicates: Mapping[str, tuple[int, ...]]


def push(
    round_: Round,
    board: Receiver,
    *,
    config: str,
    posting: Callable[[Item], Posting],
    instructions: str = "",
    patience: Patience | None = None,
) -> Pushed:
    """Send what is not there yet of a round. `posting` makes a task of an item; it never sees which ones are gold.

    Raises:
        AnnotateError: another process is pushing this round; the project was deleted or changed; the server refuses or
            falls silent for longer than `patience`. Nothing of what is there is changed, and a repetition goes on.
    """
    with hold(round_.folder / ".push.lock", "pushing this round"):
        return _Push(round_, board, posting, patience or Patience()).run(config, instructions)


def read_sent(folder: Path) -> Sent | None:
    """What a round's folder says of its push, None where nothing was sent. Raises AnnotateError for a broken file."""
    path = folder / SENT
    if not path.exists():
        return None
    try:
        return Sent.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise AnnotateError(f"{path}: not the state of a push ({error.errors()[0]['msg']})") from error


def find_project(round_: Round, board: Finder, *, config: str) -> Project:
    """The project to which a round was pushed.

    Raises:
        MissingError: it was not pushed yet, or its project is gone, or one of the same title was made by somebody else.
        AlteredError: somebody changed the project.
    """
    name, path = round_.manifest.round, round_.folder / SENT
    sent = read_sent(round_.folder)
    if sent is None:
        raise MissingError(f"round {name}: it was not pushed yet; run annotate-push first")
    if sent.title != round_.title:
        raise AnnotateError(f"{path}: title: found {sent.title!r}, expected {round_.title!r}: it is another round's")
    gone = (
        f"round {name}: its project {sent.project}, {sent.title!r}, is gone from the server; what was pulled is kept; "
        f"to send all of it anew, delete {path}"
    )
    try:
        project = board.find(sent.title, config, overlap=round_.manifest.overlap)
    except MissingError as error:
        raise MissingError(f"{gone} ({error})") from error
    if project.id != sent.project:
        raise MissingError(f"{gone}; one of the same title has number {project.id} and was made by somebody else")
    return project


class _Push:
    """One push of one round, by the process that holds it."""

    def __init__(self, round_: Round, board: Receiver, posting: Callable[[Item], Posting], patience: Patience) -> None:
        self.round, self.board, self.posting, self.patience = round_, board, posting, patience
        self.duplicates: dict[str, tuple[int, ...]] = {}
        self.sent = 0

    def run(self, config: str, instructions: str) -> Pushed:
        self.project = self._open(config, instructions)
        items = self.round.items
        self._settle_what_was_left()
        tracked = track(items, total=len(items), label=f"push {self.round.manifest.round}", unit="items")
        there = 0
        for chunk in _chunks(tracked):
            self._push(chunk, there)
            there += len(chunk)
        if self.sent:
            self._verify()
        self._note(there=len(items))
        return self._tell()

    def _open(self, config: str, instructions: str) -> Project:
        before, title, overlap = read_sent(self.round.folder), self.round.title, self.round.manifest.overlap
        if before is None:
            project = self.patience.ask(
                lambda: self.board.project(title, config, instructions=instructions, overlap=overlap)
            )
            self.state = Sent(title=title, project=project.id)
            self._write()
            return project
        self.state = before
        return self.patience.ask(lambda: find_project(self.round, self.board, config=config))

    def _settle_what_was_left(self) -> None:
        """An earlier push died in the middle of a request: the server may be at work on it still."""
        if self.state.sending:
            log.info("an earlier push stopped while %d items were on their way; looking", len(self.state.sending))
            self._settled(self.state.sending)

    def _push(self, chunk: Sequence[Item], there: int) -> None:
        """Send the items of a chunk that are not there, and see them there after any doubt."""
        missing = self._missing([item.key for item in chunk])
        attempt = 0
        while missing:
            self._note(there=there + len(chunk) - len(missing), sending=missing)
            wanted = set(missing)
            postings = [self._posting(item) for item in chunk if item.key in wanted]
            try:
                self.board.send(self.project, postings)
                left: list[str] = []
            except UnknownError as error:
                log.warning("no answer to %d items (%s); looking what is there", len(missing), error)
                self.patience.pause(attempt)
                left = self._settled(missing)
                attempt = attempt + 1 if len(left) == len(missing) else 0
                if attempt == self.patience.tries:
                    raise UnknownError(
                        f"{error}; tried {attempt} times; {there + len(chunk) - len(left)} of "
                        f"{len(self.round.items)} items are there; repeat the command when the server answers"
                    ) from error
            self.sent += len(missing) - len(left)
            missing = left

    def _posting(self, item: Item) -> Posting:
        posting = self.posting(blind(item))
        if posting.key != item.key:
            raise AnnotateError(f"{item.key}: the task made of it has key {posting.key}, expected the item's")
        return posting

    def _settled(self, wanted: Sequence[str]) -> list[str]:
        """Which keys are missing once the number of those that are there has stopped growing."""
        missing = self._missing(wanted)
        for _ in range(self.patience.tries):
            if not missing:
                return []
            self.patience.sleep(self.patience.settle_s)
            before, missing = missing, self._missing(wanted)
            if missing == before:
                return missing
        raise UnknownError(f"{len(missing)} items are still on their way to the server; repeat the command in a while")

    def _missing(self, wanted: Sequence[str]) -> list[str]:
        found = self.patience.ask(lambda: self.board.keys(self.project, wanted))
        for key, tasks in found.items():
            if len(tasks) > 1:
                self.duplicates[key] = tuple(sorted(tasks))
        return [key for key in wanted if not found.get(key)]

    def _verify(self) -> None:
        """Look at all of it once more: somebody else may have sent the same meanwhile."""
        lost = [key for chunk in _chunks(self.round.items) for key in self._missing([item.key for item in chunk])]
        if lost:
            raise AnnotateError(
                f"round {self.round.manifest.round}: {len(lost)} items were there and are not ({_some(lost)}): "
                "somebody deletes tasks; repeat the command to send them again"
            )

    def _note(self, *, there: int, sending: Sequence[str] = ()) -> None:
        self.state = self.state.model_copy(update={"there": there, "sending": tuple(sending)})
        self._write()

    def _write(self) -> None:
        content = json.dumps(self.state.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
        path = self.round.folder / SENT
        try:
            write_bytes(path, content.encode())
        except OSError as error:
            raise AnnotateError(f"{path}: cannot be written ({error.strerror}); make room and repeat") from error

    def _tell(self) -> Pushed:
        name, items = self.round.manifest.round, len(self.round.items)
        if self.sent:
            log.info("round %s: sent %d of %d items to project %d", name, self.sent, items, self.project.id)
        else:
            log.info("round %s: nothing to send, all %d items are in project %d", name, items, self.project.id)
        if self.duplicates:
            log.warning(
                "round %s: %d items have more than one task (%s); nothing was deleted: keep one task of each",
                name,
                len(self.duplicates),
                _some([f"{key}: tasks {', '.join(map(str, tasks))}" for key, tasks in sorted(self.duplicates.items())]),
            )
        duplicates = dict(sorted(self.duplicates.items()))
        return Pushed(project=self.project, items=items, sent=self.sent, duplicates=duplicates)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more
