"""A stream without an end: bytes stay constant, no logit breaks, and the ten thousandth chunk costs what the first did.

`pytest tests/models/test_soak.py -m slow -s` runs the long ones and prints their figures.
"""

import math
import resource
import statistics
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from models.blocks import Kind
from models.errors import PoolFullError
from models.memory.settings import MemorySettings
from models.row import Fed
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config

SECOND = 1_000_000_000
SIDE = 16
GRID_TOKENS = 4
# A scene lasts so many chunks; then nobody films for a while, and what comes is different enough to be a cut.
SCENE, PAUSE_S = 37, 70
MEMORY = MemorySettings(last=24, star_capacity=12, stream_capacity=12, clusters=6, cluster_match=0.99, host_bytes=60_000)
SETTINGS = StreamingSettings(
    memory_settings=MEMORY, window_s=None, slots=512, position_limit=400, history_rounds=3, max_new_tokens=4,
    cache_bytes=64_000, background=False, system_prompt="Watch.", temperature=1.0,
)  # fmt: skip
# What a constant number of chunks takes; slots of replies vary with what is said.
CONSTANT = ("slots", "pool_bytes", "memory_bytes", "feature_bytes", "host_bytes", "offloaded", "chunks_pending")
RESIDENT_SLACK = 24 * 2**20


def frames(chunks, seed=0):
    """Two frames a second with a jitter of a tenth: noise on a scene; between scenes a pause."""
    rng = np.random.default_rng(seed)
    scene, paused = None, 0
    for chunk in range(chunks):
        if chunk % SCENE == 0:
            scene, paused = rng.integers(0, 216, (SIDE, SIDE, 3), dtype=np.uint8), paused + PAUSE_S * SECOND
        for half in range(2):
            noise = rng.integers(0, 40, scene.shape, dtype=np.uint8)
            yield chunk, scene + noise, paused + (2 * chunk + half) * SECOND // 2 + int(rng.integers(0, SECOND // 10))


@dataclass(slots=True)
class Soak:
    """What a long stream left behind: seconds of each chunk, of each question, and every so often the bytes."""

    chunk_s: list[float] = field(default_factory=list)
    ask_s: list[float] = field(default_factory=list)
    metrics: list = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    video_slots: list[int] = field(default_factory=list)
    logits: int = 0
    keys_finite: bool = True

    def check(self, event):
        """Every row of logits that anybody has asked for is finite."""
        if isinstance(event, Fed) and len(event.logits):
            assert torch.isfinite(event.logits).all(), f"logits of {event.entry.block.kind} broke"
            self.logits += len(event.logits)


def soak(session, chunks, *, every=100, ask_every=50, speak_every=25):
    """Feeds a stream, asks and lets speak every so often; looks at bytes after each `every` chunks."""
    seen = Soak()
    session.observe(seen.check)
    spent = 0.0
    for chunk, frame, t_ns in frames(chunks):
        begun = time.thread_time()
        session.add_frame(frame, t_ns)
        spent += time.thread_time() - begun
        if session.metrics().frames % 2:
            continue
        seen.chunk_s.append(spent)
        spent = 0.0
        if (chunk + 1) % speak_every == 0:
            for _ in session.speak():
                pass
        if (chunk + 1) % ask_every == 0:
            begun = time.thread_time()
            session.ask("What now?").run()
            seen.ask_s.append(time.thread_time() - begun)
        if (chunk + 1) % every == 0:
            look(session, seen)
    return seen


def look(session, seen):
    row = session._state.row
    seen.metrics.append(session.metrics())
    seen.resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    frames_held = [entry for entry in row.live() if entry.block.kind is Kind.FRAMES]
    seen.video_slots.append(sum(len(entry.slots) for entry in frames_held))
    slots = row.slots_of(entry.id for entry in row.live())
    for layer in row.pool.pools:
        seen.keys_finite &= bool(torch.isfinite(layer.pool_keys[row.index, :, slots]).all())
        seen.keys_finite &= bool(torch.isfinite(layer.pool_values[row.index, :, slots]).all())


@pytest.fixture(scope="module")
def model():
    return StreamingModel.from_random(tiny_config("qwen2_5_vl"), seed=3, settings=SETTINGS)


def assert_bounded(seen, warm):
    """After `warm` looks nothing grows; a rebase has added the first keys before."""
    first, later = seen.metrics[warm], seen.metrics[warm + 1 :]
    assert later
    for name in CONSTANT:
        values = {metrics.as_dict()[name] for metrics in later}
        assert values == {first.as_dict()[name]}, name
    assert len(set(seen.video_slots[warm:])) == 1
    assert all(metrics.slots_used <= metrics.slots for metrics in seen.metrics)
    assert seen.keys_finite
    assert seen.logits > len(seen.metrics)


def rounded(seen):
    """Figures for a report, in milliseconds and MiB."""
    warm = seen.chunk_s[1000:]
    first, last = statistics.median(warm[:1000]), statistics.median(warm[-1000:])
    end = seen.metrics[-1]
    return (
        f"{end.chunks} chunks: first 1,000 after warm-up {1000 * first:.3f} ms, last {1000 * last:.3f} ms, "
        f"ratio {last / first:.3f}; ask {1000 * statistics.median(seen.ask_s[:20]):.1f} → "
        f"{1000 * statistics.median(seen.ask_s[-20:]):.1f} ms; pool {end.pool_bytes} B, memory {end.memory_bytes} B, "
        f"resident +{(seen.resident[-1] - seen.resident[10]) / 2**20:.1f} MiB; {end.rebases} rebases, "
        f"{end.evicted} evicted, {end.questions} questions, {end.turns} turns, {end.responses} responses, "
        f"{end.bytes_moved} bytes moved, {seen.logits} rows of logits"
    )


@pytest.mark.parametrize("memory", ["window", "star_stream", "clusters", "retrieval"])
def test_three_hundred_chunks_take_constant_bytes(model, memory):
    with model.session(memory=memory) as session:
        seen = soak(session, 300, every=25, ask_every=40, speak_every=50)
    assert_bounded(seen, warm=6)
    end = seen.metrics[-1]
    assert end.rebases >= 1
    assert end.questions == 7
    assert end.turns == 300
    assert end.evicted + end.offloaded > 200


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("memory", ["star_stream", "window"])
def test_ten_thousand_chunks_cost_the_same_to_the_last(model, memory):
    settings = replace(SETTINGS, memory_settings=replace(MEMORY, last=40, star_capacity=20, stream_capacity=20))
    with model.session(replace(settings, position_limit=1000), memory=memory) as session:
        seen = soak(session, 10_000)
    print(f"\n{memory}: {rounded(seen)}")
    assert_bounded(seen, warm=10)
    assert seen.metrics[-1].rebases >= 10
    assert seen.resident[-1] - seen.resident[10] < RESIDENT_SLACK
    after = seen.chunk_s[1000:]
    ratio = statistics.median(after[-1000:]) / statistics.median(after[:1000])
    assert math.isclose(ratio, 1, abs_tol=0.1), f"the last 1,000 chunks cost {ratio:.3f} times the first 1,000"
