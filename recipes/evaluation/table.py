"""Several evaluations side by side: stages as columns, mean and spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from recipes.errors import RecipeError
from recipes.evaluation.report import Evaluation, show
from recipes.evaluation.stability import Point, at_reference

# What a comparison shows where it is not told: after the accuracy of all, that of each task.
ROWS = (
    "accuracy/all",
    "cut/left_out",
    "decisions/precision",
    "decisions/recall",
    "decisions/f1",
    "decisions/early_rate",
    "decisions/late_rate",
    "decisions/missed_rate",
    "decisions/false_per_minute",
    "decisions/duplicate_rate",
    "decisions/silence_accuracy",
    "decisions/delay_mean_s",
    "decisions/delay_p50_s",
    "stability/flip_rate",
    "events/micro_f1",
    "events/map@0.5",
    "interaction/dialogue",
)
AT_REFERENCE = "stability/flip_rate at equal accuracy and lag"


def compare(
    columns: Mapping[str, Sequence[Evaluation]], *, rows: Sequence[str] | None = None, baselines: bool = True
) -> str:
    """A Markdown table.

    A cell is the mean over the evaluations of a column, with their standard deviation where there are two or more. The
    baselines are those of the last column. The last row compares flips at the accuracy and lag of the first column.

    Args:
        columns: evaluations by the name of the column, one for each seed.
        rows: names of figures; one that no evaluation has is left out. None: `ROWS`, and the accuracy of each task.
        baselines: whether blind, clock and majority stand beside.

    Raises:
        RecipeError: a column is empty, or evaluations are of different data.
    """
    _check(columns)
    last = list(columns.values())[-1]
    heads = [*columns, *(["blind", "clock", "majority"] if baselines else [])]
    lines = [f"| | {' | '.join(heads)} |", f"|:--|{'--:|' * len(heads)}"]
    for row in _all_rows(columns) if rows is None else rows:
        cells = [_cell(_values(found, row, "value")) for found in columns.values()]
        if all(cell == "–" for cell in cells):
            continue
        cells += [_cell(_values(last, row, name)) for name in ("blind", "clock", "majority")] if baselines else []
        lines.append(f"| {row} | {' | '.join(cells)} |")
    like = _mean_point([found.served for found in next(iter(columns.values()))])
    flips = [_cell(flips_like(found, like)) for found in columns.values()] + ["–"] * (3 if baselines else 0)
    lines.append(f"| {AT_REFERENCE} | {' | '.join(flips)} |")
    return "\n".join(lines) + "\n"


def _all_rows(columns: Mapping[str, Sequence[Evaluation]]) -> list[str]:
    names = {figure.name for column in columns.values() for found in column for figure in found.figures}
    tasks = sorted(name for name in names if name.startswith("accuracy/") and name.count("/") == 1)
    return [ROWS[0], *(name for name in tasks if name != ROWS[0]), *ROWS[1:]]


def flips_like(evaluations: Sequence[Evaluation], like: Point) -> list[float]:
    """The flip rate of each evaluation at the accuracy and lag of a reference; of those that reach them."""
    found = [at_reference([*evaluation.sweep, evaluation.served], like) for evaluation in evaluations]
    return [point.flip_rate for point in found if point is not None]


def _mean_point(points: Sequence[Point]) -> Point:
    lags = [point.lag_ns for point in points if point.lag_ns is not None]
    return Point(
        threshold=None,
        accuracy=statistics.fmean(point.accuracy for point in points),
        lag_ns=statistics.fmean(lags) if lags else None,
        flip_rate=statistics.fmean(point.flip_rate for point in points),
        precision=statistics.fmean(point.precision for point in points),
        recall=statistics.fmean(point.recall for point in points),
        answered=min(point.answered for point in points),
    )


def _values(evaluations: Sequence[Evaluation], row: str, name: str) -> list[float]:
    found = [figure for evaluation in evaluations for figure in evaluation.figures if figure.name == row]
    read = {
        "value": [figure.value for figure in found],
        "blind": [figure.blind for figure in found],
        "clock": [figure.clock for figure in found],
        "majority": [figure.majority for figure in found],
    }
    return [value for value in read[name] if value is not None]


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return show(statistics.fmean(values)) + spread


def _check(columns: Mapping[str, Sequence[Evaluation]]) -> None:
    if not columns or not all(columns.values()):
        raise RecipeError(f"columns {', '.join(columns) or '(none)'}: found one without evaluations, expected one each")
    data = {
        (tuple(sorted(found.about.datasets.items())), found.about.split, found.about.videos)
        for column in columns.values()
        for found in column
    }
    if len(data) > 1:
        raise RecipeError(
            f"evaluations: found {len(data)} different sets of data, expected one; evaluate all of them on the same "
            "datasets, split and number of videos"
        )
