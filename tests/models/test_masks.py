import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from models.blocks import Kind, pack
from models.layouts import LAYOUTS
from models.masks import TILE, additive, draw, flex_block_mask, visible
from tests.laws import examples
from tests.models import layout_pictures
from tests.models.contexts import SECOND, block_lists, contexts, derived, frames, text, watching

CPU = torch.device("cpu")


def long_contexts():
    """Documents of a few hundred tokens: several tiles, blocks that fill tiles and blocks that share one."""
    long = [text(Kind.SYSTEM, 0, 150), frames(0, SECOND, height=16, width=20), text(Kind.REPLY, SECOND, 70)]
    more = [frames(k * SECOND, (k + 1) * SECOND, height=5, width=11) for k in range(1, 9)]
    return st.builds(
        lambda name, extra: derived(name, [*long, *more, text(Kind.REPLY, 4 * SECOND, 140), *extra]),
        st.sampled_from(["origin", "group", "interleave"]),
        block_lists().map(lambda blocks: [block for block in blocks if block.kind is not Kind.FRAMES]),
    )


def any_pack():
    return st.lists(contexts | long_contexts(), min_size=1, max_size=2).map(pack)


def tiles(mask):
    """Visible pairs in each tile (tiles, tiles), what lies outside the sequence counting as not visible."""
    length = len(mask)
    count = -(-length // TILE)
    padded = torch.zeros(count * TILE, count * TILE, dtype=torch.int64)
    padded[:length, :length] = mask
    return padded.reshape(count, TILE, count, TILE).sum((1, 3))


def listed(counts, indices):
    """The tiles that a BlockMask lists, bool (rows, columns)."""
    done = torch.zeros(indices.shape[-2:], dtype=torch.bool)
    for row, count in enumerate(counts[0, 0].tolist()):
        done[row, indices[0, 0, row, :count].long()] = True
    return done


def densely(block_mask, length):
    """Full tiles, and the mask function inside partial ones: bool (L, L)."""
    at = torch.arange(length)
    zero = torch.zeros((), dtype=torch.int64)
    inside = block_mask.mask_mod(zero, zero, at[:, None], at[None, :])
    full = listed(block_mask.full_kv_num_blocks, block_mask.full_kv_indices)
    some = listed(block_mask.kv_num_blocks, block_mask.kv_indices)
    by_token = at // TILE
    return full[by_token][:, by_token] | (some[by_token][:, by_token] & inside)


# Dense


@given(contexts)
@settings(max_examples=examples(50))
def test_the_dense_mask_is_sees_between_blocks_and_causal_inside(context):
    seen, of = visible(context).tolist(), context.block_of.tolist()
    for query in range(len(of)):
        for key in range(len(of)):
            expected = key <= query if of[query] == of[key] else bool(context.sees[of[query], of[key]])
            assert seen[query][key] == expected


@given(st.lists(contexts, min_size=1, max_size=3).map(pack))
@settings(max_examples=examples(25))
def test_the_mask_is_causal_and_no_row_is_blind(context):
    seen = visible(context)
    assert not seen.triu(1).any()
    assert seen.diagonal().all()


@given(st.lists(contexts, min_size=1, max_size=3))
@settings(max_examples=examples(25))
def test_a_pack_is_block_diagonal(parts):
    assert torch.equal(visible(pack(parts)), torch.block_diag(*[visible(part).int() for part in parts]).bool())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_additive_mask_is_zero_where_visible(dtype):
    context = derived("group")
    mask = additive(context, dtype)
    length = len(context.token_ids)
    assert mask.shape == (1, 1, length, length)
    assert mask.dtype == dtype
    assert torch.equal(mask[0, 0] == 0, visible(context))
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(dtype).min}


# flex_attention


@given(any_pack())
@settings(max_examples=examples(25))
def test_flex_sees_what_the_dense_mask_sees(context):
    block_mask, seen = flex_block_mask(context, CPU), visible(context)
    assert torch.equal(densely(block_mask, len(seen)), seen)
    pairs = tiles(seen)
    full = listed(block_mask.full_kv_num_blocks, block_mask.full_kv_indices)
    some = listed(block_mask.kv_num_blocks, block_mask.kv_indices)
    assert torch.equal(full, pairs == TILE * TILE)
    assert torch.equal(some, (pairs > 0) & (pairs < TILE * TILE))


@given(any_pack())
@settings(max_examples=examples(25))
def test_flex_tiles_are_those_that_torch_finds_from_the_mask_function(context):
    ours = flex_block_mask(context, CPU)
    length = len(context.token_ids)
    theirs = create_block_mask(ours.mask_mod, None, None, length, length, device="cpu")
    assert ours.seq_lengths == theirs.seq_lengths
    assert ours.BLOCK_SIZE == theirs.BLOCK_SIZE
    for counts, indices in [
        ("kv_num_blocks", "kv_indices"),
        ("full_kv_num_blocks", "full_kv_indices"),
        ("q_num_blocks", "q_indices"),
        ("full_q_num_blocks", "full_q_indices"),
    ]:
        mine, upstream = ((getattr(mask, counts), getattr(mask, indices)) for mask in (ours, theirs))
        assert torch.equal(mine[0], upstream[0])
        assert torch.equal(listed(*mine), listed(*upstream))
    assert torch.equal(ours.to_dense(), theirs.to_dense())


def test_flex_skips_and_fills_tiles():
    context = derived("interleave", [frames(0, SECOND, height=32, width=20), frames(SECOND, 2 * SECOND)])
    block_mask = flex_block_mask(context, CPU)
    assert block_mask.kv_num_blocks[0, 0].tolist() == [1, 1, 1, 1, 1, 6]
    assert block_mask.full_kv_num_blocks[0, 0].tolist() == [0, 1, 2, 3, 4, 0]


@pytest.mark.filterwarnings("ignore")  # the reference path of flex_attention says that it is slow
@pytest.mark.parametrize("name", ["origin", "group", "interleave"])
def test_flex_attention_computes_what_dense_attention_computes(name):
    context = pack([derived(name, watching(seconds=12, reply=9)), derived(name), derived("gap")])
    length = len(context.token_ids)
    query, key, value = torch.randn(3, 1, 2, length, 16, generator=torch.Generator().manual_seed(0))
    dense = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=visible(context))
    flex = flex_attention(query, key, value, block_mask=flex_block_mask(context, CPU))
    assert float((flex - dense).abs().max()) <= 1e-5


@pytest.mark.slow  # compiles a C++ kernel
def test_compiled_flex_attention_skips_tiles_and_computes_the_same():
    context = pack([derived("group", watching(seconds=40, reply=9)), derived("interleave", watching(seconds=9))])
    length = len(context.token_ids)
    assert length > 3 * TILE
    query, key, value = torch.randn(3, 1, 2, length, 16, generator=torch.Generator().manual_seed(0))
    dense = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=visible(context))
    with torch.no_grad():
        flex = torch.compile(flex_attention)(query, key, value, block_mask=flex_block_mask(context, CPU))
    assert float((flex - dense).abs().max()) <= 1e-5


# Pictures


def test_a_picture_tells_who_sees_whom_and_where_ids_begin():
    blocks = [frames(0, SECOND), text(Kind.REPLY, SECOND, 3), text(Kind.QUERY, SECOND, 1)]
    assert draw(derived("interleave", blocks)) == (
        "   F1 R1 Q1\n"
        "F1  \\  .  .   t 0\n"
        "R1  #  \\  .   t 2-4\n"
        "Q1  #  #  \\   t 5\n"
    )  # fmt: skip


@given(contexts)
@settings(max_examples=examples(25))
def test_a_picture_has_a_mark_for_each_pair(context):
    lines = draw(context).splitlines()
    count = len(context.blocks)
    assert len(lines) == count + 1
    marks = [line.split()[1 : count + 1] for line in lines[1:]]
    assert [[mark != "." for mark in row] for row in marks] == context.sees.tolist()
    assert [row.index("\\") for row in marks] == list(range(count))


def test_the_pictures_in_the_docs_are_true():
    text_now = layout_pictures.DOC.read_text(encoding="utf-8")
    assert layout_pictures.with_pictures(text_now) == text_now, "run: python -m tests.models.layout_pictures --write"


def test_a_false_picture_is_found():
    text_now = layout_pictures.DOC.read_text(encoding="utf-8")
    at = text_now.index("F1  #")
    spoilt = text_now[:at] + "F1  ." + text_now[at + 5 :]
    assert layout_pictures.with_pictures(spoilt) == text_now


def test_every_layout_has_its_picture():
    assert layout_pictures.pictured() == list(LAYOUTS)
