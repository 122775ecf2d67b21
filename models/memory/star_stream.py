"""Stars (the first chunk, scene changes, the most important) beside a stream (the newest chunks)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.memory.records import (
    HELD_BYTES,
    Change,
    Chunk,
    Held,
    check_budget,
    check_order,
    check_time,
    held_of,
    need_features,
)
from models.memory.settings import MemorySettings
from models.memory.signals import complexity, mean_direction, motion, novelty
from models.memory.window import Window


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A live chunk with its importance, whether it is a scene change, and (semantic only) its direction (dim,)."""

    held: Held
    importance: float
    scene: bool
    direction: torch.Tensor | None


class StarStreamPolicy:
    """Keep up to `star_capacity` stars and the `stream_capacity` newest chunks; a chunk that is both counts once.

    importance = motion_weight * motion + complexity_weight * complexity, with motion the mean absolute difference to
    the chunk before over 255 and complexity the standard deviation of grey over 128. The first chunk and every scene
    change (motion > scene_motion) are stars at once and pinned. A chunk that leaves the stream becomes a star when
    there is room or when it is more important than the least important star that is not pinned. When pinned scene
    changes alone are too many, the least important of them (of equals the oldest) loses its star, never the first
    chunk. With `semantic`, novelty (one minus the greatest cosine to any star) takes the place of motion.

    The weights and the threshold are those of a published key-frame manager (github.com/fredericAS123/diploma_project)
    whose rule "importance > 0.6" needs motion >= 0.43 at the greatest complexity, where motion > 0.3 has long fired.
    """

    def __init__(self, settings: MemorySettings) -> None:
        self.needs_features = settings.semantic
        self._settings = settings
        # Only the newest thumbnail is needed: importance is settled when a chunk arrives.
        self._thumbnail: npt.NDArray[np.uint8] | None = None
        self._first: Held | None = None
        self._stream = Window(last=settings.stream_capacity, window_ns=settings.window_ns, max_tokens=None)
        self._stars: set[int] = set()
        self._scored: dict[int, Scored] = {}

    def observe(self, chunk: Chunk) -> Change:
        """Take the newest chunk into the stream; of the others only the few that leave it are judged anew.

        Raises TimeError when time runs backwards, FrameError when the picture's size changed, SettingsError when
        features are needed and missing or when the first chunk and this one exceed `max_tokens`.
        """
        check_order(chunk, self._stream.newest)
        first = 0 if self._first is None else self._first.tokens
        check_budget(chunk, least=first + chunk.tokens, max_tokens=self._settings.max_tokens)
        scored = self._score(chunk)
        self._thumbnail = chunk.thumbnail.copy()
        self._first = self._first or scored.held
        self._scored[chunk.key] = scored
        if scored.scene:
            self._stars.add(chunk.key)
            self._limit_stars()
        self._leave(self._stream.push(scored.held))
        self._shed()
        return self._bury()

    def expire(self, now_ns: int) -> Change:
        """Let chunks older than `window_s` at `now_ns` leave the stream; stars have no age."""
        check_time("now_ns", now_ns)
        self._leave(self._stream.expire(now_ns))
        return self._bury()

    def live(self) -> tuple[int, ...]:
        """Keys in the cache, in time order, each once."""
        return tuple(sorted(self._scored))

    def stars(self) -> tuple[int, ...]:
        """Keys of the stars, in time order."""
        return tuple(sorted(self._stars))

    def offloaded(self) -> tuple[int, ...]:
        """Nothing is offloaded."""
        return ()

    def pinned(self) -> frozenset[int]:
        """The first chunk and the scene changes among the stars."""
        return frozenset(key for key in self._stars if self._scored[key].scene)

    def nbytes(self) -> int:
        """Bytes of own state: one thumbnail, and numbers (and a direction) for each live chunk."""
        picture = 0 if self._thumbnail is None else self._thumbnail.nbytes
        return picture + sum(HELD_BYTES + 16 + _nbytes(scored.direction) for scored in self._scored.values())

    def max_tokens(self, *, chunk_tokens: int) -> int | None:
        """The most tokens live after a change."""
        most = (self._settings.star_capacity + self._settings.stream_capacity) * chunk_tokens
        return most if self._settings.max_tokens is None else min(most, self._settings.max_tokens)

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """The first chunk and the newest one always stay."""
        return 2 * chunk_tokens

    def copy(self) -> "StarStreamPolicy":
        """An independent copy."""
        other = StarStreamPolicy(self._settings)
        other._thumbnail, other._first = self._thumbnail, self._first
        other._stream, other._stars, other._scored = self._stream.copy(), self._stars.copy(), self._scored.copy()
        return other

    def _score(self, chunk: Chunk) -> Scored:
        settings = self._settings
        direction: torch.Tensor | None = None
        moved = 0.0 if self._thumbnail is None else motion(self._thumbnail, chunk.thumbnail)
        threshold = settings.scene_motion
        if settings.semantic:
            direction = mean_direction(need_features(chunk, policy="star_stream with semantic=True"))
            known = [self._scored[key].direction for key in sorted(self._stars)]
            moved = novelty(direction, [other for other in known if other is not None])
            threshold = settings.scene_novelty
        weighed = settings.motion_weight * moved + settings.complexity_weight * complexity(chunk.thumbnail)
        return Scored(
            held=held_of(chunk),
            # Of the same worth are equals, whatever a machine rounds: directions are float32.
            importance=round(weighed, 6),
            scene=self._first is None or moved > threshold,
            direction=direction,
        )

    def _leave(self, leaving: list[Held]) -> None:
        """Let each chunk try to become a star: it enters, and the weakest star of too many goes."""
        for held in leaving:
            self._stars.add(held.key)
            self._limit_stars()

    def _limit_stars(self) -> None:
        while len(self._stars) > self._settings.star_capacity:
            self._stars.remove(self._weakest())

    def _weakest(self) -> int:
        """The star that goes first: unpinned before pinned, then the less important, never the first chunk.

        Of equals the newest goes while unpinned (nothing is gained by a swap), the oldest when pinned.
        """
        assert self._first is not None

        def rank(key: int) -> tuple[bool, float, int]:
            scored = self._scored[key]
            return scored.scene, scored.importance, key if scored.scene else -key

        return min(self._stars - {self._first.key}, key=rank)

    def _shed(self) -> None:
        """Shrink stars and stream alike, in proportion to their capacities, until `max_tokens` holds."""
        settings = self._settings
        if settings.max_tokens is None:
            return
        while self._live_tokens() > settings.max_tokens:
            fuller = len(self._stars) * settings.stream_capacity >= len(self._stream) * settings.star_capacity
            if len(self._stars) > 1 and (fuller or len(self._stream) == 1):
                self._stars.remove(self._weakest())
            else:
                self._leave([self._stream.pop()])

    def _live_tokens(self) -> int:
        return sum(self._scored[key].held.tokens for key in self._stars.union(self._stream.keys()))

    def _bury(self) -> Change:
        alive = self._stars.union(self._stream.keys())
        dead = tuple(sorted(key for key in self._scored if key not in alive))
        for key in dead:
            del self._scored[key]
        return Change(evict=dead)


def _nbytes(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()
