import itertools
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from recipes.errors import RecipeError
from recipes.losses.episodes import episodes
from recipes.losses.survival import delay_loss, log_hazards, survival_loss, windows
from tests.recipes.losses.labelled import documents, gradient, logits_of, packed, rows


def one_answer(n, begin, end, **kinds):
    """`n` rows a second apart, an answer due from `begin` to `end`, none labelled."""
    return rows("s" * n, evidence_s=float(begin), window_s=float(end), **kinds)


def loss(logits, labels, **prices):
    return survival_loss(logits, labels, grouped=episodes(labels), **prices)


def first_responses(hazards):
    """P(T = t) for every t, from all 2^n ways to be silent or to respond on each row."""
    chances = [0.0] * len(hazards)
    for path in itertools.product((0, 1), repeat=len(hazards)):
        chance = math.prod(h if says else 1 - h for h, says in zip(hazards, path, strict=True))
        if any(path):
            chances[path.index(1)] += chance
    return chances


@settings(max_examples=25)
@given(
    st.integers(1, 8),
    st.integers(0, 7),
    st.integers(0, 7),
    st.sampled_from([0.0, 0.5, 5.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 99),
)
def test_the_recursion_equals_the_sum_over_every_way_to_respond(n, begin, width, lam, gamma, seed):
    begin = min(begin, n - 1)
    end = min(begin + width, n - 1)
    labels, logits = one_answer(n, begin, end), logits_of(n, seed)
    said = -torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    chances = first_responses(logits.softmax(-1)[:, 2].tolist())
    worth = sum(
        chances[t] * math.exp(-lam * (t - begin)) * math.exp(float(said[t])) ** gamma for t in range(begin, end + 1)
    )
    made = loss(logits, labels, lam=lam, gamma=gamma, log_probs=said)
    assert float(made.total.detach()) == pytest.approx(-math.log(worth))
    assert made.weight == begin + 1


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(0, 7), st.integers(0, 7), st.floats(0, 3), st.integers(0, 99))
def test_the_expected_delay_equals_the_sum_over_every_way_to_respond(n, begin, width, rho, seed):
    begin = min(begin, n - 1)
    end = min(begin + width, n - 1)
    labels, logits = one_answer(n, begin, end), logits_of(n, seed)
    chances = first_responses(logits.softmax(-1)[:, 2].tolist())[begin : end + 1]
    mean = sum(d * p for d, p in enumerate(chances)) / sum(chances)
    spread = sum((d - mean) ** 2 * p for d, p in enumerate(chances)) / sum(chances)
    made = delay_loss(logits, labels, grouped=episodes(labels), rho=rho)
    assert float(made.mean().detach()) == pytest.approx(mean + rho * spread)


def test_episodes_multiply():
    first, second = one_answer(5, 2, 4), rows("ssR", evidence_s=1.0, window_s=5.0)
    logits = logits_of(8)
    both = loss(logits, packed(first, second))
    parts = [loss(logits[:5], first), loss(logits[5:], second)]
    torch.testing.assert_close(both.total, parts[0].total + parts[1].total)
    torch.testing.assert_close(both.weight, parts[0].weight + parts[1].weight)


def test_a_response_starts_the_wait_again():
    # After the response on row 1 the rows wait for the second answer, as if their document had begun there.
    evidence = [1.0, 1.0, 4.0, 4.0, 4.0]
    labels = rows("sRssR", evidence_s=evidence, window_s=[e + 2 for e in evidence])
    logits = logits_of(5)
    log_h, log_stay = log_hazards(logits)
    by_hand = -(log_stay[0] + log_h[1]) - (log_stay[2] + log_stay[3] + log_h[4])
    torch.testing.assert_close(loss(logits, labels).total, by_hand)


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(0, 99))
def test_with_one_row_and_no_price_it_is_binary_cross_entropy(n, seed):
    labels, logits = one_answer(n, n - 1, n - 1), logits_of(n, seed)
    against = torch.tensor([0.0] * (n - 1) + [1.0]).double()
    wanted = functional.binary_cross_entropy(logits.softmax(-1)[:, 2], against)
    made = loss(logits, labels, lam=0.0, gamma=0.0).mean()
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(gradient(made, logits), gradient(wanted, logits))


def test_gradients_in_double_precision():
    labels = packed(one_answer(6, 2, 4), rows("ssR", evidence_s=1.0, window_s=9.0), rows("ss"))
    said = (-torch.rand(11, generator=torch.Generator().manual_seed(3)).double()).requires_grad_()
    grouped = episodes(labels)
    assert torch.autograd.gradcheck(
        lambda x, y: survival_loss(x, labels, grouped=grouped, lam=0.7, gamma=0.5, log_probs=y).total,
        (logits_of(11), said),
    )
    assert torch.autograd.gradcheck(lambda x: delay_loss(x, labels, grouped=grouped).total, (logits_of(11),))


@settings(max_examples=25)
@given(st.integers(0, 99), st.sampled_from([0.0, 1.0]))
def test_responding_before_the_evidence_always_costs(seed, lam):
    logits = logits_of(6, seed)
    slope = gradient(loss(logits, one_answer(6, 3, 5), lam=lam).total, logits)
    assert (slope[:3, 2] > 0).all(), "descent lowers respond before the evidence"
    assert slope[3:, 2].sum() < 0, "and raises it in the window"


def test_a_dearer_delay_pulls_harder_at_the_first_row_of_the_window():
    labels, logits = one_answer(6, 1, 5), torch.zeros(6, 3).double().requires_grad_()
    slopes = [gradient(loss(logits, labels, lam=lam).total, logits)[1:, 2] for lam in (0.0, 0.5, 2.0)]
    for cheap, dear in itertools.pairwise(slopes):
        assert dear[0] < cheap[0] < 0
    # Dearly priced, the first row is pulled harder than any later one.
    assert slopes[2][0].abs() > slopes[2][1:].abs().max()


def test_an_answer_that_can_be_said_better_later_pulls_there():
    labels, logits = one_answer(4, 0, 3), torch.zeros(4, 3).double().requires_grad_()
    said = torch.tensor([-5.0, -5.0, -0.1, -5.0]).double()
    with_text = gradient(loss(logits, labels, lam=0.0, gamma=1.0, log_probs=said).total, logits)[:, 2]
    without = gradient(loss(logits, labels, lam=0.0, gamma=0.0, log_probs=said).total, logits)[:, 2]
    assert with_text.argmin() == 2
    assert without.argmin() == 0


def test_without_gamma_a_text_that_cannot_be_said_does_no_harm():
    labels, logits = one_answer(3, 0, 2), logits_of(3)
    never = torch.full((3,), -torch.inf).double()
    made = loss(logits, labels, gamma=0.0, log_probs=never).total
    torch.testing.assert_close(made, loss(logits, labels).total)
    elsewhere = torch.tensor([-1.0, -1.0, -1.0, -torch.inf]).double()
    outside = loss(logits_of(4), one_answer(4, 0, 2), log_probs=elsewhere).total
    assert outside.isfinite()


def test_the_tilt_is_in_seconds():
    slow, fast = one_answer(5, 1, 4), one_answer(10, 1, 4, fps=2)
    laid = [windows(logits_of(len(one)), one, episodes(one)) for one in (slow, fast)]
    assert laid[0].delay_s.tolist() == [[0, 1, 2, 3]]
    assert laid[1].delay_s.tolist() == [[0, 0.5, 1, 1.5, 2, 2.5, 3]]


def test_delay_costs_by_the_second_at_any_frame_rate():
    labels, logits = one_answer(6, 1, 2, fps=2), logits_of(6)
    chances = first_responses(logits.softmax(-1)[:, 2].tolist())
    worth = sum(chances[t] * math.exp(-2.0 * (t - 2) / 2) for t in range(2, 5))
    assert float(loss(logits, labels, lam=2.0).total.detach()) == pytest.approx(-math.log(worth))


def test_what_was_not_tried_outside_of_windows_need_not_be_a_number():
    labels, logits = packed(one_answer(5, 1, 3), one_answer(3, 1, 1)), logits_of(8)
    known = -torch.ones(8).double()
    gaps = torch.where(episodes(labels).window, known, torch.nan)
    torch.testing.assert_close(loss(logits, labels, log_probs=gaps).total, loss(logits, labels, log_probs=known).total)


def test_windows_are_laid_side_by_side():
    labels = packed(one_answer(5, 1, 3), one_answer(3, 1, 1), rows("ss"))
    laid = windows(logits_of(10), labels, episodes(labels))
    assert laid.row.tolist() == [[1, 2, 3], [6, 0, 0]]
    assert laid.held.tolist() == [[True, True, True], [True, False, False]]
    assert laid.log_first[1, 1:].tolist() == [-torch.inf] * 2


@pytest.mark.parametrize("spelled", ["", "s", "sssss", "sbs"])
def test_silence_alone_and_no_rows_are_finite(spelled):
    labels, logits = rows(spelled), logits_of(len(spelled))
    made = loss(logits, labels)
    assert made.weight == len(spelled)
    torch.testing.assert_close(made.total, -log_hazards(logits)[1].sum())
    assert gradient(made.total, logits).isfinite().all()
    late = delay_loss(logits, labels, grouped=episodes(labels))
    assert (late.total, late.weight) == (0, 0)
    assert torch.equal(gradient(late.total, logits), torch.zeros_like(logits))


def test_a_window_without_a_row_is_finite():
    labels, logits = rows("ssss", evidence_s=1.2, window_s=1.8), logits_of(4)
    made = loss(logits, labels)
    assert made.weight == 2
    torch.testing.assert_close(made.total, -log_hazards(logits)[1][:2].sum())


def test_a_censored_window_gives_nothing():
    cut, logits = one_answer(4, 2, 9), logits_of(4)
    made = loss(logits, cut)
    assert made.weight == 2
    assert torch.equal(gradient(made.total, logits)[2:], torch.zeros(2, 3).double())
    whole = one_answer(4, 2, 3)
    assert gradient(loss(logits, whole).total, logits)[2:].abs().sum() > 0


@pytest.mark.parametrize("size", [80.0, 800.0])
def test_certain_logits_stay_finite_where_log1p_would_not(size):
    labels = one_answer(4, 2, 3)
    for sign in (1, -1):
        logits = torch.tensor([[0.0, 0, sign * size]]).repeat(4, 1).requires_grad_()
        total = loss(logits, labels).total + delay_loss(logits, labels, grouped=episodes(labels)).total
        assert total.isfinite()
        assert gradient(total, logits).isfinite().all()
    assert torch.log1p(-torch.tensor([0.0, 0, size]).softmax(-1)[2]).isinf()


@settings(max_examples=25)
@given(documents(), st.integers(0, 99))
def test_any_labels_give_a_finite_loss_of_at_least_zero(labels, seed):
    logits = logits_of(len(labels), seed)
    made = loss(logits, labels)
    assert made.total.isfinite()
    assert made.total >= 0
    assert gradient(made.total, logits).isfinite().all()


@settings(max_examples=25)
@given(documents(), st.integers(0, 99))
def test_standby_and_silence_are_one_to_it(labels, seed):
    logits = logits_of(len(labels), seed).detach()
    assume(len(labels) > 0)
    torch.testing.assert_close(loss(logits[:, [1, 0, 2]], labels).total, loss(logits, labels).total)


def test_prices_that_cannot_be_are_refused():
    labels = rows("ss")
    for wrong in ({"lam": -0.1}, {"gamma": -0.1}):
        with pytest.raises(RecipeError, match="survival loss: found lam"):
            loss(logits_of(2), labels, **wrong)
    with pytest.raises(RecipeError, match="rho"):
        delay_loss(logits_of(2), labels, grouped=episodes(labels), rho=-1.0)
    with pytest.raises(RecipeError, match="log_probs: found shape"):
        loss(logits_of(2), labels, log_probs=torch.zeros(3))
    with pytest.raises(RecipeError, match="decision logits"):
        loss(logits_of(3), labels)
