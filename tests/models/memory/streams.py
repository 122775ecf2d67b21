"""Streams drawn for tests of memory policies, and a ledger that follows every key from its birth to its end."""

from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st

from models.memory.policy import Change, Chunk, MemorySettings, build_policy

S = 1_000_000_000
DIM = 6


@dataclass(frozen=True)
class Tick:
    """Time passes: `expire(now_ns)`."""

    now_ns: int


@dataclass(frozen=True)
class Recall:
    """An answer used the offloaded chunk at this place (modulo how many there are)."""

    place: int


def picture(level, seed, side=4):
    """A picture of one brightness with seeded noise: equal arguments, equal pixels."""
    noise = np.random.default_rng(seed).integers(-20, 21, (side, side, 3))
    return np.clip(level + noise, 0, 255).astype(np.uint8)


def look(direction, seed, tokens=2):
    """Features near one axis with seeded noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.eye(DIM)[direction % DIM].expand(tokens, DIM) + 0.3 * torch.randn(tokens, DIM, generator=generator)


def chunk(key, *, t0_ns=None, level=100, seed=0, direction=0, tokens=2, span_ns=S):
    """One chunk; by default one a second."""
    t0_ns = key * S if t0_ns is None else t0_ns
    return Chunk(
        key=key,
        t0_ns=t0_ns,
        t1_ns=t0_ns + span_ns,
        tokens=tokens,
        thumbnail=picture(level, seed),
        features=look(direction, seed, tokens),
    )


@st.composite
def streams(draw, max_size=30, tokens=(2,)):
    """Chunks at irregular times (equal ones, long gaps), with cuts and repeats, ticks and recalls between them."""
    events, key, t0_ns, t1_ns = [], draw(st.integers(0, 5)), draw(st.integers(-2 * S, 2 * S)), -3 * S
    for _ in range(draw(st.integers(1, max_size))):
        kind = draw(st.sampled_from(["chunk"] * 6 + ["tick", "recall"]))
        if kind == "tick":
            events.append(Tick(now_ns=t0_ns + draw(st.integers(-S, 9 * S))))
        elif kind == "recall":
            events.append(Recall(place=draw(st.integers(0, 20))))
        else:
            t0_ns += draw(st.sampled_from([0, 1, S // 3, S, S, 20 * S]))
            t1_ns = max(t1_ns, t0_ns + draw(st.sampled_from([1, S // 2, S])))
            level, scene = draw(st.sampled_from([(0, 0), (90, 0), (120, 1), (255, 2)]))
            size, seed = draw(st.sampled_from(tokens)), draw(st.integers(0, 3))
            features = look(scene, seed, size)
            events.append(
                Chunk(key=key, t0_ns=t0_ns, t1_ns=t1_ns, tokens=size, thumbnail=picture(level, seed), features=features)
            )
            key += draw(st.integers(1, 3))
    return events


SMALL = {
    "window": MemorySettings(last=4, window_s=6.0),
    "star_stream": MemorySettings(star_capacity=3, stream_capacity=4, window_s=15.0),
    "semantic": MemorySettings(star_capacity=3, stream_capacity=4, semantic=True),
    "clusters": MemorySettings(clusters=3, cluster_buffer=2, cluster_size=3, window_s=60.0),
    "retrieval": MemorySettings(last=3, host_bytes=80, chunk_bytes=10),
    "all": MemorySettings(),
}


def small(name, **changes):
    """A policy small enough that a short stream overflows it; "semantic" is star_stream by features."""
    settings = MemorySettings.from_json(SMALL[name].to_json() | changes)
    return build_policy("star_stream" if name == "semantic" else name, settings=settings)


def step(policy, event):
    """Feed one event; a recall that finds nothing, or a policy without host memory, changes nothing."""
    if isinstance(event, Chunk):
        return policy.observe(event)
    if isinstance(event, Tick):
        return policy.expire(event.now_ns)
    offloaded = policy.offloaded()
    if offloaded:
        policy.recalled([offloaded[event.place % len(offloaded)]])
    return Change()


def told(change):
    """A change as plain values, to compare two."""
    merges = [(m.key, m.of, m.t0_ns, m.t1_ns, m.features.tolist()) for m in change.merge]
    return change.evict, change.offload, change.drop, merges


def state(policy):
    """All that a policy shows of itself."""
    return policy.live(), policy.offloaded(), policy.pinned(), policy.nbytes()


@dataclass
class Ledger:
    """What a session would hold after each change; every key is live, offloaded or dead, and ends once."""

    live: set[int] = field(default_factory=set)
    offloaded: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)

    def enter(self, key, span, tokens):
        assert key not in self.spans, f"{key} is used twice"
        self.live.add(key)
        self.spans[key], self.tokens[key] = span, tokens

    def end(self, keys, place):
        for key in keys:
            assert key in place, f"{key} ends where it is not"
            place.remove(key)
            self.dead.add(key)

    def follow(self, event, change):
        if isinstance(event, Chunk):
            self.enter(event.key, (event.t0_ns, event.t1_ns), event.tokens)
        self.end(change.evict, self.live)
        self.end(change.drop, self.offloaded)
        for key in change.offload:
            assert key in self.live, f"{key} is offloaded but not live"
            self.live.remove(key)
            self.offloaded.add(key)
        for merged in change.merge:
            assert len(merged.of) > 1
            self.end(merged.of, self.live)
            self.enter(merged.key, (merged.t0_ns, merged.t1_ns), merged.features.shape[0])

    def check(self, policy):
        assert sorted(policy.live()) == sorted(self.live), "live keys differ, or one is named twice"
        assert sorted(policy.offloaded()) == sorted(self.offloaded)
        assert policy.pinned() <= self.live
        spans = [self.spans[key] for key in policy.live()]
        assert spans == sorted(spans), "live keys are out of time order"
        assert self.live | self.offloaded | self.dead == set(self.spans), "a key vanished"
