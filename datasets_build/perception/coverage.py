"""Event coverage: the share of true events that have a picture inside their span, within a tolerance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S

Int64s = npt.NDArray[np.int64]


def covered(events: Sequence[tuple[int, int]], times_ns: Int64s, *, tolerance_ns: int) -> npt.NDArray[np.bool_]:
    """Which of `n` events have a picture.

    Args:
        events: `(start_ns, end_ns)`; an instant has both alike.
        times_ns: when the pictures are, in any order.
        tolerance_ns: how far before its start or behind its end a picture still shows an event.
    """
    times = np.sort(np.asarray(times_ns, np.int64))
    spans = np.asarray(events, np.int64).reshape(-1, 2)
    first = np.searchsorted(times, spans[:, 0] - tolerance_ns, side="left")
    behind = np.searchsorted(times, spans[:, 1] + tolerance_ns, side="right")
    inside: npt.NDArray[np.bool_] = first < behind
    return inside


def uniform(end_ns: int, *, fps: float) -> Int64s:
    """The instants of uniform sampling of a video that ends at `end_ns`, the first at zero."""
    step = NS_PER_S / fps
    return (np.arange(max(1, int(np.ceil(end_ns / step)))) * step).astype(np.int64)


def shown(frames_ns: Int64s, at_ns: Int64s) -> Int64s:
    """When the frames that are on screen at some instants came there; `frames_ns` is in order and begins with zero."""
    times: Int64s = frames_ns[np.searchsorted(frames_ns, at_ns, side="right") - 1]
    return times


def least_pictures(events: Sequence[tuple[int, int]], *, tolerance_ns: int) -> int:
    """How few pictures could cover all events, by who knows them: no choice of pictures needs fewer."""
    count, last = 0, None
    for start, end in sorted(events, key=lambda event: event[1]):
        if last is None or start - tolerance_ns > last:
            last = end + tolerance_ns
            count += 1
    return count


def most_covered(films: Sequence[Sequence[tuple[int, int]]], *, pictures: int, tolerance_ns: int) -> int:
    """How many events of several films `pictures` pictures in all could cover, by who knows them: exact.

    Where an event ends is as good a place as any inside it, so only these are tried; from one picture to the next the
    events count that reach the later one and begin behind the earlier.
    """
    events = np.concatenate([np.zeros((0, 2), np.int64), *_one_after_another(films, apart_ns=2 * tolerance_ns + 1)])
    begin, end = events[:, 0] - tolerance_ns, events[:, 1] + tolerance_ns
    places = np.unique(end)
    gain = np.zeros((len(places) + 1, len(places)), np.int64)
    for at, place in enumerate(places):
        reached = np.sort(begin[(begin <= place) & (end >= place)])
        gain[0, at] = len(reached)
        gain[1:, at] = len(reached) - np.searchsorted(reached, places, side="right")
    # The most that is covered with the last picture at each place.
    best = np.zeros(len(places), np.int64)
    for count in range(min(pictures, len(places))):
        before = [
            gain[0, at] if count == 0 or at == 0 else (best[:at] + gain[1 : at + 1, at]).max()
            for at in range(len(places))
        ]
        best = np.maximum(best, before)
    return int(best.max(initial=0))


def _one_after_another(films: Sequence[Sequence[tuple[int, int]]], *, apart_ns: int) -> Iterator[Int64s]:
    """The events `(n, 2)` of each film on one line, so far apart that no picture reaches two films."""
    behind = 0
    for film in films:
        spans = np.asarray(film, np.int64).reshape(-1, 2)
        if len(spans):
            yield spans - spans.min() + behind
            behind += int(spans.max() - spans.min()) + apart_ns
