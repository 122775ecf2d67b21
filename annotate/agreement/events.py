"""Agreement about events: matched F1, frame-level alpha, boundary errors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from annotate.agreement.alpha import nominal, nominal_rows
from annotate.agreement.bootstrap import of_sums, ratio
from annotate.agreement.boundaries import Bounds, bounds
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.grid import instants, stretches
from annotate.agreement.matching import Match, is_instant, match
from annotate.agreement.panels import Panel
from annotate.tasks import Mark
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Many, Part

ONE_VALUE = "only one value was ever given, so that chance alone agrees in full"


class AtIou(Part):
    """F1 of marks matched from an intersection over union on; `figure.n` counts marks on both sides of all pairs."""

    iou: float
    figure: Figure


class LabelMeasures(Part):
    """Agreement about one label; the alpha asks of each instant whether the label is on."""

    label: str
    f1: Many[AtIou]
    frame_alpha: Figure


class EventMeasures(Part):
    """Agreement about events.

    `f1`: over all labels. `frame_alpha`: nominal, over the sets of labels that are on at an instant (none is a set,
    marks without length are in none). `start`, `end`: errors of pairs matched at `config.pair_iou`, so that the worst
    errors are misses of the F1 and not errors here; instants count under `start` alone.
    """

    f1: Many[AtIou]
    frame_alpha: Figure
    labels: Many[LabelMeasures]
    start: Bounds
    end: Bounds


@dataclass(slots=True)
class _Counts:
    """What pairs of people add up to, by (label, row)."""

    marks: Counter[tuple[str, int]] = field(default_factory=Counter)
    hits: Counter[tuple[float, str, int]] = field(default_factory=Counter)
    start_ns: list[int] = field(default_factory=list)
    end_ns: list[int] = field(default_factory=list)
    start_rows: list[int] = field(default_factory=list)
    end_rows: list[int] = field(default_factory=list)


def measure_events(
    panels: Sequence[Panel],
    config: AgreementConfig,
    *,
    clocks: Mapping[str, FrameClock] | None = None,
    signed: bool = False,
) -> EventMeasures:
    """Agreement of panels about events; `signed`: the first of each panel is measured against the second."""
    rows = {key: row for row, key in enumerate(sorted({panel.item.key for panel in panels}))}
    counts = _Counts()
    for panel in panels:
        for left, right in combinations(panel.usable, 2):
            _count(counts, rows[panel.item.key], left.marks, right.marks, config)
    runs = _runs(panels, rows, config, clocks)
    labels = sorted({label for label, _ in counts.marks})
    return EventMeasures(
        f1=_f1(counts, labels, len(rows), config),
        frame_alpha=_alpha(runs, len(rows), config, label=None),
        labels=tuple(
            LabelMeasures(
                label=label,
                f1=_f1(counts, [label], len(rows), config),
                frame_alpha=_alpha(runs, len(rows), config, label=label),
            )
            for label in labels
        ),
        start=bounds(counts.start_ns, counts.start_rows, signed=signed, unit="matched marks", config=config),
        end=bounds(counts.end_ns, counts.end_rows, signed=signed, unit="matched spans", config=config),
    )


def _count(counts: _Counts, row: int, left: Sequence[Mark], right: Sequence[Mark], config: AgreementConfig) -> None:
    counts.marks.update((mark.label, row) for mark in (*left, *right))
    for iou in {*config.ious, config.pair_iou}:
        pairs = match(left, right, iou=iou, tolerance_ns=config.tolerance_ns)
        counts.hits.update((iou, pair.left.label, row) for pair in pairs)
        if iou == config.pair_iou:
            _errors(counts, row, pairs)


def _errors(counts: _Counts, row: int, pairs: Sequence[Match]) -> None:
    for pair in pairs:
        counts.start_ns.append(pair.left.start_ns - pair.right.start_ns)
        counts.start_rows.append(row)
        if not (is_instant(pair.left) and is_instant(pair.right)):
            counts.end_ns.append(pair.left.end_ns - pair.right.end_ns)
            counts.end_rows.append(row)


def _f1(counts: _Counts, labels: Sequence[str], rows: int, config: AgreementConfig) -> tuple[AtIou, ...]:
    found = []
    for iou in config.ious:
        parts = np.array(
            [
                [2 * sum(counts.hits[iou, label, row] for label in labels) for row in range(rows)],
                [sum(counts.marks[label, row] for label in labels) for row in range(rows)],
            ],
            dtype=np.float64,
        ).T
        n = int(parts[:, 1].sum())
        found.append(AtIou(iou=iou, figure=of_sums(parts, ratio, n=n, unit="marks", why="", config=config)))
    return tuple(found)


Runs = Mapping[int, Counter[tuple[frozenset[str], ...]]]
"""Row → what each of several people says is on → at how many instants."""


def _runs(
    panels: Sequence[Panel],
    rows: Mapping[str, int],
    config: AgreementConfig,
    clocks: Mapping[str, FrameClock] | None,
) -> Runs:
    found: dict[int, Counter[tuple[frozenset[str], ...]]] = defaultdict(Counter)
    for panel in panels:
        people = [work.marks for work in panel.usable]
        if len(people) > 1:
            times = instants(panel.item.window, step_ns=config.grid_ns, clocks=clocks)
            for often, views in stretches(people, times):
                found[rows[panel.item.key]][views] += often
    return found


def _alpha(runs: Runs, rows: int, config: AgreementConfig, *, label: str | None) -> Figure:
    """Alpha over whole sets of labels, or over one label being on."""
    values: dict[frozenset[str] | bool, int] = {}
    units, owner, often = [], [], []
    for row, found in runs.items():
        for views, times in found.items():
            said = [view if label is None else label in view for view in views]
            units.append([values.setdefault(value, len(values)) for value in said])
            owner.append(row)
            often.append(times)
    counts = np.zeros((len(units), len(values)))
    for at, numbers in enumerate(units):
        for number in numbers:
            counts[at, number] += 1
    parts = nominal_rows(counts, often, owner, rows=rows)
    n = sum(found.total() for found in runs.values())
    return of_sums(parts, nominal, n=n, unit="instants", why=ONE_VALUE, config=config)
