"""What is learned blind: real rules are found in groups that were never seen, chance is not."""

import random

import numpy as np
import pytest

from datasets_build.checks.guesses import FOLDS, best_delay, features_of, folds_of, learned, marks_of
from datasets_build.checks.shingles import words_of

SECOND = 1_000_000_000


def test_a_group_is_in_one_fold_and_folds_are_even():
    groups = [f"g{k % 20}" for k in range(100)]
    folds = folds_of(groups)
    assert {len({folds[k] for k in range(100) if groups[k] == name}) for name in set(groups)} == {1}
    assert np.bincount(folds, minlength=FOLDS).tolist() == [20] * FOLDS


def test_folds_do_not_depend_on_the_order():
    groups = [f"g{k}" for k in range(12)]
    straight = dict(zip(groups, folds_of(groups), strict=True))
    assert dict(zip(reversed(groups), folds_of(groups[::-1]), strict=True)) == straight


def test_features_know_the_order_of_words():
    one, other = features_of(words_of("is it red")), features_of(words_of("red is it"))
    assert set(one.tolist()) != set(other.tolist())
    assert len(set(one.tolist()) & set(other.tolist())) >= 3
    assert len(features_of(())) > 0


@pytest.mark.parametrize("text", ["", " ", "?", "Is it red?", "它是红色的吗？", "...", "a_b"])
def test_marks_are_the_same_for_other_words_and_others_for_other_marks(text):
    assert marks_of(text).tolist() == marks_of(text.replace("red", "blue")).tolist()
    assert len(marks_of(text)) > 0
    for other in (f"{text}!", f" {text}", f"{text},x"):
        assert marks_of(other).tolist() != marks_of(text).tolist()
    assert set(marks_of(text, "second").tolist()) > set(marks_of(text).tolist())


def data(rule, *, n=200, seed=0):
    """Sentences of random words with a label by a rule, of twenty groups."""
    rng = random.Random(seed)
    texts = [[rng.choice("abcdefgh") for _ in range(6)] for _ in range(n)]
    labels = np.array([rule(text, rng) for text in texts])
    return [features_of(text) for text in texts], labels, folds_of([f"g{k % 20}" for k in range(n)])


def test_a_word_that_tells_is_found():
    features, labels, folds = data(lambda text, rng: int("a" in text))
    assert (learned(features, labels, folds).argmax(axis=1) == labels).mean() > 0.9


def test_chance_is_not_learned():
    features, labels, folds = data(lambda text, rng: rng.randrange(2), n=600)
    assert 0.4 < (learned(features, labels, folds).argmax(axis=1) == labels).mean() < 0.6


def test_what_only_one_group_says_is_not_learned():
    # Each group has words of its own: a classifier that saw the group would be right every time.
    groups = [f"g{k // 10}" for k in range(200)]
    labels = np.array([(k // 10) % 2 for k in range(200)])
    features = [features_of((f"word{k // 10}",)) for k in range(200)]
    inside = learned(features, labels, np.arange(200) % FOLDS)
    outside = learned(features, labels, folds_of(groups))
    assert (inside.argmax(axis=1) == labels).all()
    assert (outside.argmax(axis=1) == labels).mean() < 0.75


def test_of_many_answers_the_frequent_ones_can_be_guessed():
    labels = np.array([0] * 50 + list(range(1, 101)))
    features = [features_of(("same",))] * len(labels)
    scores = learned(features, labels, np.arange(len(labels)) % FOLDS)
    assert scores.shape == (150, 101)
    assert (scores.argmax(axis=1) == 0).all()
    assert np.isneginf(scores).any(axis=0).sum() == 101 - 64


def test_a_fixed_delay_is_found():
    windows = [(6 * SECOND - 10 * (k // 10), 7 * SECOND) for k in range(40)]
    hits, chance = best_delay(windows, np.arange(40) % FOLDS)
    assert all(hits)
    assert chance == pytest.approx(1 / 7, abs=0.01)


def test_delays_all_over_are_not():
    windows = [(k * SECOND, (k + 1) * SECOND) for k in range(40)]
    hits, chance = best_delay(windows, np.arange(40) % FOLDS)
    assert sum(hits) == 0
    assert chance == pytest.approx(1 / 40)


def test_a_window_is_half_open():
    hits, _ = best_delay([(0, 5), (5, 9)], np.array([0, 1]))
    assert hits == [False, False]


def test_no_windows_are_no_chance():
    assert best_delay([], np.array([], np.int64)) == ([], 0.0)
