"""Neighbouring chunks that look alike become one: open clusters keep every chunk, closed ones only their mean."""

from dataclasses import dataclass

import torch

from models.memory.records import (
    HELD_BYTES,
    Change,
    Chunk,
    Held,
    Merged,
    check_budget,
    check_order,
    check_time,
    held_of,
    need_features,
)
from models.memory.settings import MemorySettings
from models.memory.signals import likeness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cluster:
    """Chunks next to each other in time: the live `keys` that stand for it and the mean of all that went in.

    `mean` (tokens, dim) float32 weighs each of the `weight` chunks alike; `dtype` is that of their features; `tokens`
    are the cache slots of all `keys` together.
    """

    keys: tuple[int, ...]
    t0_ns: int
    t1_ns: int
    tokens: int
    weight: int
    mean: torch.Tensor
    dtype: torch.dtype

    def joined(self, other: "Cluster") -> "Cluster":
        """This cluster with a later one of the same shape; the mean moves by its share, so no sum ever grows large."""
        share = other.weight / (self.weight + other.weight)
        return Cluster(
            keys=self.keys + other.keys,
            t0_ns=self.t0_ns,
            t1_ns=other.t1_ns,
            tokens=self.tokens + other.tokens,
            weight=self.weight + other.weight,
            mean=torch.lerp(self.mean, other.mean.to(self.mean.device), share),
            dtype=self.dtype,
        )

    def under(self, key: int) -> "Cluster":
        """This cluster as one merged chunk of that key."""
        # One grid with the text around it, as long as the average of those that it is made of.
        tokens = -(-self.tokens // len(self.keys))
        return Cluster(
            keys=(key,),
            t0_ns=self.t0_ns,
            t1_ns=self.t1_ns,
            tokens=tokens,
            weight=self.weight,
            mean=self.mean,
            dtype=self.dtype,
        )


def cluster_of(chunk: Chunk, features: torch.Tensor) -> Cluster:
    """A cluster of one chunk."""
    return Cluster(
        keys=(chunk.key,),
        t0_ns=chunk.t0_ns,
        t1_ns=chunk.t1_ns,
        tokens=chunk.tokens,
        weight=1,
        mean=features.detach().to(torch.float32, copy=True),
        dtype=features.dtype,
    )


class ClusterPolicy:
    """Keep the newest clusters whole and older ones as one merged chunk each, `clusters` of them at most.

    A chunk joins the newest cluster when that holds fewer than `cluster_size` chunks and the mean over tokens of the
    cosine between the cluster's mean and the chunk is `cluster_match` or more; else it begins a cluster. When more
    than `cluster_buffer` clusters are open the oldest closes: its chunks become one merged chunk (a cluster of one
    stays as it is). When more than `clusters` are closed, the two neighbours in time that are most alike become one,
    each weighed by the chunks in it. Chunks join only the newest cluster, so spans never overlap and time order is
    plain. The clusters are those of github.com/Wencong50714/streaming, where the closed list grows without end and
    chosen frames come ordered by cluster.
    """

    needs_features = True

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._newest: Held | None = None
        self._open: list[Cluster] = []
        self._closed: list[Cluster] = []
        self._near: list[float] = []  # likeness of closed neighbours i and i + 1
        self._merges = 0
        self._evicted: list[int] = []
        self._pending: dict[int, Merged] = {}

    def observe(self, chunk: Chunk) -> Change:
        """Take the newest chunk in; clusters close and merge as needed.

        Raises TimeError when time runs backwards, SettingsError when features are missing or when `max_tokens` cannot
        hold one full cluster of such chunks.
        """
        check_order(chunk, self._newest)
        features = need_features(chunk, policy="clusters")
        least = chunk.tokens * self._settings.cluster_size
        check_budget(chunk, least=least, max_tokens=self._settings.max_tokens)
        self._newest = held_of(chunk)
        self._forget_before(chunk.t1_ns)
        self._admit(cluster_of(chunk, features))
        while len(self._open) > self._settings.cluster_buffer:
            self._close_oldest()
        while len(self._closed) > self._settings.clusters:
            self._shorten()
        self._shed()
        return self._take_change()

    def expire(self, now_ns: int) -> Change:
        """Evict clusters that ended `window_s` or longer before `now_ns`; a cluster leaves with its last chunk."""
        check_time("now_ns", now_ns)
        self._forget_before(now_ns)
        return self._take_change()

    def live(self) -> tuple[int, ...]:
        """Keys in the cache, in time order: merged chunks (negative), then those of open clusters."""
        return tuple(key for cluster in self._closed + self._open for key in cluster.keys)

    def offloaded(self) -> tuple[int, ...]:
        """Nothing is offloaded."""
        return ()

    def pinned(self) -> frozenset[int]:
        """Nothing is pinned."""
        return frozenset()

    def nbytes(self) -> int:
        """Bytes of own state: one mean and a few numbers for each cluster."""
        clusters = self._closed + self._open
        means = sum(cluster.mean.numel() * cluster.mean.element_size() for cluster in clusters)
        return means + sum(HELD_BYTES + 8 * len(cluster.keys) for cluster in clusters) + 8 * len(self._near)

    def max_tokens(self, *, chunk_tokens: int) -> int | None:
        """The most tokens live after a change."""
        settings = self._settings
        most = (settings.clusters + settings.cluster_buffer * settings.cluster_size) * chunk_tokens
        return most if settings.max_tokens is None else min(most, settings.max_tokens)

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """An open cluster may have to take as many chunks as it has room for."""
        return self._settings.cluster_size * chunk_tokens

    def copy(self) -> "ClusterPolicy":
        """An independent copy; the means are shared, for they are never written to."""
        other = ClusterPolicy(self._settings)
        other._newest, other._merges = self._newest, self._merges
        other._open, other._closed, other._near = self._open.copy(), self._closed.copy(), self._near.copy()
        return other

    def _admit(self, single: Cluster) -> None:
        newest = self._open[-1] if self._open else None
        fits = newest is not None and newest.weight < self._settings.cluster_size
        if newest is not None and fits and likeness(newest.mean, single.mean) >= self._settings.cluster_match:
            self._open[-1] = newest.joined(single)
        else:
            self._open.append(single)

    def _close_oldest(self) -> None:
        cluster = self._merged(self._open.pop(0))
        if self._closed:
            self._near.append(likeness(self._closed[-1].mean, cluster.mean))
        self._closed.append(cluster)

    def _shorten(self) -> None:
        """Make the closed list one shorter: merge the neighbours most alike, or lose the oldest if none can merge."""
        best = max(range(len(self._near)), key=lambda index: self._near[index], default=None)
        if best is None or self._near[best] == -float("inf"):
            self._evict(self._closed.pop(0))
            del self._near[:1]
            return
        self._closed[best : best + 2] = [self._merged(self._closed[best].joined(self._closed[best + 1]))]
        del self._near[best]
        for left in (best - 1, best):
            if 0 <= left < len(self._near):
                self._near[left] = likeness(self._closed[left].mean, self._closed[left + 1].mean)

    def _shed(self) -> None:
        """Hold `max_tokens`: merge closed neighbours, then close open clusters, then lose the oldest."""
        settings = self._settings
        if settings.max_tokens is None:
            return
        while sum(cluster.tokens for cluster in self._closed + self._open) > settings.max_tokens:
            if len(self._closed) < 2 and len(self._open) > 1:
                self._close_oldest()
            else:
                self._shorten()

    def _forget_before(self, now_ns: int) -> None:
        """Drop whole clusters that ended before the window."""
        window_ns = self._settings.window_ns
        if window_ns is None:
            return
        while self._closed and self._closed[0].t1_ns <= now_ns - window_ns:
            self._evict(self._closed.pop(0))
            del self._near[:1]
        while self._open and self._open[0].t1_ns <= now_ns - window_ns:
            self._evict(self._open.pop(0))

    def _merged(self, cluster: Cluster) -> Cluster:
        """Make one chunk of a cluster; a chunk made and merged again in the same call never enters the cache."""
        if len(cluster.keys) == 1:
            return cluster
        self._merges += 1
        single = cluster.under(-self._merges)
        self._pending[single.keys[0]] = Merged(
            key=single.keys[0],
            of=self._unfold(cluster.keys),
            t0_ns=single.t0_ns,
            t1_ns=single.t1_ns,
            features=single.mean.to(single.dtype),
        )
        return single

    def _unfold(self, keys: tuple[int, ...]) -> tuple[int, ...]:
        """The keys as the cache knows them: one that was made in this call stands for its members."""
        known: tuple[int, ...] = ()
        for key in keys:
            made = self._pending.pop(key, None)
            known += (key,) if made is None else made.of
        return known

    def _evict(self, cluster: Cluster) -> None:
        self._evicted.extend(self._unfold(cluster.keys))

    def _take_change(self) -> Change:
        merges = tuple(self._pending[key] for key in self.live() if key in self._pending)
        change = Change(evict=tuple(self._evicted), merge=merges)
        self._evicted, self._pending = [], {}
        return change
