"""Shares with intervals: few items, and many of few videos, prove nothing."""

import math

import pytest

from datasets_build.checks.figures import Figure, Least, Share, judged, most_common, shares_of

LEAST = Least(items=10, groups=3)


def share_of(*groups):
    """A share of (hits, items) a group."""
    share = Share()
    for k, (hits, items) in enumerate(groups):
        share.add(f"g{k}", hits, items)
    return share


def test_a_share_counts_items_and_groups():
    share = share_of((1, 4), (3, 4), (0, 0))
    assert (share.n, share.groups, share.share) == (8, 2, 0.5)


def test_an_empty_share_is_nothing():
    assert (Share().n, Share().share, Share().low) == (0, 0.0, 0.0)


def test_groups_that_are_alike_give_the_interval_of_wilson():
    share = share_of(*[(5, 10)] * 10)
    n, z = 100, 2.576
    expected = (0.5 + z * z / (2 * n) - z * math.sqrt(0.25 / n + z * z / (4 * n * n))) / (1 + z * z / n)
    assert share.low == pytest.approx(expected)


def test_groups_that_differ_widen_it():
    alike, apart = share_of(*[(5, 10)] * 10), share_of(*[(10, 10), (0, 10)] * 5)
    assert alike.share == apart.share
    assert apart.low < alike.low - 0.1


def test_all_hits_of_few_items_prove_little():
    assert share_of((1, 1), (1, 1)).low < 0.3
    assert share_of(*[(20, 20)] * 20).low > 0.98


def test_more_items_raise_the_lower_bound():
    lows = [share_of(*[(8, 10)] * k).low for k in (2, 5, 20, 100)]
    assert lows == sorted(lows)
    assert lows[-1] < 0.8


@pytest.mark.parametrize(
    ("groups", "verdict"),
    [
        ([(3, 3)] * 3, "too_few"),
        ([(40, 40)] * 2, "too_few"),
        ([(10, 20)] * 5, "held"),
        ([(20, 20)] * 5, "broken"),
        ([(14, 20)] * 5, "held"),
    ],
)
def test_the_verdict_asks_the_lower_bound(groups, verdict):
    figure = judged("blind_x", "a/b", share_of(*groups), chance=0.5, limit=0.65, least=LEAST)
    assert figure.verdict == verdict
    assert (figure.low > 0.65) == (verdict == "broken") or verdict == "too_few"


def test_a_figure_is_told_with_its_bound():
    figure = Figure(name="x", of="y", n=40, groups=7, share=0.75, low=0.6, chance=0.5, limit=0.65, verdict="held")
    assert figure.told == "0.750 (at least 0.600; 40 of 7 groups of videos)"


def test_equal_counts_go_by_name():
    assert most_common({"b": 2, "a": 2, "c": 1}) == ("a", 2)
    with pytest.raises(ValueError, match="empty"):
        most_common({})


def test_hits_are_counted_by_group():
    share = shares_of(["a", "b", "a"], [True, False, False])
    assert (share.n, share.groups) == (3, 2)
    assert share.share == pytest.approx(1 / 3)
