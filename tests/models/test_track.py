"""Tests of the video's own line: one system turn, grids behind it at the positions of the whole, all or nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.engine import Engine
from models.errors import PoolFullError, TimeError
from models.memory.records import Merged
from models.positions import Cursor, place
from models.row import Draft
from models.track import FORWARD_TOKENS, SEGMENT_GAP_NS, flat, merged_scene, scene_of
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.small import FAMILIES, SECOND, backbone
from tests.models.watching import SYSTEM, arrival, features_for, scene, track_of


class Counting(Engine):
    """An engine that counts its forwards."""

    def __init__(self, on, pool):
        super().__init__(on, pool)
        self.sizes = []

    def forward(self, feeds):
        self.sizes.append(sum(len(feed.token_ids) for feed in feeds))
        return super().forward(feeds)


def enter(track, scenes):
    """Brings scenes in, each after the others; returns their entries' ids."""
    before = [entry.id for entry in track.row.live() if entry.block.kind is Kind.FRAMES]
    drafts, track.cursor = track.place(scenes, sees=[track.start(), *before], cursor=track.cursor)
    track.run(drafts)
    return [draft.entry.id for draft in drafts]


# The system turn.


@pytest.mark.parametrize("family", FAMILIES)
def test_the_system_turn_is_fed_once(family):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    assert (track.system, track.cursor) == (None, Cursor())
    system = track.start()
    assert track.start() == track.system == system
    tokens = track.prompts.system(SYSTEM)
    [fed] = oracle.fed
    assert (fed.entry.block.kind, fed.entry.block.token_ids, fed.entry.block.pinned) == (Kind.SYSTEM, tokens, True)
    assert (track.row.used, track.cursor.next, track.meter.prefill_tokens) == (len(tokens),) * 3
    assert track.meter.seconds["prefill"] > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_system_prompt_leaves_the_turn_out(family):
    track = track_of(family, prompt="")
    tokens = track.row.entry(track.start()).block.token_ids
    opened = {"qwen2_5_vl": "<|vision_start|>", "qwen2_5_omni": "<|vision_bos|>", "qwen3_vl": ""}[family]
    assert track.prompts.tokenizer.decode(tokens) == f"<|im_start|>user\n{opened}"


def test_a_pool_smaller_than_the_system_turn_takes_nothing():
    track = track_of(slots=5)
    for _ in range(2):
        with pytest.raises(PoolFullError):
            track.start()
        assert (track.system, track.row.used, track.cursor) == (None, 0, Cursor())


# Blocks.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_is_a_grid_with_the_text_of_its_family(family):
    track = track_of(family)
    track.origin_ns = 10 * SECOND
    shown = scene(12 * SECOND, family=family, height=2, width=3, span_ns=SECOND)
    block = track.block(shown)
    [grid] = block.grids
    assert (block.t0_ns, block.t1_ns, grid.t_ns) == (12 * SECOND, 13 * SECOND + 1, 12 * SECOND)
    assert (grid.height, grid.width, grid.stop - grid.start) == (2, 3, 6)
    assert set(block.token_ids[grid.start : grid.stop]) == {track.prompts.family.video_id}
    assert track.tokens(shown) == len(block.token_ids)
    around = track.prompts.tokenizer.decode(block.token_ids[: grid.start])
    # Times in the text count from the first frame of the stream.
    assert around == ("<2.5 seconds><|vision_start|>" if family == "qwen3_vl" else "")


def test_features_side_by_side_come_apart_again():
    for family in FAMILIES:
        features = features_for(family, 4, 3)
        parts = flat(features).chunk(1 + len(features.deepstack), dim=-1)
        assert all(torch.equal(a, b) for a, b in zip(parts, (features.embeds, *features.deepstack), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_grid_takes_time_size_and_place_of_its_first_member(family):
    track = track_of(family)
    first, _ = enter(track, [scene(0, family=family, height=2, width=3), scene(SECOND, family=family, seed=1)])
    member = track.row.entry(first)
    features = features_for(family, 6, 8)
    merged = Merged(key=-1, of=(0, 1), t0_ns=0, t1_ns=2 * SECOND, features=flat(features))
    made = merged_scene(merged, member, 1 + len(features.deepstack))
    assert (made.t0_ns, made.last_ns, made.height, made.width) == (0, 2 * SECOND - 1, 2, 3)
    assert made.cursor == member.cursor
    assert torch.equal(made.features.embeds, features.embeds)
    assert len(made.features.deepstack) == len(features.deepstack)
    assert all(map(torch.equal, made.features.deepstack, features.deepstack))
    cursor = track.cursor
    [draft], after = track.place([made], sees=[track.start()], cursor=cursor)
    assert torch.equal(draft.entry.positions, member.positions)
    assert after == cursor


# Placing.


@given(
    st.sampled_from(FAMILIES),
    st.lists(
        st.tuples(st.integers(1, 9 * SECOND), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=6
    ),
    st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=examples(40), deadline=None)
def test_grids_placed_in_turns_stand_where_the_whole_puts_them_and_see_the_past(family, sizes, cut):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    now, scenes = 0, []
    for seed, (step, height, width) in enumerate(sizes):
        now += step
        scenes.append(scene(now, family=family, height=height, width=width, seed=seed, span_ns=0))
    for turn in (scenes[:cut], scenes[cut:]):
        enter(track, turn)
    ids, grids, seen = [], [], []
    for event in oracle.fed:
        assert sorted(event.sees.tolist()) == sorted(seen)
        seen += event.entry.slots.tolist()
        grids += [replace(grid, start=grid.start + len(ids)) for grid in event.entry.block.grids]
        ids += event.entry.block.token_ids
    whole, end = place(len(ids), grids, cursor=Cursor(), clock=track.row.clock)
    assert torch.equal(torch.stack(oracle.positions, dim=1), whole)
    assert track.cursor == end
    assert track.meter.prefill_tokens == len(ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_grids_of_which_one_does_not_fit_are_not_placed_at_all(family):
    track = track_of(family, slots=80)
    kept = enter(track, [scene(0, family=family)])
    size = track.tokens(scene(0, family=family))
    fits = track.row.available // size
    cursor, used, live = track.cursor, track.row.used, track.row.live()
    with pytest.raises(PoolFullError):
        track.place([scene(k * SECOND, family=family) for k in range(1, fits + 2)], sees=kept, cursor=cursor)
    assert (track.row.used, track.row.live(), track.cursor) == (used, live, cursor)
    drafts, _ = track.place([scene(k * SECOND, family=family) for k in range(1, fits + 1)], sees=kept, cursor=cursor)
    assert len(drafts) == fits


def test_grids_of_which_one_runs_backwards_are_not_placed_at_all():
    track = track_of()
    track.start()
    used = track.row.used
    with pytest.raises(TimeError, match="backwards"):
        track.place([scene(5 * SECOND), scene(4 * SECOND)], sees=[], cursor=track.cursor)
    assert track.row.used == used


@pytest.mark.parametrize(
    ("gap_ns", "limit", "apart"),
    [
        (SEGMENT_GAP_NS, 100, False),  # near enough to count through
        (SEGMENT_GAP_NS + 1, 100, True),
        (SEGMENT_GAP_NS + 1, 24_000, False),  # no limit is near
        (9000 * SEGMENT_GAP_NS, 24_000, True),
    ],
)
def test_frames_far_apart_begin_a_new_segment_where_time_would_pass_the_limit(gap_ns, limit, apart):
    track = track_of(limit=limit)
    first, second, third = enter(track, [scene(0), scene(gap_ns), scene(gap_ns + SECOND)])
    entries = [track.row.entry(key) for key in (first, second, third)]
    jump = int(entries[1].positions[0, 0] - entries[0].positions[0, 0])
    # A segment of its own stands right behind; else two positions a second pass.
    assert jump == (2 if apart else gap_ns * 2 // SECOND)
    assert int(entries[2].positions[0, 0] - entries[1].positions[0, 0]) == 2
    assert (entries[2].end < limit) == (apart or limit == 24_000)


def test_where_time_stands_in_the_text_no_gap_takes_positions():
    track = track_of("qwen3_vl", limit=400)
    first, second = (track.row.entry(key) for key in enter(track, [scene(0, family="qwen3_vl"),
                                                                   scene(10**15, family="qwen3_vl")]))  # fmt: skip
    assert int(second.positions.min()) == first.end


# Running.


def test_a_long_prefill_runs_in_parts_and_gives_what_one_forward_gives():
    side = 16
    scenes = [scene(k * SECOND, height=side, width=side, seed=k) for k in range(FORWARD_TOKENS // side**2 + 2)]
    parts, whole = (track_of(slots=6000, engine=Counting) for _ in range(2))
    found = []
    for track in (parts, whole):
        drafts, _ = track.place(scenes, sees=[track.start()], cursor=track.cursor)
        last = drafts[-1]
        drafts[-1] = Draft(entry=last.entry, sees=last.sees, features=last.features, logits=4)
        found.append((track.run if track is parts else track.row.run)(drafts))
    one, other = (track.row.engine.sizes[1:] for track in (parts, whole))
    assert (len(one), len(other)) == (2, 1)
    assert max(one) <= FORWARD_TOKENS < other[0] == sum(one)
    assert [len(logits) for logits in found[0]] == [len(logits) for logits in found[1]] == [0] * (len(scenes) - 1) + [4]
    torch.testing.assert_close(found[0][-1], found[1][-1], atol=1e-4, rtol=0)
    assert parts.meter.prefill_tokens - whole.meter.prefill_tokens == sum(one)


def test_nothing_to_run_runs_nothing():
    track = track_of(engine=Counting)
    assert track.run([]) == []
    assert track.row.engine.sizes == []


# Setting positions back.


@given(
    st.sampled_from(FAMILIES),
    st.lists(st.sampled_from([SECOND // 2, 3 * SECOND, 50 * SECOND]), min_size=2, max_size=8),
    st.sets(st.integers(0, 7)),
)
@settings(max_examples=examples(25), deadline=None)
def test_frames_that_live_get_the_positions_of_a_context_of_their_own(family, steps, evicted):
    track, alone = track_of(family, slots=300), track_of(family, slots=300)
    times = [sum(steps[: k + 1]) for k in range(len(steps))]
    keys = enter(track, [scene(t_ns, family=family, span_ns=0) for t_ns in times])
    gone = [key for place, key in enumerate(keys) if place in evicted]
    track.row.free(gone)
    kept = [key for key in keys if key not in gone]
    end = track.cursor.next
    assert track.compact(kept) == track.cursor.next - end <= 0
    assert track.meter.rebases == 1
    lives = [t_ns for place, t_ns in enumerate(times) if place not in evicted]
    # What memory left out takes no positions where it lasted more than a minute.
    runs = [[]]
    for t_ns in lives:
        if runs[-1] and t_ns - runs[-1][-1] > SEGMENT_GAP_NS:
            runs.append([])
        runs[-1].append(t_ns)
    alone.start()
    fresh = []
    for run in runs:
        alone.cursor = Cursor(next=alone.cursor.next)
        fresh += enter(alone, [scene(t_ns, family=family, span_ns=0) for t_ns in run])
    for mine, other in zip(kept, fresh, strict=True):
        assert torch.equal(track.row.entry(mine).positions, alone.row.entry(other).positions)
    assert track.cursor.next == alone.cursor.next
    # A second time moves nothing.
    moved = track.row.pool.bytes_moved
    assert track.compact(kept) == 0
    assert track.row.pool.bytes_moved == moved


@pytest.mark.parametrize(("family", "step_s"), [("qwen2_5_omni", 50), ("qwen2_5_omni", 3), ("qwen2_5_vl", 55)])
def test_setting_back_leaves_room_below_the_limit_even_where_frames_lie_far_apart(family, step_s):
    track = track_of(family, slots=300, limit=400)
    keys = enter(track, [scene(k * step_s * SECOND, family=family, span_ns=0) for k in range(12)])
    assert track.cursor.next > 400
    track.compact(keys)
    assert track.cursor.next <= 200
    # In order still, each grid behind the one before it.
    firsts = [int(track.row.entry(key).positions.min()) for key in keys]
    assert firsts == sorted(set(firsts))


def test_an_arrival_becomes_the_scene_of_its_frames():
    came = arrival(3)
    made = scene_of(came, came.future.result())
    assert (made.t0_ns, made.last_ns, made.height, made.width) == (came.t0_ns, came.last_ns, 2, 2)
    assert made.features is came.future.result()
    assert made.cursor is None
