"""What a session refuses: each with a typed error that says what to do, and the session is as if it had never come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.answer import AnswerOptions
from models.errors import (
    ClosedError,
    FrameError,
    PoolFullError,
    QuestionError,
    SettingsError,
    StreamError,
    TimeError,
)
from models.memory.settings import MemorySettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.laws import examples
from tests.models.oracle import SECOND_NS
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

LATER = 10**15
GOOD = FRAMES[0]


def frame_with(frame, t_ns=LATER):
    return lambda session: session.add_frame(frame, t_ns)


def question_with(question, **given):
    return lambda session: session.ask(question, **given)


BAD = {
    "time backwards": (frame_with(GOOD, -1), TimeError, "drop it or sort"),
    "time as before": (lambda session: session.add_frame(GOOD, session._state.intake.last_ns), TimeError, "sort"),
    "time a float": (frame_with(GOOD, 1e15), TimeError, "int of nanoseconds"),
    "time a bool": (frame_with(GOOD, t_ns=True), TimeError, "int of nanoseconds"),
    "time of numpy": (frame_with(GOOD, np.int64(LATER)), TimeError, "int of nanoseconds"),
    "no time": (frame_with(GOOD, None), TimeError, "int of nanoseconds"),
    "time a text": (frame_with(GOOD, "1"), TimeError, "int of nanoseconds"),
    "higher": (frame_with(np.zeros((32, 32, 3), np.uint8)), FrameError, "resize it"),
    "turned": (frame_with(GOOD.transpose(1, 0, 2)), FrameError, "resize it"),
    "float": (frame_with(GOOD.astype(np.float32) / 255), FrameError, "expected uint8"),
    "int16": (frame_with(GOOD.astype(np.int16)), FrameError, "expected uint8"),
    "tensor of floats": (frame_with(torch.zeros(24, 32, 3)), FrameError, "uint8"),
    "grey": (frame_with(GOOD[..., 0]), FrameError, "colour comes last"),
    "with alpha": (frame_with(np.zeros((24, 32, 4), np.uint8)), FrameError, "colour comes last"),
    "colour first": (frame_with(GOOD.transpose(2, 0, 1)), FrameError, "colour comes last"),
    "two frames": (frame_with(np.stack([GOOD, GOOD])), FrameError, "height, width, 3"),
    "empty frame": (frame_with(np.zeros((0, 32, 3), np.uint8)), FrameError, "no side of 0"),
    "long and thin": (frame_with(np.zeros((8, 8 * 201, 3), np.uint8)), FrameError, "expected"),
    "a list": (frame_with(GOOD.tolist()), FrameError, "NumPy array"),
    "no frame": (frame_with(None), FrameError, "NumPy array"),
    "empty question": (question_with(""), QuestionError, "expected text"),
    "blank question": (question_with(" \n\t\u3000"), QuestionError, "expected text"),
    "no question": (question_with(None), QuestionError, "expected text"),
    "question of bytes": (question_with(b"what?"), QuestionError, "expected text"),
    "half a character": (question_with("a\ud83d?"), QuestionError, "surrogate"),
    "question of the past": (question_with("What?", t_ns=-5), TimeError, "newest frame"),
    "question at a float": (question_with("What?", t_ns=1e18), TimeError, "int"),
    "question at a bool": (question_with("What?", t_ns=True), TimeError, "int"),
    "no tokens": (question_with("What?", max_new_tokens=0), SettingsError, "at least 1"),
    "half a token": (question_with("What?", max_new_tokens=2.5), SettingsError, "integer"),
    "true tokens": (question_with("What?", max_new_tokens=True), SettingsError, "integer"),
    "options a dict": (question_with("What?", options={"temperature": 1}), SettingsError, "AnswerOptions"),
    "speaks by a text": (lambda session: session.speak(options="loud"), SettingsError, "AnswerOptions"),
    "question too long": (question_with("long " * 400), PoolFullError, "slots"),
    "no snapshot": (lambda session: session.restore(None), ClosedError, "snapshot"),
    "forgets nothing": (lambda session: session.forget("it"), ClosedError, "snapshot"),
}


def begun():
    session = fed(model_of().session(), 5)
    answered(session, "First?")
    return session


def gone_on(session):
    """What a session says when its stream goes on, and what it has become."""
    fed(session, 3, start=5)
    said = answered(session)
    return said, [(turn.t_ns, turn.probabilities) for turn in session.speak()], state_of(session)[1]


@pytest.fixture(scope="module")
def quiet():
    """A session that never saw bad input."""
    return gone_on(begun())


@pytest.mark.parametrize("name", BAD)
def test_bad_input_leaves_the_session_as_it_was(name, quiet):
    """A session that met it goes on like one that never did: counts, slots, frames, rounds and words."""
    act, kind, told = BAD[name]
    met = begun()
    before = state_of(met)
    with pytest.raises(kind, match=told):
        act(met)
    assert state_of(met) == before
    assert gone_on(met) == quiet
    check_no_leak(met)


@settings(max_examples=examples(20))
@given(
    mode=st.sampled_from(MODES),
    memory=st.sampled_from(MEMORIES),
    family=st.sampled_from(FAMILIES),
    actions=st.lists(
        st.tuples(st.sampled_from(PLAIN), st.none() | st.sampled_from(sorted(BAD))), min_size=5, max_size=20
    ),
)
def test_bad_input_at_any_moment_changes_nothing(mode, memory, family, actions):
    model = model_of(family)
    chosen = replace(BASE, mode=mode, memory=memory, memory_settings=KNOBS, clip_frames=4)
    met, quiet = Driver(model.session(chosen)), Driver(model.session(chosen))
    for driver in (met, quiet):
        driver.do("frame")
    for action, bad in actions:
        met.do(action)
        quiet.do(action)
        # What does not fit is found where the answer before has ended, as it does for every new question.
        if bad is not None and bad != "question too long":
            with pytest.raises(StreamError):
                BAD[bad][0](met.session)
    assert met.spoken() == quiet.spoken()
    assert state_of(met.session) == state_of(quiet.session)


@pytest.mark.parametrize("mode", MODES)
def test_a_question_before_any_frame(mode):
    session = model_of().session(mode=mode)
    with pytest.raises(QuestionError, match="call add_frame first"):
        session.ask("What?")
    assert list(session.speak()) == []
    assert session.metrics().slots_used == 0
    with pytest.raises(QuestionError, match="expected text"):
        session.ask("")
    assert answered(fed(session, 4)) == answered(fed(model_of().session(mode=mode), 4))


def test_the_first_frame_may_be_refused_and_the_next_one_begins_the_stream():
    session = model_of().session()
    for bad in (GOOD.astype(np.float64), GOOD[..., 0], None):
        with pytest.raises(FrameError):
            session.add_frame(bad, 7)
    with pytest.raises(TimeError):
        session.add_frame(GOOD, 7.0)
    assert answered(fed(session, 4)) == answered(fed(model_of().session(), 4))


@pytest.mark.parametrize("made", ["strided", "reversed", "fortran", "read-only", "tensor", "tensor view"])
def test_the_layout_in_memory_does_not_matter(made):
    def bent(frame):
        wide = np.zeros((48, 64, 3), np.uint8)
        wide[::2, ::2] = frame
        locked = frame.copy()
        locked.setflags(write=False)
        return {
            "strided": wide[::2, ::2],
            "reversed": np.ascontiguousarray(frame[:, ::-1])[:, ::-1],
            "fortran": np.asfortranarray(frame),
            "read-only": locked,
            "tensor": torch.from_numpy(frame.copy()),
            "tensor view": torch.from_numpy(frame.transpose(2, 0, 1).copy()).permute(1, 2, 0),
        }[made]

    plain, other = model_of().session(), model_of().session()
    for index in range(5):
        plain.add_frame(FRAMES[index], index * HALF_NS)
        other.add_frame(bent(FRAMES[index]), index * HALF_NS)
    assert answered(plain) == answered(other)


def test_a_frame_may_be_overwritten_once_it_was_taken():
    plain, reused, buffer = model_of().session(), model_of().session(), np.empty_like(GOOD)
    for index in range(5):
        buffer[:] = FRAMES[index]
        plain.add_frame(FRAMES[index], index * HALF_NS)
        reused.add_frame(buffer, index * HALF_NS)
        buffer[:] = 0
    assert answered(plain) == answered(reused)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("slots", [1, 70, 130])
@pytest.mark.parametrize("mode", MODES)
def test_a_context_larger_than_the_pool(family, slots, mode):
    """Whatever does not fit is refused as such; nothing is left behind, and what fits is still answered."""
    model = model_of(family)
    session = model.session(replace(BASE, slots=slots, mode=mode, clip_frames=4))
    refused = []
    for index in range(12):
        used = session.metrics().slots_used
        try:
            session.add_frame(FRAMES[index % 8], index * HALF_NS)
        except (PoolFullError, SettingsError) as error:
            refused.append(str(error))
            assert session.metrics().slots_used - used in (0, len(model.prompts.system(BASE.system_prompt)))
        try:
            session.ask("What?", max_new_tokens=2).run()
        except (PoolFullError, SettingsError) as error:
            refused.append(str(error))
        except QuestionError:
            assert session.metrics().frames == 0
        assert not session._state.row.held
    assert refused
    assert all("slots" in told for told in refused)
    session.close()


def test_a_shorter_question_fits_where_a_longer_one_did_not():
    session = fed(model_of().session(replace(BASE, slots=160)), 4)
    used = session.metrics().slots_used
    with pytest.raises(PoolFullError, match="raise `slots`"):
        session.ask("long " * 20)
    assert session.metrics().slots_used == used
    assert session.ask("What?", max_new_tokens=2).run().token_ids
    check_no_leak(session)


def test_a_pool_that_fills_while_an_answer_is_written_ends_it():
    session = fed(model_of().session(replace(BASE, slots=110)), 2)
    answer = session.ask("What?", options=hot(count=100))
    with pytest.raises(PoolFullError):
        answer.run()
    assert answer.stats.stopped_by == "interrupted"
    check_no_leak(session)


def test_a_frame_that_memory_cannot_take_may_come_again():
    """An open snapshot keeps slots; the frame is refused, and taken once the snapshot is forgotten."""
    model = model_of()
    chosen = replace(BASE, slots=160, memory="window", memory_settings=MemorySettings(last=5))
    session, quiet = model.session(chosen), model.session(chosen)
    for one in (session, quiet):
        fed(one, 10)
    moment = session.snapshot()
    with pytest.raises(PoolFullError, match="snapshot"):
        fed(session, 30, start=10)
    count = session.metrics().frames
    assert 10 < count < 40
    session.forget(moment)
    fed(session, 40 - count, start=count)
    fed(quiet, 30, start=10)
    assert answered(session) == answered(quiet)
    check_no_leak(session)


CLOSED = {
    "add_frame": lambda session: session.add_frame(GOOD, LATER),
    "ask": lambda session: session.ask("What?"),
    "ask nothing": lambda session: session.ask(""),
    "speak": lambda session: session.speak(),
    "snapshot": lambda session: session.snapshot(),
    "restore": lambda session: session.restore(None),
    "forget": lambda session: session.forget(None),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_session_says_so(name):
    session = fed(model_of().session(), 4)
    answer, turns = session.ask("What?"), session.speak()
    session.close()
    with pytest.raises(ClosedError, match=r"open another with model\.session"):
        CLOSED[name](session)
    assert list(answer) == []
    assert list(turns) == []
    assert answer.stats.stopped_by == "interrupted"
    assert session.metrics().frames == 4


@pytest.mark.parametrize("background", [False, True])
def test_a_model_that_is_closed_leaves_its_sessions_what_they_have(background):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=replace(BASE, background=background))
    session, other = fed(model.session(), 4), fed(model.session(mode="delayed"), 4)
    model.close()
    expected = answered(fed(model_of().session(), 4))
    assert answered(session) == expected
    assert answered(other) == expected
    before = state_of(session)
    for _ in range(2):
        with pytest.raises(ClosedError, match="open another session"):
            session.add_frame(GOOD, 2 * SECOND_NS)
    assert state_of(session) == before
    assert session._state.intake.lone() is None
    assert not session._state.row.held
    session.close()
    assert answered(fed(model.session(), 4)) == expected, "a session that is opened now has an encoder of its own"
    model.close()
    model.close()


@pytest.mark.parametrize("background", [False, True])
def test_a_lone_frame_cannot_be_asked_about_once_the_model_is_closed(background):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=replace(BASE, background=background))
    session = fed(model.session(), 5)
    model.close()
    session._state.drain()
    before = state_of(session)
    with pytest.raises(ClosedError, match="open another session"):
        session.ask("What?")
    assert state_of(session) == before
    assert not session._state.row.held


def test_options_are_taken_over_settings():
    session = fed(model_of().session(), 4)
    assert len(session.ask("What?", options=hot(count=3)).run().token_ids) == 3
    assert len(session.ask("What?", options=hot(count=3), max_new_tokens=2).run().token_ids) == 2
    assert len(session.ask("What?", options=AnswerOptions(), max_new_tokens=1).run().token_ids) == 1
