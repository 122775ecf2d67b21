"""Seams of a view: whether a viewer sees that one piece ends and another begins, judged by what was measured.

No pixel is read. `Signals` hold, a few times a second, the mean m of a picture's grey values, their spread s and its
detail, and the change of the most changed of 16 x 16 cells since the sample before. Of two pictures a and b:

- the mean absolute difference is |m_a - m_b| at least, and its root mean square |s_a - s_b| at least, so that levels
  that lie apart prove that the pictures differ;
- no cell's mean absolute difference exceeds the sum of that change over the samples from one to the other (triangle
  inequality), so that a small sum proves that they look alike.

What lies between proves nothing. The limits are measured on 28 real videos, by the pixels of 5945 random seams in and
between them. A seam shows, there, when its pictures differ by more than the fastest step near it does by half, and by
0.02 in the mean or 0.03 in the root mean square: 3184 of the 3198 that `LIGHT` tells do, and the others are titles on
black or lie in a fast movement; so do all 70 that `DETAIL` tells besides (239 of 252 would at 0.02). Of the 183 that
`STILL` tells no cell differs by more than 0.058. An H.264 stream of 10 s of one picture adds up to 0.005 to 0.033.
Nothing is proved of a third of the seams that show, most of them in one shot.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from augment.clip import Clip
from augment.seen import is_new_shot
from augment.view import View
from datasets_build.core.perceived import Signals
from datasets_build.core.records import Event
from datasets_build.core.topics import ACTS, PICTURE_SET

Verdict = Literal["seen", "alike", "unsure", "unmeasured"]
"""Whether a seam is seen; `unmeasured` where a source has no signals."""
LIGHT = 0.01
"""How much further the mean or the spread of two pictures must be apart than it steps beside them, 0..1, to be seen."""
DETAIL = 0.05
"""The same of their edge density: where a camera moves it is less steady."""
STILL = 0.05
"""The most that any cell may have changed in all, 0..1, between two pictures that look alike."""
_LEAST = (LIGHT, LIGHT, DETAIL)


class _Sample(NamedTuple):
    """What was measured at an instant: mean, spread and detail."""

    t_ns: int
    levels: tuple[float, float, float]


class _Side(NamedTuple):
    """The levels at one side of a seam, and how far the frame's own may lie from them."""

    levels: tuple[float, float, float]
    slack: tuple[float, ...]


def is_told(verdict: Verdict) -> bool:
    """Whether a seam is told as a new shot: where it is seen, and where nothing was measured, as it mostly is."""
    return verdict in ("seen", "unmeasured")


def judge_seams(view: View, sources: Mapping[str, Clip]) -> tuple[Verdict, ...]:
    """What is seen of each seam, the first that between the first two pieces.

    Args:
        view: what is shown.
        sources: the clip of each source, by its id.
    """
    known: dict[tuple[str, int, str, int], Verdict] = {}
    found = []
    for last in np.flatnonzero(np.diff(view.piece_of)).tolist():
        before, after = view.origin(last), view.origin(last + 1)
        key = (*before, *after)
        if key not in known:
            known[key] = _judge(sources[before[0]], before[1], sources[after[0]], after[1])
        found.append(known[key])
    return tuple(found)


def _judge(before: Clip, last: int, after: Clip, first: int) -> Verdict:
    """What is seen where a frame of one video is followed by a frame of another, or of the same."""
    low, high = sorted((last, first))
    is_one = before.video.id == after.video.id
    if is_one and high - low <= 1:
        return "seen" if high > low and _is_cut(before, high) else "alike"
    if not before.signals or not after.signals:
        return "unmeasured"
    sides = _side(before, last), _side(after, first)
    if sides[0] is not None and sides[1] is not None and _differ(sides[0], sides[1]):
        return "seen"
    return "alike" if is_one and _rests(before, low, high) else "unsure"


def _is_cut(clip: Clip, frame: int) -> bool:
    """Whether a shot begins with a frame at once."""
    at_ns = clip.clock.time_of(frame)
    return any(event.is_point and event.start_ns == at_ns and is_new_shot(event) for event in clip.events)


def _differ(a: _Side, b: _Side) -> bool:
    """Whether the levels of two frames lie apart for certain, and by so much that it is seen."""
    both = zip(a.levels, b.levels, a.slack, b.slack, _LEAST, strict=True)
    return any(abs(x - y) - off_x - off_y >= least for x, y, off_x, off_y, least in both)


def _side(clip: Clip, frame: int) -> _Side | None:
    """What was measured of a frame or beside it, in its shot; None where that does not say enough."""
    t_ns = clip.clock.time_of(frame)
    low, high = _shot(clip, t_ns)
    near = [sample for sample in _around(clip.signals, t_ns) if low <= sample.t_ns < high]
    nearest = min(near, key=lambda sample: abs(sample.t_ns - t_ns), default=None)
    if nearest is None:
        return None
    if nearest.t_ns == t_ns:
        return _Side(nearest.levels, (0.0,) * len(_LEAST))
    if len(near) == 1:
        return None
    steps = [[abs(x - y) for x, y in zip(a.levels, b.levels, strict=True)] for a, b in pairwise(near)]
    return _Side(nearest.levels, tuple(map(max, zip(*steps, strict=True))))


def _shot(clip: Clip, t_ns: int) -> tuple[int, int]:
    """From where to where the shot at an instant reaches, what leads over to the next one included."""
    place = bisect_right(clip.shots, t_ns, key=lambda shot: shot.start_ns)
    low = clip.shots[place - 1].start_ns if place else 0
    return low, clip.shots[place].start_ns if place < len(clip.shots) else clip.clock.end_ns


def _around(signals: Sequence[Signals], t_ns: int) -> Iterator[_Sample]:
    """The last two samples up to an instant and the first two behind it, those that there are."""
    part = max(0, bisect_right(signals, t_ns, key=lambda row: row.t_ns[0]) - 1)
    place = bisect_right(signals[part].t_ns, t_ns)
    for k in range(place - 2, place + 2):
        row, at = part, k
        while at < 0 < row:
            row -= 1
            at += len(signals[row].t_ns)
        # A row may hold a single sample.
        while row < len(signals) and at >= len(signals[row].t_ns):
            at -= len(signals[row].t_ns)
            row += 1
        if at >= 0 and row < len(signals):
            rows = signals[row]
            yield _Sample(rows.t_ns[at], (rows.luma[at], rows.contrast[at], rows.complexity[at]))


def _rests(clip: Clip, low: int, high: int) -> bool:
    """Whether nothing changes from one frame of a video to a later one, by what was measured and by what is told."""
    since_ns, until_ns = clip.clock.time_of(low), clip.clock.time_of(high)
    changed, last_ns = 0.0, -1
    for row in clip.signals:
        if len(row.local_motion) != len(row.t_ns):
            return False
        stop = bisect_left(row.t_ns, until_ns) + 1
        changed += sum(row.local_motion[bisect_right(row.t_ns, since_ns) : stop])
        last_ns = row.t_ns[-1]
        if changed > STILL:
            return False
        if last_ns >= until_ns:
            break
    if last_ns < until_ns and not _is_end(clip.signals, until_ns):
        return False
    return not any(_changes(event) and _overlaps(event, since_ns, until_ns) for event in clip.events)


def _is_end(signals: Sequence[Signals], t_ns: int) -> bool:
    """Whether an instant behind all samples is no further from the last than samples are from each other."""
    times = [sample.t_ns for sample in _around(signals, t_ns)]
    return len(times) > 1 and t_ns - times[-1] <= times[-1] - times[-2]


def _changes(event: Event) -> bool:
    """Whether it changes the picture: colours may change that are of one brightness."""
    return is_new_shot(event) or (event.label in ACTS and event.label_set != PICTURE_SET)


def _overlaps(event: Event, since_ns: int, until_ns: int) -> bool:
    """Whether anything of it lies behind one instant and up to another."""
    return event.start_ns <= until_ns and (event.end_ns > since_ns or event.start_ns > since_ns)
