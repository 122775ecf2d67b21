"""Figures with expanded percentile bootstrap intervals over items.

Items are drawn with replacement, everything that was said about an item stays together: marks of one clip are not
independent of each other, clips are (a cluster bootstrap). Source: Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapters 8 and 13. Few items spread too little when they are drawn again, and plain percentiles of ten
items hold the truth in 89 of 100 rounds instead of 95; further percentiles make up for it (`tail`). Items that hold
nothing for a figure take no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from annotate.agreement.figure import AgreementConfig, Figure, missing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@lru_cache(maxsize=2)
def weights(items: int, resamples: int, seed: int) -> Floats:
    """`(resamples, items) float64`: how often each item was drawn; every row sums to `items`."""
    drawn = np.random.default_rng(seed).integers(0, items, size=(resamples, items))
    drawn += np.arange(resamples)[:, None] * items
    counts = np.bincount(drawn.ravel(), minlength=resamples * items)
    table = counts.reshape(resamples, items).astype(np.float64)
    table.flags.writeable = False
    return table


def of_sums(
    parts: Floats, value: Callable[[Floats], Floats], *, n: int, unit: str, why: str, config: AgreementConfig
) -> Figure:
    """A figure that depends on sums over items alone.

    Args:
        parts: `(items, k)`: what each item adds to the sums.
        value: from sums `(…, k)` to values `(…)`, nan where they allow none.
        n: how many of `unit` were counted.
        unit: what `n` counts, in words.
        why: the reason where the sums of all items allow no value.
        config: resamples, level and seed.
    """
    parts = parts[parts.any(axis=1)]
    items = len(parts)
    if n == 0 or items == 0:
        return missing(unit, f"there are no {unit}")
    whole = float(value(parts.sum(axis=0)))
    if not np.isfinite(whole):
        return missing(unit, why, n=n, items=items)
    if items == 1:
        return Figure(value=whole, n=n, items=1, unit=unit, reason=_ALONE)
    return _around(
        whole, value(weights(items, config.resamples, config.seed) @ parts), n=n, items=items, unit=unit, config=config
    )


def of_quantile(values: Floats, rows: Ints, *, q: float, unit: str, config: AgreementConfig) -> Figure:
    """The `q` quantile of values, `rows` naming the item of each.

    The smallest value that at least `q` of all do not exceed: definition 1 of Hyndman and Fan, Sample quantiles in
    statistical packages, The American Statistician 50(4), 1996.
    """
    if len(values) == 0:
        return missing(unit, f"there are no {unit}")
    order = np.argsort(values, kind="stable")
    ranked, (found, owner) = values[order], np.unique(rows[order], return_inverse=True)
    items = len(found)
    whole = float(_quantiles(ranked, owner, np.ones((1, items)), q)[0])
    if items == 1:
        return Figure(value=whole, n=len(values), items=1, unit=unit, reason=_ALONE)
    drawn = weights(items, config.resamples, config.seed)
    return _around(whole, _quantiles(ranked, owner, drawn, q), n=len(values), items=items, unit=unit, config=config)


def of_mean(values: Floats, rows: Ints, *, unit: str, config: AgreementConfig) -> Figure:
    """The mean of values, `rows` naming the item of each."""
    _, owner = np.unique(rows, return_inverse=True)
    parts = np.zeros((int(owner.max()) + 1 if len(rows) else 0, 2))
    np.add.at(parts, owner, np.stack([values, np.ones(len(values))], axis=1))
    return of_sums(parts, ratio, n=len(values), unit=unit, why="", config=config)


def ratio(sums: Floats) -> Floats:
    """First sum over second, nan where the second is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan))


def tail(items: int, level: float) -> float:
    """The share of resamples beyond each end of an interval; `items` from 2.

    Resamples spread by `sqrt((n - 1) / n)` too little, and of a spread that is itself an estimate Student's quantiles
    are those to take. Source: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician
    69(4), 2015, section 5.3.
    """
    wide = stdtrit(items - 1, (1 + level) / 2) * (items / (items - 1)) ** 0.5
    return float(ndtr(-wide))


_ALONE = "one item alone says nothing of the spread between items"


def _quantiles(ranked: Floats, owner: Ints, drawn: Floats, q: float) -> Floats:
    """The `q` quantile of each resample `(resamples,)`.

    First the block of values that it lies in is found, then its place in there: sums of whole numbers are exact, so
    this is what adding up weight by weight gives.

    Args:
        ranked: values in order.
        owner: the item of each, from 0.
        drawn: `(resamples, items)`, how often each item was drawn.
        q: share.
    """
    size = isqrt(len(ranked))
    blocks = -(-len(ranked) // size)
    items = drawn.shape[1]
    cells = np.bincount(owner * blocks + np.arange(len(ranked)) // size, minlength=items * blocks)
    reached = np.cumsum(drawn @ cells.reshape(items, blocks).astype(np.float64), axis=1)
    # The product is not exact, so a hair is taken off.
    wanted = np.maximum(q * reached[:, -1:] - 1e-9, 0.5)
    block = np.argmax(reached >= wanted, axis=1)[:, None]
    before = np.where(block > 0, np.take_along_axis(reached, np.maximum(block - 1, 0), axis=1), 0.0)
    places = block * size + np.arange(size)
    inside = np.minimum(places, len(ranked) - 1)
    often = np.take_along_axis(drawn, owner[inside], axis=1) * (places == inside)
    at = np.argmax(before + np.cumsum(often, axis=1) >= wanted, axis=1)
    return np.asarray(ranked[block[:, 0] * size + at], dtype=np.float64)


def _around(whole: float, replicates: Floats, *, n: int, items: int, unit: str, config: AgreementConfig) -> Figure:
    known = replicates[np.isfinite(replicates)]
    if len(known) < 0.95 * len(replicates):
        reason = f"{len(replicates) - len(known)} of {len(replicates)} resamples allow no value"
        return Figure(value=whole, n=n, items=items, unit=unit, reason=reason)
    beyond = tail(items, config.level)
    low, high = np.quantile(known, [beyond, 1 - beyond])
    return Figure(value=whole, low=float(low), high=float(high), n=n, items=items, unit=unit)
