"""A stream without an end: bytes stay constant, no logit breaks, and the ten thousandth chunk costs what the first did.

`pytest tests/models/test_soak.py -m slow -s` runs the long ones and prints their figures.
"""

import itertools
import math
import resource
import statistics
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from models.blocks import Kind
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
MEMORY = MemorySettings(
    last=24, star_capacity=12, stream_capacity=12, clusters=6, cluster_match=0.99, host_bytes=60_000
)
SETTINGS = StreamingSettings(
    memory_settings=MEMORY, window_s=None, slots=512, position_limit=400, history_rounds=3, max_new_tokens=4,
    cache_bytes=64_000, background=False, system_prompt="Watch.", temperature=1.0,
    speak_threshold=0.05,
)  # fmt: skip
CONSTANT = ("slots", "pool_bytes", "feature_bytes", "chunks_pending")
# The system turn; and three rounds: a question, its reply, and turn marks.
TEXT_SLOTS = 40 + 3 * 60
RESIDENT_SLACK = 24 * 2**20


def grids(seed=0):
    """Pairs of frames with their times, two a second with a jitter of a tenth: noise on scenes with pauses between."""
    rng = np.random.default_rng(seed)
    scene, paused = None, 0
    for chunk in itertools.count():
        if chunk % SCENE == 0:
            scene, paused = rng.integers(0, 216, (SIDE, SIDE, 3), dtype=np.uint8), paused + PAUSE_S * SECOND
        times = [paused + (2 * chunk + half) * SECOND // 2 + int(rng.integers(0, SECOND // 10)) for half in range(2)]
        yield [(scene + rng.integers(0, 40, scene.shape, dtype=np.uint8), t_ns) for t_ns in times]


@dataclass(slots=True)
class Soak:
    """What a long stream left behind: seconds of each chunk and of each question; bytes every so often."""

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


class Stream:
    """Feeds a session without end, asks and lets speak every so often; looks at bytes after each `every` chunks."""

    def __init__(self, session, *, every=100, ask_every=50, speak_every=25, turns=None):
        self.seen = Soak()
        self._session = session
        self._every, self._ask_every, self._speak_every, self._turns = every, ask_every, speak_every, turns
        self._grids = enumerate(grids(), start=1)
        session.observe(self.seen.check)

    def run(self, chunks):
        for _ in range(chunks):
            self.step()
        return self.seen

    def step(self):
        chunk, grid = next(self._grids)
        begun = time.thread_time()
        for frame, t_ns in grid:
            self._session.add_frame(frame, t_ns)
        self.seen.chunk_s.append(time.thread_time() - begun)
        if chunk % self._speak_every == 0:
            for turn in itertools.islice(self._session.speak(), self._turns):
                assert isinstance(turn.text, str)
        if chunk % self._ask_every == 0:
            begun = time.thread_time()
            self._session.ask("What now?").run()
            self.seen.ask_s.append(time.thread_time() - begun)
        if chunk % self._every == 0:
            look(self._session, self.seen)


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


def assert_bounded(seen, warm):
    """After `warm` looks nothing grows, first keys that a rebase has added included."""
    first, later = seen.metrics[warm - 1], seen.metrics[warm:]
    assert later
    for name in CONSTANT:
        assert {metrics.as_dict()[name] for metrics in later} == {first.as_dict()[name]}, name
    # A star that is still in the stream counts once, so these come and go by a chunk; what is said varies in length.
    assert max(seen.video_slots[warm:]) <= max(seen.video_slots[:warm])
    memory = [metrics.memory_bytes for metrics in seen.metrics]
    assert max(memory[warm:]) <= max(memory[:warm])
    assert max(metrics.slots_used for metrics in later) <= max(seen.video_slots) + TEXT_SLOTS
    assert max(metrics.host_bytes for metrics in seen.metrics) <= MEMORY.host_bytes
    assert seen.keys_finite
    assert seen.logits > len(seen.metrics)


def figures(seen):
    """Figures for a report, in milliseconds and MiB."""
    first, last = (1000 * statistics.median(part) for part in (seen.chunk_s[1000:2000], seen.chunk_s[-1000:]))
    ask = [1000 * statistics.median(part) for part in (seen.ask_s[:20], seen.ask_s[-20:])]
    end, grown = seen.metrics[-1], (seen.resident[-1] - seen.resident[10]) / 2**20
    return (
        f"{end.chunks} chunks: {first:.3f} → {last:.3f} ms, {last / first:.3f} times; question {ask[0]:.1f} → "
        f"{ask[1]:.1f} ms; pool {end.pool_bytes} B, memory {end.memory_bytes} B, resident +{grown:.1f} MiB; "
        f"{end.rebases} rebases, {end.evicted} evicted, {end.questions} questions, {end.turns} turns, "
        f"{end.responses} responses, {end.bytes_moved} bytes moved, {seen.logits} rows of logits"
    )


@pytest.mark.parametrize(
    "memory",
    ["window", *(pytest.param(name, marks=pytest.mark.slow) for name in ("star_stream", "clusters", "retrieval"))],
)
def test_three_hundred_chunks_take_constant_bytes(memory):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl", layers=1), seed=3, settings=SETTINGS)
    with model.session(memory=memory) as session:
        seen = Stream(session, every=25, ask_every=40, speak_every=50, turns=3).run(300)
    assert_bounded(seen, warm=6)
    end = seen.metrics[-1]
    assert end.rebases >= 1
    assert end.questions == 7
    assert end.turns == 18
    assert end.chunks - max(seen.video_slots) // GRID_TOKENS > 200


def test_growth_and_breakage_are_noticed():
    """Memory that keeps all is caught, and so is a key that is no number."""
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl", layers=1), seed=3, settings=SETTINGS)
    with model.session(memory="all") as session:
        seen = Stream(session, every=10, ask_every=20, speak_every=20, turns=1).run(40)
        with pytest.raises(AssertionError):
            assert_bounded(seen, warm=2)
        layer = session._state.row.pool.pools[0]
        layer.pool_keys[0, 0, 0, 0] = math.nan
        look(session, seen)
        assert not seen.keys_finite
        with pytest.raises(AssertionError, match="broke"):
            session.ask("And now?").run()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("memory", ["star_stream", "window"])
def test_ten_thousand_chunks_cost_the_same_to_the_last(memory):
    """The last 1,000 chunks take turns with the first 1,000 after warm-up of the same stream, begun anew.

    What slows the machine down slows both; hours apart, the two would measure the machine.
    """
    memory_settings = replace(MEMORY, last=40, star_capacity=20, stream_capacity=20)
    settings = replace(SETTINGS, memory=memory, memory_settings=memory_settings, position_limit=1000)
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), seed=3, settings=settings)
    with model.session() as session, model.session() as other:
        old, new = Stream(session), Stream(other)
        old.run(9000)
        new.run(1000)
        for _ in range(1000):
            old.step()
            new.step()
    seen = old.seen
    ratio = statistics.median(seen.chunk_s[-1000:]) / statistics.median(new.seen.chunk_s[-1000:])
    print(f"\n{memory}: last 1,000 over first 1,000, in turns: {ratio:.3f}; {figures(seen)}")
    assert_bounded(seen, warm=10)
    assert seen.metrics[-1].rebases >= 10
    assert seen.metrics[-1].responses > 0
    assert seen.resident[-1] - seen.resident[10] < RESIDENT_SLACK
    assert math.isclose(ratio, 1, abs_tol=0.1)
