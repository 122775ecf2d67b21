"""Runs of instants at which nobody's view changes, of all panels at once, and what they add to nominal alphas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotate.agreement.alpha import Floats
from annotate.agreement.grid import Ints, instants, stretches
from annotate.agreement.panels import Panel
from annotate.tasks import Mark
from datasets_build.core.clock import FrameClock


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Runs of the panels of some items.

    Attributes:
        rows: how many items there are.
        row: `(runs,)`, the item of each run.
        often: `(runs,)`, how many instants it holds.
        people: `(runs,)`, how many people were asked, two or more.
        alike: `(runs,)`, how many ordered pairs of people name the same labels.
        run: `(views,)`, the run of each person's view.
        view: `(views,)`, which of `sets` that is.
        sets: all sets of labels that somebody says are on.
    """

    rows: int
    row: Ints
    often: Ints
    people: Ints
    alike: Ints
    run: Ints
    view: Ints
    sets: tuple[frozenset[str], ...]

    @property
    def instants(self) -> int:
        """How many instants all runs hold."""
        return int(self.often.sum())

    def of_sets(self) -> Floats:
        """What each item adds to an alpha over whole sets of labels: `alpha.nominal_rows`, `(rows, 1 + sets)`."""
        size = len(self.sets)
        places = self.row[self.run] * size + self.view
        totals = np.bincount(places, self.often[self.run], minlength=self.rows * size).reshape(self.rows, size)
        return np.column_stack([self._sum(self.alike / (self.people - 1)), totals])

    def of_label(self, label: str) -> Floats:
        """The same for whether one label is on, `(rows, 3)`."""
        holds = np.array([label in view for view in self.sets], dtype=np.float64)
        on: Floats = np.bincount(self.run, holds[self.view], minlength=len(self.row)).astype(np.float64)
        off: Floats = self.people - on
        agreeing = (on * (on - 1) + off * (off - 1)) / (self.people - 1)
        return np.column_stack([self._sum(agreeing), self._sum(on), self._sum(off)])

    def _sum(self, values: Floats) -> Floats:
        """Values of runs, over all instants, added up by item."""
        return np.bincount(self.row, self.often * values, minlength=self.rows).astype(np.float64)


def runs_of(
    panels: Sequence[Panel], rows: Mapping[str, int], *, step_ns: int, clocks: Mapping[str, FrameClock] | None
) -> Runs:
    """The runs of all panels in which two or more people could judge the clip.

    Args:
        panels: of some items.
        rows: the place of each item, by its key.
        step_ns: which instants are looked at, as in `grid.instants`.
        clocks: the same.
    """
    sets: dict[frozenset[str], int] = {}
    views: dict[tuple[str, int], tuple[Ints, Ints]] = {}
    none = np.zeros(0, dtype=np.int64)
    often, row, people, alike, view = [none], [none], [none], [none], [none]
    for panel in panels:
        if len(panel.usable) < 2:
            continue
        times = instants(panel.item.window, step_ns=step_ns, clocks=clocks)
        if not len(times):
            continue
        steps = []
        for work in panel.usable:
            name = (panel.item.key, id(work))
            if name not in views:
                views[name] = _steps(work.marks, times, sets)
            steps.append(views[name])
        starts = np.unique(np.concatenate([first for first, _ in steps]))
        said = np.stack([of[np.searchsorted(first, starts, side="right") - 1] for first, of in steps])
        often.append(np.concatenate([starts[1:], [len(times)]]) - starts)
        row.append(np.full(len(starts), rows[panel.item.key]))
        people.append(np.full(len(starts), len(said)))
        alike.append((said[:, None] == said).sum(axis=(0, 1)) - len(said))
        view.append(said.T.ravel())
    many = np.concatenate(people)
    return Runs(
        rows=len(rows),
        row=np.concatenate(row),
        often=np.concatenate(often),
        people=many,
        alike=np.concatenate(alike),
        run=np.repeat(np.arange(len(many)), many),
        view=np.concatenate(view),
        sets=tuple(sets),
    )


def _steps(marks: Sequence[Mark], times: Ints, sets: dict[frozenset[str], int]) -> tuple[Ints, Ints]:
    """At which instants one person's view changes, from the first on, and which set of labels it is from then on."""
    found = stretches([marks], times)
    first = np.cumsum([0, *(often for often, _ in found[:-1])])
    return first, np.array([sets.setdefault(labels, len(sets)) for _, (labels,) in found], dtype=np.int64)
