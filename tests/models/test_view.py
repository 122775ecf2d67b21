"""What a question looks at: memory, the router's choice, the newest frames, the rounds; and nothing it must not see."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.memory.settings import MemorySettings
from models.view import look
from tests.laws import examples
from tests.models.sessions import BASE, FAMILIES, HALF_NS, KNOBS, MODES, answered, check_no_leak, fed, hot, model_of

ROUTERS = ("cos_sim_coarse", "cos_sim_fine", "cross_attn", "random", "recency")


def times(session, view):
    """When the grids begin that a view shows, in the order in which they are seen."""
    entries = [session._state.row.entry(key) for key in view.branch.sees()]
    return [entry.block.t0_ns for entry in entries if entry.block.kind is Kind.FRAMES]


@settings(max_examples=examples(25))
@given(
    family=st.sampled_from(FAMILIES),
    mode=st.sampled_from(MODES),
    memory=st.sampled_from(["window", "star_stream", "clusters", "retrieval", "all"]),
    router=st.sampled_from([None, *ROUTERS]),
    count=st.integers(1, 17),
    asks=st.integers(0, 2),
)
def test_a_view_is_what_it_says_and_leaves_nothing(family, mode, memory, router, count, asks):
    chosen = replace(BASE, mode=mode, memory=memory, memory_settings=KNOBS, clip_frames=4, top_k=2)
    session = fed(model_of(family).session(replace(chosen, router=None if mode == "parallel" else router)), count)
    for _ in range(asks):
        session.ask("What?", options=hot(count=2)).run()
    state = session._state
    state.drain()
    state.watcher.ready()
    before = {entry.id for entry in state.row.live()}
    view = look(state, state.prompts.text("What?"))
    seen = times(session, view)
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == view.frames
    assert set(state.dialogue.visible()) <= set(view.branch.sees())
    if count % 2:
        assert seen[-1] == (count - 1) * HALF_NS, "the frame that waits for its partner is seen"
    assert {draft.entry.id for draft in view.drafts} == set(view.passing)
    view.branch.release()
    assert {entry.id for entry in state.row.live()} == before
    check_no_leak(session)


@settings(max_examples=examples(25))
@given(
    mode=st.sampled_from(MODES),
    memory=st.sampled_from(["window", "clusters", "all"]),
    count=st.integers(2, 13),
    until=st.integers(0, 14),
    asks=st.sets(st.integers(0, 12)),
)
def test_a_view_of_the_past_shows_nothing_later(mode, memory, count, until, asks):
    chosen = replace(BASE, mode=mode, memory=memory, memory_settings=KNOBS, clip_frames=4)
    session = model_of().session(chosen)
    for index in range(count):
        fed(session, 1, start=index)
        if index in asks:
            session.ask("What?", options=hot(count=2)).run()
    state = session._state
    state.drain()
    # What was there at that moment is known right behind it.
    until_ns = until * HALF_NS + 1
    view = look(state, (), until_ns=until_ns)
    entries = [state.row.entry(key) for key in view.branch.sees()]
    assert all(entry.block.t1_ns <= until_ns for entry in entries if entry.block.kind is Kind.FRAMES)
    assert all(entry.block.t0_ns <= until_ns for entry in entries)
    assert view.branch.cursor.next >= max(entry.end for entry in entries)
    if memory == "all" and mode != "clip":
        assert len(times(session, view)) == min(count // 2, (until + 1) // 2)
    view.branch.release()
    check_no_leak(session)


@pytest.mark.parametrize("mode", ["incremental", "delayed", "clip"])
@pytest.mark.parametrize("router", ROUTERS)
def test_a_router_shows_as_many_as_it_may(router, mode):
    session = fed(model_of().session(replace(BASE, top_k=3, clip_frames=16), router=router, mode=mode), 16)
    assert session.ask("What?", options=hot()).stats.frames == 3
    assert fed(model_of().session(mode=mode), 16).ask("What?").stats.frames > 3
    check_no_leak(session)


def test_recency_shows_the_newest():
    session = fed(model_of().session(replace(BASE, top_k=2), router="recency"), 12)
    view = look(session._state, session._state.prompts.text("What?"))
    assert times(session, view) == [8 * HALF_NS, 10 * HALF_NS]
    view.branch.release()


def test_a_router_that_shows_all_changes_nothing():
    for mode in ("incremental", "delayed"):
        routed = fed(model_of().session(replace(BASE, top_k=99), router="cos_sim_fine", mode=mode), 9)
        assert answered(routed) == answered(fed(model_of().session(mode=mode), 9))


def test_turns_of_its_own_are_not_routed():
    """There are no words to choose by: a decision sees all that is remembered."""
    session = fed(model_of().session(replace(BASE, top_k=1), router="cos_sim_fine"), 12)
    view = look(session._state, ())
    assert view.frames == 6
    view.branch.release()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_distant_past_is_called_back_for_one_question(family):
    chosen = replace(BASE, memory="retrieval", memory_settings=MemorySettings(last=2), router="cos_sim_fine", top_k=3)
    session = fed(model_of(family).session(chosen), 16)
    assert session.metrics().offloaded == 6
    used = session.metrics().slots_used
    answer = session.ask("What?", options=hot())
    assert answer.stats.frames == 5
    answer.close()
    history = session._state.dialogue.tokens()
    assert session.metrics().slots_used == used + history
    assert session.metrics().offloaded == 6
    check_no_leak(session)


def test_a_past_that_does_not_fit_leaves_nothing_behind():
    chosen = replace(BASE, memory="retrieval", memory_settings=MemorySettings(last=2), router="recency", top_k=9)
    session = fed(model_of().session(replace(chosen, slots=150)), 30)
    used = session.metrics().slots_used
    with pytest.raises(PoolFullError):
        session.ask("What?")
    assert session.metrics().slots_used == used
    check_no_leak(session)
    fed(session, 2, start=30)


def test_frames_of_an_unfinished_clip_are_seen_beside_the_last_one():
    session = fed(model_of().session(replace(BASE, mode="clip", clip_frames=4)), 11)
    view = look(session._state, session._state.prompts.text("What?"))
    assert times(session, view) == [4 * HALF_NS, 6 * HALF_NS, 8 * HALF_NS, 10 * HALF_NS]
    view.branch.release()
    assert (
        session.metrics().slots_used
        == fed(model_of().session(replace(BASE, mode="clip", clip_frames=4)), 8).metrics().slots_used
    )
