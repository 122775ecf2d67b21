"""A forward that fails once leaves a session usable: no slot leaks, and later answers are as if it had never failed."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.engine import Engine
from models.errors import PoolFullError
from models.speaking import Turn
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.laws import examples
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


@settings(max_examples=examples(25), deadline=None)
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
def test_wherever_a_forward_fails(mode, memory, late):
    chosen = replace(SMALL, mode=mode, memory=memory)
    expected, _ = played(SCHEDULE, family="qwen3_vl", chosen=chosen)
    at, fired = (4 if late else 1), True
    while fired:
        fault = {"at": at, "error": ERRORS[at % 2], "late": late}
        found, fired = played(SCHEDULE, family="qwen3_vl", chosen=chosen, fault=fault)
        assert found == expected, f"the fault was at forward {at}"
        at += 7
    assert at > 20


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("memory", ["window", "clusters"])
def test_a_step_that_failed_brings_its_grid_with_the_next_and_no_other(memory, error, late):
    said = []
    for faulty in (False, True):
        driver = Driver(model_of().session(replace(SMALL, mode="parallel", memory=memory)))
        session = fed(driver.session, 6)
        answer = session.ask("What?", options=hot(count=7))
        next(answer)
        for index in range(6, 12):
            session.add_frame(FRAMES[index * 3 % len(FRAMES)], index * HALF_NS)
        if faulty:
            plant(session, error=error, late=late)
            used, waiting = session.metrics().slots_used, session.metrics().chunks_pending
            with pytest.raises(error):
                answer.run()
            assert waiting - session.metrics().chunks_pending == 1
            assert [draft.entry.block.kind for draft in session._state.row.owed][-1] is Kind.FRAMES
            assert session.metrics().slots_used <= used + sum(len(d.entry.slots) for d in session._state.row.owed)
        said.append((answer.run().token_ids, answered(session, "And now?"), driver.spoken()))
        assert session._state.row.owed == ()
        check_no_leak(session)
        session.close()
    assert said[0] == said[1]


@pytest.mark.parametrize("mode", ["incremental", "parallel"])
def test_a_frame_whose_forward_failed_has_been_taken(mode):
    session, whole = (fed(model_of().session(replace(SMALL, mode=mode)), 3) for _ in range(2))
    plant(session)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_frame(FRAMES[1], 3 * HALF_NS)
    assert session.metrics().frames == 4
    assert len(session._state.undecided) == 2
    [draft] = session._state.row.owed
    assert draft.entry.block.kind is Kind.FRAMES
    fed(session, 1, start=4)
    assert session._state.row.owed, "a frame alone needs no forward"
    fed(session, 1, start=5)
    assert session._state.row.owed == ()
    whole.add_frame(FRAMES[1], 3 * HALF_NS)
    assert answered(session) == answered(fed(whole, 2, start=4))


def test_a_frame_that_is_refused_waits_for_no_decision():
    session = fed(model_of().session(replace(BASE, slots=120, history_rounds=0)), 4)
    undecided = tuple(session._state.undecided)
    with pytest.raises(PoolFullError):
        fed(session, 60, start=4)
    came = session.metrics().chunks
    assert len(session._state.undecided) == came
    assert tuple(session._state.undecided)[: len(undecided)] == undecided


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("error", ERRORS)
def test_the_first_forward_of_all_may_fail(mode, error):
    session = model_of().session(replace(SMALL, mode=mode))
    engine = plant(session, error=error)
    for index in range(4):
        try:
            fed(session, 1, start=index)
        except error:
            assert [draft.entry.block.kind for draft in session._state.row.owed] == [Kind.SYSTEM]
    if not engine.fired:
        with pytest.raises(error):
            session.ask("What?")
    assert answered(session) == answered(fed(model_of().session(replace(SMALL, mode=mode)), 4))
    check_no_leak(session)


def test_what_is_owed_can_be_given_up():
    session = fed(model_of().session(replace(SMALL, mode="incremental")), 4)
    moment = session.snapshot()
    plant(session)
    with pytest.raises(RuntimeError):
        fed(session, 2, start=4)
    assert session._state.row.owed
    session.restore(moment)
    assert session._state.row.owed == ()
    session.forget(moment)
    check_no_leak(session)
    plant(session)
    with pytest.raises(RuntimeError):
        fed(session, 2, start=4)
    session.close()
    assert session._state.row.owed == ()


def test_a_grid_that_was_never_fed_is_neither_moved_nor_copied():
    session = fed(model_of().session(SMALL), 2)
    plant(session)
    with pytest.raises(RuntimeError):
        fed(session, 2, start=2)
    row = session._state.row
    [draft] = row.owed
    with pytest.raises(AssertionError, match="never fed"):
        row.move(draft.entry.id, delta=(1, 1, 1), cursor=draft.entry.cursor)
    with pytest.raises(AssertionError, match="never fed"):
        row.copy_out(draft.entry.id)


@pytest.mark.parametrize("mode", ["incremental", "parallel"])
def test_an_answer_that_was_given_up_puts_nothing_off_for_ever(mode):
    chosen = replace(SMALL, mode=mode, memory="window", position_limit=300, slots=400)
    session = fed(model_of().session(chosen), 6)
    next(session.ask("What?", options=hot(count=50)))
    fed(session, 300, start=6)
    assert session.metrics().rebases > 0
    assert session._state.track.cursor.next <= 300
    assert session._state.answer is None
    check_no_leak(session)


def test_an_answer_goes_on_where_a_snapshot_puts_it_off_anyway():
    session = fed(model_of().session(replace(SMALL, memory="window", position_limit=80)), 6)
    session.snapshot()
    answer = session.ask("What?", options=hot(count=50))
    next(answer)
    fed(session, 60, start=6)
    assert session._state.track.cursor.next > 80
    assert session.metrics().rebases == 0
    assert session._state.answer is answer


@pytest.mark.parametrize("end", ["close", "throw", "delete"])
def test_turns_that_are_left_close_their_answer(end):
    session = fed(model_of().session(replace(SMALL, speak_threshold=0.0)), 6)
    turns = session.speak(options=hot())
    turn = next(turns)
    said = next(turn.answer)
    if end == "close":
        turns.close()
    elif end == "throw":
        with pytest.raises(ValueError, match="stop here"):
            turns.throw(ValueError("stop here"))
    else:
        del turns
    assert turn.answer.stats.stopped_by == "interrupted"
    assert [kept.reply for kept in session.history] == [said]
    check_no_leak(session)
    assert len(list(session.speak(options=hot()))) == 2


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_grid_that_the_tower_failed_on_is_not_decided_about(mode, background, monkeypatch):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=replace(BASE, max_new_tokens=2))
    chosen = replace(SMALL, mode=mode, background=background, cache_bytes=0)
    session, calls = model.session(chosen), []
    encoder = session._state.intake.encoder
    encode = encoder._tower.encode

    def failing(*given):
        calls.append(given)
        if len(calls) == 2:
            raise RuntimeError("the tower fell")
        return encode(*given)

    monkeypatch.setattr(encoder._tower, "encode", failing)
    for index in range(10):
        with contextlib.suppress(RuntimeError):
            fed(session, 1, start=index)
        encoder.drain()
    if mode == "delayed":
        with pytest.raises(RuntimeError, match="the tower fell"):
            session.ask("What?")
    ends = [turn.t_ns for turn in session.speak(options=hot(count=2))]
    assert ends == [end * HALF_NS for end in (1, 5, 7, 9)]
    check_no_leak(session)
    model.close()
