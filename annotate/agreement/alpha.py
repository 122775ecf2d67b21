"""Krippendorff's alpha, nominal and ordinal, with missing data, from sums that add up over items.

Source: Klaus Krippendorff, Computing Krippendorff's Alpha-Reliability, University of Pennsylvania, 2011
(https://repository.upenn.edu/asc_papers/43). A unit is one thing that several people gave a value to; units with fewer
than two values count for nothing. Alpha is 1 for full agreement, 0 for what chance gives, and less than 0 below that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nominal_parts(counts: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """What units add to a nominal alpha: `(1 + values,)`, the sum of agreeing pairs and how often each value stands.

    Args:
        counts: `(units, values)`: how many people gave the unit this value.
        weights: `(units,)`: how often the unit stands; once where not given.
    """
    units = len(np.asarray(counts))
    often = np.ones(units) if weights is None else weights
    return nominal_rows(counts, often, np.zeros(units, dtype=np.int64), rows=1).ravel()


def nominal_rows(counts: npt.ArrayLike, weights: npt.ArrayLike, owner: npt.ArrayLike, *, rows: int) -> Floats:
    """`nominal_parts` of several items at once, `(rows, 1 + values)`; `owner` `(units,)` is the row of each unit."""
    table, often = np.asarray(counts, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    people = table.sum(axis=1)
    often = np.where(people >= 2, often, 0.0)
    agreeing = (table * (table - 1)).sum(axis=1) / np.maximum(people - 1, 1)
    parts = np.zeros((rows, 1 + table.shape[1]))
    np.add.at(parts, np.asarray(owner, dtype=np.int64), often[:, None] * np.column_stack([agreeing, table]))
    return parts


def nominal(parts: Floats) -> Floats:
    """Nominal alpha `(…)` of sums of `nominal_parts`, `(…, 1 + values)`; nan where fewer than two values stand."""
    totals = parts[..., 1:]
    n = totals.sum(axis=-1)
    expected = (n**2 - (totals**2).sum(axis=-1)) / np.maximum(n - 1, 1)
    return _alpha(n - parts[..., 0], expected)


def ordinal_parts(counts: npt.ArrayLike) -> Floats:
    """What units add to an ordinal alpha: the coincidences `(values * values,)`, values in their order.

    Args:
        counts: `(units, values)`: how many people gave the unit this value.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) >= 2]
    scale = 1 / np.maximum(table.sum(axis=1) - 1, 1)
    together = (table * scale[:, None]).T @ table
    return np.asarray((together - np.diag(scale @ table)).ravel())


def ordinal(parts: Floats) -> Floats:
    """Ordinal alpha `(…)` of sums of `ordinal_parts`, `(…, values * values)`; nan where fewer than two values stand.

    The distance of two values is the number of times that values between them stand, both ends by half.
    """
    size = round(parts.shape[-1] ** 0.5)
    pairs = parts.reshape(*parts.shape[:-1], size, size)
    totals = pairs.sum(axis=-1)
    middle = np.cumsum(totals, axis=-1) - totals / 2
    distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    n = totals.sum(axis=-1)
    product = totals[..., :, None] * totals[..., None, :]
    expected = (product * distance).sum(axis=(-2, -1)) / np.maximum(n - 1, 1)
    return _alpha((pairs * distance).sum(axis=(-2, -1)), expected)


def _alpha(observed: Floats, expected: Floats) -> Floats:
    # Sums of halves and thirds leave a hair where nothing disagrees by chance.
    known = expected > 1e-9
    return np.asarray(np.where(known, 1 - observed / np.where(known, expected, 1.0), np.nan))
