"""Changes of time, pure functions from view to view: speed, skip, jitter, crop, concat, loop, freeze, reverse.

Everything that is drawn at random is drawn before (`augment.draw`), so a change is the same whenever it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np

from augment.errors import AugmentError
from augment.view import Piece, View
from datasets_build.core.clock import FrameClock, Int64s, Span, TimeMap

# The source of a change that is not laid over a view yet.
_HERE = ""


def _change(clock: FrameClock, time_map: TimeMap, frames: Int64s | None = None) -> list[Piece]:
    shown = np.arange(len(clock), dtype=np.int64) if frames is None else frames
    return [Piece(source=_HERE, clock=clock, time_map=time_map, frames=shown, on_ns=clock.t_ns[shown])]


def _everything(clock: FrameClock) -> TimeMap:
    return TimeMap.identity(Span(start_ns=0, end_ns=clock.end_ns))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a view runs from an instant of it on: 2 shows two seconds in one."""

    from_ns: int
    factor: Fraction


def speed(view: View, paces: Sequence[Pace]) -> View:
    """Changes how fast a view runs, piece by piece.

    Args:
        view: what is shown.
        paces: by rising `from_ns`, the first at 0.

    Raises:
        AugmentError: a factor is not above 0, or the paces are not in order or not inside the view.
    """
    starts = [pace.from_ns for pace in paces]
    if not paces or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= view.end_ns:
        raise AugmentError(f"speed: found paces from {starts} ns, expected rising instants from 0 to before the end")
    if slow := [pace for pace in paces if pace.factor <= 0]:
        raise AugmentError(f"speed: found factor {slow[0].factor}, expected one above 0; backwards is `reverse`")
    borders = [*starts, view.end_ns]
    lengths = [Fraction(end - begin) / pace.factor for (begin, end), pace in zip(pairwise(borders), paces, strict=True)]
    targets = [Fraction(0), *accumulate(lengths)]
    return view.then(_change(view.clock, TimeMap.through(zip(borders, targets, strict=True))))


def skip(view: View, kept: Int64s) -> View:
    """Shows only some frames, each when it was shown; what was on screen before stays for those that are gone.

    The first frame of each piece stays, so that a seam is seen where it is.

    Args:
        view: what is shown.
        kept: int64 (n,), indices of the frames that stay, rising, the first 0.

    Raises:
        AugmentError: the first frame is left out, or they are not in order or not there.
    """
    if not len(kept) or kept[0] != 0 or np.any(np.diff(kept) <= 0) or kept[-1] >= len(view.clock):
        raise AugmentError(f"skip: found {len(kept)} frames to keep, expected rising indices from 0 on")
    begins = np.flatnonzero(np.diff(view.piece_of, prepend=-1))
    return view.then(_change(view.clock, _everything(view.clock), np.union1d(kept, begins)))


def jitter(view: View, shown_ns: Int64s) -> View:
    """Shows each frame at another time.

    Args:
        view: what is shown.
        shown_ns: int64 (frames,), when each comes, rising, the first 0, all before the view's end.

    Raises:
        AugmentError: they are not.
    """
    clock = view.clock
    fits = len(shown_ns) == len(clock) and shown_ns[0] == 0 and bool(np.all(np.diff(shown_ns) > 0))
    if not fits or shown_ns[-1] >= clock.end_ns:
        raise AugmentError("jitter: found times out of order, expected one for each frame, rising, from 0 to the end")
    knots = zip([*clock.t_ns.tolist(), clock.end_ns], [*shown_ns.tolist(), clock.end_ns], strict=True)
    return view.then(_change(clock, TimeMap.through(knots)))


def crop(view: View, first: int, stop: int) -> View:
    """Shows frames [first, stop) alone, from 0 on.

    Raises:
        AugmentError: there is none.
    """
    clock = view.clock
    if not 0 <= first < stop <= len(clock):
        raise AugmentError(f"crop: found frames [{first}, {stop}) of {len(clock)}, expected one at least")
    begin, end = clock.time_of(first), clock.time_of(stop)
    time_map = TimeMap.through([(begin, 0), (end, end - begin)])
    return view.then(_change(clock, time_map, np.arange(first, stop, dtype=np.int64)))


def concat(views: Sequence[View]) -> View:
    """Shows views one behind the other.

    Raises:
        AugmentError: there is none.
    """
    if not views:
        raise AugmentError("concat: found no view, expected one at least")
    starts = accumulate((view.end_ns for view in views[:-1]), initial=0)
    return View.of(_later(piece, start) for view, start in zip(views, starts, strict=True) for piece in view.pieces)


def _later(piece: Piece, by_ns: int) -> Piece:
    moved = TimeMap(tuple((source, target + by_ns) for source, target in piece.time_map.knots))
    return replace(piece, time_map=moved)


def loop(view: View, times: int) -> View:
    """Shows a view several times.

    Raises:
        AugmentError: less than once.
    """
    if times < 1:
        raise AugmentError(f"loop: found {times} times, expected one at least")
    return concat([view] * times)


@dataclass(frozen=True, slots=True)
class Stall:
    """A frame stays on screen for longer than it would."""

    frame: int
    longer_ns: int


def freeze(view: View, stalls: Sequence[Stall]) -> View:
    """Lets a view stall, as a stream does that gets nothing: frames stay, and all that follows comes later.

    Args:
        view: what is shown.
        stalls: by rising frame.

    Raises:
        AugmentError: they are not in order or not there, or one takes no time.
    """
    clock, frames = view.clock, [stall.frame for stall in stalls]
    if frames != sorted(set(frames)) or any(not 0 <= frame < len(clock) for frame in frames):
        raise AugmentError(f"freeze: found stalls at frames {frames}, expected rising ones of {len(clock)}")
    if any(stall.longer_ns <= 0 for stall in stalls):
        raise AugmentError("freeze: found a stall that takes no time, expected one longer than 0 ns")
    knots: list[tuple[int, int]] = [(0, 0)]
    late = 0
    for stall in stalls:
        begin, end = clock.time_of(stall.frame), clock.time_of(stall.frame + 1)
        knots += [(begin, begin + late), (end, end + late + stall.longer_ns)]
        late += stall.longer_ns
    knots.append((clock.end_ns, clock.end_ns + late))
    return view.then(_change(clock, TimeMap.through(dict.fromkeys(knots))))


def reverse(view: View) -> View:
    """Shows a view backwards."""
    clock = view.clock
    frames = np.arange(len(clock), dtype=np.int64)[::-1].copy()
    backwards = Piece(
        source=_HERE,
        clock=clock,
        time_map=_everything(clock),
        frames=frames,
        on_ns=np.append(clock.t_ns[1:], clock.end_ns)[::-1].copy(),
        is_reversed=True,
    )
    return view.then([backwards])
