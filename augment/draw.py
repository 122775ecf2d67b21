"""What chance decides of an operation: how fast, which frames, from where to where. All else is `augment.temporal`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from augment import settings
from augment.errors import AugmentError
from augment.temporal import Pace, Stall, concat, crop, freeze, jitter, loop, reverse, skip, speed
from augment.view import View
from datasets_build.core.clock import NS_PER_S, Int64s, Span

# Factors and lengths are whole thousandths, so that maps are short fractions.
_PARTS = 1000
_RAMP_STEPS = 16
_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What an operation may look at beside the view.

    Attributes:
        busy: stretches of the view in which something happens that has no parts.
        motion: float (frames,), how much each frame of the view differs from the one before it; None: not measured.
        others: what may be put behind it, made when it is.
    """

    busy: Callable[[View], Sequence[Span]]
    motion: Callable[[View], npt.NDArray[np.float64] | None]
    others: Sequence[Callable[[], View]]


def change(view: View, operation: settings.Operation, rng: random.Random, around: Around) -> View:
    """The view after an operation, with what chance decides of it.

    Raises:
        AugmentError: it cannot be done to this view.
    """
    match operation:
        case settings.Speed():
            return speed(view, _paces(view, operation, rng))
        case settings.Skip():
            return skip(view, _kept(view, operation, rng, around))
        case settings.Jitter():
            return jitter(view, _shaken(view, operation, rng))
        case settings.Crop():
            return crop(view, *_stretch(view, operation, rng, around))
        case settings.Concat():
            return concat([view, *_others(operation, rng, around)])
        case settings.Loop():
            return loop(view, operation.times)
        case settings.Freeze():
            return freeze(view, _stalls(view, operation, rng))
        case settings.Reverse():
            return reverse(view)
        case settings.Reconnect():
            return skip(view, _connected(view, operation, rng))
    raise AugmentError(f"{type(operation).__name__}: is no change of time")


def _connected(view: View, operation: settings.Reconnect, rng: random.Random) -> Int64s:
    """The frames that are there: not those of some gaps, yet the first and the last."""
    times = view.clock.t_ns
    there = np.ones(len(times), bool)
    for _ in range(operation.gaps):
        begin = int(times[rng.randrange(len(times))])
        length = round(rng.uniform(operation.least_s, operation.most_s) * NS_PER_S)
        there &= (times <= begin) | (times >= begin + length)
    there[[0, -1]] = True
    return np.flatnonzero(there).astype(np.int64)


def _factor(operation: settings.Speed, rng: random.Random) -> Fraction:
    drawn = math.exp(rng.uniform(math.log(operation.low), math.log(operation.high)))
    return Fraction(round(drawn * _PARTS), _PARTS)


def _paces(view: View, operation: settings.Speed, rng: random.Random) -> list[Pace]:
    if operation.form == "constant":
        return [Pace(0, _factor(operation, rng))]
    if operation.form == "ramp":
        first, last = _factor(operation, rng), _factor(operation, rng)
        steps = min(_RAMP_STEPS, len(view.clock))
        places = [len(view.clock) * step // steps for step in range(steps)]
        shares = [Fraction(step, max(1, steps - 1)) for step in range(steps)]
        return [
            Pace(view.clock.time_of(place), first + (last - first) * share)
            for place, share in zip(places, shares, strict=True)
        ]
    borders = sorted(rng.sample(range(1, len(view.clock)), min(operation.changes, len(view.clock) - 1)))
    return [Pace(view.clock.time_of(place), _factor(operation, rng)) for place in (0, *borders)]


def _kept(view: View, operation: settings.Skip, rng: random.Random, around: Around) -> Int64s:
    count = len(view.clock)
    if operation.form == "every":
        return np.arange(0, count, operation.n, dtype=np.int64)
    if operation.form == "motion":
        return _moving(view, operation, around)
    if operation.form == "random":
        stays = [True, *(rng.random() >= operation.share for _ in range(count - 1))]
    else:
        stays = _without_bursts(view, operation, rng)
    return np.flatnonzero(stays).astype(np.int64)


def _without_bursts(view: View, operation: settings.Skip, rng: random.Random) -> list[bool]:
    """Which frames are left when bursts have taken their share of the time: the first always."""
    stays = [True] * len(view.clock)
    mean = round(operation.length_s * NS_PER_S)
    for _ in range(max(1, round(view.end_ns * operation.share / mean))):
        begin = view.clock.time_of(rng.randrange(len(view.clock)))
        length = round(rng.expovariate(1 / mean))
        for frame in view.clock.frames_in(Span(start_ns=begin, end_ns=begin + length)):
            stays[frame] = frame == 0
    return stays


def _moving(view: View, operation: settings.Skip, around: Around) -> Int64s:
    moved = around.motion(view)
    if moved is None:
        raise AugmentError(
            "skip by motion: the videos have no measured signals; build them with perceive, or use random"
        )
    kept, since = [0], 0.0
    for frame in range(1, len(view.clock)):
        since += float(moved[frame])
        waited = view.clock.time_of(frame) - view.clock.time_of(kept[-1])
        if since >= operation.change or waited >= operation.longest_s * NS_PER_S:
            kept.append(frame)
            since = 0.0
    return np.array(kept, np.int64)


def _shaken(view: View, operation: settings.Jitter, rng: random.Random) -> Int64s:
    """When each frame comes: early or late, yet in order, the first at 0."""
    times = [*view.clock.t_ns.tolist(), view.end_ns]
    found = [0]
    for place, t_ns in enumerate(times[1:-1], start=1):
        after = times[place + 1]
        # A frame stays in the outer halves of the gaps around it, so that no two can meet.
        low, high = (times[place - 1] + t_ns) // 2 + 1, (t_ns + after) // 2
        drawn = t_ns + round(rng.gauss(0.0, operation.sd_ms) * _MS)
        found.append(min(max(drawn, low), max(low, high)))
    return np.array(found, np.int64)


def _stretch(view: View, operation: settings.Crop, rng: random.Random, around: Around) -> tuple[int, int]:
    """Which frames stay: both ends, where that can be, at instants at which nothing is cut in two."""
    clock, length = view.clock, round(view.end_ns * rng.uniform(operation.least, operation.most))
    spans = around.busy(view)
    latest = max(0, clock.index_at(view.end_ns - length) if length else len(clock) - 1)
    starts = _free(clock.t_ns[: latest + 1], spans)
    first = rng.choice(starts or list(range(latest + 1)))
    wanted = clock.time_of(first) + length
    ends = [*_free(clock.t_ns, spans), len(clock)]
    later = [stop for stop in ends if stop > first]
    stop = min(later, key=lambda place: abs(clock.time_of(place) - wanted))
    return first, stop


def _free(times: Int64s, spans: Sequence[Span]) -> list[int]:
    """The frames at which a cut goes through none of some spans."""
    cut = np.zeros(len(times), bool)
    for span in spans:
        cut |= (times > span.start_ns) & (times < span.end_ns)
    return [int(place) for place in np.flatnonzero(~cut)]


def _others(operation: settings.Concat, rng: random.Random, around: Around) -> list[View]:
    if not around.others:
        raise AugmentError("concat: there is no other video of this split and size to put behind it")
    return [rng.choice(around.others)() for _ in range(operation.others)]


def _stalls(view: View, operation: settings.Freeze, rng: random.Random) -> list[Stall]:
    frames = sorted(rng.sample(range(len(view.clock)), min(operation.stalls, len(view.clock))))
    lengths = [rng.uniform(operation.least_s, operation.most_s) for _ in frames]
    return [
        Stall(frame, round(length * _PARTS) * NS_PER_S // _PARTS or 1)
        for frame, length in zip(frames, lengths, strict=True)
    ]
