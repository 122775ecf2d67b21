"""Passing blocks: seen by their own turn, and for everything else they have never been."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import BlockError, Kind, derive, pack
from models.cache_plan import plan
from models.layouts import LAYOUTS
from models.masks import flex_block_mask, visible
from tests.laws import examples
from tests.models import stock
from tests.models.contexts import CLOCK, LIVE, SECOND, block_lists, frames, numbered, text, watching
from tests.models.test_stepwise import close, whole_forward

ALL = {**LAYOUTS, "live": LIVE}
NAMES = sorted(ALL)
CUT = ["group", "gap", "overlap", "overlap_shared"]


@st.composite
def turned(draw, mixed=True):
    """Blocks of which some belong to turns, and some of these pass; unless mixed, whole turns do."""
    passing = draw(st.lists(st.booleans(), min_size=3, max_size=3))
    blocks = []
    for block in draw(block_lists()):
        turn = draw(st.integers(0, 3))
        passes = turn > 0 and (draw(st.booleans()) if mixed else passing[turn - 1])
        blocks.append(replace(block, turn=turn, passing=passes))
    return blocks


def under(name, blocks):
    return derive(blocks, ALL[name], clock=CLOCK)


def told(context, turns):
    """What a context says of each token of the document and of some turns: positions, label, weight, whom it sees."""
    mask, found = visible(context), {}
    blocks = [context.blocks[at] for at in context.block_of]
    # The copy of a predicting row has the id of the row itself.
    names = [(int(context.token_ids[at]), block.turn if block.passing else 0) for at, block in enumerate(blocks)]
    for at, name in enumerate(names):
        if name[1] in turns:
            seen = sorted(names[other] for other in mask[at].nonzero()[:, 0])
            assert name not in found
            found[name] = (
                context.positions[:, at].tolist(), int(context.labels[at]), float(context.loss_weights[at]), seen,
            )  # fmt: skip
    return found


@pytest.mark.parametrize("name", NAMES)
@given(turned(mixed=False))
@settings(max_examples=examples(10))
def test_a_passing_turn_changes_nothing_else(name, blocks):
    stays = [block for block in blocks if not block.passing]
    if not stays:
        return
    assert told(under(name, blocks), {0}) == told(under(name, stays), {0})


@pytest.mark.parametrize("name", NAMES)
@given(turned(mixed=False), st.integers(1, 3))
@settings(max_examples=examples(10))
def test_a_passing_turn_does_not_depend_on_another(name, blocks, turn):
    alone = [block for block in blocks if not block.passing or block.turn == turn]
    if not any(block.passing for block in alone):
        return
    if not any(not block.passing and block.grids for block in alone):
        # Without frames that stay, a clock that runs through the stream begins at the first one that passes.
        blocks = alone
    assert told(under(name, blocks), {0, turn}) == told(under(name, alone), {0, turn})


@given(turned(), st.sampled_from(NAMES))
@settings(max_examples=examples(25))
def test_nobody_sees_what_passes_but_its_turn(blocks, name):
    context = under(name, blocks)
    for row, column in context.sees.nonzero().tolist():
        looks, seen = context.blocks[row], context.blocks[column]
        assert not seen.passing or looks.turn == seen.turn
    assert context.sees.diagonal().all()


# Where replies go on behind all input, a question that stays moves the replies before it.
@given(turned(mixed=False), st.sampled_from([name for name in NAMES if name not in ("origin", "overlap")]))
@settings(max_examples=examples(25))
def test_the_last_of_two_turns_sees_what_it_would_see_if_it_stayed(blocks, name):
    """What is asked aside last of all is answered as if it were asked for good."""
    asked = [
        text(Kind.QUERY, 100 * SECOND, 2),
        text(Kind.REPLY, 100 * SECOND, 3, learn=(0, 3)),
    ]
    blocks = numbered([*(replace(block, turn=0, passing=False) for block in blocks), *asked])
    aside = [*blocks[:-2], *(replace(block, turn=5, passing=True) for block in blocks[-2:])]
    stays, passes = under(name, blocks), under(name, aside)
    ids = [token for block in blocks[-2:] for token in block.token_ids]

    def seen(context):
        mask = visible(context)
        rows = [int((context.token_ids == token).nonzero()[-1, 0]) for token in ids]
        return [(context.positions[:, row].tolist(), sorted(context.token_ids[mask[row]].tolist())) for row in rows]

    assert seen(stays) == seen(passes)


@given(turned(), st.sampled_from(NAMES))
@settings(max_examples=examples(8))
def test_what_passes_can_be_fed_step_by_step(blocks, name):
    close(stock.qwen2_5_vl("sdpa"), under(name, blocks))


@given(turned(), st.sampled_from(NAMES))
@settings(max_examples=examples(10))
def test_plans_and_packs_hold_what_passes(blocks, name):
    context = under(name, blocks)
    both = pack([context, context])
    # Turns of one number in two documents do not know each other.
    count = len(context.blocks)
    assert torch.equal(both.sees[count:, count:], context.sees)
    assert not both.sees[count:, :count].any()
    freed = [block for step in plan(both).steps for block in step.frees]
    assert sorted(freed) == list(range(2 * count))
    tiles = flex_block_mask(context, torch.device("cpu"))
    at = torch.arange(len(context.token_ids))
    seen = tiles.mask_mod(torch.tensor(0), torch.tensor(0), at[:, None], at[None, :])
    assert torch.equal(seen, visible(context))


def test_a_lone_frame_is_shown_to_one_question():
    blocks = [
        text(Kind.SYSTEM, 0, 2),
        frames(0, SECOND),
        replace(frames(SECOND, SECOND + 1), turn=5, passing=True),
        replace(text(Kind.QUERY, 2 * SECOND, 2), turn=5),
        replace(text(Kind.REPLY, 2 * SECOND, 3), turn=5),
        frames(SECOND, 3 * SECOND),
        text(Kind.QUERY, 3 * SECOND, 2),
    ]
    context = under("branch", blocks)
    assert context.sees[:, 2].tolist() == [False, False, True, True, True, False, False]
    # The next grid stands where the lone frame stood, the question behind that.
    assert context.positions[0, context.block_of == 2].tolist() == context.positions[0, context.block_of == 5].tolist()
    assert (
        int(context.positions[0, context.block_of == 3][0])
        == int(context.positions[:, context.block_of == 2].max()) + 1
    )


@pytest.mark.parametrize("name", CUT)
def test_a_passing_turn_holds_a_copy_of_the_row_that_predicts_it(name):
    blocks = numbered(watching(seconds=2))
    aside = [text(Kind.QUERY, 2 * SECOND, 2), text(Kind.REPLY, 2 * SECOND, 2, learn=(0, 2))]
    whole = numbered([*blocks, *aside])
    blocks = [*blocks, *(replace(block, turn=1, passing=True) for block in whole[-2:])]
    context = under(name, blocks)
    copies = [block for block in context.blocks if block.passing and block.kind is Kind.REPLY]
    assert [len(block.token_ids) for block in copies] == [1, 2]
    assert copies[0].learn is None
    row = [at for at, block in enumerate(context.blocks) if block.passing and block.kind is Kind.QUERY]
    at = context.blocks.index(copies[0])
    assert context.sees[at, row].all()
    own = [other for other, block in enumerate(context.blocks) if block.token_ids == copies[0].token_ids]
    assert len(own) == 2
    assert not context.sees[context.blocks.index(copies[1]), min(own)]


@pytest.mark.parametrize("name", NAMES)
def test_a_passing_turn_changes_no_logit_of_anything_else(name):
    model, blocks = stock.qwen2_5_vl("sdpa"), watching(seconds=3)
    aside = [text(Kind.QUERY, 2 * SECOND, 3), text(Kind.REPLY, 2 * SECOND, 4, learn=(0, 4))]
    blocks = numbered([*blocks, *aside])
    passing = [*blocks[:-2], *(replace(block, turn=7, passing=True) for block in blocks[-2:])]
    table = torch.randn(100, 32, generator=torch.Generator().manual_seed(1))
    rows = []
    for some in (passing, blocks[:-2], blocks):
        context = under(name, some)
        with torch.no_grad():
            logits = whole_forward(model, context, table[context.token_ids])
        stays = torch.tensor([not context.blocks[at].passing for at in context.block_of])
        named = {int(token): row for token, row in zip(context.token_ids[stays], logits[stays], strict=True)}
        rows.append(torch.stack([named[token] for block in blocks[:-2] for token in block.token_ids]))
    assert float((rows[0] - rows[1]).abs().max()) <= 1e-5
    assert float((rows[0] - rows[2]).abs().max()) > 1e-3


@pytest.mark.parametrize(("turn", "passing"), [(0, True), (-1, False), (1.0, False), (-1, True)])
def test_a_passing_block_has_a_turn(turn, passing):
    with pytest.raises(BlockError, match="nobody else would see it"):
        replace(text(Kind.QUERY, 0, 1), turn=turn, passing=passing)
