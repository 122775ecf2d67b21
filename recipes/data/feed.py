"""Steps of batches for one process, made ahead in the background, in order, with what cannot be decoded counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from recipes.data.batch import Batch
from recipes.data.collate import Shown, collate
from recipes.data.course import Course
from recipes.data.example import Example, GridRef
from recipes.data.features import Sightings
from recipes.data.frames import DecodeError
from recipes.data.plan import Cursor, Row
from recipes.data.rows import Format
from recipes.errors import RecipeError, SkipLimitError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """What one process learns from in one step.

    Attributes:
        number: of the step, from 0.
        batches: micro-batches in order; windows of one document follow each other. May be empty: then the process has
            nothing to add to the sums of the step.
        skipped: keys of examples that stand in none of them, for their frames cannot be decoded.
        waited_s: how long the caller waited for it.
        made_s: how long it took to make.
    """

    number: int
    batches: tuple[Batch, ...]
    skipped: tuple[str, ...]
    waited_s: float
    made_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stock:
    """What steps are made of.

    Attributes:
        examples: that the plan speaks of.
        plan: which of them stand in which step.
        sightings: what their grids show.
        how: the format of batches.
    """

    examples: Sequence[Example]
    plan: Course
    sightings: Sightings
    how: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which part of each step a process takes, and how many rows go through together."""

    rank: int = 0
    world: int = 1
    micro: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.micro < 1:
            raise RecipeError(f"share: found {self}, expected a rank below the world and 1 row or more")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """A step before anybody took it."""

    batches: tuple[Batch, ...]
    failed: tuple[DecodeError, ...]
    skipped: tuple[str, ...]
    made_s: float


class Feed:
    """Steps in order, from any one on.

    Steps are pure functions of their number, so threads that make them ahead change nothing but the time.

    Args:
        stock: what they are made of.
        share: which part of each step is this process's.
        workers: threads that work ahead; 0: each step is made when it is asked for.
        max_skipped: share of all examples that may be skipped. A process counts those that it met and `skipped`; since
            epochs are dealt out anew, it may come to meet more than its part of them.
        skipped: keys that any process skipped before, where a run goes on.
    """

    def __init__(
        self,
        stock: Stock,
        *,
        share: Share,
        workers: int = 1,
        max_skipped: float = 0.02,
        skipped: Sequence[str] = (),
    ) -> None:
        self._stock = stock
        self._share = share
        self._most = max_skipped * len(stock.examples)
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="feed") if workers else None
        self._ahead = workers + 1 if workers else 0
        self._open = True
        self.skipped = set(skipped)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def steps(self, first: int, stop: int) -> Iterator[Step]:
        """Steps [first, stop), each when it is taken.

        Raises:
            SkipLimitError: more examples than allowed cannot be decoded.
            RecipeError: the feed is closed; and whatever making a step raises.
        """
        pending: deque[Future[_Made]] = deque()
        begun = first
        for number in range(first, stop):
            if not self._open:
                raise RecipeError("feed: it is closed; make another")
            since = time.perf_counter()
            while self._pool is not None and begun < stop and len(pending) < self._ahead:
                pending.append(self._pool.submit(self._made, begun))
                begun += 1
            made = pending.popleft().result() if self._pool is not None else self._made(number)
            self._count(made)
            yield Step(
                number=number,
                batches=made.batches,
                skipped=made.skipped,
                waited_s=time.perf_counter() - since,
                made_s=made.made_s,
            )

    def cursor(self, number: int) -> Cursor:
        """Where training stands before a step."""
        return self._stock.plan.cursor(number)

    def close(self) -> None:
        """Ends the threads, after the steps that they are at; harmless when it is done."""
        self._open = False
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _count(self, made: _Made) -> None:
        self.skipped.update(made.skipped)
        if made.failed and len(self.skipped) > self._most:
            raise SkipLimitError(
                f"data: {len(self.skipped)} of {len(self._stock.examples)} examples cannot be decoded, expected at "
                f"most {self._most:g} (data.max_skipped); the last: {made.failed[-1]}; mend the videos, index them "
                "anew, or allow more"
            ) from made.failed[-1]

    def _made(self, number: int) -> _Made:
        begun = time.perf_counter()
        rows = self._stock.plan.share(number, rank=self._share.rank, world=self._share.world)
        shown: dict[GridRef, Shown] = {}
        failed: list[DecodeError] = []
        skipped: list[str] = []
        kept = [self._seen(row, shown, failed, skipped) for row in rows]
        # A row without examples is left out, and never stands in with a loss of zero.
        full = [row for row in kept if row]
        batches: list[Batch] = []
        for begin in range(0, len(full), self._share.micro):
            batches += collate(full[begin : begin + self._share.micro], shown, self._stock.how)
        return _Made(
            batches=tuple(batches),
            failed=tuple(failed),
            skipped=tuple(skipped),
            made_s=time.perf_counter() - begun,
        )

    def _seen(
        self, row: Row, shown: dict[GridRef, Shown], failed: list[DecodeError], skipped: list[str]
    ) -> list[Example]:
        """The examples of a row whose frames can be decoded, each with its rival behind it."""
        kept: list[Example] = []
        for place in row:
            example = self._stock.examples[place]
            both = [example] if example.rival is None else [example, example.rival]
            try:
                new = [grid for each in both for grid in each.grids if grid not in shown]
                shown |= self._stock.sightings.shown(new)
            except DecodeError as error:
                failed.append(error)
                skipped.append(example.key)
            else:
                kept += both
        return kept
