"""Snapshots: going back is exact, as often as wanted, and costs nothing but the slots that it keeps."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ClosedError, PoolFullError
from models.memory.settings import MemorySettings
from tests.laws import examples
from tests.models.oracle import Oracle
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
    state_of,
)

SCHEDULES = st.lists(st.sampled_from(PLAIN), min_size=3, max_size=14)
SMALL = replace(BASE, memory_settings=KNOBS, clip_frames=4, history_rounds=2, top_k=2)
# Counted over the whole session, whatever is gone back on.
COUNTS = ("frames", "chunks", "questions", "turns", "responses", "evicted", "prefill_tokens", "decode_tokens")


def now(session):
    """What a session is at this moment, counts that only rise left out."""
    counts, history = state_of(session)
    return {name: value for name, value in counts.items() if name not in COUNTS}, history


def cached(session):
    """Bytes of all keys and values that something still needs, in the order of entry."""
    row = session._state.row
    slots = torch.cat([entry.slots for entry in row.live()])
    layers = row.pool.pools
    return [part[row.index, :, slots].clone() for layer in layers for part in (layer.pool_keys, layer.pool_values)]


def carry_on(session, moment_ns, count, actions):
    """The same actions from the same moment on; returns all that was said."""
    driver = Driver(session)
    driver.clock_ns, driver.count = moment_ns, count
    for action in (*actions, "ask", "finish"):
        driver.do(action)
    return driver.spoken(), now(session)


@settings(max_examples=examples(20))
@given(
    family=st.sampled_from(FAMILIES),
    mode=st.sampled_from(MODES),
    memory=st.sampled_from(MEMORIES),
    before=SCHEDULES,
    after=SCHEDULES,
    other=SCHEDULES,
)
def test_going_back_is_exact(family, mode, memory, before, after, other):
    """From one moment: the same actions say the same, the first time, after others, and again."""
    session = model_of(family).session(replace(SMALL, mode=mode, memory=memory))
    driver = Driver(session)
    for action in ("frame", *before):
        driver.do(action)
    moment = session.snapshot()
    was, bytes_then = now(session), cached(session) if session.metrics().slots_used else []
    first = carry_on(session, driver.clock_ns, driver.count, after)
    session.restore(moment)
    assert now(session) == was
    if bytes_then:
        assert all(map(torch.equal, cached(session), bytes_then))
    carry_on(session, driver.clock_ns, driver.count, other)
    session.restore(moment)
    assert carry_on(session, driver.clock_ns, driver.count, after) == first
    session.restore(moment)
    session.forget(moment)
    check_no_leak(session)


@settings(max_examples=examples(10))
@given(mode=st.sampled_from(MODES), memory=st.sampled_from(MEMORIES), before=SCHEDULES, after=SCHEDULES)
def test_a_snapshot_changes_nothing(mode, memory, before, after):
    """A session that was looked back on says what one says that only ended its answer at that moment."""
    model, made = model_of(), []
    for looked in (True, False):
        driver = Driver(session := model.session(replace(SMALL, mode=mode, memory=memory)))
        for action in ("frame", *before):
            driver.do(action)
        if looked:
            session.forget(session.snapshot())
        else:
            session._state.interrupt()
            session._state.drain()
        for action in (*after, "ask", "finish"):
            driver.do(action)
        made.append((driver.spoken(), state_of(session)))
    assert made[0] == made[1]


def test_several_moments_in_any_order():
    session = model_of().session(memory="window", window_s=3.0)
    moments, said = [], []
    for step in range(4):
        fed(session, 4, start=4 * step)
        moments.append(session.snapshot())
        said.append(answered(session, "What?"))
        session.restore(moments[-1])
    for step in (3, 0, 2, 2, 1):
        session.restore(moments[step])
        assert answered(session, "What?") == said[step]
    for step in (2, 0, 3, 1):
        session.forget(moments[step])
    check_no_leak(session)
    assert said[0] != said[1] != said[2] != said[3], "what was seen shows in what is said"


def test_an_empty_session_can_be_gone_back_to():
    model = model_of()
    session = model.session()
    moment = session.snapshot()
    fed(session, 6, start=20)
    answered(session)
    session.restore(moment)
    assert session.metrics().slots_used == 0
    assert session.history == ()
    assert answered(fed(session, 4)) == answered(fed(model.session(), 4))
    # The stream may begin anew with frames of another size.
    session.restore(moment)
    session.add_frame(FRAMES[0][:16, :16], 5)


def test_time_may_come_again_but_not_before_the_moment():
    session = fed(model_of().session(), 4)
    moment = session.snapshot()
    fed(session, 4, start=4)
    session.restore(moment)
    with pytest.raises(Exception, match="expected one after"):
        session.add_frame(FRAMES[0], 3 * HALF_NS)
    fed(session, 1, start=4)


def test_a_moment_keeps_its_slots_until_it_is_forgotten():
    chosen = replace(BASE, memory="window", memory_settings=MemorySettings(last=2))
    session = fed(model_of().session(chosen), 4)
    plain = session.metrics().slots_used
    moment = session.snapshot()
    assert session.metrics().slots_used == plain, "nothing is copied"
    assert session.metrics().bytes_moved == 0
    fed(session, 4, start=4)
    assert session.metrics().slots_used == plain + 2 * 12
    session.forget(moment)
    assert session.metrics().slots_used == plain
    check_no_leak(session)


def test_a_lone_frame_and_turns_that_wait_are_part_of_the_moment():
    session = fed(model_of().session(), 5)
    moment = session.snapshot()
    first = [turn.t_ns for turn in session.speak()]
    fed(session, 1, start=5)
    assert session.metrics().chunks == 3
    session.restore(moment)
    assert [turn.t_ns for turn in session.speak()] == first
    fed(session, 1, start=5)
    assert session.ask("What?", options=hot()).stats.frames == 3


def test_going_back_ends_the_answer():
    session = fed(model_of().session(), 4)
    moment = session.snapshot()
    answer = session.ask("What?", options=hot(count=50))
    heard = next(answer)
    session.restore(moment)
    assert session.history == ()
    assert answer.text == heard
    assert list(answer) == []
    session.forget(moment)
    check_no_leak(session)


@pytest.mark.parametrize("act", ["restore", "forget"])
def test_a_moment_of_another_session_or_of_none(act):
    model = model_of()
    pool = model.pool(sessions=2)
    session, other = (fed(model.session(pool=pool), 4) for _ in range(2))
    foreign, gone = other.snapshot(), session.snapshot()
    session.forget(gone)
    expected = answered(fed(model.session(), 4))
    for moment in (foreign, gone):
        before = state_of(session)
        with pytest.raises(ClosedError, match=r"take another with snapshot\(\)"):
            session.restore(moment) if act == "restore" else session.forget(moment)
        assert state_of(session) == before
    assert answered(session) == expected
    other.restore(foreign)
    assert answered(other) == expected


def test_a_pool_that_a_moment_fills_is_free_again_when_it_is_forgotten():
    chosen = replace(BASE, slots=160, memory="window", memory_settings=MemorySettings(last=4))
    session = fed(model_of().session(chosen), 8)
    moment = session.snapshot()
    fed(session, 4, start=8)
    with pytest.raises(PoolFullError):
        session.ask("long " * 10)
    session.restore(moment)
    session.forget(moment)
    fed(session, 8, start=8)
    assert answered(session)
    check_no_leak(session)


@contextmanager
def stopped(session):
    """The vision thread waits before its next grid: its lock is held here."""
    with session._state.intake.encoder._working:
        yield


@pytest.mark.parametrize("mode", ["delayed", "incremental", "clip"])
def test_going_back_to_frames_that_memory_let_go_before_they_were_encoded(mode):
    """What memory drops is not encoded any more, unless a moment may still bring it back."""
    model = model_of()
    chosen = replace(BASE, memory="window", memory_settings=MemorySettings(last=2), mode=mode, clip_frames=4)
    quiet = fed(model.session(chosen), 8)
    expected = answered(quiet)
    session = model.session(replace(chosen, background=True, cache_bytes=1))
    if mode == "delayed":
        with stopped(session):
            fed(session, 8)
            moment = session.snapshot()
            fed(session, 6, start=8)
    else:
        moment = fed(session, 8).snapshot()
        fed(session, 6, start=8)
    session.restore(moment)
    assert answered(session) == expected
    model.close()


def test_frames_that_memory_let_go_are_not_encoded_where_no_moment_knows_them():
    model = model_of()
    chosen = replace(BASE, memory="window", memory_settings=MemorySettings(last=2), mode="delayed", background=True)
    session = model.session(replace(chosen, cache_bytes=2))
    encoder = session._state.intake.encoder
    with stopped(session):
        fed(session, 14)
    encoder.drain()
    assert encoder.stats().cancelled >= 3
    moment = session.snapshot()
    session.forget(moment)
    with stopped(session):
        fed(session, 14, start=14)
    encoder.drain()
    assert encoder.stats().cancelled >= 6
    model.close()


def test_a_moment_is_as_exact_as_its_session():
    """After going back, logits are still those of one forward over what the session has seen on that path."""
    model = model_of("qwen3_vl")
    session = model.session(replace(SMALL, memory="clusters"))
    session.observe(oracle := Oracle(model.backbone))
    fed(session, 9)
    moment = session.snapshot()
    answered(session)
    fed(session, 7, start=9)
    list(session.speak(options=hot()))
    session.restore(moment)
    fed(session, 5, start=9)
    answered(session)
    assert oracle.difference() <= 1e-4
