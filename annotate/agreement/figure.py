"""A figure that says what it rests on, and the settings that every figure is worked out under."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from datasets_build.core.config import Config
from datasets_build.core.records import Part

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]


class AgreementConfig(Config):
    """Settings of all figures; the defaults suit events of seconds in windows of minutes.

    `ious`: temporal intersection over union from which two marks are the same, one F1 each. `pair_iou`: the same for
    the pairs whose boundaries are measured. `tolerance_ns`: how far two instants may lie apart. `grid_ns`: step of the
    frame-level alpha. `resamples`, `level`, `seed`: the bootstrap. `hasty`: times the clip's length. `untouched_margin`
    (a share), `entropy_margin` (bits): how far a sign must exceed what others show. `least_items`: fewer raise none.
    """

    ious: tuple[Share, ...] = (0.3, 0.5, 0.7)
    pair_iou: Share = 0.3
    tolerance_ns: Positive = 500_000_000
    grid_ns: Positive = 100_000_000
    resamples: Annotated[int, Field(ge=20)] = 1000
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    seed: int = 0
    hasty: Annotated[float, Field(gt=0.0)] = 0.5
    untouched_margin: Share = 0.1
    entropy_margin: Annotated[float, Field(ge=0.0)] = 0.2
    least_items: Positive = 8


class Figure(Part):
    """A number with what it rests on.

    `n` counts `unit`s in `items` items. `low`, `high`: bootstrap interval over items. `value` is None where it cannot
    be worked out, `low` and `high` where no interval can; `reason` says why, and is empty otherwise.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: Annotated[int, Field(ge=0)]
    items: Annotated[int, Field(ge=0)]
    unit: str
    reason: str = ""

    @model_validator(mode="after")
    def _honest(self) -> Self:
        numbers = [number for number in (self.value, self.low, self.high) if number is not None]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"a figure is finite or None, found {numbers}")
        if (self.low is None) != (self.high is None) or (self.value is None and self.low is not None):
            raise ValueError(f"an interval has two ends around a value, found {self.value}, {self.low}, {self.high}")
        if (self.low is None) != bool(self.reason):
            raise ValueError(f"a reason stands where, and only where, a number is missing, found {self.reason!r}")
        return self


def missing(unit: str, reason: str, *, n: int = 0, items: int = 0) -> Figure:
    """A figure that cannot be worked out, and why."""
    return Figure(value=None, n=n, items=items, unit=unit, reason=reason)
