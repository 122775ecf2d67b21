"""Streamed equals whole for any schedule: the twelfth check, and that the oracle behind it finds faults."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.memory.settings import MemorySettings
from models.positions import SECOND_NS
from tests.laws import examples
from tests.models.oracle import Oracle, drawn_frames
from tests.models.test_exactness import BASE, CLOSE, FAMILIES, model_of, watch

ACTIONS = st.sampled_from(["frame", "frame", "frame", "late", "ask", "piece", "finish", "speak", "wait"])
SCHEDULES = st.lists(st.tuples(st.integers(0, 1), ACTIONS), min_size=8, max_size=40)
MEMORIES = st.sampled_from(["window", "star_stream", "clusters", "retrieval", "all"])
KNOBS = MemorySettings(
    last=2, star_capacity=2, stream_capacity=2, cluster_size=2, cluster_buffer=1, clusters=2, cluster_match=0.2
)


@settings(max_examples=examples(40))
@given(
    family=st.sampled_from(FAMILIES),
    attention=st.sampled_from(["eager", "sdpa"]),
    mode=st.sampled_from(["incremental", "delayed", "clip", "parallel"]),
    memory=MEMORIES,
    router=st.sampled_from([None, "cos_sim_fine", "recency"]),
    schedule=SCHEDULES,
    rounds=st.integers(0, 2),
)
def test_12_any_schedule_equals_one_forward_under_its_mask(family, attention, mode, memory, router, schedule, rounds):
    """Add, evict, ask, speak, interrupt, over two sessions of one pool, in any order."""
    model = model_of(family, attention)
    chosen = replace(
        BASE, mode=mode, memory=memory, memory_settings=KNOBS, history_rounds=rounds, max_new_tokens=3, top_k=2,
        router=None if mode == "parallel" else router, clip_frames=4,
    )  # fmt: skip
    pool = model.pool(sessions=2)
    frames = drawn_frames(8)
    sessions = [model.session(chosen, pool=pool) for _ in range(2)]
    oracles = [Oracle(model.backbone) for _ in range(2)]
    clocks, answers, counts = [0, 0], [None, None], [0, 0]
    for session, oracle in zip(sessions, oracles, strict=True):
        session.observe(oracle)
    for who, action in [(0, "frame"), (1, "frame"), *schedule, (0, "ask"), (1, "ask")]:
        session = sessions[who]
        if action in ("frame", "late"):
            clocks[who] += 400_000_000 if action == "frame" else 61 * SECOND_NS
            session.add_frame(frames[(counts[who] * 3 + who) % 8], clocks[who])
            counts[who] += 1
        elif action == "ask":
            answers[who] = session.ask("What is it?")
        elif action == "piece" and answers[who] is not None:
            next(answers[who], None)
        elif action == "finish" and answers[who] is not None:
            answers[who].run()
        elif action == "speak":
            list(session.speak())
    for session, oracle in zip(sessions, oracles, strict=True):
        assert oracle.difference() <= CLOSE
        check_causal(oracle)
        session.close()
    assert all(pool.used(row) == 0 for row in range(2))


def check_causal(oracle: Oracle) -> None:
    """No frame saw text of the dialogue, and no frame saw one of its future."""
    blocks = [event.entry.block for event in oracle.fed for _ in event.entry.block.token_ids]
    for block, seen in zip(blocks, oracle.sees, strict=True):
        if block.kind is Kind.FRAMES:
            for token in seen:
                assert blocks[token].kind in (Kind.SYSTEM, Kind.FRAMES)
                assert blocks[token].t0_ns <= block.t0_ns


def test_the_oracle_finds_a_planted_fault():
    """A token that looks at a frame which it should not see is told from one that is right."""
    model = model_of("qwen2_5_vl")
    with model.session(replace(BASE, memory="window", memory_settings=MemorySettings(last=2))) as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, drawn_frames(10))
        session.ask("?").run()
        assert oracle.difference() <= CLOSE
        evicted = oracle.tokens_of[oracle.fed[1].entry.id]
        assert not oracle.sees[-1] & set(evicted)
        oracle.sees[-1] |= set(evicted)
        assert oracle.difference() > CLOSE
