"""How far apart two people put the same instant, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotate.agreement.bootstrap import Ints, of_mean, of_quantile
from annotate.agreement.figure import AgreementConfig, Figure, missing
from datasets_build.core.records import Part

NS_PER_MS = 1_000_000


class Bounds(Part):
    """Errors of times, ms: median and 90th percentile of their size, and the mean with its sign.

    A positive bias is later than the other. Between people that nobody ranks, a sign means nothing and `bias_ms` says
    so.
    """

    median_ms: Figure
    p90_ms: Figure
    bias_ms: Figure


def bounds(
    errors_ns: Sequence[int], rows: Sequence[int], *, signed: bool, unit: str, config: AgreementConfig
) -> Bounds:
    """Figures of errors, `rows` naming the item of each; `signed`: whether every error is taken in one direction."""
    errors = np.asarray(errors_ns, dtype=np.float64) / NS_PER_MS
    owner: Ints = np.asarray(rows, dtype=np.int64)
    size = np.abs(errors)
    unsigned = missing(unit, "between people a sign means nothing", n=len(errors), items=len(set(rows)))
    return Bounds(
        median_ms=of_quantile(size, owner, q=0.5, unit=unit, config=config),
        p90_ms=of_quantile(size, owner, q=0.9, unit=unit, config=config),
        bias_ms=of_mean(errors, owner, unit=unit, config=config) if signed else unsigned,
    )
