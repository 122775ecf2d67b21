import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from models.errors import FrameError
from models.packing import WindowRule, pack
from models.tower import KEPT_PACKINGS, Tower
from tests.laws import examples
from tests.models.watched import FAMILIES, tiny_backbone

WIDTH = 3 * 2 * 4 * 4
# In patches; windows are 4×4: whole ones, ones cut on one edge, on both, and grids smaller than a window.
GRIDS = [(4, 4), (8, 8), (10, 14), (2, 2), (2, 16), (18, 6), (6, 18), (12, 8)]


def pixels(grids, seed=0, dtype=torch.float32):
    drawn = torch.Generator().manual_seed(seed)
    return [torch.randn(rows * columns, WIDTH, generator=drawn).to(dtype) for rows, columns in grids]


def apart(some, others):
    pairs = [(a.embeds, b.embeds) for a, b in zip(some, others, strict=True)]
    pairs += [pair for a, b in zip(some, others, strict=True) for pair in zip(a.deepstack, b.deepstack, strict=True)]
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def one_by_one(tower, patches, grids):
    return [tower.encode([part], [grid])[0] for part, grid in zip(patches, grids, strict=True)]


class Calls(TorchFunctionMode):
    """Counts attention calls by watching, with nothing replaced."""

    def __init__(self):
        super().__init__()
        self.lengths = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.scaled_dot_product_attention:
            self.lengths.append(args[0].shape[-2])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grids", [[grid] for grid in GRIDS] + [GRIDS, GRIDS[::-1], [(10, 14)] * 3])
def test_equal_windows_in_one_call_say_what_the_stock_tower_says(backbones, family, grids):
    patches = pixels(grids)
    stock = Tower(backbones[family], batched=False).encode(patches, grids)
    batched = Tower(backbones[family]).encode(patches, grids)
    assert [part.tokens for part in batched] == [rows * columns // 4 for rows, columns in grids]
    assert len(batched[0].deepstack) == len(stock[0].deepstack) == (family == "qwen3_vl")
    assert apart(stock, batched) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_differ_by_rounding_alone(family):
    backbone = tiny_backbone(family, torch.float64)
    patches = pixels(GRIDS, dtype=torch.float64)
    stock = Tower(backbone, batched=False).encode(patches, GRIDS)
    tower = Tower(backbone)
    # Norms and rotary angles pass through float32 on both sides.
    assert apart(stock, tower.encode(patches, GRIDS)) <= 1e-6
    assert apart(stock, one_by_one(tower, patches, GRIDS)) <= 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_the_whole_model_would_see(backbones, family):
    backbone = backbones[family]
    (patches,) = pixels([(10, 14)])
    with torch.no_grad():
        seen = backbone.model.get_video_features(patches, torch.tensor([[1, 10, 14]])).pooler_output
    (found,) = Tower(backbone).encode([patches], [(10, 14)])
    assert (torch.cat(list(seen)) - found.embeds).abs().max() <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batched", [True, False])
def test_no_grid_sees_another(backbones, family, batched):
    tower = Tower(backbones[family], batched=batched)
    patches = pixels(GRIDS)
    whole = tower.encode(patches, GRIDS)
    # The very same shapes with all other pixels changed: not one bit moves.
    for place in (0, 3, 7):
        others = pixels(GRIDS, seed=1)
        others[place] = patches[place]
        assert apart([tower.encode(others, GRIDS)[place]], [whole[place]]) == 0.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batched", [True, False])
def test_chunk_by_chunk_is_all_at_once(backbones, family, batched):
    tower = Tower(backbones[family], batched=batched)
    grids = [(8, 12)] * 6
    patches = pixels(grids)
    whole = tower.encode(patches, grids)
    scale = max(float(part.embeds.abs().max()) for part in whole)
    # Products of other sizes round otherwise; nothing else differs.
    assert apart(whole, one_by_one(tower, patches, grids)) <= 1e-6 * scale
    assert apart(whole, tower.encode(patches[:2], grids[:2]) + tower.encode(patches[2:], grids[2:])) <= 1e-6 * scale


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_call_gives_the_same_bits(backbones, family):
    tower = Tower(backbones[family])
    patches = pixels(GRIDS)
    assert apart(one_by_one(tower, patches, GRIDS), one_by_one(Tower(backbones[family]), patches, GRIDS)) == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_one_call_per_length_of_window(backbones, family):
    grids = [(10, 14), (10, 14), (8, 8)]
    with Calls() as stock:
        Tower(backbones[family], batched=False).encode(pixels(grids), grids)
    with Calls() as batched:
        Tower(backbones[family]).encode(pixels(grids), grids)
    if family == "qwen3_vl":
        # Two layers; whole grids of two sizes.
        assert (len(stock.lengths), sorted(batched.lengths)) == (6, [64, 64, 140, 140])
    else:
        # 10×14 patches in windows of 4×4: 6 whole, 2 of 4×2, 3 of 2×4 and 1 of 2×2; then one layer with whole grids.
        assert len(stock.lengths) == 2 * 12 + 4 + 3
        assert sorted(batched.lengths) == [4, 8, 16, 64, 140]


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_shared_and_nothing_is_replaced(family):
    backbone = tiny_backbone(family)
    before = {name: (id(module), type(module)) for name, module in backbone.model.named_modules()}
    kept = [weight.data_ptr() for weight in backbone.model.parameters()]
    state = copy.deepcopy(backbone.visual.state_dict())
    tower = Tower(backbone)
    tower.encode(pixels(GRIDS), GRIDS)
    assert {name: (id(module), type(module)) for name, module in backbone.model.named_modules()} == before
    assert [weight.data_ptr() for weight in backbone.model.parameters()] == kept
    assert all(torch.equal(value, state[name]) for name, value in backbone.visual.state_dict().items())
    assert not any("forward" in vars(module) for module in backbone.model.modules())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batched", [True, False])
def test_features_own_their_memory(backbones, family, batched):
    # A cache that counts bytes must not keep a whole batch alive through one part of it.
    for found in Tower(backbones[family], batched=batched).encode(pixels(GRIDS), GRIDS):
        for part in (found.embeds, *found.deepstack):
            assert part.untyped_storage().nbytes() == part.numel() * part.element_size()
            assert part.is_inference()


@pytest.mark.parametrize("family", FAMILIES)
def test_another_dtype_for_the_tower_alone(family):
    backbone = tiny_backbone(family)
    (expected,) = Tower(backbone).encode(pixels([(10, 14)]), [(10, 14)])
    name = Tower(backbone).fingerprint
    tower = Tower(backbone, device="cpu", dtype=torch.bfloat16)
    assert (tower.device, tower.dtype, backbone.dtype) == (torch.device("cpu"), torch.bfloat16, torch.float32)
    (found,) = tower.encode(pixels([(10, 14)]), [(10, 14)])
    assert found.embeds.dtype == torch.float32
    assert 0 < apart([found], [expected]) < 0.1 * float(expected.embeds.abs().max())
    assert tower.fingerprint != name
    # Frequencies that lose bits would turn far patches wrongly.
    assert all(buffer.dtype == torch.float32 for buffer in backbone.visual.rotary_pos_emb.buffers())


def test_features_come_to_the_device_of_the_decoder():
    backbone = tiny_backbone("qwen3_vl")
    expected = Tower(backbone).encode(pixels([(4, 4)]), [(4, 4)])
    # The tower stays on the processor while the decoder lives elsewhere.
    backbone.text.to("meta")
    (found,) = Tower(backbone, device="cpu").encode(pixels([(4, 4)]), [(4, 4)])
    assert {part.device.type for part in (found.embeds, *found.deepstack)} == {"meta"}
    assert found.embeds.shape == expected[0].embeds.shape
    assert Tower(backbone).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_tower_on_a_second_device(family):
    backbone = tiny_backbone(family)
    expected = Tower(backbone).encode(pixels(GRIDS), GRIDS)
    tower = Tower(backbone, device="cuda")
    found = tower.encode(pixels(GRIDS), GRIDS)
    assert tower.device.type == "cuda"
    assert {part.embeds.device.type for part in found} == {"cpu"}
    assert apart(found, expected) <= 1e-3


def test_nothing_in_nothing_out(backbones):
    assert Tower(backbones["qwen2_5_vl"]).encode([], []) == []


@pytest.mark.parametrize(
    ("patches", "grids", "message"),
    [
        (pixels([(4, 4)]), [(4, 4), (4, 4)], "as many"),
        (pixels([(4, 4)]), [(4, 6)], "cut them"),
        (pixels([(3, 4)]), [(3, 4)], "multiples of 2"),
        (pixels([(4, 3)]), [(4, 3)], "multiples of 2"),
        ([torch.zeros(0, WIDTH)], [(0, 4)], "multiples of 2"),
        ([torch.zeros(16, WIDTH + 1)], [(4, 4)], "cut them"),
    ],
)
def test_patches_that_do_not_fit_are_refused(backbones, patches, grids, message):
    tower = Tower(backbones["qwen2_5_omni"])
    with pytest.raises(FrameError, match=message):
        tower.encode(patches, grids)
    assert len(tower.encode(pixels([(4, 4)]), [(4, 4)])) == 1


def test_other_weights_have_another_name(backbones):
    names = {Tower(backbone).fingerprint for backbone in backbones.values()}
    assert len(names) == 3
    backbone = tiny_backbone("qwen2_5_vl")
    assert Tower(backbone).fingerprint == Tower(backbones["qwen2_5_vl"]).fingerprint
    assert Tower(backbone, batched=False).fingerprint != Tower(backbone).fingerprint
    for weight in (backbone.visual.blocks[1].mlp.down_proj.weight, backbone.visual.patch_embed.proj.weight):
        before = Tower(backbone).fingerprint
        with torch.no_grad():
            weight.mul_(1.001)
        assert Tower(backbone).fingerprint != before
    # Weights of the decoder do not matter.
    before = Tower(backbone).fingerprint
    backbone.text.layers[0].mlp.up_proj.weight.data.mul_(2)
    assert Tower(backbone).fingerprint == before


def test_orders_are_kept_and_bounded(backbones):
    tower = Tower(backbones["qwen2_5_vl"])
    (first,) = tower.encode(pixels([(10, 14)]), [(10, 14)])
    for columns in range(2, 2 * KEPT_PACKINGS + 8, 2):
        tower.encode(pixels([(2, columns)]), [(2, columns)])
        assert len(tower._packings) <= KEPT_PACKINGS
    assert len(tower._packings) == KEPT_PACKINGS
    assert apart(tower.encode(pixels([(10, 14)]), [(10, 14)]), [first]) == 0.0


sides = st.integers(1, 9).map(lambda tokens: 2 * tokens)


@settings(max_examples=examples(40))
@given(grids=st.lists(st.tuples(sides, sides), min_size=1, max_size=5), window=st.sampled_from([0, 16, 24]))
def test_a_packing_loses_no_token_and_covers_every_row_once(grids, window):
    packing = pack(grids, WindowRule(merge=2, window=window, patch=4), torch.device("cpu"))
    tokens = sum(rows * columns // 4 for rows, columns in grids)
    assert sorted(packing.order.tolist()) == list(range(tokens))
    # Read at its places, every grid has its own tokens, in order.
    assert torch.cat([packing.order[places] for places in packing.places]).tolist() == list(range(tokens))
    owner = torch.cat([torch.full((4 * len(at),), place) for place, at in enumerate(packing.places)])
    natural = (packing.order[:, None] * 4 + torch.arange(4)).flatten()
    for runs in (packing.windows, packing.whole):
        taken = [run.take(natural) for run in runs]
        assert sorted(torch.cat([part.flatten() for part in taken]).tolist()) == list(range(4 * tokens))
        # What attends together belongs to one grid.
        assert all(len(set(owner[segment].tolist())) == 1 for part in taken for segment in part)
    assert {run.length for run in packing.whole} == {rows * columns for rows, columns in grids}
    assert len(packing.whole) == len({rows * columns for rows, columns in grids})
    assert len({run.length for run in packing.windows}) == len(packing.windows)


@settings(max_examples=examples(25))
@given(grids=st.lists(st.tuples(sides, sides), min_size=1, max_size=4), window=st.sampled_from([0, 16]))
def test_put_writes_where_take_read(grids, window):
    packing = pack(grids, WindowRule(merge=2, window=window, patch=4), torch.device("cpu"))
    rows = torch.arange(4 * len(packing.order))
    for runs in (packing.windows, packing.whole):
        out = torch.full_like(rows, -1)
        for run in runs:
            run.put(out, run.take(rows))
        assert torch.equal(out, rows)


# Training


def trainable(family):
    """A backbone whose tower is trained; a backbone freezes what it is given."""
    backbone = tiny_backbone(family)
    backbone.visual.requires_grad_(True)
    return backbone


def gradients(backbone, patches, features):
    """Gradients of a weighted sum of all features, to each weight of the tower and to the patches."""
    drawn = torch.Generator().manual_seed(3)
    loss = torch.zeros(())
    for found in features:
        for part in (found.embeds, *found.deepstack):
            loss = loss + (part * torch.randn(part.shape, generator=drawn)).sum()
    wanted = dict(backbone.visual.named_parameters())
    given_ = torch.autograd.grad(loss, [*wanted.values(), *patches])
    return dict(zip([*wanted, *range(len(patches))], given_, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_stock_tower(family):
    backbone, grids = trainable(family), GRIDS[:5]
    found = []
    for batched in (False, True):
        tower = Tower(backbone, batched=batched)
        patches = [part.requires_grad_() for part in pixels(grids)]
        # What is encoded before must leave nothing behind through which no gradient flows.
        encoded = tower.encode(pixels(grids), grids)
        features = tower.forward(patches, grids)
        assert apart(encoded, features) <= 1e-5
        found.append(gradients(backbone, patches, features))
    stock, ours = found
    assert len(stock) > 20
    for name, expected in stock.items():
        assert float(expected.abs().max()) > 0 or "k.bias" in str(name)
        assert torch.allclose(expected, ours[name], rtol=1e-3, atol=1e-4), name


def test_frozen_weights_and_inference_make_no_graph(backbones):
    tower = Tower(trainable("qwen2_5_vl"))
    patches, grids = pixels([(4, 4)]), [(4, 4)]
    assert tower.forward(patches, grids)[0].embeds.requires_grad
    assert not tower.encode(patches, grids)[0].embeds.requires_grad
    with torch.no_grad():
        assert not tower.forward(patches, grids)[0].embeds.requires_grad
    assert not Tower(backbones["qwen2_5_vl"]).forward(patches, grids)[0].embeds.requires_grad
    with pytest.raises(FrameError, match="expected as many"):
        tower.forward(patches, [])


def test_a_step_of_training_changes_name_and_features():
    backbone = trainable("qwen2_5_vl")
    tower, patches, grids = Tower(backbone), pixels([(4, 4)]), [(4, 4)]
    name, before = tower.fingerprint, tower.encode(patches, grids)
    optimizer = torch.optim.SGD(backbone.visual.parameters(), lr=0.1)
    tower.forward(patches, grids)[0].embeds.square().sum().backward()
    optimizer.step()
    assert tower.fingerprint != name
    assert apart(before, tower.encode(patches, grids)) > 1e-4
