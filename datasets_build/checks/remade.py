"""An augmented video with its maps and what is told of it: where instants and spans of its parents go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from datasets_build.checks.augmented import Expected, Strip, expected_of, pieces_of
from datasets_build.checks.moved import Moved
from datasets_build.checks.told import Left
from datasets_build.core.augmentation import Augmentation, Look
from datasets_build.core.clock import FrameClock, Int64s, Span
from datasets_build.core.records import Event, Video


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Remade:
    """An augmented video.

    Attributes:
        video: its record.
        clock: when its frames come.
        strips: its pieces as their maps give them.
        pieces: where events go, piece by piece.
        on_ns: int64 (frames,) of each piece, when they come on in the parent.
        expected: where the maps take the events of its parents.
        left: what the rejects say that it lacks.
    """

    video: Video
    clock: FrameClock
    strips: Sequence[Strip]
    pieces: Sequence[Moved]
    on_ns: Sequence[Int64s]
    expected: Expected
    left: Sequence[Left]
    _spans: dict[tuple[str, Span], list[tuple[Strip, Span]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        video: Video,
        clock: FrameClock,
        strips: Sequence[Strip],
        *,
        told: Mapping[str, Sequence[Event]],
        left: Sequence[Left],
    ) -> Remade:
        """Puts together what the maps say.

        Args:
            video: the record of the augmented video.
            clock: of it.
            strips: its pieces.
            told: the events of each parent, by its id.
            left: what the rejects say that it lacks.
        """
        pieces = pieces_of(strips, clock)
        return cls(
            video=video,
            clock=clock,
            strips=strips,
            pieces=pieces,
            on_ns=[np.array(strip.on_ns, np.int64) for strip in strips],
            expected=expected_of(strips, pieces, told),
            left=left,
        )

    @property
    def rows(self) -> list[Augmentation]:
        """Its maps."""
        return [strip.row for strip in self.strips]

    @property
    def looks(self) -> Sequence[Look]:
        """How its pixels are changed."""
        return self.strips[0].row.looks

    @property
    def sources(self) -> list[str]:
        """The videos that it shows, once each."""
        return list(dict.fromkeys(strip.row.parent_id for strip in self.strips))

    def told(self, kind: str) -> Mapping[str, list[Left]]:
        """What the rejects say of records of a kind, by their id."""
        found: defaultdict[str, list[Left]] = defaultdict(list)
        for each in self.left:
            if each.kind == kind:
                found[each.record].append(each)
        return found

    def of_source(self, source: str) -> Iterator[tuple[int, Strip, Moved]]:
        """The pieces that show a video, each with its place."""
        for place, (strip, piece) in enumerate(zip(self.strips, self.pieces, strict=True)):
            if strip.row.parent_id == source:
                yield place, strip, piece

    def instants(self, source: str, t_ns: int) -> list[int]:
        """The first frames at or behind an instant of a video, ns, one for each piece that runs through it."""
        return [at for _, at in self.places(source, t_ns)]

    def places(self, source: str, t_ns: int) -> list[tuple[int, int]]:
        """The pieces that run through an instant of a video, and the first frame there at or behind it, ns."""
        found = []
        for place, strip, piece in self.of_source(source):
            last = place == len(self.strips) - 1 and t_ns == (strip.low if piece.is_reversed else strip.high)
            if last or is_inside(piece, t_ns):
                found.append((place, piece.comes(t_ns)))
        return found

    def whole_spans(self, source: str, span: Span) -> list[tuple[Strip, Span]]:
        """Where pieces that run forwards show all of a span, unless no frame of it is left."""
        if (source, span) not in self._spans:
            self._spans[source, span] = self._whole_spans(source, span)
        return self._spans[source, span]

    def _whole_spans(self, source: str, span: Span) -> list[tuple[Strip, Span]]:
        found = []
        for place, strip, piece in self.of_source(source):
            end = min(span.end_ns, strip.clock.end_ns)
            first, stop = np.searchsorted(self.on_ns[place], [span.start_ns, end])
            lost = first == stop and len(strip.clock.frames_in(span)) > 0
            if not piece.is_reversed and strip.low <= span.start_ns and end <= strip.high and not lost:
                start_ns, end_ns = strip.to_video(span.start_ns), strip.to_video(end)
                found.append((strip, Span(start_ns=start_ns, end_ns=min(end_ns, self.clock.end_ns))))
        return found


def is_inside(piece: Moved, t_ns: int | Fraction) -> bool:
    """Whether an instant of the parent happens in the stretch that a piece runs through."""
    low, high = piece.stretch
    return low < t_ns <= high if piece.is_reversed else low <= t_ns < high
