"""What people did comes back: every version of every annotation, once, with whatever is wrong with it.

A pull reads the tasks that changed since the last one and writes what is new into the journal. It reads a little more
than that, so that nothing falls between two instants; what is known already makes no row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from annotate.board import KEY_FIELD, Changed, Project
from annotate.errors import AnnotateError
from annotate.held import Held, Known, after, digest
from annotate.journal import JOURNAL, Flag, Journal, Row, Version, plain
from annotate.lock import hold
from annotate.people import NOBODY, People
from annotate.rounds import Round, blind, round_of
from annotate.tasks import Item, Work
from datasets_build.core.progress import track
from datasets_build.core.records import Json

OVERLAP_S = 1.0
"""How far before its mark a pull begins, for what has the same instant; a server's own delay is in its mark."""
CLOSED = "closed/closed.json"
_BATCH = 500  # looks that go to the disk at a time

log = logging.getLogger(__name__)


class Giver(Protocol):
    """What a pull asks of a server (`annotate.board` says how it may fail)."""

    def mark(self, project: Project) -> str:
        """An instant of the server before which nothing is still to come."""
        ...

    def changed(self, project: Project, since: str | None = None) -> Iterator[Changed]:
        """Tasks in which something happened after an instant, with all that people did in them."""
        ...


class Finding(Protocol):
    """What a validator has to say, as `datasets_build.core.records.Problem` does."""

    @property
    def code(self) -> str:
        """What kind it is."""
        ...

    @property
    def detail(self) -> str:
        """Words for a person."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a round's screen is read: what is wrong with a result, what it means, and whether anybody touched it.

    `shown` is the data of the task that was made of an item; work on a task that shows something else is flagged.
    """

    validate: Callable[[Sequence[Json], Item], Sequence[Finding]]
    decode: Callable[[Sequence[Json], Item], Work]
    untouched: Callable[[Work, Item], bool]
    shown: Callable[[Item], Mapping[str, Json]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull found: tasks that it read, and rows that it wrote, by what happened. `flagged`: rows with a flag."""

    tasks: int
    new: int = 0
    changed: int = 0
    deleted: int = 0
    flagged: int = 0
    duplicates: Mapping[str, tuple[int, ...]]

    @property
    def rows(self) -> int:
        """Annotations that are not what they were."""
        return self.new + self.changed + self.deleted


def pull(
    round_: Round, board: Giver, *, project: Project, reading: Reading, people: People, everything: bool = False
) -> Pulled:
    """Bring what changed since the last pull into the round's journal; `everything` reads all, and sees what is gone.

    Raises:
        AnnotateError: another process pulls this round; the round is closed and something changed since; the disk takes
            no more. What is in the journal stays, and a repetition goes on to the same bytes.
    """
    with hold(round_.folder / ".pull.lock", "pulling this round"):
        return pull_held(round_, board, project=project, reading=reading, people=people, everything=everything)


def pull_held(
    round_: Round, board: Giver, *, project: Project, reading: Reading, people: People, everything: bool = False
) -> Pulled:
    """`pull` by a process that holds the round's lock already."""
    known = Known(round_.folder)
    since = None if everything or known.mark is None else _iso(instant(known.mark) - timedelta(seconds=OVERLAP_S))
    until = instant(board.mark(project))
    # In memory, for the order: whatever order a server gives, the journal and the pseudonyms are the same.
    found: Iterable[Changed] = board.changed(project, since)
    name = round_.manifest.round
    if since is None:
        found = track(found, total=len(round_.lines), label=f"pull {name}", unit="tasks")
    tasks = sorted(found, key=lambda task: (instant(task.updated_at), _key(task), task.task_id))
    with Journal.open(round_.folder / JOURNAL, known.size) as journal:
        if journal.dropped:
            log.warning("%s: cut %d bytes of a torn line; it is read again", journal.path, journal.dropped)
        judge = _Judge(round_, reading, people)
        looks = judge.looks(tasks, known)
        if everything:
            looks = _then(looks, lambda: judge.gone(tasks, known))
        done = _write(looks, journal, known, closed=(round_.folder / CLOSED).exists())
    if not (round_.folder / CLOSED).exists():
        known.save(_mark(known.mark, tasks, until))
    pulled = _count(done, tasks)
    log.info(
        "round %s: read %d tasks; annotations: %d new, %d changed, %d deleted; flagged: %d",
        name,
        pulled.tasks,
        pulled.new,
        pulled.changed,
        pulled.deleted,
        pulled.flagged,
    )
    return pulled


def _then(first: Iterator[list[Row]], second: Callable[[], Iterator[list[Row]]]) -> Iterator[list[Row]]:
    yield from first
    yield from second()


def _write(looks: Iterable[list[Row]], journal: Journal, known: Known, *, closed: bool) -> list[Row]:
    """Bring looks to the disk as they come, some at a time."""
    done: list[Row] = []
    batch: list[list[Row]] = []
    for look in looks:
        if closed:
            row = look[0]
            raise AnnotateError(
                f"{journal.path.parent}: the round is closed, and annotation {row.annotation} of {row.key} is now "
                f"{row.what} on the server; nothing was written: ask for what is new in another round"
            )
        done += look
        batch.append(look)
        known.apply(look, known.size)
        if len(batch) == _BATCH:
            journal.append(batch)
            batch.clear()
    journal.append(batch)
    known.apply((), journal.size)
    return done


def version_of(raw: Mapping[str, Json], people: People) -> Version:
    """What is kept of an annotation as a server gives it; `people` says who its people are.

    Raises:
        AnnotateError: people cannot be named.
    """
    by, edited_by = _user(raw.get("completed_by")), _user(raw.get("updated_by"))
    lead, name = raw.get("lead_time"), people.name(by)
    return Version(
        by=name,
        edited_by=None if edited_by is None else people.name(edited_by),
        created_at=plain(str(raw.get("created_at") or "")),
        updated_at=plain(str(raw.get("updated_at") or "")),
        lead_time_s=float(lead) if isinstance(lead, int | float) else None,
        skipped=bool(raw.get("was_cancelled")),
        result=json.dumps(raw.get("result"), sort_keys=True, separators=(",", ":")),
    )


class _Judge:
    """Says of a task that was read what happened in it, and what is wrong with what people did."""

    def __init__(self, round_: Round, reading: Reading, people: People) -> None:
        self.round, self.reading, self.people = round_, reading, people
        self._strangers: dict[str, Flag] = {}

    def looks(self, tasks: Iterable[Changed], known: Known) -> Iterator[list[Row]]:
        """The rows of every task in which something is not as it was; what they say is known before the next."""
        for task in tasks:
            rows = self._look(task, known.of(_key(task)))
            if rows:
                yield _numbered(rows)

    def gone(self, tasks: Iterable[Changed], known: Known) -> Iterator[list[Row]]:
        """The rows of annotations whose tasks are no longer among all that there are."""
        there = {(_key(task), task.task_id) for task in tasks}
        lost: dict[str, list[Row]] = {}
        for held in known.every():
            if held.live and (held.key, held.task) not in there:
                flag = Flag(code="task_gone", detail=f"task {held.task} is no longer on the server")
                lost.setdefault(held.key, []).append(_row("deleted", held, (flag,)))
        for key, rows in lost.items():
            yield _numbered(_with_flags(rows, known.of(key), {}))

    def _look(self, task: Changed, held: Mapping[int, Held]) -> list[Row]:
        if not task.annotations and not held:
            return []
        rows, seen = [], set()
        altered = self._altered(task)
        for raw in sorted(task.annotations, key=_id):
            number = _id(raw)
            seen.add(number)
            version, old = version_of(raw, self.people), held.get(number)
            if old is None or not old.live or (old.task, old.digest) != (task.task_id, digest(version)):
                row = Row(
                    what="changed" if old is not None and old.live else "new",
                    key=_key(task),
                    task=task.task_id,
                    annotation=number,
                    more=0,
                    flags=(*self._flags(version, old, raw, _key(task)), *altered),
                    version=version,
                )
                rows.append(row)
        lost = [one for _, one in sorted(held.items()) if one.live and one.task == task.task_id]
        rows += [_row("deleted", one, ()) for one in lost if one.annotation not in seen]
        own = {one.annotation: (*(flag for flag in one.own if flag.code != "other_data"), *altered) for one in lost}
        return _with_flags(rows, held, own)

    def _altered(self, task: Changed) -> tuple[Flag, ...]:
        """A flag for work on a task that somebody gave other data, which keeps what was done before."""
        item = self.round.item(_key(task))
        if item is None or self.reading.shown is None:
            return ()
        made, found = {**self.reading.shown(blind(item)), KEY_FIELD: item.key}, task.data
        names = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
        detail = f"somebody changed what its task shows: {', '.join(names)}"
        return (Flag(code="other_data", detail=plain(detail)),) if names else ()

    def _flags(self, version: Version, old: Held | None, raw: Mapping[str, Json], key: str) -> Iterator[Flag]:
        item = self.round.item(key)
        if item is None:
            yield self._stranger(key)
        if version.by == NOBODY:
            yield Flag(code="edited", detail="nobody is named as its author")
        elif version.edited_by not in (None, version.by):
            yield Flag(code="edited", detail=f"{version.edited_by} edited what {version.by} did")
        if old is not None:
            # Once forged, never trusted again.
            yield from (flag for flag in old.own if flag.code == "author")
            if old.by != version.by:
                yield Flag(code="author", detail=f"its author was {old.by} and is now {version.by}")
        if item is not None and not version.skipped:
            yield from self._invalid(raw.get("result"), item)

    def _stranger(self, key: str) -> Flag:
        if key not in self._strangers:
            name = round_of(self.round.folder.parent, key, but=self.round.manifest.round) if key else None
            self._strangers[key] = (
                Flag(code="other_round", detail=f"its task is one of round {name}")
                if name
                else Flag(code="unknown_key", detail="its task is none of this round's: somebody else made it")
            )
        return self._strangers[key]

    def _invalid(self, result: Json, item: Item) -> Iterator[Flag]:
        if not isinstance(result, list):
            yield Flag(code="invalid", detail=f"result: found {type(result).__name__}, expected a list")
            return
        findings = self.reading.validate(result, item)
        yield from (Flag(code="invalid", detail=plain(f"{one.code}: {one.detail}")) for one in findings)
        if not findings:
            try:
                self.reading.decode(result, item)
            except AnnotateError as error:
                yield Flag(code="invalid", detail=plain(str(error)))


def _with_flags(rows: Sequence[Row], held: Mapping[int, Held], own: Mapping[int, tuple[Flag, ...]]) -> list[Row]:
    """Rows of one key with the flags that depend on its other annotations, and rows for those whose flags changed.

    `own` are the other flags of annotations that have no row, where they may have changed.
    """
    now = dict(held)
    for row in rows:
        now[row.annotation] = after(now.get(row.annotation), row)
    flags = _second(now)
    told = {row.annotation for row in rows}
    out = [
        row if row.what == "deleted" else row.model_copy(update={"flags": row.flags + flags.get(row.annotation, ())})
        for row in rows
    ]
    for number in sorted(held.keys() - told):
        one = held[number]
        new = own.get(number, one.own) + flags.get(number, ())
        if one.live and new != one.flags:
            out.append(_row("flagged" if new else "cleared", one, new))
    return out


def _second(held: Mapping[int, Held]) -> dict[int, tuple[Flag, ...]]:
    """Flags for annotations of people who have an earlier one on the same item; a skip is none."""
    first: dict[str, int] = {}
    flags: dict[int, tuple[Flag, ...]] = {}
    for one in sorted(held.values(), key=lambda one: (instant(one.created_at), one.annotation)):
        if not one.live or one.skipped or one.by == NOBODY:
            continue
        if one.by in first:
            detail = f"{one.by} has annotation {first[one.by]} on this item already"
            flags[one.annotation] = (Flag(code="second", detail=detail),)
        else:
            first[one.by] = one.annotation
    return flags


def _row(what: str, held: Held, flags: tuple[Flag, ...]) -> Row:
    return Row.model_validate(
        {"what": what, "key": held.key, "task": held.task, "annotation": held.annotation, "more": 0, "flags": flags}
    )


def _numbered(rows: Sequence[Row]) -> list[Row]:
    return [row.model_copy(update={"more": len(rows) - at}) for at, row in enumerate(rows, start=1)]


def _key(task: Changed) -> str:
    return plain(task.key or "")


def _id(raw: Mapping[str, Json]) -> int:
    number = raw.get("id")
    if not isinstance(number, int):
        raise AnnotateError(f"annotation id: found {number!r}, expected a number; is this a Label Studio server?")
    return number


def _user(value: Json) -> int | None:
    """The number of a user, which some answers wrap in a record."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, int) else None


def instant(text: str) -> datetime:
    """An ISO 8601 instant of a server; the earliest there is where it says none. Raises AnnotateError."""
    try:
        found = datetime.fromisoformat(text) if text else datetime.min
    except ValueError as error:
        raise AnnotateError(
            f"instant: found {text!r}, expected ISO 8601 such as 2026-01-31T12:00:00.000000Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _mark(old: str | None, tasks: Sequence[Changed], until: datetime) -> str | None:
    """The latest instant that was read, but not later than when the reading began: what was read early may change."""
    if not tasks:
        return old
    new = min(instant(tasks[-1].updated_at), until)
    return old if old is not None and instant(old) >= new else _iso(new)


def _count(rows: Sequence[Row], tasks: Sequence[Changed]) -> Pulled:
    by_key: dict[str, set[int]] = {}
    for task in tasks:
        if task.key is not None:
            by_key.setdefault(_key(task), set()).add(task.task_id)
    happened = [row.what for row in rows]
    return Pulled(
        tasks=len(tasks),
        new=happened.count("new"),
        changed=happened.count("changed"),
        deleted=happened.count("deleted"),
        flagged=sum(bool(row.flags) for row in rows if row.what != "deleted"),
        duplicates={key: tuple(sorted(of)) for key, of in sorted(by_key.items()) if len(of) > 1},
    )
