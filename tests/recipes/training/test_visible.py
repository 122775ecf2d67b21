import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.training.visible import visible_keys
from tests.recipes.training.small import batches_of, example, in_windows, pair


def counted(batch):
    return (batch.mask(torch.float32)[:, 0] == 0).sum(-1)


@settings(max_examples=12)
@given(
    family=st.sampled_from(["qwen2_5_vl", "qwen3_vl"]),
    grids=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    windows=st.booleans(),
)
def test_it_is_the_number_of_open_entries_of_the_mask(family, grids, windows):
    made = [example(f"e{k}", family=family, grids=count) for k, count in enumerate(grids)]
    rows = [[in_windows(made[0])]] if windows else [made, made[:1]]
    batches = batches_of(rows, family=family)
    assert len(batches) == (grids[0] if windows else 1)
    for batch in batches:
        assert torch.equal(visible_keys(batch), counted(batch))


def test_the_first_token_sees_itself_and_a_padding_token_its_like():
    (batch,) = batches_of([[example("a")], list(pair())])
    seen = visible_keys(batch)
    assert seen[:, 0].tolist() == [1, 1]
    pads = batch.token_ids.shape[1] - sum(len(block.token_ids) for block in example("a").blocks)
    assert seen[0, -1] == pads > 0
