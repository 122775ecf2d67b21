"""Frames that come late over a network, while people speak without delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augment.errors import AugmentError
from augment.view import Piece, View
from datasets_build.core.clock import TimeMap


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A view as it arrives, and as it was played.

    Attributes:
        view: as it arrives, the first frame at 0.
        played: as it was sent off; the same view where nothing is late.
        lead_ns: how much later than 0 of `played` the first frame arrives.
    """

    view: View
    played: View
    lead_ns: int = 0

    def instants(self, source: str, t_ns: int) -> list[tuple[int, int]]:
        """Where something that is said at an instant of a source is heard: the piece, and the frame that comes next.

        People do not wait for the network: what they say of a frame may be heard before it arrives. What would be heard
        before the first frame arrives is heard nowhere; what is heard after the last one is heard at the end.
        """
        there = self.played.instants(source, t_ns)
        if self.played is self.view:
            return there
        clock = self.view.clock
        heard = ((piece, at - self.lead_ns) for piece, at in there)
        return [(piece, clock.snap_up(min(at, clock.end_ns))) for piece, at in heard if at >= 0]


def arrive(view: View, late_ns: Sequence[int]) -> Arrival:
    """Lets the frames of a view arrive late, one behind the other as over TCP: none overtakes another.

    Args:
        view: what is played.
        late_ns: how late each frame would be by itself, by frame.

    Raises:
        AugmentError: there is not one for each frame, or one is below 0.
    """
    clock = view.clock
    if len(late_ns) != len(clock) or any(late < 0 for late in late_ns):
        raise AugmentError(f"delay: found {len(late_ns)} latencies, expected {len(clock)} of 0 ns or more")
    arrived: list[int] = []
    for t_ns, late in zip(clock.t_ns.tolist(), late_ns, strict=True):
        arrived.append(max(t_ns + late, arrived[-1] + 1 if arrived else 0))
    lead = arrived[0]
    knots = [(t, at - lead) for t, at in zip(clock.t_ns.tolist(), arrived, strict=True)]
    # The last frame stays as long as it would.
    knots.append((clock.end_ns, knots[-1][1] + clock.end_ns - clock.time_of(len(clock) - 1)))
    change = Piece(
        source="",
        clock=clock,
        time_map=TimeMap.through(knots),
        frames=np.arange(len(clock), dtype=np.int64),
        on_ns=clock.t_ns,
    )
    return Arrival(view.then([change]), view, lead)
