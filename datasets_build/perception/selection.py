"""Which candidates become keyframes: greedy novelty under budgets, in the order of time or over the whole video.

Both ways keep the first candidate of every shot. Online decides on a candidate by earlier ones alone; offline is the
farthest-point choice of Gonzalez (1985), which starts from the firsts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.keyframes import KeyframesConfig

Kept = Literal["first", "novelty", "gap"]
Vector = npt.NDArray[np.float32]
_MINUTE_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate lies: its time, its shot's ordinal, when that shot starts."""

    t_ns: int
    shot: int
    shot_start_ns: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Why a candidate is kept, and its distance (1 - cosine) from what was kept before it; 2 for a video's first."""

    reason: Kept
    novelty: float


class Selector:
    """Greedy choice in the order of time; keeps the last embeddings only, so its memory is bounded."""

    def __init__(self, config: KeyframesConfig) -> None:
        self._config = config
        self._kept: deque[Vector] = deque(maxlen=config.memory)
        self._spent: deque[int] = deque()
        self._last_ns = 0
        self._shot = -1
        self._in_shot = 0

    def choose(self, place: Place, vector: Vector) -> Choice | None:
        """Decide on the next candidate by its unit vector `(dimensions,) float32`; None when it is not kept."""
        likeness = max((float(vector @ old) for old in self._kept), default=-1.0)
        novelty = min(2.0, max(0.0, 1.0 - likeness))
        reason = self._reason(place, novelty)
        if reason is None:
            return None
        self._kept.append(vector)
        self._last_ns = place.t_ns
        self._in_shot += 1
        return Choice(reason, novelty)

    def _reason(self, place: Place, novelty: float) -> Kept | None:
        config = self._config
        if place.shot != self._shot:
            self._shot, self._in_shot = place.shot, 0
            return _first_reason(place, config)
        while self._spent and self._spent[0] <= place.t_ns - _MINUTE_NS:
            self._spent.popleft()
        stale = place.t_ns - self._last_ns >= config.max_gap_s * NS_PER_S
        if novelty < config.threshold and not stale:
            return None
        if len(self._spent) >= config.per_minute or self._in_shot >= config.per_shot:
            return None
        self._spent.append(place.t_ns)
        return "novelty" if novelty >= config.threshold else "gap"


def choose_online(
    places: Sequence[Place], vectors: npt.NDArray[np.float16], config: KeyframesConfig
) -> list[Choice | None]:
    """A choice or None for each of `n` candidates in the order of time, `vectors` `(n, dimensions) float16`."""
    selector = Selector(config)
    return [selector.choose(place, vector.astype(np.float32)) for place, vector in zip(places, vectors, strict=True)]


def choose_offline(
    places: Sequence[Place], vectors: npt.NDArray[np.float16], config: KeyframesConfig
) -> list[Choice | None]:
    """The same knowing all: again and again the candidate farthest from the chosen ones; of equals the earliest.

    A larger `threshold` only ends it sooner, so what it chooses is among what a smaller one chooses. `max_gap_s` and
    `memory` have no say.
    """
    chosen: list[Choice | None] = [None] * len(places)
    distance = np.full(len(places), 2.0, np.float32)
    in_shot: Counter[int] = Counter()
    times: list[int] = []

    def keep(at: int, reason: Kept) -> None:
        chosen[at] = Choice(reason, float(distance[at]))
        in_shot[places[at].shot] += 1
        np.minimum(distance, np.clip(1.0 - _dots(vectors, vectors[at]), 0.0, 2.0), out=distance)
        distance[at] = -1.0

    for at, place in enumerate(places):
        if at == 0 or place.shot != places[at - 1].shot:
            keep(at, _first_reason(place, config))
    while len(places) and (best := int(distance.argmax())) >= 0 and distance[best] >= max(0.0, config.threshold):
        place = places[best]
        if in_shot[place.shot] < config.per_shot and _fits(times, place.t_ns, config.per_minute):
            times.append(place.t_ns)
            keep(best, "novelty")
        else:
            distance[best] = -1.0
    return chosen


def _first_reason(place: Place, config: KeyframesConfig) -> Kept:
    return "first" if place.t_ns - place.shot_start_ns <= config.first_s * NS_PER_S else "novelty"


def _dots(vectors: npt.NDArray[np.float16], one: npt.NDArray[np.float16]) -> Vector:
    """Dot products in float32, a block at a time: a copy of all would take twice the memory."""
    wide = one.astype(np.float32)
    blocks = [vectors[k : k + 1024].astype(np.float32) @ wide for k in range(0, len(vectors), 1024)]
    return np.concatenate(blocks)


def _fits(times: Sequence[int], t_ns: int, most: int) -> bool:
    """Whether no minute holds more than `most` when this time comes to the others."""
    near = sorted(t for t in (*times, t_ns) if abs(t - t_ns) < _MINUTE_NS)
    return all(late - early >= _MINUTE_NS for early, late in zip(near, near[most:], strict=False))
