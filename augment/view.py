"""What an augmented video shows: frames of its sources, each at a new time, and where instants and spans go."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from augment.errors import AugmentError
from datasets_build.core.clock import FrameClock, Int64s, Span, TimeError, TimeMap, round_half_up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """A stretch of one source as it is shown.

    Attributes:
        source: id of the source video.
        clock: of the source.
        time_map: from the source's clock to the view's, in ns; of a reversed piece from the mirrored source, on which
            `t` is `clock.end_ns - t`.
        frames: int64 (n,), indices of the source's frames that are shown, in the order in which they are.
        on_ns: int64 (n,), the instants of the source at which they come on: forwards their own times, backwards those
            at which, forwards, the next shown one would come.
        is_reversed: whether it runs backwards.
    """

    source: str
    clock: FrameClock
    time_map: TimeMap
    frames: Int64s
    on_ns: Int64s
    is_reversed: bool = False

    @property
    def begins(self) -> Fraction:
        """When it begins in the view, ns."""
        return self.time_map.target[0]

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        """The stretch of the source, in ns of its clock."""
        low, high = self.time_map.source
        return (self.clock.end_ns - high, self.clock.end_ns - low) if self.is_reversed else (low, high)

    def exact(self, t_ns: int | Fraction) -> Fraction:
        """Where an instant of the source lies in the view. Raises TimeError outside the stretch."""
        return self.time_map.exact(self.clock.end_ns - t_ns if self.is_reversed else t_ns)

    def at(self, t_ns: int | Fraction) -> int:
        """`exact` in whole nanoseconds, halves up."""
        return self.time_map.apply(self.clock.end_ns - t_ns if self.is_reversed else t_ns)

    def comes_at(self, t_ns: int | Fraction) -> int:
        """Which of its frames is the first to come on at or behind an instant of the source; their number for none.

        Found among instants of the source, which are whole: in the view frames may lie a nanosecond apart, so that a
        rounded instant falls on the wrong one.
        """
        if self.is_reversed:
            return len(self.on_ns) - int(self.on_ns[::-1].searchsorted(math.floor(t_ns), side="right"))
        return int(self.on_ns.searchsorted(math.ceil(t_ns)))

    def shows_at(self, t_ns: int | Fraction) -> int:
        """Which of its frames is the first that shows what lies behind an instant of the source; their number for none.

        Backwards that is what came before it: a frame from before the instant.
        """
        times = self.clock.t_ns[self.frames]
        if self.is_reversed:
            return len(times) - int(times[::-1].searchsorted(math.ceil(t_ns)))
        return int(times.searchsorted(math.ceil(t_ns)))

    def back(self, t_ns: int | Fraction) -> Fraction:
        """Where an instant of the view lies in the source. Raises TimeError outside the stretch."""
        found = self.time_map.inverse().exact(t_ns)
        return self.clock.end_ns - found if self.is_reversed else found

    def shown_at(self) -> list[int]:
        """When each of its frames is shown, ns of the view's clock."""
        on = self.clock.end_ns - self.on_ns if self.is_reversed else self.on_ns
        return map_times(self.time_map, on.tolist())


class Moved(NamedTuple):
    """Where a span of a source lies in the view, ns on the view's frames.

    `piece` is the place of the piece that shows it; `cut_start` and `cut_end` say which of its ends that piece lacks.
    In a reversed piece the start is what was the end.
    """

    start_ns: int
    end_ns: int
    piece: int
    cut_start: bool
    cut_end: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """An augmented video.

    Attributes:
        pieces: what it shows, in the order of time.
        clock: when each of its frames is shown; its `pts` are nanoseconds.
        piece_of: int64 (n,), which piece shows each frame.
        frame_of: int64 (n,), which frame of that piece's source it is.
        on_of: int64 (n,), the instant of that source at which it comes on.
    """

    pieces: tuple[Piece, ...]
    clock: FrameClock
    piece_of: Int64s
    frame_of: Int64s
    on_of: Int64s

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> View:
        """Puts pieces together that follow each other in time, the first at 0.

        Raises:
            AugmentError: no frame is left, or two of them would be shown in the same nanosecond.
        """
        kept = tuple(piece for piece in pieces if len(piece.frames))
        if not kept:
            raise AugmentError("a view: found no frame to show, expected one at least")
        times = [np.array(piece.shown_at(), np.int64) for piece in kept]
        shown = np.concatenate(times)
        try:
            clock = FrameClock(shown, round_half_up(kept[-1].time_map.target[1]), shown)
        except TimeError as error:
            raise AugmentError(f"a view: {error}; the operations squeeze frames together") from error
        return cls(
            pieces=kept,
            clock=clock,
            piece_of=np.repeat(np.arange(len(kept)), [len(each) for each in times]),
            frame_of=np.concatenate([piece.frames for piece in kept]),
            on_of=np.concatenate([piece.on_ns for piece in kept]),
        )

    @classmethod
    def whole(cls, source: str, clock: FrameClock) -> View:
        """A video as it is."""
        span = Span(start_ns=0, end_ns=clock.end_ns)
        frames = np.arange(len(clock), dtype=np.int64)
        time_map = TimeMap.identity(span)
        return cls.of([Piece(source=source, clock=clock, time_map=time_map, frames=frames, on_ns=clock.t_ns)])

    @property
    def end_ns(self) -> int:
        """When the last frame leaves the screen."""
        return self.clock.end_ns

    def then(self, change: Sequence[Piece]) -> View:
        """This view changed once more.

        Args:
            change: pieces that have this view's clock as their source.
        """
        if self._is_plain():
            # Its clock is its video's, so the change is what comes out.
            inner = self.pieces[0]
            return View.of(replace(outer, source=inner.source, clock=inner.clock) for outer in change)
        found = [part for outer in change for part in self._through(outer)]
        return View.of(sorted(found, key=lambda part: part.begins))

    def _is_plain(self) -> bool:
        """Whether it is a video as it is."""
        first = self.pieces[0]
        return (
            len(self.pieces) == 1
            and not first.is_reversed
            and len(first.frames) == len(first.clock)
            and first.time_map == TimeMap.identity(Span(start_ns=0, end_ns=first.clock.end_ns))
        )

    def _through(self, outer: Piece) -> Iterator[Piece]:
        """The parts of an outer piece, one for each of these pieces that it shows something of."""
        end = self.pieces[-1].time_map.target[1]
        laid = TimeMap(tuple((self._unrounded(s, outer), t) for s, t in outer.time_map.knots))
        for place, inner in enumerate(self.pieces):
            frames = outer.frames[self.piece_of[outer.frames] == place]
            inside = inner.time_map
            if outer.is_reversed:
                inside = mirrored(inside, inner.clock.end_ns, end)
            try:
                joined = inside.then(laid)
            except TimeError:
                continue
            yield Piece(
                source=inner.source,
                clock=inner.clock,
                time_map=joined,
                frames=self.frame_of[frames],
                on_ns=self._off(place)[frames] if outer.is_reversed else self.on_of[frames],
                is_reversed=inner.is_reversed != outer.is_reversed,
            )

    def _unrounded(self, knot: Fraction, outer: Piece) -> Fraction:
        """The exact instant of a knot at a frame: this view's clock has whole nanoseconds, its maps have not.

        Else a cut at a frame would leave out the half nanosecond before it, and with it the frame.
        """
        end = self.pieces[-1].time_map.target[1]
        at = self.clock.end_ns - knot if outer.is_reversed else knot
        exact = at
        if at == self.clock.end_ns:
            exact = end
        elif at.denominator == 1 and self.clock.on_grid(int(at)):
            index = self.clock.index_at(int(at))
            exact = self._begins(index)
        return end - exact if outer.is_reversed else exact

    def _begins(self, index: int) -> Fraction:
        """When a frame comes, before rounding."""
        piece: Piece = self.pieces[int(self.piece_of[index])]
        return piece.exact(int(self.on_of[index]))

    def _off(self, place: int) -> Int64s:
        """int64 (frames,), of the frames of a piece: the instants of its source at which they leave the screen."""
        piece = self.pieces[place]
        low, high = piece.span
        last = np.flatnonzero(self.piece_of == place)[-1]
        off = np.append(self.on_of[1:], 0)
        off[last] = round(low if piece.is_reversed else high)
        return off

    def origin(self, index: int) -> tuple[str, int]:
        """The video and the index of the frame that is shown as a frame of this view."""
        return self.pieces[self.piece_of[index]].source, int(self.frame_of[index])

    def source_times(self, times_ns: Sequence[int]) -> list[tuple[str, int]]:
        """What is on screen at some instants: each a video and the presentation time there of its frame."""
        found = []
        for index in self.clock.indices_at(times_ns).tolist():
            piece = self.pieces[self.piece_of[index]]
            found.append((piece.source, piece.clock.time_of(int(self.frame_of[index]))))
        return found

    def back(self, t_ns: int) -> tuple[str, Fraction]:
        """The video and the exact instant of it that an instant of the view comes from."""
        piece = next((each for each in reversed(self.pieces) if each.begins <= t_ns), self.pieces[0])
        low, high = piece.time_map.target
        return piece.source, piece.back(min(max(Fraction(t_ns), low), high))

    def instants(self, source: str, t_ns: int) -> list[tuple[int, int]]:
        """Where an instant of a source is first seen: the piece, and the first frame at or after it, ns.

        An instant at which one piece ends belongs to the next; at the end of all it is that end.
        """
        found = []
        for place, piece in enumerate(self.pieces):
            if piece.source != source:
                continue
            low, high = piece.span
            inside = low < t_ns <= high if piece.is_reversed else low <= t_ns < high
            if inside or (place == len(self.pieces) - 1 and t_ns == (low if piece.is_reversed else high)):
                found.append((place, self.shown_ns(place, piece.comes_at(t_ns))))
        return found

    def shown_ns(self, place: int, frame: int) -> int:
        """When a frame of a piece comes, by its number there; when the next piece does, where it has no more."""
        stop = int(self.piece_of.searchsorted(place + 1))
        first = stop - len(self.pieces[place].frames)
        return self.clock.time_of(min(first + frame, stop))

    def spans(self, source: str, span: Span) -> list[Moved]:
        """Where a span of a source is seen, once for each piece that shows a frame of it.

        A span of no length is seen where the first frame at or after it is.
        """
        if span.duration_ns == 0:
            return [Moved(at, at, place, False, False) for place, at in self.instants(source, span.start_ns)]
        found: list[Moved] = []
        for place, piece in enumerate(self.pieces):
            low, high = piece.span
            if piece.source != source or span.start_ns >= high or span.end_ns <= low:
                continue
            cuts = (low > span.start_ns, high < span.end_ns)
            ends = [piece.shows_at(span.start_ns), piece.shows_at(span.end_ns)]
            if piece.is_reversed:
                ends, cuts = ends[::-1], cuts[::-1]
            start_ns, end_ns = (self.shown_ns(place, frame) for frame in ends)
            if start_ns < end_ns:
                found.append(Moved(start_ns, end_ns, place, *cuts))
        return found

    def exact_spans(self, source: str, span: Span) -> Iterator[tuple[int, Span]]:
        """Which pieces that run forwards show all of a span, and where, whether or not its ends are at frames.

        A span of whose frames none is shown is not.
        """
        for place, piece in enumerate(self.pieces):
            if piece.source != source or piece.is_reversed:
                continue
            low, high = piece.span
            # What outlasts its video ends with it.
            end = min(span.end_ns, piece.clock.end_ns)
            if span.start_ns < low or end > high:
                continue
            first, stop = piece.on_ns.searchsorted((span.start_ns, end))
            if first < stop or not piece.clock.frames_in(span):
                start_ns, end_ns = (piece.at(t) for t in (span.start_ns, end))
                yield place, Span(start_ns=start_ns, end_ns=min(end_ns, self.end_ns))


def mirrored(time_map: TimeMap, source_end: int, target_end: Fraction) -> TimeMap:
    """The same map between clocks that run backwards from their ends."""
    return TimeMap(tuple((source_end - s, target_end - t) for s, t in reversed(time_map.knots)))


def map_times(time_map: TimeMap, times_ns: Sequence[int]) -> list[int]:
    """`TimeMap.apply` of rising instants, in integers: a fraction for each frame of a long video is slow."""
    found: list[int] = []
    knots, at = time_map.knots, 0
    low, high = time_map.source
    if len(times_ns) and not low <= times_ns[0] <= times_ns[-1] <= high:
        raise TimeError(f"{times_ns[0]}..{times_ns[-1]} ns reach outside the map's source [{low}, {high}] ns")
    for (s0, t0), (s1, t1) in pairwise(knots):
        begin = at
        at = len(times_ns) if s1 is high else bisect_left(times_ns, math.ceil(s1), begin)
        if begin == at:
            continue
        if at == begin + 1 and times_ns[begin] == s0:
            # Where each frame has a knot of its own.
            found.append(round_half_up(t0))
            continue
        # t0 + (t - s0) * rise / run with all fractions brought to whole numbers.
        shared = math.lcm(s0.denominator, s1.denominator, t0.denominator, t1.denominator)
        first, last, low_t, high_t = (x.numerator * (shared // x.denominator) for x in (s0, s1, t0, t1))
        run, rise = last - first, high_t - low_t
        down = 2 * shared * run
        base = 2 * (low_t * run - first * rise) + shared * run
        step = 2 * shared * rise
        found += [(base + step * t) // down for t in times_ns[begin:at]]
    return found
