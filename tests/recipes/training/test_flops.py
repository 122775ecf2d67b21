from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from recipes.losses.settings import ConsistencyLoss, Losses
from recipes.settings import ModuleConfig, ModulesConfig
from recipes.training.flops import Flops, FlopsModel, measure_peak
from recipes.training.visible import real_tokens
from tests.recipes.training.small import ALL_LOSSES, batches_of, example, in_windows, objective_of, pair, with_twin

PLAIN = Losses(consistency=ConsistencyLoss(decisions=0, tokens=0))


def freeze_map(**trains):
    named = dict.fromkeys(("vision", "merger", "language", "head"), "frozen") | trains
    return ModulesConfig(**{name: ModuleConfig(train=train) for name, train in named.items()}, lora_rank=4)


WHOLE = freeze_map(vision="full", merger="full", language="full", head="full")
ONLY_HEAD = freeze_map(head="full")
LANGUAGE = freeze_map(merger="full", language="full", head="full")
ADAPTED = freeze_map(language="lora")


def executed(objective, batch):
    # Dense attention becomes products of matrices, whole squares of them, which the counter knows on every device.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        objective(batch, 600)[0].sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_5_omni", "qwen3_vl"])
@pytest.mark.parametrize("modules", [WHOLE, ONLY_HEAD, LANGUAGE, ADAPTED], ids=["whole", "head", "language", "lora"])
def test_hardware_flops_are_those_that_torch_counts(family, modules):
    objective = objective_of(family, PLAIN, modules=modules)
    rows = [[example("a", family=family, grids=4)], [example("b", family=family, grids=2, video="u")]]
    (batch,) = batches_of(rows, family=family)
    # The first of two layers gets no gradient for its input where nothing before it trains; the count leaves that out.
    close = 0.04 if modules is ADAPTED else 0.02
    assert FlopsModel(objective).of(batch).hardware == pytest.approx(executed(objective, batch), rel=close)


@pytest.mark.parametrize("losses", [PLAIN, ALL_LOSSES], ids=["plain", "all"])
def test_twins_pairs_and_recompute_are_counted(losses):
    (batch,) = batches_of([[with_twin(example("a"))], list(pair())])
    counted = []
    for checkpointing in (False, True):
        objective = objective_of(losses=losses, checkpointing=checkpointing)
        found = FlopsModel(objective).of(batch)
        assert found.hardware == pytest.approx(executed(objective, batch), rel=0.03)
        counted.append(found)
    assert counted[0].model == counted[1].model
    assert counted[1].hardware > counted[0].hardware * 1.15


def test_model_flops_leave_out_padding_and_what_nobody_sees():
    objective = objective_of(losses=PLAIN)
    count = FlopsModel(objective)
    long, short = example("a", grids=6), example("b", grids=1, video="u")
    (together,) = batches_of([[long], [short]])
    (one,), (other,) = batches_of([[long]]), batches_of([[short]])
    (packed,) = batches_of([[long, short]])
    apart = count.of(one) + count.of(other)
    assert count.of(together).model == pytest.approx(apart.model)
    assert count.of(packed).model == pytest.approx(apart.model)
    assert count.of(together).hardware > apart.hardware
    assert count.of(packed).hardware > apart.hardware
    assert int(real_tokens(together).sum()) == together.tokens == packed.tokens
    assert apart.model < apart.hardware


def test_known_features_cost_nothing_and_frozen_parts_a_third():
    (batch,) = batches_of([[example("a", grids=4)]])
    known = replace(batch, sights=replace(batch.sights, shapes=(), patches=torch.empty(0, 0)))
    trained, frozen = (FlopsModel(objective_of(losses=PLAIN, modules=m)) for m in (WHOLE, freeze_map(language="full")))
    text = trained.of(known).model
    tower = frozen.of(batch).model - frozen.of(known).model
    assert tower > 0
    assert trained.of(batch).model - text == pytest.approx(3 * tower)


def test_windows_cost_what_the_whole_costs_less_what_is_not_done_twice():
    objective = objective_of(losses=PLAIN)
    made = example("a")
    (whole,) = batches_of([[made]])
    windows = batches_of([[in_windows(made)]])
    count = FlopsModel(objective)
    assert sum((count.of(batch) for batch in windows), Flops()).model == pytest.approx(count.of(whole).model)


def test_the_peak_is_that_of_a_machine():
    assert 1e8 < measure_peak(torch.device("cpu"), torch.float32) < 1e15
