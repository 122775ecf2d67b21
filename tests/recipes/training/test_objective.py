import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.losses.settings import (
    AnswerLoss,
    ConsistencyLoss,
    DecisionLoss,
    InteractionLoss,
    LatencyLoss,
    Losses,
    Ramp,
)
from recipes.training.modules import module_of
from recipes.training.objective import Objective
from recipes.training.terms import TERMS, documents_of
from tests.recipes.training.small import (
    ALL_LOSSES,
    END,
    batches_of,
    example,
    in_windows,
    objective_of,
    pair,
    with_twin,
)

FAMILIES = ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl")
COMPUTE = LatencyLoss(form="compute", gain=2.0, length=0.5, context=(1, 100), first_s=(0.5, 2.0), token_s=(0.5, 1.0))
SETTINGS = {
    "all": ALL_LOSSES,
    "plain": Losses(consistency=ConsistencyLoss(decisions=0, tokens=0)),
    "weighted": Losses(latency=LatencyLoss(form="weighted"), decision=DecisionLoss(balance="effective")),
    "compute": Losses(latency=COMPUTE),
}
_KEPT = {}


def kept(family="qwen2_5_vl", losses="all"):
    key = family, losses
    if key not in _KEPT:
        _KEPT[key] = objective_of(family, SETTINGS[losses])
    return _KEPT[key]


def rows_of(family, kinds):
    made = {
        "plain": lambda k: [example(f"e{k}", family=family, grids=4)],
        "twin": lambda k: [with_twin(example(f"e{k}", family=family))],
        "pair": lambda k: list(pair(f"p{k}", family=family)),
        "windows": lambda k: [in_windows(example(f"e{k}", family=family))],
    }
    return [made[kind](k) for k, kind in enumerate(kinds)]


@settings(max_examples=12)
@given(
    family=st.sampled_from(FAMILIES),
    losses=st.sampled_from(sorted(SETTINGS)),
    kinds=st.lists(st.sampled_from(["plain", "twin", "pair", "windows"]), min_size=1, max_size=3),
    step=st.integers(0, 600),
)
def test_weights_are_known_before_the_forward(family, losses, kinds, step):
    objective = kept(family, losses)
    carried = None
    with torch.no_grad():
        for batch in batches_of(rows_of(family, kinds), family=family):
            totals, found = objective(batch, step, carried if batch.past else None)
            carried = found.cache
            assert torch.allclose(objective.weights(batch, step), found.weights.double(), rtol=1e-5)
            assert torch.isfinite(totals).all()
            assert (totals[found.weights == 0].abs() < 1e-6).all()


def test_each_loss_counts_where_its_settings_say():
    (batch,) = batches_of(rows_of("qwen2_5_vl", ["twin", "pair"]))
    named = {}
    for losses in SETTINGS:
        _, found = kept(losses=losses)(batch, 600)
        named[losses] = {name for name, weight in zip(TERMS, found.weights, strict=True) if weight > 0}
    assert named["all"] == set(TERMS) - {"latency.length"}
    assert named["plain"] == {"answer", "decision"}
    assert named["compute"] >= {"answer", "decision", "latency.length"}
    assert kept(losses="compute").weights(batch, 600)[0] > kept().weights(batch, 600)[0]
    assert kept(losses="weighted").weights(batch, 600)[1] != kept(losses="plain").weights(batch, 600)[1]


def test_parts_carry_the_totals_by_name():
    (batch,) = batches_of(rows_of("qwen2_5_vl", ["plain"]))
    totals, found = kept()(batch, 3)
    parts = found.parts(totals)
    assert tuple(parts) == TERMS
    assert parts["answer"].total is not None
    assert float(parts["answer"].mean().detach()) == pytest.approx(float(totals[0].detach()) / float(found.weights[0]))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_that_trains_gets_a_gradient_with_and_without_pictures(family):
    objective = objective_of(family)
    (batch,) = batches_of(rows_of(family, ["plain"]), family=family)
    silent = replace(
        batch,
        visual=torch.zeros_like(batch.visual),
        sights=replace(batch.sights, shapes=(), order=batch.sights.order[:0]),
    )
    for shown in (batch, silent):
        objective.zero_grad(set_to_none=True)
        objective(shown, 3)[0].sum().backward()
        lacking = {module_of(n) for n, w in objective.named_parameters() if w.requires_grad and w.grad is None}
        assert lacking == set()
    towers = [
        w.grad.abs().sum() for n, w in objective.named_parameters() if module_of(n) == "vision" and w.requires_grad
    ]
    assert sum(towers) == 0


def test_a_step_before_every_ramp_has_no_loss_and_is_refused():
    late = Ramp(begin=10, end=20)
    losses = Losses(
        answer=AnswerLoss(ramp=late), decision=DecisionLoss(ramp=late), consistency=ConsistencyLoss(ramp=late)
    )
    objective = objective_of(losses=losses)
    (batch,) = batches_of(rows_of("qwen2_5_vl", ["plain"]))
    with pytest.raises(RecipeError, match="none counts at step 3"):
        objective(batch, 3)
    assert torch.isfinite(objective(batch, 15)[0]).all()


def test_curves_by_source_and_state_add_up_to_the_losses():
    plain = Losses(consistency=ConsistencyLoss(decisions=0, tokens=0), decision=DecisionLoss(balance="none"))
    objective = objective_of(losses=plain)
    (batch,) = batches_of(rows_of("qwen2_5_vl", ["plain", "twin"]))
    totals, found = objective(batch, 0)
    assert batch.sources == ("captions", "realtime")
    assert float(found.sources[:, 0].sum()) == pytest.approx(float(totals[0].detach()), rel=1e-5)
    assert float(found.sources[:, 1].sum()) == pytest.approx(float(found.weights[0]))
    assert (found.sources[:, 1] > 0).all()
    assert float(found.states[:, 0].sum()) == pytest.approx(float(totals[1].detach()), rel=1e-5)
    assert found.states[:, 2].tolist() == [5.0, 0.0, 2.0]
    assert (found.states[:, 1] <= found.states[:, 2]).all()


def test_the_worse_trace_of_a_pair_teaches_only_by_comparison():
    losses = Losses(consistency=ConsistencyLoss(decisions=0, tokens=0))
    objective = objective_of(losses=losses)
    better, worse = pair()
    (both,) = batches_of([[better, worse]])
    (alone,) = batches_of([[replace(better, rival=None)]])
    assert torch.equal(objective.weights(both, 0), objective.weights(alone, 0))
    assert torch.allclose(objective(both, 0)[0], objective(alone, 0)[0], rtol=1e-4)


def test_preference_starts_at_its_margin_and_moves_with_the_reference():
    objective = objective_of()
    (batch,) = batches_of([list(pair())])
    _, found = objective(batch, 3)
    assert documents_of(batch) == ("p/better", "p/worse")
    own = found.traces[batch.rivals]
    term = TERMS.index("interaction")
    chosen = ALL_LOSSES.interaction
    margin = -chosen.eta * 0.8
    guard = chosen.mu * float(own[0, 0].sum())
    expected = -torch.nn.functional.logsigmoid(torch.tensor(margin)) - guard
    assert float(objective(batch, 3, None, own)[0][term].detach()) == pytest.approx(float(expected), rel=1e-5)
    ahead = own.clone()
    ahead[0, 1] += 1.0
    assert objective(batch, 3, None, ahead)[0][term] < objective(batch, 3, None, own)[0][term]


@pytest.mark.parametrize(("text", "worded"), [("yes", False), ("no", True)])
def test_words_are_compared_only_where_a_pair_differs_in_them(text, worded):
    """Of a pair that differs in timing alone the words of neither trace move."""
    losses = Losses(interaction=InteractionLoss(weight=1.0, nu=0.5))
    objective = objective_of(losses=losses)
    better, worse = pair()
    worse = example("p/other", states=("respond", "silence", "silence"), text=text, utility=worse.utility)
    (batch,) = batches_of([[replace(better, rival=worse), worse]])
    assert batch.worded.tolist() == [worded]
    term = TERMS.index("interaction")
    _, found = objective(batch, 0)
    own = found.traces[batch.rivals]
    equal = float(objective(batch, 0, None, own)[0][term].detach())
    for column, moves in ((0, True), (1, worded)):
        ahead = own.clone()
        ahead[0, 1, column] += 1.0
        moved = float(objective(batch, 0, None, ahead)[0][term].detach())
        assert (abs(moved - equal) > 1e-3) is moves
    # The guard holds what is compared: decisions, and words with their weight.
    chosen = losses.interaction
    guard = chosen.mu * float(own[0, 0, 0] + (chosen.nu if worded else 0.0) * own[0, 0, 1])
    gap = chosen.eta * float(batch.utilities[0] @ torch.tensor([1.0, -1.0]).double())
    assert equal == pytest.approx(math.log1p(math.exp(gap)) - guard, rel=1e-5)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_document_in_windows_has_the_losses_of_the_whole(family):
    losses = Losses(consistency=ConsistencyLoss(decisions=0, tokens=0))
    objective = objective_of(family, losses)
    made = example("a", family=family)
    whole = batches_of([[made]], family=family)
    windows = batches_of([[in_windows(made)]], family=family)
    with torch.no_grad():
        expected = objective(whole[0], 0)[0]
        totals, carried = torch.zeros_like(expected), None
        for window in windows:
            part, found = objective(window, 0, carried)
            totals, carried = totals + part, found.cache
    assert len(windows) == 3
    assert carried is None
    assert torch.allclose(totals, expected, rtol=1e-4)
    summed = sum(objective.weights(window, 0) for window in windows)
    assert torch.allclose(summed, objective.weights(whole[0], 0))


def test_checkpointing_gives_the_same_gradients_and_keeps_carried_windows_whole():
    made = example("a")
    grads = []
    for recompute in (False, True):
        objective = objective_of(losses=SETTINGS["plain"], checkpointing=recompute)
        carried = None
        for batch in (*batches_of([[made]]), *batches_of([[in_windows(made)]])):
            totals, found = objective(batch, 0, carried if batch.past else None)
            carried = found.cache
            totals.sum().backward()
        assert objective.learner.backbone.text.layers[0].gradient_checkpointing == recompute
        grads.append([w.grad for w in objective.parameters() if w.grad is not None])
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(*grads, strict=True))


def test_only_decoder_layers_are_sharded_on_their_own():
    assert kept("qwen3_vl")._no_split_modules == ["Qwen3VLTextDecoderLayer"]
    assert isinstance(kept(), Objective)
    assert kept().wording.end_id == END
