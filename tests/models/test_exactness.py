"""Streamed equals whole: the twelve checks, on tiny models of three families, eager and SDPA, and random schedules.

Every comparison is in float32, at most 1e-4 in logits, and the greedy tokens are the same. Check 2 (features of chunks
are those of the whole video), 9 (order by time) and 10 (golden positions) stand with towers, memory and positions too.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from models.answer import AnswerOptions
from models.backbone import MODEL_CLASSES
from models.blocks import Block, Kind, derive
from models.decode import Sampling, StopRule
from models.engine import Engine, Feed
from models.layouts import LAYOUTS
from models.masks import visible
from models.memory.settings import MemorySettings
from models.positions import SECOND_NS, Cursor, Grid, place
from models.row import Fed
from models.settings import StreamingSettings
from models.slots import SlotPool, rotate
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.models.oracle import Oracle, drawn_frames, features_of

FAMILIES = tuple(MODEL_CLASSES)
CLOSE = 1e-4
BASE = StreamingSettings(slots=1024, max_new_tokens=5, background=False, memory="all", window_s=None, max_gap_s=60.0)
MODELS: dict[tuple[str, str], StreamingModel] = {}


def model_of(family: str, attention: str = "sdpa") -> StreamingModel:
    """One model of each kind for all tests; sessions do not change it."""
    if (family, attention) not in MODELS:
        config = tiny_config(family)
        config._attn_implementation = attention
        MODELS[family, attention] = StreamingModel.from_random(config, settings=BASE)
    return MODELS[family, attention]


@pytest.fixture(params=[(family, attention) for family in FAMILIES for attention in ("eager", "sdpa")], ids="-".join)
def model(request) -> StreamingModel:
    return model_of(*request.param)


def watch(session, frames: Sequence[np.ndarray], *, start_ns: int = 0, step_ns: int = SECOND_NS // 2) -> None:
    for index, frame in enumerate(frames):
        session.add_frame(frame, start_ns + index * step_ns)


def stock_pixels(model: StreamingModel, frames: Sequence[np.ndarray]):
    """What the stock processor makes of frames whose size fits; it would count a whole video where we count a frame."""
    return model.processor.video_processor(
        videos=[np.stack(frames)], do_resize=False, do_sample_frames=False, return_tensors="pt"
    )


def last_logits(oracle: Oracle) -> torch.Tensor:
    return oracle.logits[-1][1]


def stock_logits(model: StreamingModel, frames: Sequence[np.ndarray], times: Sequence[int], question: str):
    """Logits of the last token of a stock transformers forward over the whole chat, pixels and all.

    Positions are computed here by the published rule, token by token, with nothing of ours.
    """
    family, tokenizer = model.backbone.family, model.processor.tokenizer
    pixels = stock_pixels(model, frames)
    t, h, w = (int(side) for side in pixels["video_grid_thw"][0])
    tokens = h * w // 4
    start, pad, end = (tokenizer.convert_ids_to_tokens(i) for i in (family.start_id, family.video_id, family.end_id))
    if family.timed_text:
        middles = [(times[2 * k] + times[2 * k + 1]) / 2 / SECOND_NS for k in range(t)]
        video = "".join(f"<{middle:.1f} seconds>{start}{pad * tokens}{end}" for middle in middles)
    else:
        video = start + pad * tokens * t + end
    text = (
        f"<|im_start|>system\n{BASE.system_prompt}<|im_end|>\n<|im_start|>user\n{video}{question}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    ids = torch.tensor(tokenizer(text)["input_ids"])
    positions, nxt, grid = [], 0, 0
    base, place_in = None, 0
    for token in ids.tolist():
        if token != family.video_id:
            positions.append((nxt,) * 3)
            nxt, base = nxt + 1, None
            continue
        if place_in == 0:
            base = nxt if base is None else base
            rate = 0 if family.timed_text else family.clock.tokens_per_second
            since = Fraction(times[2 * grid] - times[0], SECOND_NS) * rate
            tick = base + int(since)
        positions.append((tick, base + place_in // (w // 2), base + place_in % (w // 2)))
        place_in += 1
        if place_in == tokens:
            grid, place_in = grid + 1, 0
            nxt = max(max(p) for p in positions) + 1
    with torch.inference_mode():
        out = model.backbone.model(
            input_ids=ids[None],
            pixel_values_videos=pixels["pixel_values_videos"],
            video_grid_thw=pixels["video_grid_thw"],
            position_ids=torch.tensor(positions).T[:, None],
        )
    return out.logits[0, -1].float(), len(ids)


def test_1_incremental_equals_a_stock_forward_over_the_whole_chat(model):
    frames = drawn_frames(8)
    times = [0, 400_000_000, 1_000_000_000, 1_700_000_000, 2_000_000_000, 3_900_000_000, 7_000_000_000, 7_100_000_000]
    with model.session() as session:
        session.observe(oracle := Oracle(model.backbone))
        for frame, t_ns in zip(frames, times, strict=True):
            session.add_frame(frame, t_ns)
        answer = session.ask("What moves?")
        whole, count = stock_logits(model, frames, times, "What moves?")
        assert len(oracle.embeds) == count
        assert (last_logits(oracle) - whole).abs().max() <= CLOSE
        assert answer.run().token_ids[0] == int(whole.argmax())


def test_1_delayed_equals_a_stock_forward_over_the_whole_chat(model):
    frames, times = drawn_frames(6), [k * SECOND_NS // 2 for k in range(6)]
    with model.session(mode="delayed") as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, frames)
        session.ask("What moves?")
        whole, _ = stock_logits(model, frames, times, "What moves?")
        assert (last_logits(oracle) - whole).abs().max() <= CLOSE


def test_2_features_of_each_chunk_are_those_of_the_whole_video(model):
    frames = drawn_frames(8)
    with model.session() as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, frames)
        session.ask("?")
    pixels = stock_pixels(model, frames)
    with torch.inference_mode():
        whole = model.backbone.visual(pixels["pixel_values_videos"], grid_thw=pixels["video_grid_thw"]).pooler_output
    fed = torch.cat([features.embeds for features in features_of(oracle)])
    assert (fed - whole).abs().max() <= 1e-5


def test_3_eviction_that_keeps_positions_equals_one_forward_with_a_window(model):
    memory = MemorySettings(last=2)
    with model.session(replace(BASE, memory="window", memory_settings=memory)) as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, drawn_frames(14))
        answer = session.ask("And now?").run()
        assert session.metrics().evicted == 5
        assert oracle.difference() <= CLOSE
        assert [int(row.argmax()) for _, row in oracle.logits[-len(answer.token_ids) :]] == list(answer.token_ids)
        # A new grid sees the system turn and the one grid that the window keeps beside it.
        grids = [event for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]
        system, size = len(oracle.fed[0].entry.slots), len(grids[0].entry.slots)
        assert [len(event.sees) - system for event in grids] == [0, size, size, size, size, size, size]


def test_3_a_window_that_is_hidden_makes_a_difference(model):
    """The mask is not idle: with all frames visible the same question has other logits."""
    seen = []
    for memory in (MemorySettings(last=2), MemorySettings(last=7)):
        with model.session(replace(BASE, memory="window", memory_settings=memory)) as session:
            session.observe(oracle := Oracle(model.backbone))
            watch(session, drawn_frames(14))
            session.ask("And now?")
            seen.append(last_logits(oracle))
    assert (seen[0] - seen[1]).abs().max() > 100 * CLOSE


@pytest.mark.parametrize("family", FAMILIES)
def test_4_rebased_keys_equal_raw_keys_turned_once(family):
    """Each block's keys, unrotated in float64 as they were written and turned to where they are now, are the pool's."""
    model = model_of(family)
    chosen = replace(BASE, memory="window", memory_settings=MemorySettings(last=3), position_limit=60)
    with model.session(chosen) as session:
        row, pool = session._state.row, session._state.row.pool
        raw: dict[int, list[torch.Tensor]] = {}

        def write_down(event) -> None:
            turns = -event.entry.positions[pool._axes].T
            keys = [layer.pool_keys[0, :, event.entry.slots].double() for layer in pool.pools]
            raw[event.entry.id] = [rotate(key, turns, pool._frequencies) for key in keys]

        session.observe(write_down)
        watch(session, drawn_frames(40), step_ns=3 * SECOND_NS)
        session.ask("?").run()
        assert session.metrics().rebases >= 2
        turned = [entry for entry in row.live() if entry.block.kind is Kind.FRAMES]
        assert any(pool._shift[0, int(entry.slots[0])].any() for entry in turned)
        for entry in turned:
            for layer, key in zip(pool.pools, raw[entry.id], strict=True):
                now = rotate(key, entry.positions[pool._axes].T, pool._frequencies)
                assert (layer.pool_keys[0, :, entry.slots].double() - now).abs().max() <= CLOSE


@pytest.mark.parametrize("family", FAMILIES)
def test_4_after_a_rebase_a_question_equals_raw_keys_at_their_new_positions(family):
    """One question over a rebased cache equals attention over unrotated keys turned to their positions of now."""
    backbone = model_of(family).backbone
    torch.manual_seed(0)
    frames, question = torch.randint(0, 256, (30,)), torch.randint(0, 256, (6,))
    empty = torch.empty(0, dtype=torch.int64)
    far = torch.arange(500, 530).expand(3, -1)
    near = torch.arange(10, 40).expand(3, -1)
    asked = torch.arange(40, 46).expand(3, -1)
    pool = SlotPool(backbone, slots=64)
    engine = Engine(backbone, pool)
    slots = pool.place(0, 30)
    engine.forward([Feed(row=0, token_ids=frames, positions=far, slots=slots, sees=empty)])
    pool.rebase(0, slots, (-490, -490, -490))
    ask = Feed(row=0, token_ids=question, positions=asked, slots=pool.place(0, 6), sees=slots, logits=6)
    rebased = engine.forward([ask])[0]
    # A uniform move changes no distance among the frames, so frames written at the new positions are the raw-key truth.
    fresh = SlotPool(backbone, slots=64)
    engine = Engine(backbone, fresh)
    slots = fresh.place(0, 30)
    engine.forward([Feed(row=0, token_ids=frames, positions=near, slots=slots, sees=empty)])
    ask = Feed(row=0, token_ids=question, positions=asked, slots=fresh.place(0, 6), sees=slots, logits=6)
    assert (rebased - engine.forward([ask])[0]).abs().max() <= CLOSE


def digest(session) -> tuple[bytes, ...]:
    """Bytes of the video's own keys and values, and where the next frame would go."""
    state = session._state
    entries = [entry for entry in state.row.live() if entry.block.kind in (Kind.SYSTEM, Kind.FRAMES)]
    slots = torch.cat([entry.slots for entry in entries])
    parts = [
        part[0, :, slots].numpy().tobytes()
        for layer in state.row.pool.pools
        for part in (layer.pool_keys, layer.pool_values)
    ]
    return (*parts, repr([entry.id for entry in entries]).encode(), repr(state.track.cursor).encode())


def test_5_asking_leaves_the_video_as_it_is(model):
    frames = drawn_frames(15)
    with model.session() as asked, model.session() as quiet:
        for session in (asked, quiet):
            session.observe(Oracle(model.backbone))
        watch(asked, frames[:9])
        asked._state.drain()
        before = digest(asked)
        asked.ask("What is this?").run()
        list(asked.speak())
        assert digest(asked) == before
        watch(asked, frames[9:], start_ns=9 * SECOND_NS // 2)
        watch(quiet, frames)
        for session in (asked, quiet):
            session._state.drain()
        mine, other = digest(asked)[:-2], digest(quiet)[:-2]
        for a, b in zip(mine, other, strict=True):
            difference = np.frombuffer(a, np.float32) - np.frombuffer(b, np.float32)
            assert np.abs(difference).max() <= CLOSE


def test_6_interleaved_sessions_equal_each_alone(model):
    streams = [drawn_frames(12, seed=seed) for seed in range(3)]

    def run(pool) -> list[list[torch.Tensor]]:
        oracles = [Oracle(model.backbone) for _ in streams]
        sessions = [model.session(pool=pool() if callable(pool) else pool) for _ in streams]
        for session, oracle in zip(sessions, oracles, strict=True):
            session.observe(oracle)
        order = range(12) if not callable(pool) else ()
        for index in order:
            for session, frames in zip(sessions, streams, strict=True):
                session.add_frame(frames[index], index * SECOND_NS // 2)
                if index == 5:
                    session.ask("What?").run()
        if callable(pool):
            for session, frames in zip(sessions, streams, strict=True):
                watch(session, frames[:6])
                session.ask("What?").run()
                watch(session, frames[6:], start_ns=3 * SECOND_NS)
        for session in sessions:
            session.ask("And then?").run()
            session.close()
        return [[row for _, row in oracle.logits] for oracle in oracles]

    shared, alone = run(model.pool(sessions=3)), run(lambda: model.pool())
    for mine, other in zip(shared, alone, strict=True):
        assert len(mine) == len(other)
        assert max(float((a - b).abs().max()) for a, b in zip(mine, other, strict=True)) <= CLOSE


def test_7_a_ragged_batch_equals_each_session_alone(model):
    backbone = model.backbone
    torch.manual_seed(1)
    lengths = ((7, 3), (12, 1), (2, 9))
    tokens = [[torch.randint(0, 256, (n,)) for n in pair] for pair in lengths]
    empty = torch.empty(0, dtype=torch.int64)

    def feeds(pool: SlotPool, rows: Sequence[int], step: int, seen: dict[int, torch.Tensor]) -> list[Feed]:
        made = []
        for row in rows:
            ids = tokens[row][step]
            start = 0 if step == 0 else lengths[row][0]
            positions = torch.arange(start, start + len(ids)).expand(3, -1)
            slots = pool.place(row if pool.nbytes and len(rows) > 1 else 0, len(ids))
            made.append(Feed(row=row if len(rows) > 1 else 0, token_ids=ids, positions=positions, slots=slots,
                             sees=seen.get(row, empty), logits=len(ids)))  # fmt: skip
            seen[row] = torch.cat([seen.get(row, empty), slots])
        return made

    together = SlotPool(backbone, slots=64, rows=3)
    seen: dict[int, torch.Tensor] = {}
    batch = [Engine(backbone, together).forward(feeds(together, (0, 1, 2), step, seen)) for step in (0, 1)]
    for row in range(3):
        pool, seen = SlotPool(backbone, slots=64), {}
        for step in (0, 1):
            [alone] = Engine(backbone, pool).forward(feeds(pool, (row,), step, seen))
            assert (alone - batch[step][row]).abs().max() <= CLOSE
            assert torch.equal(alone.argmax(-1), batch[step][row].argmax(-1))


def test_8_parallel_decoding_equals_the_training_mask(model):
    """Speaking while frames keep coming is the layout `branch`, a reply of one token at a time: same mask and ids."""
    frames = drawn_frames(12)
    # Drawn at random, the reply is long whatever the weights would say.
    drawn = AnswerOptions(sampling=Sampling(temperature=9.0, seed=2), stop=StopRule(max_new_tokens=6))
    with model.session(mode="parallel") as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, frames[:4])
        answer = session.ask("Describe it.", options=drawn)
        for index in range(4, 12):
            session.add_frame(frames[index], index * SECOND_NS // 2)
            next(answer, None)
        answer.run()
        steps = [event for event in oracle.fed if event.entry.block.kind in (Kind.FRAMES, Kind.REPLY)]
        turns = [a.entry.block.kind is not b.entry.block.kind for a, b in pairwise(steps)]
        assert sum(turns) >= 3, "frames and reply took turns"
        assert oracle.difference() <= CLOSE
        blocks = training_blocks(oracle.fed)
    context = derive(blocks, LAYOUTS["branch"], clock=model.backbone.family.clock)
    order = training_order(oracle, context)
    assert torch.equal(torch.stack(oracle.positions, dim=1)[:, order], context.positions)
    mine = torch.tensor([[column in oracle.sees[row] for column in order] for row in order])
    assert torch.equal(mine, visible(context))


def training_blocks(fed: Sequence[Fed]) -> list[Block]:
    """What a session fed, as training would write it down: every block known at the moment it was fed."""
    blocks = []
    for tick, event in enumerate(fed):
        block = event.entry.block
        if block.kind is Kind.FRAMES:
            [grid] = block.grids
            blocks.append(replace(block, t0_ns=grid.t_ns, t1_ns=max(grid.t_ns + 1, tick_ns(fed, tick))))
        else:
            blocks.append(replace(block, t0_ns=tick_ns(fed, tick), t1_ns=tick_ns(fed, tick)))
    return blocks


def tick_ns(fed: Sequence[Fed], tick: int) -> int:
    """A time that rises with the order of feeding and lies behind every frame fed so far."""
    newest = max((event.entry.block.t1_ns for event in fed[: tick + 1]), default=0)
    return newest * 1000 + tick


def training_order(oracle: Oracle, context) -> list[int]:
    """For each token of the training sequence, the place of the same token in the order of feeding."""
    places: dict[tuple, list[int]] = {}
    token = 0
    for event in oracle.fed:
        ids = event.entry.block.token_ids
        places.setdefault((event.entry.block.kind, ids, tuple(g.t_ns for g in event.entry.block.grids)), []).append(
            token
        )
        token += len(ids)
    order: list[int] = []
    for block in context.blocks:
        key = (block.kind, block.token_ids, tuple(grid.t_ns for grid in block.grids))
        start = places[key].pop(0)
        order += range(start, start + len(block.token_ids))
    return order


def test_9_what_a_question_sees_is_in_order_of_time(model):
    chosen = replace(
        BASE, memory="star_stream", memory_settings=MemorySettings(star_capacity=2, stream_capacity=2), mode="delayed"
    )
    with model.session(chosen) as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, drawn_frames(24))
        session.ask("?").run()
        times = [event.entry.block.t0_ns for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]
        assert times == sorted(set(times))
        assert times[0] == 0
        assert len(times) == 4


def test_10_positions_in_the_cache_are_those_of_the_whole(model):
    with model.session() as session:
        session.observe(oracle := Oracle(model.backbone))
        watch(session, drawn_frames(10), step_ns=700_000_000)
        session.ask("?")
    ids: list[int] = []
    grids: list[Grid] = []
    for event in oracle.fed:
        block = event.entry.block
        grids += [replace(grid, start=grid.start + len(ids)) for grid in block.grids]
        ids += block.token_ids
    whole, _ = place(len(ids), grids, cursor=Cursor(), clock=model.backbone.family.clock)
    assert torch.equal(whole, torch.stack(oracle.positions, dim=1))
