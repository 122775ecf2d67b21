from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Block, BlockError, Kind, derive, pack
from models.errors import SettingsError, TimeError
from models.layouts import LAYOUTS
from models.masks import visible
from models.positions import Cursor, Grid, GridError, place
from tests.laws import examples
from tests.models.contexts import (
    CLOCK,
    LIVE,
    PAST,
    SECOND,
    block_lists,
    contexts,
    derived,
    frames,
    text,
    watching,
)

NAMES = sorted(LAYOUTS)


def token_count(context):
    return len(context.token_ids)


# Blocks


def test_a_block_says_when_it_is_known():
    assert frames(2 * SECOND, 5 * SECOND).known_ns == 5 * SECOND
    assert Block(kind=Kind.REPLY, t0_ns=2, t1_ns=5, token_ids=(1,)).known_ns == 2
    assert [kind for kind in Kind if kind.said] == [Kind.REPLY, Kind.DECISION]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"t1_ns": -1}, TimeError, r"span \[0, -1\)"),
        ({"t0_ns": 0.5}, TimeError, "ints of nanoseconds"),
        ({"token_ids": ()}, BlockError, "holds no tokens"),
        ({"grids": (Grid(start=0, height=1, width=1, t_ns=0),)}, BlockError, "what the model says is text"),
        ({"learn": (2, 2)}, BlockError, r"learn is \(2, 2\)"),
        ({"learn": (-1, 2)}, BlockError, "expected a span inside"),
        ({"learn": (1, 4)}, BlockError, r"inside \[0, 3\)"),
        ({"loss_weight": -1.0}, BlockError, "loss_weight is -1"),
        ({"loss_weight": float("nan")}, BlockError, "loss_weight is nan"),
    ],
)
def test_a_block_refuses_what_contradicts_itself(change, error, words):
    good = text(Kind.REPLY, 0, 3, learn=(0, 3))
    with pytest.raises(error, match=words):
        replace(good, **change)


def test_grids_lie_inside_their_block_in_tokens_and_in_time():
    good = frames(0, SECOND, grids=2)
    with pytest.raises(GridError, match=r"grid 1 takes tokens \[4, 8\)"):
        replace(good, token_ids=(9,) * 7)
    with pytest.raises(GridError, match="without overlap"):
        replace(good, grids=(good.grids[1], good.grids[0]))
    with pytest.raises(TimeError, match="outside its span"):
        replace(good, t1_ns=SECOND // 2)
    with pytest.raises(TimeError, match="end the span behind its last frame"):
        replace(frames(5, 6), t0_ns=6)


# Sequence, labels


@given(block_lists(), st.sampled_from(NAMES))
@settings(max_examples=examples(50))
def test_nothing_is_lost_and_the_sequence_is_the_layouts(blocks, name):
    context = derived(name, blocks)
    by_known = [block for _, block in sorted(enumerate(blocks), key=lambda item: (item[1].known_ns, item[0]))]
    if name not in ("branch", "interleave"):
        by_known = [block for said in (False, True) for block in by_known if block.kind.said == said]
    assert context.token_ids.tolist() == [token for block in by_known for token in block.token_ids]
    assert [token for block in context.blocks for token in block.token_ids] == context.token_ids.tolist()
    assert context.block_of.tolist() == [at for at, block in enumerate(context.blocks) for _ in block.token_ids]
    assert sorted(context.arrival.tolist()) == list(range(len(context.blocks)))
    assert context.documents.tolist() == [0, token_count(context)]
    assert context.documents.dtype == torch.int32
    assert context.max_seqlen == token_count(context)


@given(block_lists(), st.sampled_from(NAMES))
@settings(max_examples=examples(50))
def test_labels_are_the_spans_to_learn(blocks, name):
    context = derived(name, blocks)
    expected = {
        token: block.loss_weight
        for block in blocks
        if block.learn is not None
        for token in block.token_ids[slice(*block.learn)]
    }
    learned = context.labels != -100
    assert torch.equal(context.labels[learned], context.token_ids[learned])
    assert set(context.labels[learned].tolist()) == expected.keys()
    assert context.loss_weights.dtype == torch.float32
    for token, weight in zip(context.token_ids.tolist(), context.loss_weights.tolist(), strict=True):
        assert weight == pytest.approx(expected.get(token, 0.0))


def test_the_cut_of_a_reply_keeps_what_is_learned_of_it():
    blocks = watching(seconds=2, reply=4)
    for learn in [(0, 4), (0, 3), (3, 4), (1, 2), None]:
        changed = [replace(block, learn=learn) if block.kind is Kind.REPLY else block for block in blocks]
        context = derived("group", changed)
        assert [len(block.token_ids) for block in context.blocks if block.kind is Kind.REPLY] == [3, 1, 4]
        first_reply = context.block_of[context.labels != -100].bincount(minlength=len(context.blocks))[4:6].sum()
        assert int(first_reply) == (0 if learn is None else learn[1] - learn[0])


# Who sees whom


@given(contexts)
@settings(max_examples=examples(50))
def test_a_block_sees_itself_and_nothing_later(context):
    assert context.sees.diagonal().all()
    assert not context.sees.triu(1).any()


@given(block_lists(), st.sampled_from(PAST))
@settings(max_examples=examples(50))
def test_no_reply_sees_what_arrives_after_it(blocks, name):
    context = derived(name, blocks)
    for row, looker in enumerate(context.blocks):
        for column, seen in enumerate(context.blocks):
            if looker.kind.said and context.sees[row, column] and row != column:
                assert seen.known_ns <= looker.t0_ns
                assert all(grid.t_ns < looker.t0_ns for grid in seen.grids)


@given(block_lists(), st.sampled_from(PAST))
@settings(max_examples=examples(25))
def test_a_reply_sees_all_that_arrived_before_it(blocks, name):
    context = derived(name, blocks)
    for row, looker in enumerate(context.blocks):
        for column, seen in enumerate(context.blocks[:row]):
            if looker.kind.said and seen.known_ns < looker.t0_ns:
                assert context.sees[row, column]


@given(block_lists(), st.sampled_from(PAST))
@settings(max_examples=examples(25))
def test_a_reply_that_stays_whole_sees_exactly_what_had_arrived(blocks, name):
    rule = replace(LAYOUTS[name].visibility, predicting_row=False)
    context = derive(blocks, replace(LAYOUTS[name], visibility=rule), clock=CLOCK)
    place = {block.token_ids: at for at, block in enumerate(blocks)}
    when = [(block.known_ns, place[block.token_ids]) for block in context.blocks]
    for row, looker in enumerate(context.blocks):
        if looker.kind.said:
            assert context.sees[row].tolist() == [came <= when[row] for came in when]


@given(block_lists(), st.sampled_from(["group", "gap", "overlap", "overlap_shared"]))
@settings(max_examples=examples(25))
def test_in_groups_frames_do_not_depend_on_the_dialogue(blocks, name):
    context = derived(name, blocks)
    first_frames = min((at for at, block in enumerate(context.blocks) if block.kind is Kind.FRAMES), default=0)
    for row, looker in enumerate(context.blocks):
        for column, seen in enumerate(context.blocks[:row]):
            if looker.kind.said:
                continue
            hidden = seen.kind.said
            if looker.kind is Kind.FRAMES and seen.kind is Kind.QUERY:
                hidden = column > first_frames
            assert bool(context.sees[row, column]) == (not hidden)


@given(block_lists())
@settings(max_examples=examples(50))
def test_a_group_in_the_order_of_time_is_the_same_group(blocks):
    # What makes the layout live: the order of the sequence changes neither ids nor visibility.
    rule = replace(LAYOUTS["group"].visibility, predicting_row=False)
    trained = derive(blocks, replace(LAYOUTS["group"], visibility=rule), clock=CLOCK)
    served = derive(blocks, LIVE, clock=CLOCK)
    assert served.arrival.tolist() == list(range(len(blocks)))
    by_token, by_token_served = trained.token_ids.argsort(), served.token_ids.argsort()
    assert torch.equal(trained.positions[:, by_token], served.positions[:, by_token_served])
    seen, seen_served = visible(trained), visible(served)
    assert torch.equal(seen[by_token][:, by_token], seen_served[by_token_served][:, by_token_served])


@given(block_lists())
@settings(max_examples=examples(25))
def test_interleave_and_origin_are_plain_causal(blocks):
    for name in ("interleave", "origin", "batch"):
        context = derived(name, blocks)
        assert torch.equal(context.sees, torch.ones_like(context.sees).tril())


@given(block_lists(), st.sampled_from(["group", "gap", "overlap_shared", "branch", "interleave"]), st.integers(0, 20))
@settings(max_examples=examples(50))
def test_what_comes_later_moves_no_position(blocks, name, now):
    # So these layouts can be served live; origin, batch and overlap need the length of the video.
    early = [block for block in blocks if block.known_ns <= now * SECOND]
    if not early:
        return
    whole, part = derived(name, blocks), derived(name, early)
    of = dict(zip(whole.token_ids.tolist(), whole.positions.T.tolist(), strict=True))
    assert [of[token] for token in part.token_ids.tolist()] == part.positions.T.tolist()


def test_positions_of_a_stream_may_go_on_from_a_cursor():
    blocks = [text(Kind.SYSTEM, 0, 4), *watching()[2:]]
    whole = derived("interleave", blocks)
    _, cursor = place(4, (), cursor=Cursor(), clock=CLOCK)
    rest = derive(blocks[1:], LAYOUTS["interleave"], clock=CLOCK, cursor=cursor)
    assert torch.equal(rest.positions, whole.positions[:, 4:])


def test_a_clock_with_an_origin_wants_a_layout_that_counts_through_the_stream():
    clock = replace(CLOCK, origin_ns=0)
    with pytest.raises(SettingsError, match="group: counts time by segments"):
        derive(watching(), LAYOUTS["group"], clock=clock)
    late = [frames(5 * SECOND, 6 * SECOND)]
    assert derive(late, LAYOUTS["interleave"], clock=clock).positions[0, 0] == 10
    assert derive(late, LAYOUTS["interleave"], clock=CLOCK).positions[0, 0] == 0
    assert derive([text(Kind.QUERY, 0, 1)], LAYOUTS["interleave"], clock=CLOCK).positions.tolist() == [[0]] * 3


def test_empty_lists_are_refused():
    with pytest.raises(BlockError, match="derive: the list of blocks is empty"):
        derive([], LAYOUTS["group"], clock=CLOCK)
    with pytest.raises(BlockError, match="pack: the list of contexts is empty"):
        pack([])


def test_a_context_refuses_to_see_the_future():
    context = derived("group")
    with pytest.raises(BlockError, match="lets a block see a later one"):
        replace(context, sees=torch.ones_like(context.sees))
    with pytest.raises(BlockError, match="expected a square"):
        replace(context, sees=context.sees[1:])


# Packing


def tensors(context):
    return (
        context.arrival, context.token_ids, context.positions, context.block_of, context.sees, context.labels,
        context.loss_weights, context.documents,
    )  # fmt: skip


def same(one, other):
    pairs = zip(tensors(one), tensors(other), strict=True)
    return one.blocks == other.blocks and all(torch.equal(mine, theirs) for mine, theirs in pairs)


@given(st.lists(contexts, min_size=1, max_size=4))
@settings(max_examples=examples(25))
def test_a_pack_holds_each_document_as_it_was(parts):
    packed = pack(parts)
    assert packed.max_seqlen == max(token_count(part) for part in parts)
    assert packed.documents.dtype == torch.int32
    blocks = 0
    for part, start, stop in zip(parts, packed.documents[:-1].tolist(), packed.documents[1:].tolist(), strict=True):
        count = len(part.blocks)
        rows = slice(blocks, blocks + count)
        assert packed.blocks[rows] == part.blocks
        assert torch.equal(packed.sees[rows, rows], part.sees)
        assert not packed.sees[rows, :blocks].any()
        assert torch.equal(packed.arrival[rows] - blocks, part.arrival)
        assert torch.equal(packed.block_of[start:stop] - blocks, part.block_of)
        assert torch.equal(packed.positions[:, start:stop], part.positions)
        assert torch.equal(packed.token_ids[start:stop], part.token_ids)
        assert torch.equal(packed.labels[start + 1 : stop], part.labels[1:])
        assert torch.equal(packed.loss_weights[start + 1 : stop], part.loss_weights[1:])
        assert int(packed.labels[start]) == -100
        assert float(packed.loss_weights[start]) == 0
        assert packed.packed_positions[0, start:stop].tolist() == list(range(stop - start))
        blocks += count
    assert torch.equal(packed.packed_positions[1:], packed.positions)


@given(st.lists(contexts, min_size=3, max_size=3))
@settings(max_examples=examples(25))
def test_packs_can_be_packed(parts):
    one, two, three = parts
    assert same(pack([pack([one, two]), three]), pack([one, pack([two, three])]))
    assert same(pack([pack(parts)]), pack(parts))


def test_packing_leaves_the_parts_alone():
    part = derived("interleave", [text(Kind.REPLY, 0, 3, learn=(0, 3))])
    pack([part, part])
    assert part.labels.tolist() == [11] * 3
    assert part.loss_weights.tolist() == [1.0] * 3


# What is forgotten


@pytest.mark.parametrize("name", NAMES)
@given(block_lists(), st.integers(1, 6 * SECOND))
@settings(max_examples=examples(10))
def test_a_window_hides_old_frames_and_nothing_else(name, blocks, window_ns):
    whole = derived(name, blocks)
    context = derive(blocks, LAYOUTS[name], clock=CLOCK, window_ns=window_ns)
    heard = torch.tensor([not context.blocks[at].kind.said for at in context.block_of])
    # A reply that is to begin at frames that are forgotten goes on where the one before ended.
    stays = heard if name == "overlap_shared" else torch.ones_like(heard)
    assert torch.equal(context.positions[:, stays], whole.positions[:, stays])
    assert torch.equal(context.labels, whole.labels)
    # Token by token: a last row that forgets is a block of its own.
    before, after = visible(whole), visible(context)
    assert not (after & ~before).any()
    of = [context.blocks[at] for at in context.block_of]
    for row, column in (before & ~after).nonzero().tolist():
        assert of[column].kind is Kind.FRAMES
        assert of[row].known_ns - of[column].t1_ns >= window_ns
    for row, column in context.sees.nonzero().tolist():
        looks, seen = context.blocks[row], context.blocks[column]
        assert row == column or seen.kind is not Kind.FRAMES or looks.known_ns - seen.t1_ns < window_ns
    pinned = [replace(block, pinned=True) for block in blocks]
    assert torch.equal(visible(derive(pinned, LAYOUTS[name], clock=CLOCK, window_ns=window_ns)), before)


@pytest.mark.parametrize("window_ns", [0, -1, 1.0, True])
def test_a_window_is_a_time(window_ns):
    with pytest.raises(SettingsError, match="window_ns is"):
        derive(watching(), LAYOUTS["branch"], clock=CLOCK, window_ns=window_ns)
