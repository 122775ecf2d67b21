"""What a session has done so far: counts, seconds by stage, bytes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal

Stage = Literal["vision_wait", "prefill", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A session at one moment. Seconds are wall-clock; bytes are exact.

    Attributes:
        frames: frames taken in.
        chunks: temporal grids made of them.
        chunks_pending: grids that wait to enter the cache.
        vision_encoded: grids that the vision tower ran for, of all sessions that share the encoder.
        vision_exact_hits, vision_similar_hits: grids whose features were reused, of the same.
        vision_failed: grids that the tower failed on, of the same.
        vision_s: seconds the tower worked, of the same.
        vision_wait_s: seconds this session waited for it.
        prefill_s: seconds of forwards that filled the cache.
        decode_s: seconds of forwards that wrote answers.
        prefill_tokens, decode_tokens: tokens of those forwards.
        questions: questions answered; `turns`: steps of `speak` decided, `responses`: those that spoke.
        evicted: chunks that memory let go; `offloaded`: chunks in host memory now.
        dropped: chunks that never entered: the pool had no room for them and never would, or their encoding failed.
        slots_used, slots: of this session's row of the pool.
        pool_bytes: of the whole pool; constant unless a rebase has added the first keys.
        host_bytes: offloaded keys, values and features.
        memory_bytes: the memory policy's own state.
        feature_bytes: vision features kept for later fills and for routers.
        rebases: how often positions were set back.
        bytes_moved: bytes of the pool that were copied, by offloading, recalling and rebasing; eviction moves none.
    """

    frames: int
    chunks: int
    chunks_pending: int
    vision_encoded: int
    vision_exact_hits: int
    vision_similar_hits: int
    vision_failed: int
    vision_s: float
    vision_wait_s: float
    prefill_s: float
    decode_s: float
    prefill_tokens: int
    decode_tokens: int
    questions: int
    turns: int
    responses: int
    evicted: int
    offloaded: int
    dropped: int
    slots_used: int
    slots: int
    pool_bytes: int
    host_bytes: int
    memory_bytes: int
    feature_bytes: int
    rebases: int
    bytes_moved: int

    def as_dict(self) -> dict[str, int | float]:
        """All values by name."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts while a session runs; the only clock of a session, and nothing is decided by it."""

    frames: int = 0
    chunks: int = 0
    questions: int = 0
    turns: int = 0
    responses: int = 0
    evicted: int = 0
    dropped: int = 0
    rebases: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    seconds: dict[Stage, float] = field(default_factory=lambda: {"vision_wait": 0.0, "prefill": 0.0, "decode": 0.0})

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Adds the seconds spent inside to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun
