"""A forward that fails once leaves a session usable: no slot leaks, and later answers are as if it had never failed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.engine import Engine
from models.errors import PoolFullError
from models.speaking import Turn
from tests.models.sessions import (
    BASE,
    FAMILIES,
    FRAMES,
    HALF_NS,
    KNOBS,
    MEMORIES,
    MODES,
    PLAIN,
    Driver,
    answered,
    check_no_leak,
    fed,
    hot,
    model_of,
)

ERRORS = (RuntimeError, KeyboardInterrupt)
SMALL = replace(BASE, memory_settings=KNOBS, clip_frames=4, history_rounds=3, slots=700)
COMBINATIONS = [(mode, memory) for mode in MODES for memory in MEMORIES if mode != "clip" or memory == "all"]
SCHEDULE = (
    *("frame",) * 5, "ask", "piece", *("frame",) * 4, "piece", "piece", "late", "finish", "frame", "speak", "ask",
    "frame", "frame", "frame", "piece", "close", "late", "speak", "snapshot", "frame", "frame", "ask", "restore", "ask",
)  # fmt: skip
# Counts of work done, some of it twice after a fault, and of what waits for the next call.
WORK = ("prefill_tokens", "decode_tokens", "bytes_moved", "chunks_pending")


class Faulty(Engine):
    """An engine of which one forward fails, before it has written anything or when it has written all."""

    def __init__(self, engine, *, at, error, late):
        super().__init__(engine.backbone, engine.pool)
        self.left = at
        self.late = late
        self.error = error
        self.fired = False
        self.failed = None

    def forward(self, feeds):
        self.left -= 1
        fails = self.left == 0
        logits = [] if fails and not self.late else super().forward(feeds)
        if fails:
            self.fired, self.failed = True, feeds
            raise self.error("out of memory")
        return logits


def plant(session, *, at=1, error=RuntimeError, late=False):
    """Lets one of the forwards to come fail; returns the engine."""
    row = session._state.row
    row.engine = Faulty(row.engine, at=at, error=error, late=late)
    return row.engine


class Stubborn(Driver):
    """Does again what failed, as a caller would who takes nothing back."""

    def do(self, action):
        try:
            super().do(action)
        except ERRORS:
            self._after_fault()
            if action in ("frame", "late"):
                self.count += 1
            else:
                super().do(action)

    def _after_fault(self):
        feeds, state = self.session._state.row.engine.failed, self.session._state
        if state.answer is None and len(feeds) == 1 and len(feeds[0].token_ids) == 1 and feeds[0].logits:
            # The turn was decided and its reply had begun: it will be decided, and heard, once more.
            self.ear.logits.pop()
        if self.said and isinstance(self.said[-1], Turn) and self.said[-1].answer is not None:
            self.said[-1].answer.run()


def outcome(driver):
    """All that was said, what a question hears now, and what the session has become."""
    session = driver.session
    spoken = driver.spoken()
    while driver.moments:
        session.forget(driver.moments.pop()[0])
    last = answered(session, "And now?")
    check_no_leak(session)
    counts = {name: value for name, value in session.metrics().as_dict().items() if name not in WORK}
    counts = {name: value for name, value in counts.items() if not name.startswith("vision") and name[-2:] != "_s"}
    return spoken, last, counts, [(said.question, said.reply, said.t_ns, said.unfed) for said in session.history]


def played(schedule, *, family, chosen, fault=None):
    """What comes of a schedule, and whether the fault has happened."""
    with model_of(family).session(chosen) as session:
        driver = Stubborn(session)
        engine = None if fault is None else plant(session, **fault)
        for action in ("frame", *schedule):
            driver.do(action)
        if engine is not None:
            engine.left = 0
        return outcome(driver), engine is not None and engine.fired


@settings(max_examples=40, deadline=None)
@given(
    combination=st.sampled_from(COMBINATIONS),
    family=st.sampled_from(FAMILIES),
    schedule=st.lists(st.sampled_from((*PLAIN, "frame", "ask", "snapshot", "restore")), min_size=3, max_size=14),
    at=st.integers(1, 14),
    error=st.sampled_from(ERRORS),
    late=st.booleans(),
)
def test_a_forward_that_failed_leaves_no_trace(combination, family, schedule, at, error, late):
    mode, memory = combination
    chosen = replace(SMALL, mode=mode, memory=memory)
    found, _ = played(schedule, family=family, chosen=chosen, fault={"at": at, "error": error, "late": late})
    expected, _ = played(schedule, family=family, chosen=chosen)
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("mode", "memory"), COMBINATIONS)
def test_whichever_forward_fails(mode, memory, late):
    chosen = replace(SMALL, mode=mode, memory=memory)
    expected, _ = played(SCHEDULE, family="qwen3_vl", chosen=chosen)
    at, fired = 1, True
    while fired:
        fault = {"at": at, "error": ERRORS[at % 2], "late": late}
        found, fired = played(SCHEDULE, family="qwen3_vl", chosen=chosen, fault=fault)
        assert found == expected, f"the fault was at forward {at}"
        at += 1
    assert at > 20
