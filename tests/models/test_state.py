"""What changes while a session runs: grids that wait, positions that are set back, entries that line up again."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.layouts import LAYOUTS
from models.memory.settings import MemorySettings
from tests.laws import examples
from tests.models.oracle import SECOND_NS, drawn_frames
from tests.models.replay import Replay
from tests.models.sessions import BASE, FAMILIES, FRAMES, HALF_NS, KNOBS, check_no_leak, fed, hot, model_of

CLOSE = 1e-4
APART = tuple(name for name in LAYOUTS if name != "branch")
# Layouts whose questions have a place of their own behind the frames.
BEHIND = tuple(name for name, layout in LAYOUTS.items() if not layout.in_line)
SETBACK = replace(BASE, memory="window", memory_settings=MemorySettings(last=3), position_limit=150, history_rounds=2)


def highest_allowed(session, *, live=3):
    """The limit, and what passes it: the pauses in one segment of what lives and comes next, a round, an offset."""
    state = session._state
    pause = 60 * int(state.row.clock.tokens_per_second)
    return state.settings.position_limit + pause * (live + 1) + 180 + state.positions.offset


@pytest.mark.parametrize(
    ("family", "layout"), [*((family, "branch") for family in FAMILIES), *(("qwen2_5_vl", one) for one in APART)]
)
def test_a_long_session_equals_its_replay(family, layout):
    """Positions are set back again and again; every logit is that of keys turned once, to where they are."""
    model = model_of(family)
    session = model.session(replace(SETBACK, layout=layout))
    replay = Replay(session, model.backbone)
    for index in range(28):
        session.add_frame(FRAMES[index % 8], index * 6 * SECOND_NS)
        if index % 9 == 8:
            session.ask("What is it?", options=hot(count=3)).run()
        if index % 13 == 12:
            list(session.speak(options=hot(count=2)))
    assert session.metrics().rebases >= 2
    assert replay.compared >= 8
    assert replay.difference <= CLOSE
    assert replay.highest <= highest_allowed(session)
    check_no_leak(session)


def test_the_replay_finds_a_key_that_was_turned_wrongly():
    model = model_of()
    session = fed(model.session(SETBACK), 0)
    replay = Replay(session, model.backbone)
    fed(session, 6)
    session.ask("What?", options=hot(count=2)).run()
    assert replay.difference <= CLOSE
    row = session._state.row
    frame = next(entry for entry in row.live() if entry.block.kind is Kind.FRAMES)
    row.pool.rebase(row.index, frame.slots, (9, 9, 9))
    session.ask("What?", options=hot(count=2)).run()
    assert replay.difference > CLOSE


@settings(max_examples=examples(10))
@given(
    gaps=st.lists(st.sampled_from([1, HALF_NS, SECOND_NS, 30 * SECOND_NS, 3600 * SECOND_NS]), min_size=10, max_size=40),
    asks=st.sets(st.integers(0, 39), max_size=6),
    family=st.sampled_from(FAMILIES),
    mode=st.sampled_from(["incremental", "delayed", "clip", "parallel"]),
)
def test_positions_stay_under_the_limit(gaps, asks, family, mode):
    """Whatever the pauses, hours long or a nanosecond, positions stay near the limit and logits right."""
    model = model_of(family)
    session = model.session(replace(SETBACK, mode=mode, clip_frames=4, position_limit=300))
    replay = Replay(session, model.backbone)
    t_ns = 0
    for index, gap in enumerate(gaps):
        t_ns += gap
        session.add_frame(FRAMES[index % 8], t_ns)
        if index in asks:
            session.ask("What is it?", options=hot(count=2)).run()
    session.ask("What is it?", options=hot(count=2)).run()
    assert replay.difference <= CLOSE
    assert replay.highest <= highest_allowed(session)
    check_no_leak(session)


def test_positions_without_a_limit_grow():
    """The law above is not idle: the same stream passes the limit where nothing sets it back."""
    session = model_of().session(replace(SETBACK, position_limit=10**6))
    replay = Replay(session, model_of().backbone)
    for index in range(40):
        session.add_frame(FRAMES[index % 8], index * 30 * SECOND_NS)
    session.ask("What?", options=hot(count=2))
    assert session.metrics().rebases == 0
    assert replay.highest > 1000


def test_a_snapshot_puts_a_setback_off():
    session = fed(model_of().session(SETBACK), 8, step_ns=4 * SECOND_NS)
    moment, before = session.snapshot(), session.metrics().rebases
    fed(session, 60, start=8, step_ns=4 * SECOND_NS)
    assert session.metrics().rebases == before
    session.forget(moment)
    fed(session, 2, start=68, step_ns=4 * SECOND_NS)
    assert session.metrics().rebases == before + 1
    assert session._state.track.cursor.next <= highest_allowed(session)


@pytest.mark.parametrize("layout", BEHIND)
def test_rounds_line_up_behind_the_frames_after_a_setback(layout):
    session = model_of().session(replace(SETBACK, layout=layout, position_limit=220))
    for index in range(24):
        session.add_frame(FRAMES[index % 8], index * 6 * SECOND_NS)
        if index in (3, 9, 15):
            session.ask("What?", options=hot(count=3)).run()
    state = session._state
    state.settings = replace(state.settings, position_limit=1)
    ids = state.dialogue.visible()
    steps = [state.row.entry(key).positions.diff(dim=1) for key in ids]
    state.set_back()
    frames = max(entry.end for entry in state.row.live() if entry.block.kind is Kind.FRAMES)
    apart = not state.positions.beside
    asked = [state.row.entry(key) for key in ids if not (apart and state.row.entry(key).block.kind is Kind.REPLY)]
    assert min(int(entry.positions.min()) for entry in asked) == frames
    assert state.track.cursor.next == (max(entry.end for entry in asked) if apart else frames)
    assert [torch.equal(state.row.entry(key).positions.diff(dim=1), step) for key, step in zip(ids, steps, strict=True)]
    if apart and not state.layout.retold:
        said = [state.row.entry(key) for key in ids if state.row.entry(key).block.kind is Kind.REPLY]
        assert min(int(entry.positions.min()) for entry in said) == state.positions.offset
        assert state.reply_next == max(entry.end for entry in said)


@pytest.mark.parametrize(("frames_per_chunk", "queued"), [(2, [0, 0, 0, 0]), (4, [1, 0, 1, 0]), (6, [1, 2, 0, 1])])
def test_grids_of_a_chunk_enter_together(frames_per_chunk, queued):
    session, seen = model_of().session(replace(BASE, frames_per_chunk=frames_per_chunk)), []
    for grid in range(4):
        fed(session, 2, start=2 * grid)
        seen.append(session.metrics().chunks_pending)
    assert seen == queued
    assert session.ask("What?", options=hot()).stats.frames == 4
    assert session.metrics().chunks_pending == 0


@pytest.mark.parametrize("mode", ["incremental", "delayed", "clip"])
def test_grids_wait_while_an_answer_is_written(mode):
    session = fed(model_of().session(replace(BASE, mode=mode, max_pending=3)), 4)
    answer = session.ask("What?", options=hot(count=50))
    next(answer)
    for grid, waiting in enumerate([1, 2, 3, 3]):
        fed(session, 2, start=4 + 2 * grid)
        assert session.metrics().chunks_pending == waiting, "no more wait than may"
    answer.close()
    fed(session, 2, start=12)
    assert session.metrics().chunks_pending == 0
    check_no_leak(session)


def test_grids_that_never_fit_are_dropped_and_the_next_ones_come_in():
    """While something is held they wait for it; where nothing would ever make room, they go."""
    chosen = replace(BASE, slots=110, max_pending=50)
    session = fed(model_of().session(chosen), 4)
    answer = session.ask("?", options=hot(count=2))
    fed(session, 10, start=4)
    assert session.metrics().chunks_pending == 5
    answer.close()
    with pytest.raises(PoolFullError):
        session.ask("What?")
    assert session.metrics().chunks_pending == 0
    assert not session._state.row.held


def test_a_vision_tower_that_fails_costs_its_grid_and_no_more():
    """A grid whose features cannot be had goes; the session takes the next ones."""
    model = model_of()
    session = fed(model.session(replace(BASE, max_pixels=4096 - 1)), 4)
    tower = session._state.intake.encoder._tower
    whole, tower._rule = tower._rule, None
    first, second = drawn_frames(2, seed=9)
    session.add_frame(first, 10 * SECOND_NS)
    with pytest.raises(AttributeError):
        session.add_frame(second, 11 * SECOND_NS)
    tower._rule = whole
    fed(session, 4, start=40)
    assert session.metrics().chunks_pending == 0
    assert session.ask("What?", options=hot()).run().stats.frames >= 4
    check_no_leak(session)


def test_knobs_are_small():
    """The tests' knobs let memory go within a schedule of a few frames."""
    session = fed(model_of().session(replace(BASE, memory="window", memory_settings=KNOBS)), 12)
    assert session.metrics().evicted == 4
