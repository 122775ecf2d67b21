from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.consistency import (
    calm_loss,
    decision_consistency,
    feature_consistency,
    future_targets,
    gates,
    ramp,
    token_consistency,
)
from recipes.losses.rows import DecisionRows
from tests.recipes.losses.labelled import documents, gradient, logits_of, packed, rows


def targets_by_hand(chances, labels: DecisionRows, gate_s, lam, smoothing):
    """The definition, row by row from the end."""
    made = torch.zeros_like(chances)
    for row in reversed(range(len(labels))):
        if gate_s[row] > 0:
            kept = lam ** float(gate_s[row])
            made[row] = (1 - kept) * chances[row + 1] + kept * made[row + 1]
            continue
        last = row + 1 == len(labels) or labels.document[row] != labels.document[row + 1]
        last = last or bool(labels.segment[row] != labels.segment[row + 1])
        if smoothing is None or not last or not labels.learned[row]:
            made[row] = chances[row]
        else:
            made[row] = torch.full((3,), smoothing / 3, dtype=chances.dtype)
            made[row, labels.states[row]] += 1 - smoothing
    return made


@pytest.mark.parametrize(("step", "warm", "share"), [(0, 10, 0), (5, 10, 0.5), (10, 10, 1), (99, 10, 1), (0, 0, 1)])
def test_the_ramp(step, warm, share):
    assert ramp(step, warm) == share


def test_gates_are_seconds_within_a_segment():
    labels = rows("sssss", fps=2, segment=[0, 0, 0, 1, 1])
    assert gates(labels).tolist() == [0.5, 0.5, 0, 0.5, 0]


def test_gates_shut_behind_a_row_that_responds():
    """What is said is a border: a row that responds must not learn from the silence behind it."""
    labels = rows("ssRss")
    gate_s = gates(labels)
    assert gate_s.tolist() == [1, 1, 0, 1, 0]
    logits = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    strong = logits + torch.tensor([0.0, 0.0, 3.0]) * torch.tensor([0.0, 0, 1, 0, 0])[:, None]
    decision_consistency(strong, labels, gate_s=gate_s, smoothing=None).total.backward()
    assert logits.grad[2].abs().max() == 0


def test_gates_shut_between_documents_of_the_same_segment_number():
    assert gates(packed(rows("ss"), rows("ss"))).tolist() == [1, 0, 1, 0]


def test_gates_shut_at_rows_that_are_not_learned():
    assert gates(rows("sssss", learned=[True, True, False, True, True])).tolist() == [1, 0, 0, 1, 0]


def test_gates_shut_where_the_picture_changes():
    alike = torch.tensor([True, False, True, True])
    assert gates(rows("ssss"), alike).tolist() == [1, 0, 1, 0]
    with pytest.raises(RecipeError, match="alike: found shape"):
        gates(rows("ssss"), alike[:3])


@settings(max_examples=25)
@given(
    documents(),
    documents(),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.sampled_from([None, 0.0, 0.1]),
    st.integers(0, 99),
)
def test_targets_are_those_of_the_definition(one, other, lam, smoothing, seed):
    labels = packed(one, other)
    chances = logits_of(len(labels), seed).softmax(-1)
    alike = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)) < 0.8
    gate_s = gates(labels, alike)
    made = future_targets(chances, labels, gate_s=gate_s, lam=lam, smoothing=smoothing)
    torch.testing.assert_close(made, targets_by_hand(chances.detach(), labels, gate_s, lam, smoothing))
    assert not made.requires_grad
    torch.testing.assert_close(made.sum(-1), torch.ones(len(labels)).double())


def test_targets_are_the_sum_of_the_notes_at_one_frame_a_second():
    labels, lam = rows("sssR"), 0.7
    q = logits_of(4).softmax(-1).detach()
    end = torch.tensor([0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3]).double()
    made = future_targets(q, labels, gate_s=gates(labels), lam=lam, smoothing=0.1)
    summed = (1 - lam) * (q[1] + lam * q[2] + lam**2 * q[3]) + lam**3 * end
    torch.testing.assert_close(made[0], summed)


def test_no_rows_have_no_targets():
    labels = rows("")
    part = decision_consistency(logits_of(0), labels, gate_s=gates(labels))
    assert (part.total, part.weight) == (0, 0)


def test_a_constant_prediction_is_consistent_where_no_label_ends_the_chain():
    labels = rows("sssR")
    constant = torch.tensor([[1.0, -2.0, 0.5]]).double().expand(4, 3)
    part = decision_consistency(constant, labels, gate_s=gates(labels), smoothing=None)
    torch.testing.assert_close(part.total, torch.zeros(()).double())
    assert part.weight == 3


def test_the_label_at_the_end_of_a_segment_guards_against_collapse():
    labels = rows("sssR")
    constant = torch.tensor([[3.0, 0, 0]]).double().expand(4, 3)
    assert decision_consistency(constant, labels, gate_s=gates(labels)).mean() > 0.3


@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_gradients_against_targets_that_stand_still(smoothing):
    # gradcheck of the loss itself would see the targets move with the logits: they are held where they were.
    labels, start = rows("ssbR", segment=[0, 0, 0, 1]), logits_of(4)
    gate_s = gates(labels)
    held = future_targets(start.softmax(-1), labels, gate_s=gate_s, smoothing=smoothing)

    def against_held(logits):
        divergence = functional.kl_div(logits.log_softmax(-1), held, reduction="none").sum(-1)
        return (divergence * gate_s).sum()

    assert torch.autograd.gradcheck(against_held, (start,))
    part = decision_consistency(start, labels, gate_s=gate_s, smoothing=smoothing)
    torch.testing.assert_close(part.total, against_held(start))
    torch.testing.assert_close(gradient(part.total, start), gradient(against_held(start), start))


@settings(max_examples=25)
@given(documents(), st.integers(0, 99))
def test_rows_with_a_shut_gate_get_exactly_no_gradient(labels, seed):
    logits, gate_s = logits_of(len(labels), seed), gates(labels)
    slope = gradient(decision_consistency(logits, labels, gate_s=gate_s).total, logits)
    assert (slope[gate_s == 0] == 0).all()
    assert (slope[gate_s > 0].abs().sum(-1) > 0).all()


def test_the_teacher_gets_no_gradient():
    logits = logits_of(2)
    slope = gradient(decision_consistency(logits, rows("sR"), gate_s=gates(rows("sR"))).total, logits)
    assert slope[0].abs().sum() > 0
    assert torch.equal(slope[1], torch.zeros(3).double())


def test_the_future_teaches_the_past_and_calm_the_other_way():
    labels = rows("ss")
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 2.0]], dtype=torch.float64, requires_grad=True)
    future = gradient(decision_consistency(logits, labels, gate_s=gates(labels), smoothing=None).total, logits)
    past = gradient(calm_loss(logits, labels, gate_s=gates(labels)).total, logits)
    assert future[0, 2] < 0, "descent raises respond on the earlier row"
    assert torch.equal(future[1], torch.zeros(3).double())
    assert past[1, 2] > 0, "descent lowers respond on the later row"
    assert torch.equal(past[0], torch.zeros(3).double())


@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_a_boundary_moved_by_one_frame_moves_the_row_without_gradient(boundary):
    labels = rows("sssss", segment=[0] * boundary + [1] * (5 - boundary))
    logits = logits_of(5)
    slope = gradient(decision_consistency(logits, labels, gate_s=gates(labels)).total, logits)
    assert (slope.abs().sum(-1) == 0).nonzero().flatten().tolist() == [boundary - 1, 4]


def test_a_shut_gate_also_ends_what_flows_back_through_it():
    labels, logits = rows("ssss"), logits_of(4)
    changed = logits.detach().clone()
    changed[2:] += 5
    changed[2:, 0] -= 9
    cut = gates(labels, torch.tensor([True, False, True, True]))
    slopes = [
        gradient(decision_consistency(values, labels, gate_s=cut).total, values)[:2]
        for values in (logits, changed.requires_grad_())
    ]
    torch.testing.assert_close(*slopes)
    everywhere = gradient(decision_consistency(changed, labels, gate_s=gates(labels)).total, changed)[:2]
    assert not torch.allclose(everywhere, slopes[1])


@settings(max_examples=25)
@given(st.sampled_from([0.0, 0.4, 0.7, 1.0]), st.integers(0, 50), st.integers(2, 6))
def test_frame_rate_does_not_change_what_a_second_is_taught(lam, seed, seconds):
    # A prediction that holds for a whole second, on 1 and on 2 frames a second: targets at whole seconds are the same.
    slow, fast = rows("s" * seconds, fps=1), rows("s" * (2 * seconds), fps=2)
    constant = logits_of(1, seed).softmax(-1).detach()
    one = future_targets(constant.expand(len(slow), 3), slow, gate_s=gates(slow), lam=lam)
    two = future_targets(constant.expand(len(fast), 3), fast, gate_s=gates(fast), lam=lam)
    # From the end: the n-th second before the last row.
    torch.testing.assert_close(one.flip(0), two.flip(0)[::2][: len(slow)])


@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_frame_rate_changes_the_value_of_a_constant_less_and_less(smoothing):
    constant, values = torch.tensor([[1.0, 0.2, -1.0]]).double(), []
    for fps in (1, 2, 4, 8):
        labels = rows("s" * (10 * fps + 1), fps=fps)
        logits = constant.expand(len(labels), 3)
        part = decision_consistency(logits, labels, gate_s=gates(labels), smoothing=smoothing)
        assert part.weight == 10, "seconds, whatever the frame rate"
        values.append(float(part.mean()))
    if smoothing is None:
        assert values == pytest.approx([0] * 4, abs=1e-15)
    else:
        # The sum over rows approaches the integral: half the step, half the difference.
        steps = [later - earlier for earlier, later in pairwise(values)]
        assert all(0.3 < finer / coarser < 0.7 for coarser, finer in pairwise(steps))


def test_a_jump_weighs_the_seconds_to_the_next_row():
    # The same jump, at the same second, seen at 1 and 2 frames a second among still frames.
    slow, fast = rows("ssss", fps=1), rows("ssssssss", fps=2)
    q = torch.tensor([[2.0, 0, 0], [2.0, 0, 0], [0, 0, 2.0], [0, 0, 2.0]]).double()
    assert gates(slow).sum() == 3
    assert gates(fast).sum() == 3.5
    jump = calm_loss(q, slow, gate_s=gates(slow)).total
    twice = calm_loss(q.repeat_interleave(2, 0), fast, gate_s=gates(fast)).total
    torch.testing.assert_close(twice, jump / 2)


def test_static_video_does_not_drown_what_moves():
    # Divided by open gates: ten documents without any gate change nothing.
    labels, logits = rows("sss"), logits_of(3)
    alone = decision_consistency(logits, labels, gate_s=gates(labels)).mean()
    shut = packed(labels, *[rows("s")] * 10)
    among = decision_consistency(torch.cat([logits, torch.zeros(10, 3).double()]), shut, gate_s=gates(shut)).mean()
    torch.testing.assert_close(alone, among)


def test_calm_is_the_published_truncated_error():
    labels, logits = rows("ssss"), logits_of(4)
    logs = logits.log_softmax(-1)
    wanted = (logs[1:] - logs[:-1].detach()).square().clamp(max=16).mean()
    torch.testing.assert_close(calm_loss(logits, labels, gate_s=gates(labels)).mean(), wanted)


def test_calm_is_truncated():
    logits = torch.tensor([[50.0, 0, 0], [0, 0, 50.0]]).double().requires_grad_()
    part = calm_loss(logits, rows("ss"), gate_s=gates(rows("ss")))
    assert part.mean() <= 16
    assert part.mean() > 10
    # Only standby, whose jump of log-probability is 0, is not truncated.
    assert gradient(part.total, logits).abs().sum() < 1e-12


def test_features_are_pulled_to_the_next_row():
    hidden = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = rows("ssss", segment=[0, 0, 1, 1])
    part = feature_consistency(hidden, gates(labels))
    wanted = 2 - functional.cosine_similarity(hidden[[0, 2]], hidden[[1, 3]]).sum()
    torch.testing.assert_close(part.total, wanted)
    slope = gradient(part.total, hidden)
    assert (slope.abs().sum(-1) > 0).tolist() == [True, False, True, False]
    assert feature_consistency(hidden.detach()[:1].expand(4, 6), gates(labels)).total.abs() < 1e-12


@settings(max_examples=25)
@given(st.integers(0, 7), st.integers(1, 8), st.integers(0, 50))
def test_tokens_are_taught_by_one_frame_more(pairs, chunk, seed):
    state = torch.Generator().manual_seed(seed)
    earlier, later = (torch.randn(pairs, 4, generator=state, dtype=torch.float64, requires_grad=True) for _ in range(2))
    head, weights = nn.Linear(4, 6).double(), torch.rand(pairs, generator=state, dtype=torch.float64)
    part = token_consistency(earlier, later, project=head, weights=weights, chunk=chunk)
    p, q = head(later).softmax(-1), head(earlier).softmax(-1)
    wanted = ((p * (p.log() - q.log())).sum(-1) * weights).sum()
    torch.testing.assert_close(part.total, wanted)
    torch.testing.assert_close(part.weight, weights.sum())
    part.total.backward()
    assert later.grad is None, "the teacher is fixed"
    if pairs:
        assert earlier.grad.abs().sum() > 0
    assert head.weight.grad is not None


def test_token_gradients_of_the_head_come_from_the_taught_side_alone():
    earlier, later = (torch.randn(3, 4, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    weight = torch.randn(5, 4, generator=torch.Generator().manual_seed(2)).double().requires_grad_()
    part = token_consistency(earlier, later, project=lambda h: h @ weight.T, weights=torch.ones(3).double())
    held = (later @ weight.T).softmax(-1).detach()
    wanted = functional.kl_div((earlier @ weight.T).log_softmax(-1), held, reduction="sum")
    torch.testing.assert_close(gradient(part.total, weight), gradient(wanted, weight))


def test_the_same_states_are_consistent():
    same = torch.randn(3, 4)
    part = token_consistency(same, same, project=nn.Linear(4, 5), weights=torch.ones(3))
    assert part.total.abs() < 1e-6


def test_pairs_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(RecipeError, match="pairs of text rows"):
        token_consistency(torch.ones(2, 4), torch.ones(3, 4), project=nn.Identity(), weights=torch.ones(2))
    with pytest.raises(RecipeError, match="weights: found shape"):
        token_consistency(torch.ones(2, 4), torch.ones(2, 4), project=nn.Identity(), weights=torch.ones(3))
    with pytest.raises(RecipeError, match="gate_s: found shape"):
        decision_consistency(logits_of(2), rows("ss"), gate_s=torch.ones(3))


@pytest.mark.parametrize("lam", [-0.1, 1.1])
def test_lam_is_a_share(lam):
    with pytest.raises(RecipeError, match="lam: found"):
        decision_consistency(logits_of(2), rows("ss"), gate_s=torch.ones(2), lam=lam)
