"""Measured signals as arrays, and the runs in them that make events: thresholds with hysteresis, no look-ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s, Span
from datasets_build.core.config import Config
from datasets_build.core.files import DataError
from datasets_build.core.perceived import Signals

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_CURVES = ("luma", "contrast", "motion", "pan_x", "pan_y", "zoom")


class Above(Config):
    """A run begins where the value reaches `on`, lasts while it stays at `off` or more, and counts from `min_ns`."""

    on: float = Field(gt=0)
    off: float = Field(gt=0)
    min_ns: int = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.off > self.on:
            raise ValueError(f"off lies at or below on, found on {self.on} and off {self.off}")
        return self


class Below(Config):
    """A run begins where the value falls to `on`, lasts while it stays at `off` or less, and counts from `min_ns`."""

    on: float = Field(ge=0)
    off: float = Field(ge=0)
    min_ns: int = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.off < self.on:
            raise ValueError(f"off lies at or above on, found on {self.on} and off {self.off}")
        return self


class Change(Above):
    """A run of a rate per second, as `Above`, whose whole change reaches `min_change`."""

    min_change: float = Field(gt=0)


@dataclass(frozen=True, slots=True)
class Curves:
    """Signals of one video: `t_ns` `(n,) int64` on the frame grid, the rest `(n,) float64`; units as in `Signals`.

    `breaks` `(m,) int64` are the instants at which a new shot starts: a difference across one measures nothing.
    `veiled` are spans (fades) in which differences belong to something else. `ids` are the stretches' record ids.
    """

    t_ns: Int64s
    luma: Floats
    contrast: Floats
    motion: Floats
    local_motion: Floats
    pan_x: Floats
    pan_y: Floats
    zoom: Floats
    breaks: Int64s
    ids: tuple[str, ...]
    veiled: tuple[Span, ...] = ()

    def __len__(self) -> int:
        return len(self.t_ns)

    def comparable(self) -> Bools:
        """`(n,)`: whether a sample's difference to the one before lies within one shot, outside veiled spans."""
        before = np.concatenate([self.t_ns[:1], self.t_ns[:-1]])
        fine = np.searchsorted(self.breaks, before, side="right") == np.searchsorted(
            self.breaks, self.t_ns, side="right"
        )
        for span in self.veiled:
            fine &= (self.t_ns < span.start_ns) | (before >= span.end_ns)
        return np.asarray(fine, np.bool_)


def join_signals(signals: Sequence[Signals], clock: FrameClock, breaks: Sequence[int]) -> Curves:
    """Lay a video's stretches end to end.

    Raises:
        DataError: a stretch whose columns differ in length, or times that are not those of frames, in order.
    """
    for part in signals:
        for name in _CURVES:
            if len(_column(part, name)) != len(part.t_ns):
                raise DataError(
                    f"signals {part.id}: {name} has {len(_column(part, name))} values, expected {len(part.t_ns)}"
                )
    times = np.array([t for part in signals for t in part.t_ns], np.int64)
    if len(times) and (bool(np.any(np.diff(times) <= 0)) or not bool(np.isin(times, clock.t_ns).all())):
        raise DataError(f"signals of video {signals[0].video_id}: times are not those of frames in order")

    def whole(name: str) -> Floats:
        return np.array([value for part in signals for value in _column(part, name)], np.float64)

    return Curves(
        t_ns=times,
        luma=whole("luma"),
        contrast=whole("contrast"),
        motion=whole("motion"),
        # A table that was made without it still tells of the change of the whole picture.
        local_motion=whole("local_motion" if all(part.local_motion for part in signals) else "motion"),
        pan_x=whole("pan_x"),
        pan_y=whole("pan_y"),
        zoom=whole("zoom"),
        breaks=np.array(sorted(breaks), np.int64),
        ids=tuple(part.id for part in signals),
    )


def _column(part: Signals, name: str) -> Sequence[float]:
    values: Sequence[float] = getattr(part, name)
    return values


@dataclass(frozen=True, slots=True)
class Run:
    """Something measured over `[start_ns, end_ns)`, recognisable from `known_ns`.

    The gaps bound what happened between two samples.
    """

    label: str
    start_ns: int
    end_ns: int
    known_ns: int
    onset_gap_ns: int
    offset_gap_ns: int


def hysteresis(begin: Bools, keep: Bools) -> list[tuple[int, int]]:
    """Runs `(first, last)` of sample indices: each starts where `begin` holds and lasts while `keep` does."""
    runs, k = [], 0
    starts = np.flatnonzero(begin & keep)
    ends = np.flatnonzero(~keep)
    while (at := int(np.searchsorted(starts, k))) < len(starts):
        first = int(starts[at])
        after = int(np.searchsorted(ends, first))
        k = int(ends[after]) if after < len(ends) else len(keep)
        runs.append((first, k - 1))
    return runs


def above(curves: Curves, clock: FrameClock, values: Floats, *, label: str, rule: Above, delay_ns: int) -> list[Run]:
    """Runs of a difference signal (`motion`, `pan_x` …) that stays high; a new shot ends a run."""
    fine = curves.comparable()
    spans = hysteresis((values >= rule.on) & fine, (values >= rule.off) & fine)
    return _runs(curves, clock, spans, label=label, known=(rule.min_ns, delay_ns))


def below(curves: Curves, clock: FrameClock, values: Floats, *, label: str, rule: Below, delay_ns: int) -> list[Run]:
    """Runs of a difference signal that stays low."""
    fine = curves.comparable()
    spans = hysteresis((values <= rule.on) & fine, (values <= rule.off) & fine)
    return _runs(curves, clock, spans, label=label, known=(rule.min_ns, delay_ns))


def dark(curves: Curves, clock: FrameClock, *, rule: Below, max_contrast: float, delay_ns: int) -> list[Run]:
    """Runs of black picture: a state, so a cut between two black shots does not end it."""
    flat = curves.contrast <= max_contrast
    spans = hysteresis((curves.luma <= rule.on) & flat, (curves.luma <= rule.off) & flat)
    whole = replace(curves, breaks=np.empty(0, np.int64))
    return _runs(whole, clock, spans, label="black", known=(rule.min_ns, delay_ns))


def drift(curves: Curves, clock: FrameClock, *, label: str, sign: int, rule: Change, delay_ns: int) -> list[Run]:
    """Runs in which brightness rises (`sign` 1) or falls (-1) steadily, far enough, within one shot."""
    if len(curves) < 2:
        return []
    seconds = np.diff(curves.t_ns) / NS_PER_S
    rate = np.concatenate([[0.0], sign * np.diff(curves.luma) / seconds])
    fine = curves.comparable()
    found = []
    for first, last in hysteresis((rate >= rule.on) & fine, (rate >= rule.off) & fine):
        grown = sign * (curves.luma[first : last + 1] - curves.luma[first - 1])
        enough = np.flatnonzero(grown >= rule.min_change)
        if len(enough):
            wait = int(curves.t_ns[first + int(enough[0])]) - int(curves.t_ns[first])
            found += _runs(curves, clock, [(first, last)], label=label, known=(rule.min_ns, max(delay_ns, wait)))
    return found


def _runs(
    curves: Curves, clock: FrameClock, spans: Sequence[tuple[int, int]], *, label: str, known: tuple[int, int]
) -> list[Run]:
    """Sample indices to times; `known` is the least length of a run and how long a viewer needs to recognise it."""
    least_ns, delay_ns = known
    found = []
    for first, last in spans:
        start = int(curves.t_ns[first])
        end = int(curves.t_ns[last + 1]) if last + 1 < len(curves) else clock.end_ns
        cut = int(np.searchsorted(curves.breaks, curves.t_ns[last], side="right"))
        if cut < len(curves.breaks):
            end = min(end, int(curves.breaks[cut]))
        if end - start < max(1, least_ns):
            continue
        found.append(
            Run(
                label=label,
                start_ns=start,
                end_ns=end,
                # What must last `least_ns` to count is not known to be one any sooner.
                known_ns=min(end, clock.snap_up(start + max(delay_ns, least_ns))),
                onset_gap_ns=start - int(curves.t_ns[first - 1]) if first else 0,
                offset_gap_ns=end - int(curves.t_ns[last]),
            )
        )
    return found


def fade_span(curves: Curves, clock: FrameClock, at_ns: int, *, within: Span, dark_level: float) -> Span | None:
    """How long the picture falls to black and comes back around an instant; None when it was not measured.

    Args:
        curves: of the video.
        clock: of the video.
        at_ns: an instant at which the picture is dark.
        within: how far the fade may reach.
        dark_level: brightness 0..1 at or below which the picture counts as dark.
    """
    middle = int(np.searchsorted(curves.t_ns, at_ns, side="right")) - 1
    if middle < 0:
        return None
    luma, step = curves.luma, 0.002
    first = last = middle
    while first > 0 and (luma[first - 1] > luma[first] + step or max(luma[first - 1], luma[first]) <= dark_level):
        first -= 1
    while last + 1 < len(luma) and (
        luma[last + 1] > luma[last] + step or max(luma[last + 1], luma[last]) <= dark_level
    ):
        last += 1
    if last == middle:
        # It never comes back: the picture ends dark, which is no fade to a new shot.
        return None
    # The first frame that is darker than the one before comes after sample `first`.
    start = int(curves.t_ns[first + 1]) if first < middle else clock.snap_up(at_ns)
    return Span(start_ns=max(start, within.start_ns), end_ns=min(int(curves.t_ns[last]), within.end_ns))
