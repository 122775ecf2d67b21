"""Sessions in several threads: one that adds frames and one that asks, and sessions that share a pool."""

import sys
import threading
import time
from dataclasses import replace

import pytest

from models.errors import ClosedError, PoolFullError
from tests.models.sessions import BASE, FRAMES, HALF_NS, KNOBS, MODES, answered, check_no_leak, fed, hot, model_of

# A reply that another thread did not cut off ends at its length, or at the end that chance drew.
ENDS = ("length", "end", "interrupted")
SMALL = replace(BASE, memory="window", memory_settings=KNOBS, clip_frames=4, slots=512)


@pytest.fixture(autouse=True)
def restless():
    """Threads that take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*calls):
    """Runs each call in a thread of its own; returns what went wrong."""
    wrong = []

    def guarded(call):
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - told to the test
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    return wrong


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_one_thread_adds_frames_while_another_asks(mode, background):
    session = fed(model_of().session(replace(SMALL, mode=mode, background=background)), 4)

    def ask():
        for seed in range(3):
            answer = session.ask("What?", options=hot(seed, count=3)).run()
            assert answer.stats.stopped_by == "end" or len(answer.token_ids) == 3
            session.metrics()

    assert together(lambda: fed(session, 24, start=4), ask) == []
    assert session.metrics().frames == 28
    check_no_leak(session)
    session.close()


def test_one_thread_speaks_while_frames_come_and_each_grid_has_its_turn():
    session = fed(model_of().session(replace(SMALL, speak_threshold=0.0)), 2)
    ends, done = [], threading.Event()

    def speak():
        while not done.is_set() or session._state.undecided:
            ends.extend(turn.t_ns for turn in session.speak(options=hot(count=2)))

    def watch():
        fed(session, 16, start=2)
        done.set()

    assert together(watch, speak) == []
    assert ends == [end * HALF_NS for end in range(1, 18, 2)]
    check_no_leak(session)


def play(session, seed, said):
    """Frames and questions in turn."""
    for index in range(10):
        session.add_frame(FRAMES[(index * 3 + seed) % len(FRAMES)], index * HALF_NS)
        if index % 5 == 4:
            said.append(answered(session, f"What {seed}?", options=hot(seed, count=3)))


@pytest.mark.parametrize("shared", [False, True])
def test_two_sessions_in_two_threads_are_as_each_alone(shared):
    model = model_of()
    expected = ([], [])
    for seed, said in enumerate(expected):
        play(model.session(SMALL), seed, said)
    for _ in range(3):
        pool = model.pool(slots=512, sessions=2) if shared else None
        sessions, found = [model.session(SMALL, pool=pool) for _ in range(2)], ([], [])
        wrong = together(
            lambda: play(sessions[0], 0, found[0]),  # noqa: B023 - the threads end within this round
            lambda: play(sessions[1], 1, found[1]),  # noqa: B023
        )
        assert wrong == []
        assert found == expected


def test_two_threads_that_ask_interrupt_each_other_and_leave_the_session_whole():
    session = fed(model_of().session(SMALL), 6)

    def ask(seed):
        for _ in range(4):
            answer = session.ask("What?", options=hot(seed, count=4)).run()
            assert answer.stats.stopped_by in ENDS

    assert together(lambda: ask(1), lambda: ask(2)) == []
    assert session.metrics().questions == 8
    check_no_leak(session)


def test_an_answer_ends_when_another_thread_closes_the_session():
    session = fed(model_of().session(SMALL), 6)
    answer = session.ask("What?", options=hot(count=40))
    started, closed = threading.Event(), threading.Event()

    def read():
        for _ in answer:
            started.set()
            assert closed.wait(timeout=10)

    def close():
        assert started.wait(timeout=10)
        session.close()
        session.close()
        closed.set()

    assert together(read, close) == []
    assert answer.stats.stopped_by == "interrupted"


@pytest.mark.parametrize("seed", range(4))
def test_closing_may_fall_on_any_step_of_an_answer(seed):
    session = fed(model_of().session(SMALL), 6)
    answer = session.ask("What?", options=hot(seed, count=40))

    def close():
        time.sleep(seed * 0.004)
        session.close()

    assert together(answer.run, close) == []
    assert answer.stats.stopped_by in ENDS
    with pytest.raises(ClosedError):
        session.ask("What?")


def test_rows_are_handed_out_once():
    model = model_of()
    pool, opened = model.pool(slots=64, sessions=3), []

    def take():
        for _ in range(2):
            try:
                opened.append(model.session(SMALL, pool=pool))
            except PoolFullError:
                opened.append(None)

    assert together(take, take, take) == []
    rows = sorted(session._state.row.index for session in opened if session is not None)
    assert rows == [0, 1, 2]
    assert opened.count(None) == 3


def test_a_reader_keeps_the_lock_only_while_it_works():
    session = fed(model_of().session(replace(SMALL, speak_threshold=0.0)), 6)
    answer, turns = session.ask("What?", options=hot()), session.speak(options=hot())
    next(answer, None)
    next(turns)
    lock, free = session._state.row.pool.lock, []

    def take():
        free.append(lock.acquire(blocking=False))
        if free[-1]:
            lock.release()

    assert together(take) == []
    assert free == [True]
