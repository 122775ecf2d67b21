"""Matching of marks: best of all by brute force, symmetric, and label by label."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from annotate.agreement.matching import is_instant, match, match_at, similarity
from tests.annotate.agreement.strategies import marks
from tests.annotate.people import MS, S, mark

TOLERANCE = 500 * MS
ious = st.sampled_from([0.0, 0.3, 0.5, 0.7])


def alike(left, right, iou=0.0):
    return similarity(left, right, iou=iou, tolerance_ns=TOLERANCE)


def matched(left, right, iou=0.3):
    return match(left, right, iou=iou, tolerance_ns=TOLERANCE)


def best_by_force(left, right, iou):
    """Most pairs, then the greatest sum, over every way to pair marks off."""
    if len(left) > len(right):
        left, right = right, left
    best = (0, 0.0)
    for chosen in permutations(right, len(left)):
        pairs = [(a, b) for a, b in zip(left, chosen, strict=True) if a.label == b.label]
        likes = [alike(a, b, iou) for a, b in pairs]
        best = max(best, (sum(like > 0 for like in likes), round(sum(likes), 9)))
    return best


@given(marks(most=4), marks(most=5), ious)
@settings(max_examples=30)
def test_no_other_pairing_is_better(left, right, iou):
    found = matched(left, right, iou)
    assert (len(found), round(sum(pair.similarity for pair in found), 9)) == best_by_force(left, right, iou)


@given(marks(), marks(), ious)
@settings(max_examples=30)
def test_pairs_are_one_to_one_alike_and_the_same_both_ways(left, right, iou):
    found, back = matched(left, right, iou), matched(right, left, iou)
    assert len({pair.left.id for pair in found}) == len({pair.right.id for pair in found}) == len(found)
    assert all(pair.left.label == pair.right.label and pair.similarity > 0 for pair in found)
    assert len(found) == len(back)
    assert sum(pair.similarity for pair in found) == pytest.approx(sum(pair.similarity for pair in back))


@given(marks())
@settings(max_examples=25)
def test_everybody_matches_themselves(drawn):
    found = matched(drawn, drawn, 0.7)
    assert len(found) == len(drawn)
    assert all(pair.similarity == 1.0 for pair in found)


@given(marks(), marks(), st.data())
@settings(max_examples=25)
def test_the_order_of_drawing_changes_nothing(left, right, data):
    shuffled = data.draw(st.permutations(left))
    assert matched(left, right) == matched(shuffled, right)


@given(marks(), marks())
@settings(max_examples=25)
def test_a_higher_threshold_never_finds_more(left, right):
    counts = [len(matched(left, right, iou)) for iou in (0.0, 0.3, 0.5, 0.7, 1.0)]
    assert counts == sorted(counts, reverse=True)


def test_similarity_of_spans_is_their_intersection_over_union():
    left, right = mark("a", "pour", 0, 4 * S), mark("b", "pour", 2 * S, 6 * S)
    assert alike(left, right) == pytest.approx(1 / 3)
    assert alike(left, right, iou=1 / 3) == pytest.approx(1 / 3)
    assert alike(left, right, iou=0.34) == 0.0


def test_spans_that_touch_are_not_the_same_even_at_threshold_zero():
    assert alike(mark("a", "pour", 0, S), mark("b", "pour", S, 2 * S)) == 0.0
    assert matched([mark("a", "pour", 0, S)], [mark("b", "pour", S, 2 * S)], 0.0) == []


def test_instants_match_within_the_tolerance_whatever_the_threshold():
    left = mark("a", "pour", S, S, is_point=True)
    assert alike(left, left, iou=1.0) == 1.0
    assert alike(left, mark("b", "pour", S + TOLERANCE, S + TOLERANCE, is_point=True), iou=1.0) == 0.5
    assert alike(left, mark("b", "pour", S + TOLERANCE + 1, S + TOLERANCE + 1, is_point=True)) == 0.0


def test_an_instant_matches_a_span_that_is_no_longer_than_the_tolerance():
    left = mark("a", "pour", S, S, is_point=True)
    assert alike(left, mark("b", "pour", S, S + 40 * MS)) > 0.9
    assert alike(left, mark("b", "pour", S, S + TOLERANCE)) == 0.5
    assert alike(left, mark("b", "pour", S, 3 * S)) == 0.0


def test_a_mark_without_length_is_an_instant():
    assert is_instant(mark("a", "pour", S, S))
    assert is_instant(mark("a", "pour", S, S, is_point=True))
    assert not is_instant(mark("a", "pour", S, S + 1))


def test_labels_part_marks():
    assert matched([mark("a", "pour", 0, S)], [mark("b", "stir", 0, S)]) == []


def test_one_more_pair_outweighs_any_likeness():
    # The first on the right is the very same as the second on the left, but taking it would leave one over.
    left = [mark("a", "pour", 0, 10 * S), mark("b", "pour", 5 * S, 15 * S)]
    right = [mark("c", "pour", 5 * S, 15 * S), mark("d", "pour", 11 * S, 15 * S)]
    pairs = {(pair.left.id, pair.right.id) for pair in matched(left, right)}
    assert pairs == {("a", "c"), ("b", "d")}


def test_no_marks_match_nothing():
    assert matched([], []) == []
    assert matched([mark("a", "pour", 0, S)], []) == []


@given(marks(most=7), marks(most=7))
@settings(max_examples=40, deadline=None)
def test_several_intersections_at_once_are_each_by_itself_the_best_assignment(left, right):
    several = (0.0, 0.3, 0.5, 0.7)
    at_once = match_at(left, right, ious=several, tolerance_ns=TOLERANCE)
    for iou, found in zip(several, at_once, strict=True):
        assert found == match(left, right, iou=iou, tolerance_ns=TOLERANCE)
        for label in {one.label for one in (*left, *right)}:
            ours = [one for one in left if one.label == label]
            theirs = [one for one in right if one.label == label]
            table = np.array([[similarity(a, b, iou=iou, tolerance_ns=TOLERANCE) for b in theirs] for a in ours])
            if not table.size:
                continue
            worth = np.where(table > 0, min(table.shape) + 1 + table, 0.0)
            rows, columns = linear_sum_assignment(worth, maximize=True)
            taken = table[rows, columns]
            mine = [pair.similarity for pair in found if pair.left.label == label]
            assert len(mine) == (taken > 0).sum()
            assert sum(mine) == pytest.approx(taken.sum())
