"""Figures of a benchmark: paired timings, ratios against bounds, and a table that says which hold."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table.

    Attributes:
        what: is measured.
        ours, baseline: with their units.
        value: what is compared with the bounds, usually baseline over ours; None only reports.
        least, most: bounds; None is none.
        aim: what was hoped for; below it the row says so and does not fail.
    """

    what: str
    ours: str
    baseline: str = ""
    value: float | None = None
    least: float | None = None
    most: float | None = None
    aim: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether the row can fail."""
        return self.least is not None or self.most is not None

    @property
    def passed(self) -> bool:
        """Whether the value keeps to its bounds; a value that is no number does not."""
        if not self.bounded:
            return True
        if self.value is None:
            return False
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        named = (("≥", self.least), ("≤", self.most), ("aim", self.aim))
        bounds = " ".join(f"{sign} {bound:g}" for sign, bound in named if bound is not None)
        value = "" if self.value is None else f"{self.value:.3g}"
        return self.what, self.ours, self.baseline, value, bounds, self._verdict()

    def _verdict(self) -> str:
        if self.bounded:
            return "PASS" if self.passed else "FAIL"
        if self.aim is None:
            return ""
        return "reached" if self.value is not None and self.value >= self.aim else "missed"


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of the calling thread, which does all the work where torch has one thread.

    On an idle machine they are wall-clock seconds; beside other programs they stay close to it.
    """
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


class Paired:
    """Contenders that are timed in turn, round after round, so that a machine that slows down slows all of them."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._round = 0

    def round(self, works: Mapping[str, Callable[[], object]]) -> None:
        """Times each once; another one begins each round."""
        names = list(works)
        turn = self._round % len(names)
        for name in (*names[turn:], *names[:turn]):
            self.time(name, works[name])
        self._round += 1

    def time(self, name: str, work: Callable[[], object]) -> None:
        """Times one contender, for work that has its place behind another's in a round."""
        self._times.setdefault(name, []).append(seconds(work))

    def ms(self, name: str) -> float:
        """Median milliseconds of a contender."""
        return 1000 * statistics.median(self._times[name])

    def ratio(self, slow: str, fast: str) -> float:
        """Median over the rounds of how many times the one costs the other."""
        return statistics.median(a / b for a, b in zip(self._times[slow], self._times[fast], strict=True))


def show(title: str, lines: Sequence[Line], *, console: Console | None = None) -> bool:
    """Prints the table; returns whether every bound holds."""
    table = Table(title=title)
    for name in ("what", "ours", "baseline", "ratio", "bound", ""):
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*line.cells(), style=None if line.passed else "red")
    (console or Console(width=140)).print(table)
    return all(line.passed for line in lines)
