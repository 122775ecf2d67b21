"""Layouts whose replies stand behind all input, or in its line: sessions that evict, go back and run long keep them."""

from dataclasses import replace

import pytest

from models.answer import AnswerOptions
from models.blocks import Kind
from models.decode import StopRule
from models.errors import PoolFullError
from models.layouts import LAYOUTS, Layout, PositionRule, VisibilityRule
from models.memory.settings import MemorySettings
from models.retelling import heard_by
from tests.models.oracle import SECOND_NS, Oracle
from tests.models.replay import Replay
from tests.models.scripted import Scripted, force
from tests.models.sessions import BASE, FRAMES, check_no_leak, fed, hot, model_of

CLOSE = 1e-4
RETOLD = [name for name, layout in LAYOUTS.items() if layout.retold]
NEW = [*RETOLD, "interleave"]
SMALL = replace(BASE, memory="window", memory_settings=MemorySettings(last=3), history_rounds=2)


def test_which_layouts_feed_replies_anew_and_which_have_them_in_line():
    assert sorted(RETOLD) == ["batch", "origin", "overlap"]
    assert [name for name, layout in LAYOUTS.items() if layout.in_line] == ["interleave"]
    served_live = Layout(
        name="seen",
        positions=PositionRule(reply="restart"),
        visibility=VisibilityRule(order="frames_first", frames_see_text=True, replies_see="past"),
    )
    assert not served_live.retold


@pytest.mark.parametrize("layout", NEW)
def test_what_memory_lets_go_is_gone_and_the_rest_equals_one_forward(layout):
    session = model_of().session(replace(SMALL, layout=layout))
    session.observe(oracle := Oracle(session._state.row.engine.backbone))
    for start in range(0, 24, 6):
        fed(session, 6, start=start)
        session.ask("What is it?", options=hot(seed=start, count=4)).run()
        list(session.speak(options=hot(count=2)))
    assert session.metrics().evicted > 4
    assert len(session.history) == 2
    assert oracle.difference() <= CLOSE
    check_no_leak(session)


@pytest.mark.parametrize("layout", RETOLD)
def test_no_reply_stays_in_the_cache(layout):
    session = fed(model_of().session(replace(BASE, layout=layout)), 4)
    session.ask("What?", options=hot(count=4)).run()
    session.ask("And?", options=hot(count=4)).run()
    kinds = {entry.block.kind for entry in session._state.row.live()}
    assert Kind.REPLY not in kinds
    assert Kind.QUERY in kinds
    words = [sum(len(run.tokens) for run in said.said) for said in session.history]
    assert all(count > 10 for count in words)
    taken = sum(len(entry.slots) for entry in session._state.row.live() if entry.block.kind is Kind.QUERY)
    assert session._state.dialogue.tokens() == taken + sum(words)


@pytest.mark.parametrize("layout", RETOLD)
def test_what_was_said_is_heard_at_the_next_turn(layout):
    """Whoever asks again sees the last reply, and other logits where it was another one."""
    logits = []
    for seed in (1, 2):
        session = model_of().session(replace(BASE, layout=layout))
        session.observe(oracle := Oracle(session._state.row.engine.backbone))
        fed(session, 4)
        session.ask("What?", options=hot(seed=seed, count=6)).run()
        start = len(oracle.embeds)
        session.ask("What?", options=hot(count=2))
        logits.append(next(row for token, row in oracle.logits if token >= start))
        assert oracle.difference() <= CLOSE
    assert float((logits[0] - logits[1]).abs().max()) > CLOSE


@pytest.mark.parametrize("layout", RETOLD)
def test_a_turn_that_does_not_fit_leaves_no_trace(layout):
    session = fed(model_of().session(replace(BASE, layout=layout, slots=400)), 4)
    session.ask("What?", options=hot(count=4)).run()
    used, said = session._state.row.used, session.history
    with pytest.raises(PoolFullError):
        session.ask("x" * 300)
    assert (session._state.row.used, session.history) == (used, said)
    session.ask("And?", options=hot(count=2)).run()
    check_no_leak(session)


@pytest.mark.parametrize("layout", ["origin", "batch", "interleave"])
def test_an_answer_left_open_ends_where_too_many_frames_wait(layout):
    session = model_of().session(replace(BASE, layout=layout, max_pending=2))
    fed(session, 4)
    answer = session.ask("What?", options=hot(count=50))
    next(answer)
    fed(session, 4, start=4)
    assert not answer.stats.stopped_by
    fed(session, 4, start=8)
    assert answer.stats.stopped_by == "interrupted"
    frames = [entry.id for entry in session._state.row.live() if entry.block.kind is Kind.FRAMES]
    questions = {entry.id for entry in session._state.row.live() if entry.block.kind is Kind.QUERY}
    assert max(questions) < max(frames)
    check_no_leak(session)


def test_input_is_all_that_was_not_said():
    session = fed(model_of().session(replace(BASE, layout="origin")), 4)
    session.ask("What?", options=hot(count=4)).run()
    answer = session.ask("What?", options=hot(count=4))
    heard = heard_by(session._state, answer._branch)
    kinds = [session._state.row.entry(key).block.kind for key in heard]
    assert kinds.count(Kind.FRAMES) == 2
    assert kinds.count(Kind.SYSTEM) == 1
    assert not any(kind.said for kind in kinds)
    assert len(heard) < len(answer._branch.sees())


# In line


def test_frames_see_the_replies_before_them_and_go_on_behind():
    session = model_of().session(replace(BASE, layout="interleave"))
    session.observe(oracle := Oracle(session._state.row.engine.backbone))
    fed(session, 4)
    session.ask("What?", options=hot(count=4)).run()
    fed(session, 2, start=4)
    said = [event.entry for event in oracle.fed if event.entry.block.kind is Kind.REPLY]
    frame = oracle.fed[-1].entry
    assert frame.block.kind is Kind.FRAMES
    assert int(frame.positions.min()) == max(entry.end for entry in said)
    assert {slot for entry in said for slot in entry.slots.tolist()} <= set(oracle.fed[-1].sees.tolist())


def test_a_line_that_is_set_back_counts_from_the_oldest_frame_that_lives():
    session = model_of().session(replace(SMALL, layout="interleave", position_limit=300))
    replay = Replay(session, model_of().backbone)
    for index in range(40):
        session.add_frame(FRAMES[index % 8], index * SECOND_NS)
        if index % 9 == 8:
            session.ask("What is it?", options=hot(count=3)).run()
    state = session._state
    assert session.metrics().rebases >= 2
    assert replay.difference <= CLOSE
    oldest = min(entry.block.t0_ns for entry in state.row.live() if entry.block.kind is Kind.FRAMES)
    assert 0 < state.row.clock.origin_ns <= oldest
    assert replay.highest < 700
    entries = sorted(state.row.live(), key=lambda entry: (entry.block.known_ns, entry.id))
    starts = [int(entry.positions.min()) for entry in entries[1:]]
    assert starts == sorted(starts)
    check_no_leak(session)


@pytest.mark.parametrize("layout", NEW)
def test_a_dialogue_that_keeps_no_round_goes_on(layout):
    session = model_of().session(replace(BASE, layout=layout, history_rounds=0))
    session.observe(oracle := Oracle(session._state.row.engine.backbone))
    for start in range(0, 8, 2):
        fed(session, 2, start=start)
        session.ask("What?", options=AnswerOptions(stop=StopRule(max_new_tokens=3))).run()
    begins = [int(event.entry.positions.min()) for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]
    ends = [event.entry.end for event in oracle.fed if event.entry.block.kind is Kind.QUERY]
    assert begins == sorted(begins)
    assert all(any(end <= begin for end in ends) for begin in begins[1:])
    assert session.history == ()
    assert oracle.difference() <= CLOSE
    check_no_leak(session)


@pytest.mark.parametrize("layout", RETOLD)
def test_a_moment_that_was_gone_back_to_is_that_moment(layout, monkeypatch):
    force(monkeypatch)
    drive = Scripted(layout)
    for action in ("grid", "ask", "grid", "speak"):
        drive.do(action)
    since = len(drive.oracle.embeds)
    moment = drive.session.snapshot()
    fed(drive.session, 4, start=drive.frames)
    # The next words are scripted, whoever asks.
    drive.reply()
    drive.session.ask("Else?", options=AnswerOptions(stop=StopRule(max_new_tokens=2, repeats=0))).run()
    drive.session.restore(moment)
    drive.session.forget(moment)
    assert len(drive.oracle.embeds) > since
    drive.do("grid")
    since = len(drive.oracle.embeds)
    drive.ask(last=True)
    assert drive.faults(since=since) == []
