"""Tests that a setting reaches what it is meant for, and that what cannot work is told before anything is lost."""

from contextlib import suppress
from dataclasses import replace

import pytest

from models.answer import AnswerOptions
from models.decode import Sampling, StopRule
from models.errors import PoolFullError, SettingsError, TimeError
from models.memory.settings import MemorySettings
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from models.tower import Tower
from tests.models.oracle import drawn_frames
from tests.models.sessions import FAMILIES, HALF_NS, model_of

BASE = StreamingSettings(slots=512, max_new_tokens=7, system_prompt="Watch.", background=False)


def watching(count=4, *, family="qwen2_5_vl", **changes):
    session = model_of(family).session(replace(BASE, **changes))
    for index, frame in enumerate(drawn_frames(count)):
        session.add_frame(frame, index * HALF_NS)
    return session


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"temperature": 5.0, "seed": 4}, Sampling(temperature=5.0, seed=4)),
        ({"temperature": 5.0, "top_k_sampling": 3}, Sampling(temperature=5.0, top_k=3)),
        ({"temperature": 5.0, "top_p": 0.5}, Sampling(temperature=5.0, top_p=0.5)),
        ({"repetition_penalty": 3.0}, Sampling(repetition_penalty=3.0)),
    ],
)
def test_every_setting_of_sampling_reaches_the_answer(changes, options):
    stop = StopRule(max_new_tokens=24, repeats=0)
    plain = watching().ask("What?", options=AnswerOptions(stop=stop)).run().token_ids
    asked = watching(**changes).ask("What?", options=AnswerOptions(stop=stop)).run().token_ids
    assert asked == watching().ask("What?", options=AnswerOptions(sampling=options, stop=stop)).run().token_ids
    # Else equal answers would say nothing.
    assert asked != plain


def test_options_leave_alone_what_they_do_not_name():
    hot = {"temperature": 5.0, "seed": 3, "max_new_tokens": 5}
    whole = watching(**hot).ask("What?").run()
    sentences = watching(**hot).ask("What?", options=AnswerOptions(pieces="sentence")).run()
    assert sentences.token_ids == whole.token_ids
    assert len(whole.token_ids) <= 5
    drafted = watching(**hot).ask("What?", options=AnswerOptions(draft_tokens=2)).run()
    assert len(drafted.token_ids) <= 7


@pytest.mark.parametrize("gap_s", [0.25, 0.75])
def test_the_greatest_gap_says_which_frames_make_a_pair(gap_s):
    session = watching(4, max_gap_s=gap_s)
    # Frames are half a second apart: each alone, and the last one still waiting, or two and two.
    assert session.metrics().chunks == (3 if gap_s < 0.5 else 2)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("mode", ["incremental", "delayed", "parallel"])
@pytest.mark.parametrize("memory", ["star_stream", "window", "clusters", "retrieval"])
def test_frames_that_memory_could_never_keep_are_refused_when_they_come(mode, memory, background):
    session = model_of().session(replace(BASE, mode=mode, memory=memory, slots=12, background=background))
    frames, before = drawn_frames(4, size=(64, 64)), session._state.intake.encoder.stats().submitted
    for index in range(4):
        with pytest.raises(SettingsError, match=r"must be able to keep \d+ tokens, but may take \d+; raise `slots`"):
            session.add_frame(frames[index], index * HALF_NS)
    metrics = session.metrics()
    assert (metrics.frames, metrics.chunks, metrics.chunks_pending, metrics.dropped) == (0, 0, 0, 0)
    # Its size alone tells: the tower is never asked.
    assert session._state.intake.encoder.stats().submitted == before
    assert list(session.speak()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_that_the_pool_could_never_hold_is_refused_when_it_comes(family):
    session = model_of(family).session(replace(BASE, mode="clip", clip_frames=8, slots=200, background=True))
    with pytest.raises(SettingsError, match=r"a clip of 4 needs \d+ slots, the pool has 200; raise `slots`"):
        session.add_frame(drawn_frames(1, size=(64, 64))[0], 0)
    assert session.metrics().frames == 0


def test_every_grid_is_in_the_cache_or_waits_or_is_counted_as_dropped():
    session = model_of().session(replace(BASE, memory="all", slots=40))
    taken = 0
    for index, frame in enumerate(drawn_frames(12)):
        with suppress(PoolFullError):
            session.add_frame(frame, index * HALF_NS)
            taken += 1
    metrics = session.metrics()
    entered = sum(1 for entry in session._state.row.live() if entry.block.grids)
    assert 0 < entered < 6
    assert taken == metrics.frames < 12
    assert entered + metrics.dropped + metrics.chunks_pending == metrics.chunks


def test_a_frame_older_than_the_last_question_is_refused():
    session, other = watching(4), watching(4)
    newest, frame = 3 * HALF_NS, drawn_frames(1, seed=9)[0]
    answers = [one.ask("What?", t_ns=newest + 10 * HALF_NS).run().text for one in (session, other)]
    assert answers[0] == answers[1]
    for t_ns in (newest + 1, newest + 10 * HALF_NS - 1):
        with pytest.raises(TimeError, match="when the last question was asked, whose answer has not seen it"):
            session.add_frame(frame, t_ns)
    for one in (session, other):
        one.add_frame(frame, newest + 10 * HALF_NS)
    assert session.ask("And?").run().token_ids == other.ask("And?").run().token_ids


def test_a_question_stands_right_behind_the_frame_at_its_time():
    for t_ns in (None, 3 * HALF_NS):
        session = watching(4)
        session.ask("What?", t_ns=t_ns).run()
        assert session.history[0].t_ns == 3 * HALF_NS + 1
        session.add_frame(drawn_frames(1)[0], 3 * HALF_NS + 1)


def test_going_back_forgets_the_question_that_came_later():
    session = watching(4)
    moment = session.snapshot()
    session.ask("What?", t_ns=100 * HALF_NS).run()
    session.restore(moment)
    session.add_frame(drawn_frames(1)[0], 4 * HALF_NS)


@pytest.mark.parametrize("router", [None, "cos_sim_coarse"])
@pytest.mark.parametrize("family", FAMILIES)
def test_offloaded_blocks_stay_within_their_bytes_features_included(family, router):
    bound = 100_000
    knobs = MemorySettings(last=2, host_bytes=bound)
    session = watching(0, family=family, memory="retrieval", memory_settings=knobs, router=router, slots=1024)
    most = 0
    for index, frame in enumerate(drawn_frames(60)):
        session.add_frame(frame, index * HALF_NS)
        most = max(most, session.metrics().host_bytes)
    assert bound // 2 < most <= bound


@pytest.mark.parametrize("mode", ["incremental", "delayed", "clip", "parallel"])
@pytest.mark.parametrize("background", [True, False])
def test_a_grid_that_the_tower_failed_on_is_counted_once_and_not_decided_about(mode, background, monkeypatch):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"))
    session = model.session(replace(BASE, mode=mode, memory="all", background=background, clip_frames=4))
    encode, calls = Tower.encode, []

    def failing(tower, patches, grids):
        calls.append(len(grids))
        if len(calls) == 2:
            raise RuntimeError("out of memory, say")
        return encode(tower, patches, grids)

    monkeypatch.setattr(Tower, "encode", failing)
    for index, frame in enumerate(drawn_frames(8)):
        with suppress(RuntimeError):
            session.add_frame(frame, index * HALF_NS)
        # Each grid is a call of its own, and the second one the one that fails.
        while session.metrics().chunks_pending and len(calls) < session.metrics().chunks:
            pass
    for _ in range(2):
        with suppress(RuntimeError):
            session.ask("What?").run()
    assert session.metrics().dropped == 1
    assert [turn.t_ns for turn in session.speak()] == [HALF_NS, 5 * HALF_NS, 7 * HALF_NS]
    model.close()


def test_going_back_and_closing_drop_nothing():
    session = watching(4, background=True)
    moment = session.snapshot()
    for index, frame in enumerate(drawn_frames(6, seed=4)):
        session.add_frame(frame, (4 + index) * HALF_NS)
    session.restore(moment)
    assert session.metrics().dropped == 0
