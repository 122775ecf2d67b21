from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Block, Kind, derive
from models.errors import SettingsError
from models.layouts import LAYOUTS, PositionRule, VisibilityRule, with_offset
from models.masks import visible
from models.positions import Grid
from tests.laws import examples
from tests.models import layout_pictures, published
from tests.models.contexts import CLOCK, SECOND, block_lists, derived, frames, text, watching

conversations = st.builds(
    published.Conversation,
    system=st.integers(1, 4),
    question=st.integers(1, 4),
    frames=st.integers(2, 5),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    answer=st.integers(13, 18),
)


def as_blocks(talk):
    """A published conversation: its header and its groups of answer tokens are replies to the frames they may see."""
    blocks = [text(Kind.SYSTEM, 0, talk.system), text(Kind.QUERY, 0, talk.question)]
    for index in range(talk.frames):
        last = index == talk.frames - 1
        grid = Grid(start=0, height=talk.height, width=talk.width, t_ns=index * SECOND)
        blocks.append(
            Block(
                kind=Kind.FRAMES,
                t0_ns=index * SECOND,
                t1_ns=(index + 1) * SECOND,
                token_ids=(9,) * (talk.area + published.CLOSING * last),
                grids=(grid,),
            )
        )
        if not index:
            blocks.append(text(Kind.REPLY, SECOND, published.HEADER))
        count = talk.answer - published.GROUP * index if last else published.GROUP
        blocks.append(text(Kind.REPLY, (index + 1) * SECOND, count))
    return blocks


# Values


def test_the_layouts_are_eight_values_of_two_policies():
    assert list(LAYOUTS) == ["origin", "batch", "group", "gap", "overlap", "overlap_shared", "branch", "interleave"]
    assert all(name == layout.name for name, layout in LAYOUTS.items())
    values = {(layout.positions, layout.visibility) for layout in LAYOUTS.values()}
    assert len(values) == len(LAYOUTS)


def test_gap_is_group_with_another_offset():
    group, gap = LAYOUTS["group"], LAYOUTS["gap"]
    assert with_offset(group, 10_000).positions == gap.positions
    assert with_offset(gap, 0).positions == group.positions
    assert group.visibility == gap.visibility
    assert with_offset(gap, 7).name == "gap"


@given(st.integers(0, 50_000))
@settings(max_examples=examples(10))
def test_the_offset_moves_replies_and_nothing_else(phi):
    at_zero = derived("group", watching())
    moved = derive(watching(), with_offset(LAYOUTS["group"], phi), clock=CLOCK)
    said = torch.tensor([block.kind.said for block in at_zero.blocks])[at_zero.block_of]
    assert torch.equal(moved.positions, at_zero.positions + phi * said)
    assert torch.equal(moved.sees, at_zero.sees)


@pytest.mark.parametrize("name", ["origin", "overlap", "overlap_shared", "branch", "interleave"])
def test_only_a_layout_that_restarts_has_an_offset(name):
    with pytest.raises(SettingsError, match="other than 0 only with restart"):
        with_offset(LAYOUTS[name], 5)
    with pytest.raises(SettingsError, match="offset is -1"):
        with_offset(LAYOUTS["group"], -1)


def test_rules_refuse_values_that_mean_nothing():
    with pytest.raises(SettingsError, match="reply is 'begin'"):
        PositionRule(reply="begin")
    with pytest.raises(SettingsError, match="clock is 'wall'"):
        PositionRule(reply="continue", clock="wall")
    good = VisibilityRule(order="time", frames_see_text=True, replies_see="past")
    with pytest.raises(SettingsError, match="order is 'length'"):
        replace(good, order="length")
    with pytest.raises(SettingsError, match="replies_see is 'some'"):
        replace(good, replies_see="some")
    with pytest.raises(SettingsError, match="order time with replies_see 'all'"):
        replace(good, replies_see="all")
    with pytest.raises(SettingsError, match="predicting_row True"):
        replace(good, predicting_row=True)


@pytest.mark.parametrize("change", [{"reply": "restart"}, {"reply": "shared"}, {"clock": "stream"}])
def test_text_beside_the_video_goes_on_behind_all_that_has_come(change):
    beside = LAYOUTS["branch"].positions
    with pytest.raises(SettingsError, match=f"beside with .*'{next(iter(change.values()))}'.*; text beside the video"):
        replace(beside, **change)
    assert replace(beside, beside=False, **change).beside is False


def test_queries_are_told_from_frames_only_where_a_sequence_holds_what_was_said_before_them():
    good = LAYOUTS["branch"].visibility
    with pytest.raises(SettingsError, match="queries_see is 'some'"):
        replace(good, queries_see="some")
    with pytest.raises(SettingsError, match="queries_see all with order time and frames_see_text True"):
        replace(good, frames_see_text=True)
    with pytest.raises(SettingsError, match="queries_see all with order frames_first"):
        replace(good, order="frames_first")


@pytest.mark.parametrize("name", ["origin", "group", "interleave"])
def test_frames_never_see_text_whose_positions_they_take_too(name):
    with pytest.raises(SettingsError, match=f"layout {name}: its text has positions beside the video"):
        replace(LAYOUTS[name], positions=LAYOUTS["branch"].positions)
    with pytest.raises(SettingsError, match=r"layout branch: .* but queries_see is input"):
        replace(LAYOUTS["branch"], visibility=LAYOUTS[name].visibility)


# What was published


@given(conversations, st.sampled_from(["origin", "batch", "group", "gap", "overlap"]))
@settings(max_examples=examples(50))
def test_ids_are_those_of_the_published_training_code(talk, variant):
    context = derived(variant, as_blocks(talk))
    assert [tuple(ids) for ids in context.positions.T.tolist()] == published.training_ids(talk, variant)


@given(conversations, st.sampled_from(["group", "gap", "overlap", "overlap_shared"]))
@settings(max_examples=examples(50))
def test_the_mask_is_the_published_group_mask(talk, variant):
    assert visible(derived(variant, as_blocks(talk))).tolist() == published.group_mask(talk)


@given(conversations, st.sampled_from(["origin", "batch"]))
@settings(max_examples=examples(10))
def test_origin_and_batch_are_plain_causal(talk, variant):
    context = derived(variant, as_blocks(talk))
    assert torch.equal(visible(context), torch.ones(talk.length, talk.length, dtype=torch.bool).tril())


@given(conversations)
@settings(max_examples=examples(50))
def test_ids_of_interleave_are_those_of_the_published_generation(talk):
    context = derived("interleave", as_blocks(talk))
    assert [tuple(ids) for ids in context.positions.T.tolist()] == published.interleaved_ids(talk)
    assert torch.equal(visible(context), torch.ones(talk.length, talk.length, dtype=torch.bool).tril())


def test_the_published_mask_lets_the_predicting_row_see_the_next_frame():
    # Without the shift of rows, the token that begins a group would be predicted without the group's frame.
    talk = published.Conversation(system=1, question=1, frames=2, height=1, width=1, answer=6)
    mask = published.group_mask(talk)
    second_frame = talk.frame(1).start
    assert [mask[talk.answer_start + index][second_frame] for index in range(6)] == [False, False, *[True] * 4]
    rule = replace(LAYOUTS["group"].visibility, predicting_row=False)
    unshifted = visible(derive(as_blocks(talk), replace(LAYOUTS["group"], visibility=rule), clock=CLOCK))
    column = unshifted[talk.answer_start :, second_frame].tolist()
    assert column == [False, False, False, True, True, True]


# What is ours


def starts(context):
    """The first position of each block, by its letter, in sequence order."""
    first = {}
    for at, block in enumerate(context.block_of.tolist()):
        first.setdefault(block, context.positions[:, at].tolist())
    return [(context.blocks[block].kind, ids) for block, ids in first.items()]


def test_shared_replies_begin_where_their_frames_begin():
    blocks = [text(Kind.REPLY, 0, 2), text(Kind.SYSTEM, 0, 3), text(Kind.REPLY, 1, 2), text(Kind.QUERY, 2, 1)]
    blocks += [frames(0, 2 * SECOND), text(Kind.REPLY, 2 * SECOND, 2), text(Kind.REPLY, 2 * SECOND, 4)]
    blocks += [
        frames(2 * SECOND, 5 * SECOND, before=1),
        text(Kind.QUERY, 5 * SECOND, 1),
        text(Kind.REPLY, 6 * SECOND, 1),
    ]
    context = derived("overlap_shared", blocks)
    ids = [ids[0] for kind, ids in starts(context) if not kind.said]
    # The text before the second frame closes the first one's segment, which reached 5.
    assert ids == [0, 3, 4, 6, 9]
    said = [ids for kind, ids in starts(context) if kind.said]
    # Nothing had come; the system prompt had; frame 1 begins at 4 and is answered twice; frame 2 begins at 6,
    # wherever the question behind it stands.
    # The last token of the first, second and fourth reply predicts the next reply, and is a block of its own.
    assert said == [[at] * 3 for at in (0, 1, 3, 4, 4, 6, 9, 6)]


def test_a_question_in_the_middle_restarts_nothing():
    blocks = [*watching(seconds=1), text(Kind.QUERY, SECOND, 4), text(Kind.REPLY, 2 * SECOND, 2)]
    context = derived("group", blocks)
    assert [(kind.value, ids[0]) for kind, ids in starts(context)] == [
        ("system", 0), ("query", 2), ("frames", 4), ("query", 6), ("reply", 0), ("reply", 2), ("reply", 3),
    ]  # fmt: skip


def test_blocks_of_one_instant_arrive_in_the_order_of_the_list():
    frame, reply = frames(0, SECOND), text(Kind.REPLY, SECOND, 1)
    after = derived("group", [frame, reply])
    before = derived("group", [reply, frame])
    assert after.sees.tolist() == [[True, False], [True, True]]
    assert before.sees.tolist() == [[True, False], [False, True]]
    later = derived("group", [replace(reply, t0_ns=SECOND + 1, t1_ns=SECOND + 1), frame])
    assert torch.equal(later.sees, after.sees)


# A branch beside the video


def parts_of(blocks):
    """The blocks that stand before all frames, the frames, and the text behind the first of them, as they arrive."""
    came = [block for _, block in sorted(enumerate(blocks), key=lambda item: (item[1].known_ns, item[0]))]
    first = next((at for at, block in enumerate(came) if block.kind is Kind.FRAMES), len(came))
    video = [block for block in came if block.kind is Kind.FRAMES]
    return came[:first], video, [block for block in came[first:] if block.kind is not Kind.FRAMES]


def tokens_of(blocks):
    return {token for block in blocks for token in block.token_ids}


def at_tokens(context, tokens):
    """Positions and visibility among some tokens, in the order of the sequence."""
    kept = torch.tensor([token in tokens for token in context.token_ids.tolist()])
    return context.positions[:, kept], visible(context)[kept][:, kept]


@given(block_lists(), st.sets(st.integers(0, 9)))
@settings(max_examples=examples(50))
def test_without_some_questions_and_replies_the_frames_of_a_branch_are_as_they_were(blocks, taken):
    opening, video, dialogue = parts_of(blocks)
    gone = tokens_of(block for at, block in enumerate(dialogue) if at in taken)
    left = [block for block in blocks if block.token_ids[0] not in gone]
    if not left:
        return
    still = tokens_of([*opening, *video])
    for mine, theirs in zip(
        at_tokens(derived("branch", left), still), at_tokens(derived("branch", blocks), still), strict=True
    ):
        assert torch.equal(mine, theirs)


@given(block_lists())
@settings(max_examples=examples(50))
def test_frames_of_a_branch_see_the_opening_and_earlier_frames_and_nothing_else(blocks):
    opening, video, _ = parts_of(blocks)
    context = derived("branch", blocks)
    for row, looker in enumerate(context.blocks):
        stream = tokens_of([*opening, *video]) if looker.kind is Kind.FRAMES else tokens_of(blocks)
        seen = [block.token_ids[0] in stream for block in context.blocks[: row + 1]]
        assert context.sees[row, : row + 1].tolist() == seen


@given(block_lists())
@settings(max_examples=examples(50))
def test_text_of_a_branch_begins_behind_all_that_has_come(blocks):
    context = derived("branch", blocks)
    late = tokens_of(parts_of(blocks)[2])
    for index, block in enumerate(context.blocks):
        at = int((context.block_of < index).sum())
        if block.token_ids[0] in late:
            begins = int(context.positions[:, :at].max()) + 1
            own = torch.arange(begins, begins + len(block.token_ids))
            assert torch.equal(context.positions[:, at : at + len(own)], own.expand(3, -1))


@given(block_lists())
@settings(max_examples=examples(25))
def test_a_branch_without_video_and_one_without_dialogue_are_plain_chats(blocks):
    opening, video, dialogue = parts_of(blocks)
    for part in ([*opening, *dialogue], [*opening, *video]):
        if part:
            context = derived("branch", part)
            plain = derive(part, replace(LAYOUTS["interleave"], positions=PositionRule(reply="continue")), clock=CLOCK)
            assert torch.equal(context.positions, plain.positions)
            assert torch.equal(context.sees, plain.sees)


def test_in_interleave_a_reply_moves_the_frames_behind_it():
    # So the law of branch is no accident of the blocks.
    blocks = watching(seconds=2)
    without = [block for at, block in enumerate(blocks) if at != 3]
    firsts = [starts(derived("interleave", some))[-2][1] for some in (blocks, without)]
    assert firsts[0] != firsts[1]


def test_a_branch_by_hand():
    blocks = [
        text(Kind.SYSTEM, 0, 2), text(Kind.QUERY, 0, 1), text(Kind.REPLY, 0, 2), frames(0, SECOND),
        text(Kind.QUERY, SECOND, 3), text(Kind.REPLY, SECOND, 4), frames(SECOND, 4 * SECOND),
        text(Kind.SYSTEM, 4 * SECOND, 1), text(Kind.QUERY, 4 * SECOND, 2), text(Kind.DECISION, 4 * SECOND, 1),
        frames(4 * SECOND, 5 * SECOND, before=1),
    ]  # fmt: skip
    context = derived("branch", blocks)
    # Frames at 5, at 5 + 2 and, behind text of their own, at 9: the segment that reached 7 ends there.
    assert [ids[0] for _, ids in starts(context)] == [0, 2, 3, 5, 7, 10, 7, 14, 15, 17, 8]
    assert context.positions[0, -4:].tolist() == [9] * 4
    opening, first, second = [1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 1]
    rows = [[1], [1, 1], opening, first, [1] * 5, [1] * 6, second, [1] * 8, [1] * 9, [1] * 10, [*second, 0, 0, 0, 1]]
    assert context.sees.int().tolist() == [row + [0] * (11 - len(row)) for row in rows]


def test_a_question_with_a_picture_of_its_own_leaves_the_open_segment_alone():
    picture = Block(
        kind=Kind.QUERY,
        t0_ns=SECOND,
        t1_ns=SECOND,
        token_ids=(9,) * 6,
        grids=(Grid(start=1, height=2, width=2, t_ns=0),),
    )
    context = derived("branch", [frames(0, SECOND), picture, frames(SECOND, 2 * SECOND)])
    assert context.positions[:, 4:10].tolist() == [[2, 3, 3, 3, 3, 5], [2, 3, 3, 4, 4, 5], [2, 3, 4, 3, 4, 5]]
    assert context.positions[:, 10:].tolist() == [[2] * 4, [0, 0, 1, 1], [0, 1, 0, 1]]


# What the docs say


def cells(layout):
    """A layout's row of the table; queries of a layout whose frames see text need no rule."""
    positions, visibility = layout.positions, layout.visibility
    words = {True: "yes", False: "no"}
    return [
        f"`{layout.name}`", positions.reply, str(positions.offset), positions.clock, words[positions.beside],
        visibility.order, words[visibility.frames_see_text], visibility.replies_see,
        "-" if visibility.frames_see_text else visibility.queries_see, words[visibility.predicting_row],
    ]  # fmt: skip


def test_the_table_in_the_docs_is_true():
    rows = [f"| {' | '.join(cells(layout))} |\n" for layout in LAYOUTS.values()]
    table = "|" + "--|" * len(cells(LAYOUTS["group"])) + "\n" + "".join(rows) + "\n"
    assert table in layout_pictures.DOC.read_text(encoding="utf-8")
