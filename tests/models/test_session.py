"""Sessions: what they take they give back, they do not disturb each other, and the same input gives the same words."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ClosedError, PoolFullError, TimeError
from models.layouts import LAYOUTS
from models.settings import served_modes
from tests.laws import examples
from tests.models.oracle import SECOND_NS
from tests.models.sessions import (
    ACTIONS,
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

SCHEDULES = st.lists(st.sampled_from(ACTIONS), min_size=6, max_size=30)
QUIET = st.lists(st.sampled_from(PLAIN), min_size=6, max_size=24)
SMALL = replace(BASE, memory_settings=KNOBS, clip_frames=4, top_k=2, slots=512)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", MEMORIES)
@settings(max_examples=examples(4))
@given(
    family=st.sampled_from(FAMILIES),
    schedule=SCHEDULES,
    rounds=st.integers(0, 2),
    layout=st.sampled_from(sorted(LAYOUTS)),
    routed=st.booleans(),
)
def test_no_schedule_leaks_a_slot(mode, memory, family, schedule, rounds, layout, routed):
    model = model_of(family)
    router = "recency" if routed and mode != "parallel" else None
    layout = layout if mode in served_modes(layout) else "branch"
    chosen = replace(SMALL, mode=mode, memory=memory, history_rounds=rounds, layout=layout, router=router)
    pool = model.pool()
    driver = Driver(session := model.session(chosen, pool=pool))
    for action in ("frame", *schedule):
        driver.do(action)
    session._state.interrupt()
    for moment, _ in driver.moments:
        session.forget(moment)
    check_no_leak(session)
    session.close()
    assert pool.used(0) == 0
    model.session(chosen, pool=pool).close()


def test_a_leaked_slot_is_found():
    """The law above sees a hold that nobody ends, and an entry that nobody owns."""
    session = fed(model_of().session(), 4)
    check_no_leak(session)
    row = session._state.row
    row.hold([session._state.track.system])
    with pytest.raises(AssertionError):
        check_no_leak(session)
    row.let_go([session._state.track.system])
    row.pool.place(row.index, 1)
    with pytest.raises(AssertionError):
        check_no_leak(session)


@settings(max_examples=examples(20))
@given(
    mode=st.sampled_from(MODES),
    memory=st.sampled_from(MEMORIES),
    family=st.sampled_from(FAMILIES),
    turns=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ACTIONS)), min_size=6, max_size=30),
)
def test_sessions_of_one_pool_are_as_each_alone(mode, memory, family, turns):
    model = model_of(family)
    chosen = replace(SMALL, mode=mode, memory=memory, history_rounds=2)
    pool = model.pool(sessions=2)
    together = [Driver(model.session(chosen, pool=pool)) for _ in range(2)]
    for who, action in turns:
        together[who].do(action)
    for who, driver in enumerate(together):
        alone = Driver(model.session(chosen))
        for mine, action in turns:
            if mine == who:
                alone.do(action)
        assert driver.spoken() == alone.spoken()
        assert state_of(driver.session)[1] == state_of(alone.session)[1]
        assert driver.session.metrics().slots_used == alone.session.metrics().slots_used


@settings(max_examples=examples(8))
@given(mode=st.sampled_from(MODES), memory=st.sampled_from(MEMORIES), schedule=QUIET, seed=st.integers(0, 9))
def test_the_thread_changes_no_token(mode, memory, schedule, seed):
    """Encoded in the background or on the spot, and drawn again with the same seed: the same words."""
    model = model_of()
    made = []
    for background in (True, False, False):
        chosen = replace(SMALL, mode=mode, memory=memory, background=background, cache_bytes=seed, temperature=2.0)
        driver = Driver(model.session(chosen))
        for action in ("frame", *schedule, "ask", "finish"):
            driver.do(action)
        made.append((driver.spoken(), state_of(driver.session)))
        driver.session.close()
    assert made[0][0] == made[1][0]
    assert made[1] == made[2]
    model.close()


def test_the_seed_decides_what_is_drawn():
    model = model_of()
    drawn = replace(BASE, temperature=5.0, max_new_tokens=8)
    said = [fed(model.session(replace(drawn, seed=seed)), 4).ask("What?").run().token_ids for seed in (1, 1, 2, 3, 4)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_delayed_says_what_incremental_says_and_fills_once(family):
    model = model_of(family)
    late, live = fed(model.session(mode="delayed"), 8), fed(model.session(mode="incremental"), 8)
    assert late.metrics().prefill_tokens == 0
    assert answered(late) == answered(live)
    filled = late.metrics().prefill_tokens
    assert filled == live.metrics().prefill_tokens
    answer = late.ask("And then?", options=hot())
    fresh = late.metrics().prefill_tokens - filled
    # The end of the last round is all that comes besides the prompt: no frame is fed again.
    ended = 1 + len(model.prompts.turn_close())
    assert fresh == answer.stats.prompt_tokens + ended
    assert answer.run().token_ids == answered(live, "And then?").words


def test_delayed_feeds_only_what_is_new():
    session = fed(model_of().session(mode="delayed"), 8)
    answered(session)
    before = session.metrics().prefill_tokens
    fed(session, 2, start=8)
    assert session.metrics().prefill_tokens == before
    answer = session.ask("And now?", options=hot())
    ended = 1 + len(session._state.prompts.turn_close())
    assert session.metrics().prefill_tokens - before == answer.stats.prompt_tokens + ended + 12


@pytest.mark.parametrize("mode", MODES)
def test_history_is_the_last_rounds_whole(mode):
    model = model_of()
    session = fed(model.session(replace(BASE, mode=mode, history_rounds=2)), 4)
    for name in ("first", "second", "third"):
        session.ask(f"{name}?", max_new_tokens=2).run()
        check_no_leak(session)
    assert [said.question for said in session.history] == ["second?", "third?"]
    entries = [key for said in session.history for key in said.entries]
    assert set(entries) < {entry.id for entry in session._state.row.live()}
    assert len(entries) == len(set(entries))


def test_without_history_every_question_is_the_first():
    model = model_of()
    session = fed(model.session(replace(BASE, history_rounds=0)), 4)
    used = session.metrics().slots_used
    first = answered(session)
    assert session.history == ()
    assert session.metrics().slots_used == used
    assert answered(session) == first
    with_memory = fed(model.session(), 4)
    assert answered(with_memory) == first
    seen = [asked.ask("What is it?").stats.visible_tokens for asked in (session, with_memory)]
    assert seen[0] < seen[1], "the round before is seen where there is a history"


def test_what_was_given_out_of_an_interrupted_answer_stays():
    session = fed(model_of().session(), 4)
    answer = session.ask("What?", options=hot(count=8))
    heard = next(answer) + next(answer)
    answered(session, "And?")
    assert session.history[0].reply == heard
    assert answer.stats.stopped_by == "interrupted"
    assert list(answer) == []
    check_no_leak(session)


def test_the_pool_hands_out_rows_and_takes_them_back():
    model = model_of()
    pool = model.pool(sessions=2)
    first, second = fed(model.session(pool=pool), 4), fed(model.session(pool=pool), 2)
    with pytest.raises(PoolFullError, match="close one"):
        model.session(pool=pool)
    expected = answered(first)
    first.close()
    first.close()
    assert pool.used(0) == 0
    again = fed(model.session(pool=pool), 4)
    assert answered(again) == expected
    assert first.metrics().slots_used == 0, "the row is another session's now"
    assert second.metrics().slots_used > 0


def test_a_session_closes_with_its_block_even_on_an_error():
    model = model_of()
    pool = model.pool()
    with pytest.raises(TimeError), model.session(pool=pool) as session:  # noqa: PT012 - the block is what is tested
        fed(session, 4).ask("What?")
        session.add_frame(FRAMES[0], 0)
    assert pool.used(0) == 0
    with pytest.raises(ClosedError, match=r"model\.session"):
        session.ask("What?")


def test_a_lone_frame_is_seen_and_waits_on():
    model = model_of()
    session = fed(model.session(), 1)
    assert session.ask("What?", options=hot()).stats.frames == 1
    assert session.metrics().chunks == 0
    fed(session, 1, start=1)
    assert session.metrics().chunks == 1
    check_no_leak(session)


def test_metrics_count_what_was_done():
    session = fed(model_of().session(), 5)
    answer = session.ask("What?", options=hot()).run()
    list(session.speak())
    counts = session.metrics()
    assert (counts.frames, counts.chunks, counts.questions, counts.turns) == (5, 2, 1, 2)
    assert counts.decode_tokens >= len(answer.token_ids) - 1
    assert counts.slots == BASE.slots
    assert counts.pool_bytes == session._state.row.pool.nbytes


def test_an_observer_hears_until_it_is_taken_away():
    session, heard = model_of().session(), []
    session.observe(heard.append)
    fed(session, 2)
    assert len(heard) == 2, "the system turn and one grid"
    session.observe(None)
    fed(session, 2, start=2)
    assert len(heard) == 2


def test_a_pause_of_hours_keeps_pairs_apart_and_answers():
    model = model_of()
    session = model.session(memory="window", window_s=60.0)
    for hour in range(3):
        for index in range(3):
            session.add_frame(FRAMES[index], hour * 3600 * SECOND_NS + index * HALF_NS)
    assert session.metrics().chunks == 5, "a frame before a pause is a grid of its own"
    assert session.ask("What?", options=hot()).stats.frames == 2, "what is older than the window is gone"
    check_no_leak(session)
