"""Figures and their intervals: honest where nothing can be said, the planted value inside where it can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm, t

from annotate.agreement.bootstrap import of_mean, of_quantile, of_sums, ratio, tail, weights
from annotate.agreement.figure import AgreementConfig, Figure, missing
from datasets_build.core.config import load_config

FEW = AgreementConfig(resamples=200)


def mean(values, rows, config=FEW):
    return of_mean(np.asarray(values, dtype=float), np.asarray(rows, dtype=np.int64), unit="things", config=config)


def quantile(values, rows, q=0.5, config=FEW):
    values = np.asarray(values, dtype=float)
    return of_quantile(values, np.asarray(rows, dtype=np.int64), q=q, unit="things", config=config)


def test_every_resample_draws_as_many_items_as_there_are():
    table = weights(7, 50, 3)
    assert table.shape == (50, 7)
    assert (table.sum(axis=1) == 7).all()
    assert not table.flags.writeable


def test_the_seed_decides():
    assert (weights(9, 30, 1) == weights(9, 30, 1)).all()
    assert (weights(9, 30, 1) != weights(9, 30, 2)).any()


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 4)), min_size=1, max_size=20))
@settings(max_examples=25)
def test_the_mean_is_the_mean_and_lies_in_its_items(pairs):
    values, rows = zip(*pairs, strict=True)
    figure = mean(values, rows)
    assert figure.value == pytest.approx(np.mean(values), abs=1e-9)
    assert (figure.n, figure.items) == (len(values), len(set(rows)))
    if figure.low is not None:
        assert min(values) - 1e-9 <= figure.low <= figure.high <= max(values) + 1e-9


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
@settings(max_examples=25)
def test_the_quantile_is_the_inverse_of_the_distribution(values, q):
    expected = np.quantile(values, q, method="inverted_cdf")
    assert quantile(values, range(len(values)), q).value == expected


def test_a_resampled_quantile_counts_items_as_often_as_they_were_drawn():
    values, rows = np.array([5.0, 1.0, 9.0, 2.0]), np.array([0, 1, 1, 2])
    figure = quantile(values, rows)
    drawn = weights(3, FEW.resamples, FEW.seed).astype(int)
    again = [np.quantile(np.repeat(values, counts[rows]), 0.5, method="inverted_cdf") for counts in drawn]
    beyond = tail(3, 0.95)
    assert (figure.low, figure.high) == tuple(np.quantile(again, [beyond, 1 - beyond]))


@given(st.integers(2, 400), st.integers(2, 40), st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.integers(0, 99))
@settings(max_examples=25)
def test_large_samples_are_resampled_in_pieces(many, items, q, seed):
    rng = np.random.default_rng(seed)
    values, rows = rng.integers(0, 50, many).astype(float), rng.integers(0, items, many)
    figure = quantile(values, rows, q)
    found, owner = np.unique(rows, return_inverse=True)
    assert figure.value == np.quantile(values, q, method="inverted_cdf")
    if len(found) > 1 and figure.low is not None:
        drawn = weights(len(found), FEW.resamples, FEW.seed).astype(int)
        samples = [np.repeat(values, counts[owner]) for counts in drawn]
        again = [np.quantile(sample, q, method="inverted_cdf") for sample in samples if len(sample)]
        beyond = tail(len(found), 0.95)
        assert (figure.low, figure.high) == tuple(np.quantile(again, [beyond, 1 - beyond]))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    config = AgreementConfig(resamples=200, level=0.9)
    hits = 0
    for _ in range(200):
        # Three values an item, which share what the item is like.
        values = np.repeat(rng.normal(3.0, 1.0, 40), 3) + rng.normal(0, 0.2, 120)
        figure = mean(values, np.repeat(np.arange(40), 3), config)
        hits += figure.low <= 3.0 <= figure.high
    # Standard error 2 %; percentile intervals of forty items fall short by about 2 %.
    assert 0.81 <= hits / 200 <= 0.96


@pytest.mark.parametrize(("items", "level"), [(2, 0.95), (5, 0.9), (20, 0.95), (1000, 0.99)])
def test_few_items_leave_less_beyond_the_ends(items, level):
    expected = norm.cdf(-t.ppf((1 + level) / 2, items - 1) * (items / (items - 1)) ** 0.5)
    assert tail(items, level) == pytest.approx(expected, rel=1e-6)
    assert tail(items, level) < (1 - level) / 2
    assert tail(10**6, level) == pytest.approx((1 - level) / 2, rel=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_intervals_of_eight_items_cover_the_truth_nearly_as_often_as_those_of_many(seed):
    rng = np.random.default_rng(seed)
    rounds, config = 500, AgreementConfig(resamples=300)
    figures = [mean(rng.normal(3.0, 1.0, 8), range(8), config) for _ in range(rounds)]
    # Standard error 1.1 %; plain percentiles cover 87 %.
    assert 0.9 <= sum(one.low <= 3.0 <= one.high for one in figures) / rounds <= 0.97


def test_values_of_one_item_do_not_count_as_many_items():
    rng = np.random.default_rng(6)
    values = np.repeat(rng.normal(0.0, 1.0, 20), 10)
    together = mean(values, np.repeat(np.arange(20), 10))
    apart = mean(values, np.arange(200))
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_more_items_narrow_the_interval():
    rng = np.random.default_rng(7)
    few, many = (mean(rng.normal(0, 1, size), range(size)) for size in (25, 400))
    assert many.high - many.low < (few.high - few.low) / 2


def test_nothing_gives_no_number():
    figure = mean([], [])
    assert figure == missing("things", "there are no things")
    assert quantile([], []) == figure
    assert (figure.value, figure.n, figure.reason) == (None, 0, "there are no things")


def test_one_item_gives_a_number_and_no_interval():
    for figure in (mean([1.0, 2.0], [4, 4]), quantile([1.0, 2.0], [4, 4])):
        assert figure.low is None
        assert figure.value is not None
        assert "one item" in figure.reason


def sums(parts, why="it cannot be", n=None, value=ratio):
    parts = np.array(parts, dtype=float)
    return of_sums(parts, value, n=len(parts) if n is None else n, unit="things", why=why, config=FEW)


def test_sums_that_allow_no_value_say_why():
    figure = sums([[1.0, 0.0], [2.0, 0.0]])
    assert (figure.value, figure.reason, figure.n, figure.items) == (None, "it cannot be", 2, 2)


def test_items_that_hold_nothing_take_no_part():
    with_empty, without = sums([[1, 2], [0, 0], [3, 3], [0, 0]], n=5), sums([[1, 2], [3, 3]], n=5)
    assert with_empty == without
    assert with_empty.items == 2


def test_where_many_resamples_allow_no_value_there_is_no_interval():
    # Only one of three items holds a denominator: a resample misses it in 8 of 27 cases.
    figure = sums([[1.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    assert figure.value == 1.5
    assert figure.low is None
    assert "resamples allow no value" in figure.reason


def test_a_figure_is_finite_or_says_why_not():
    with pytest.raises(ValidationError, match="finite"):
        Figure(value=float("nan"), n=1, items=1, unit="x", reason="y")
    with pytest.raises(ValidationError, match="a reason stands"):
        Figure(value=None, n=0, items=0, unit="x")
    with pytest.raises(ValidationError, match="a reason stands"):
        Figure(value=1.0, low=0.0, high=2.0, n=3, items=3, unit="x", reason="y")
    with pytest.raises(ValidationError, match="two ends"):
        Figure(value=1.0, low=0.0, n=3, items=3, unit="x")
    with pytest.raises(ValidationError, match="two ends"):
        Figure(value=None, low=0.0, high=1.0, n=3, items=3, unit="x")


def test_settings_load_like_all_others(tmp_path):
    path = tmp_path / "agreement.yaml"
    path.write_text("ious: [0.5]\nresamples: 50\n", encoding="utf-8")
    assert load_config(AgreementConfig, path, ["level=0.9"]) == AgreementConfig(ious=(0.5,), resamples=50, level=0.9)


def test_settings_are_checked():
    with pytest.raises(ValidationError):
        AgreementConfig(grid_ns=0)
    with pytest.raises(ValidationError):
        AgreementConfig(ious=(1.5,))
    with pytest.raises(ValidationError):
        AgreementConfig(level=1.0)
