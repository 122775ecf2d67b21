"""What a session reports is what was counted by hand."""

import time
from dataclasses import asdict, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.memory.settings import MemorySettings
from models.metrics import Meter, Metrics
from tests.laws import examples
from tests.models.small import FAMILIES
from tests.models.talks import drawn, fed_ids, listen, opened, watch

SECONDS = ("vision_s", "vision_wait_s", "prefill_s", "decode_s")
STEPS = st.lists(st.sampled_from(["frame", "frame", "ask", "draft", "piece", "speak"]), min_size=1, max_size=10)


@given(
    steps=STEPS, mode=st.sampled_from(["incremental", "delayed", "clip", "parallel"]), family=st.sampled_from(FAMILIES)
)
@settings(max_examples=examples(25))
def test_counts_are_those_of_a_hand(steps, mode, family):
    """Every token fed is prefill or decode, once; frames, grids, questions and decisions are as they were."""
    begun = time.perf_counter()
    with opened(4, family=family, mode=mode, slots=1024) as one:
        oracle, count, questions, turns, answer = listen(one), 4, 0, [], None
        for step in steps:
            if step == "frame" and count < 12:
                watch(one, count, count + 1)
                count += 1
            elif step in ("ask", "draft"):
                answer = one.ask("hi", options=drawn(3, seed=count, draft_tokens=2 * (step == "draft")))
                questions += 1
            elif step == "piece" and answer is not None:
                next(answer, None)
            elif step == "speak":
                turns += [turn.state for turn in one.speak(options=drawn(2))]
        metrics = one.metrics()
        assert (metrics.frames, metrics.chunks, metrics.questions) == (count, count // 2, questions)
        assert (metrics.turns, metrics.responses) == (len(turns), turns.count("respond"))
        assert metrics.prefill_tokens + metrics.decode_tokens == len(fed_ids(oracle))
        single = [event for event in oracle.fed if event.entry.block.kind is Kind.REPLY and len(event.entry.slots) == 1]
        # Turns that respond say so with a token of their prompt.
        assert metrics.decode_tokens == len(single) - metrics.responses
        assert metrics.slots_used == sum(len(entry.slots) for entry in one._state.row._entries.values())
        assert (metrics.slots, metrics.evicted, metrics.offloaded, metrics.host_bytes) == (1024, 0, 0, 0)
        assert metrics.chunks_pending == len(one._state.intake.queue)
        seconds = {name: metrics.as_dict()[name] for name in SECONDS}
    assert all(value >= 0 for value in seconds.values())
    spent = seconds["vision_wait_s"] + seconds["prefill_s"] + seconds["decode_s"]
    assert (spent > 0) == (metrics.prefill_tokens > 0)
    assert spent <= time.perf_counter() - begun


def test_one_question_by_hand():
    with opened(4) as one:
        quiet = one.metrics()
        grids = 2 * 12
        prompts = one._state.prompts
        system = len(prompts.system(one.settings.system_prompt))
        assert (quiet.prefill_tokens, quiet.decode_tokens, quiet.decode_s) == (system + grids, 0, 0.0)
        assert quiet.slots_used == system + grids
        answer = one.ask("hi", options=drawn(5, seed=3)).run()
        after = one.metrics()
        asked = len([*prompts.seam(), *prompts.text("hi"), *prompts.turn_close(), *prompts.reply_start()])
        assert after.prefill_tokens == quiet.prefill_tokens + asked
        assert after.decode_tokens == len(answer.token_ids) - 1 == 4
        assert after.slots_used == quiet.slots_used + asked + 4
        assert after.decode_s > 0
        assert after.prefill_s > quiet.prefill_s
        assert after.questions == 1
        # Statistics of the answer are a part of the session's.
        assert answer.stats.prefill_s <= after.prefill_s
        assert after.pool_bytes == quiet.pool_bytes
        assert after.bytes_moved == 0


def test_frames_that_enter_with_a_token_are_prefill():
    with opened(4, mode="parallel") as one:
        answer = one.ask("hi", options=drawn(5, seed=3))
        next(answer)
        before = one.metrics()
        watch(one, 4, 6)
        answer.run()
        after = one.metrics()
        assert after.prefill_tokens - before.prefill_tokens == 12
        assert after.decode_tokens == len(answer.token_ids) - 1


def test_memory_reports_what_it_let_go():
    with opened(12, memory="window", memory_settings=MemorySettings(last=2)) as one:
        metrics = one.metrics()
        assert (metrics.chunks, metrics.evicted) == (6, 4)
        assert metrics.prefill_tokens - metrics.slots_used == 4 * 12
        assert metrics.bytes_moved == 0


def test_a_question_that_fails_is_not_counted():
    with opened(4) as one:
        before = one.metrics()
        with pytest.raises(Exception, match="expected text"):
            one.ask("")
        assert one.metrics() == before


def test_as_dict_has_every_value_by_its_name():
    with opened(4) as one:
        metrics = one.metrics()
    values = metrics.as_dict()
    assert list(values) == [value.name for value in fields(Metrics)]
    assert values == asdict(metrics)
    assert all(type(value) in (int, float) and value >= 0 for value in values.values())


def test_the_clock_adds_up_by_stage_and_counts_what_failed():
    meter = Meter()
    for stage in ("prefill", "prefill", "decode"):
        with meter.time(stage):
            time.sleep(0.002)
    with pytest.raises(TypeError), meter.time("vision_wait"):
        time.sleep(0.002, "seconds")
    assert meter.seconds["prefill"] >= 0.004
    assert meter.seconds["decode"] >= 0.002
    assert meter.seconds["vision_wait"] > 0
    assert Meter().seconds == {"vision_wait": 0.0, "prefill": 0.0, "decode": 0.0}, "meters share nothing"
