"""A video cut into stretches that a person can watch and a timeline can show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from annotate.errors import AnnotateError
from datasets_build.core.clock import NS_PER_S, FrameClock, Span

LEAST_NS, MOST_NS = 120 * NS_PER_S, 300 * NS_PER_S


class _Toll(NamedTuple):
    """What the cuts up to a place cost: the spans that they break count first, then how many windows there are."""

    broken: int
    windows: int


class _Limits(NamedTuple):
    least_ns: int
    most_ns: int


class _Places(NamedTuple):
    """Where a stretch may be cut, its ends among them, and how many spans a cut there breaks."""

    t_ns: list[int]
    broken: list[int]


def windows(clock: FrameClock, busy: Sequence[Span], *, least_ns: int = LEAST_NS, most_ns: int = MOST_NS) -> list[Span]:
    """The windows of a video in order: together all of it, without gap or overlap, ends on frames or on its end.

    A video that is no longer than `most_ns` is one window. Otherwise the cuts break as few busy spans as any cuts do
    that leave windows from `least_ns` to `most_ns`; among those there are as few windows as can be, about equally
    long. A frame that stays longer than `most_ns` is a window of its own, for no frame is cut; what stands between
    such frames, or has too few frames to be cut within the limits, may be shorter than `least_ns`.

    Args:
        clock: the video's frames.
        busy: what should stay in one piece, in any order; may overlap and reach outside the video. A cut breaks a span
            when it lies strictly inside.
        least_ns: how long a window of a longer video is at least.
        most_ns: how long a window is at most.

    Raises:
        AnnotateError: `least_ns` is not positive, or `most_ns` less than twice that, so that not every length divides.
    """
    if least_ns <= 0 or most_ns < 2 * least_ns:
        raise AnnotateError(
            f"windows: found {least_ns} to {most_ns} ns, expected a least above 0 and a most of twice that or more"
        )
    t_ns: list[int] = [*clock.t_ns.tolist(), clock.end_ns]
    broken, cuts = _broken(t_ns, busy), [0]
    for first, last in _runs(t_ns, most_ns):
        if last == first + 1 or t_ns[last] - t_ns[first] <= most_ns:
            cuts.append(t_ns[last])
            continue
        places = _Places(t_ns[first : last + 1], broken[first : last + 1])
        # Where a window may be as short as a frame there is always a way.
        cuts += _cut(places, _Limits(least_ns, most_ns)) or _cut(places, _Limits(1, most_ns))
    return [Span(start_ns=start, end_ns=end) for start, end in pairwise(cuts)]


def _broken(t_ns: list[int], busy: Sequence[Span]) -> list[int]:
    """How many busy spans each place lies strictly inside of."""
    lasting = [span for span in busy if span.duration_ns]
    starts, ends = sorted(span.start_ns for span in lasting), sorted(span.end_ns for span in lasting)
    # Those that have begun before it, less those that have ended by then.
    return [bisect_left(starts, t) - bisect_right(ends, t) for t in t_ns]


def _runs(t_ns: list[int], most_ns: int) -> Iterator[tuple[int, int]]:
    """`(first, last)` places of each frame that stays longer than a window may, and of what stands between those."""
    first = 0
    for place, (start, end) in enumerate(pairwise(t_ns)):
        if end - start > most_ns:
            if first < place:
                yield first, place
            yield place, place + 1
            first = place + 1
    if first < len(t_ns) - 1:
        yield first, len(t_ns) - 1


def _cut(places: _Places, limits: _Limits) -> list[int]:
    """Where the windows of a stretch end, its own end included; empty where no cuts keep the limits."""
    tolls = _tolls(places, limits)
    total, at = tolls[-1], len(places.t_ns) - 1
    if total is None:
        return []
    ends = []
    for left in range(total.windows, 0, -1):
        ends.append(places.t_ns[at])
        at = _evenly(places, tolls, at, limits) if left > 1 else 0
    return ends[::-1]


def _tolls(places: _Places, limits: _Limits) -> list[_Toll | None]:
    """The least toll of ending a window at each place; None where no window can end there."""
    t_ns, tolls = places.t_ns, [_Toll(0, 0), *([None] * (len(places.t_ns) - 1))]
    # Places where the last window may begin, their tolls rising: the first is the best.
    open_: deque[int] = deque()
    behind = 0
    for at in range(1, len(t_ns)):
        while t_ns[behind] <= t_ns[at] - limits.least_ns:
            _offer(open_, tolls, behind)
            behind += 1
        while open_ and t_ns[open_[0]] < t_ns[at] - limits.most_ns:
            open_.popleft()
        best = tolls[open_[0]] if open_ else None
        if best is not None:
            cost = places.broken[at] if at < len(t_ns) - 1 else 0
            tolls[at] = _Toll(best.broken + cost, best.windows + 1)
    return tolls


def _offer(open_: deque[int], tolls: list[_Toll | None], place: int) -> None:
    toll = tolls[place]
    if toll is None:
        return
    while open_ and (tolls[open_[-1]] or toll) >= toll:
        open_.pop()
    open_.append(place)


def _evenly(places: _Places, tolls: list[_Toll | None], at: int, limits: _Limits) -> int:
    """The place before on a way of least toll that leaves windows about equally long."""
    t_ns, here = places.t_ns, tolls[at]
    assert here is not None, "a way leads here"
    cost = places.broken[at] if at < len(t_ns) - 1 else 0
    before = _Toll(here.broken - cost, here.windows - 1)
    first = bisect_left(t_ns, t_ns[at] - limits.most_ns)
    stop = bisect_right(t_ns, t_ns[at] - limits.least_ns)
    even = t_ns[0] + (t_ns[at] - t_ns[0]) * before.windows // here.windows
    ways = [place for place in range(first, stop) if tolls[place] == before]
    return min(ways, key=lambda place: (abs(t_ns[place] - even), place))
