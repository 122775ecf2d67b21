"""Agreement about events: matched F1, frame-level alpha, boundary errors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from annotate.agreement.alpha import Floats, nominal
from annotate.agreement.bootstrap import of_sums, ratio
from annotate.agreement.boundaries import Bounds, bounds
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.matching import Match, is_instant, match_at
from annotate.agreement.panels import Panel
from annotate.agreement.runs import Runs, runs_of
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
    hits: dict[float, Counter[tuple[str, int]]] = field(default_factory=lambda: defaultdict(Counter))
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
    runs = runs_of(panels, rows, step_ns=config.grid_ns, clocks=clocks)
    labels = sorted({label for label, _ in counts.marks})
    size = (len(labels), len(rows))
    marks = _table(counts.marks, labels, size)
    hits = [_table(counts.hits[iou], labels, size) for iou in config.ious]
    return EventMeasures(
        f1=_f1([found.sum(axis=0) for found in hits], marks.sum(axis=0), config),
        frame_alpha=_alpha(runs, runs.of_sets(), config),
        labels=tuple(
            LabelMeasures(
                label=label,
                f1=_f1([found[at] for found in hits], marks[at], config),
                frame_alpha=_alpha(runs, runs.of_label(label), config),
            )
            for at, label in enumerate(labels)
        ),
        start=bounds(counts.start_ns, counts.start_rows, signed=signed, unit="matched marks", config=config),
        end=bounds(counts.end_ns, counts.end_rows, signed=signed, unit="matched spans", config=config),
    )


def _count(counts: _Counts, row: int, left: Sequence[Mark], right: Sequence[Mark], config: AgreementConfig) -> None:
    counts.marks.update((mark.label, row) for mark in (*left, *right))
    ious = sorted({*config.ious, config.pair_iou})
    found = match_at(left, right, ious=ious, tolerance_ns=config.tolerance_ns)
    for iou, pairs in zip(ious, found, strict=True):
        counts.hits[iou].update((pair.left.label, row) for pair in pairs)
        if iou == config.pair_iou:
            _errors(counts, row, pairs)


def _errors(counts: _Counts, row: int, pairs: Sequence[Match]) -> None:
    for pair in pairs:
        counts.start_ns.append(pair.left.start_ns - pair.right.start_ns)
        counts.start_rows.append(row)
        if not (is_instant(pair.left) and is_instant(pair.right)):
            counts.end_ns.append(pair.left.end_ns - pair.right.end_ns)
            counts.end_rows.append(row)


def _table(counts: Mapping[tuple[str, int], int], labels: Sequence[str], size: tuple[int, int]) -> Floats:
    """Counts by label and row as `(labels, rows)`."""
    places = {label: at for at, label in enumerate(labels)}
    table = np.zeros(size)
    for (label, row), number in counts.items():
        table[places[label], row] = number
    return table


def _f1(hits: Sequence[Floats], marks: Floats, config: AgreementConfig) -> tuple[AtIou, ...]:
    """F1 at each IoU of `hits` `(rows,)` among `marks` `(rows,)` on both sides."""
    found = []
    for iou, of in zip(config.ious, hits, strict=True):
        figure = of_sums(
            np.stack([2 * of, marks], axis=1), ratio, n=int(marks.sum()), unit="marks", why="", config=config
        )
        found.append(AtIou(iou=iou, figure=figure))
    return tuple(found)


def _alpha(runs: Runs, parts: Floats, config: AgreementConfig) -> Figure:
    return of_sums(parts, nominal, n=runs.instants, unit="instants", why=ONE_VALUE, config=config)
