"""Krippendorff's alpha against published tables, against its definition, and against its laws."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.alpha import nominal, nominal_parts, ordinal, ordinal_parts

# Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011 (https://repository.upenn.edu/asc_papers/43).
# Section A, binary data, two observers, no missing data.
BINARY = ("0100000010", "1110010000")
# Section B, nominal data, two observers, no missing data.
LETTERS = ("aabbdcccedda", "babbbccceddd")
# Sections C and D, any number of observers, missing data.
FOUR = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
# Krippendorff's alpha, Wikipedia, "A computational example": three coders, fifteen units.
THREE = ("*****34121133*3", "1*213343*******", "**21344*21133*4")


def table(rows, values, missing=".*"):
    """`(units, values)` counts of rows of one character a unit."""
    counts = np.zeros((len(rows[0]), len(values)))
    for row in rows:
        for unit, value in enumerate(row):
            if value not in missing:
                counts[unit, values.index(value)] += 1
    return counts


def test_the_published_binary_example():
    assert nominal(nominal_parts(table(BINARY, "01"))) == pytest.approx(0.095, abs=5e-4)


def test_the_published_nominal_example():
    assert nominal(nominal_parts(table(LETTERS, "abcde"))) == pytest.approx(0.692, abs=5e-4)


def test_the_published_table_with_missing_values_nominal():
    assert nominal(nominal_parts(table(FOUR, "12345"))) == pytest.approx(0.743, abs=5e-4)


def test_the_published_table_with_missing_values_ordinal():
    assert ordinal(ordinal_parts(table(FOUR, "12345"))) == pytest.approx(0.815, abs=5e-4)


def test_the_example_of_three_coders():
    assert nominal(nominal_parts(table(THREE, "1234"))) == pytest.approx(0.691, abs=5e-4)


def by_definition(units, distance):
    """Alpha as the mean distance within units over the mean distance of any two values."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    n = len(values)
    observed = sum(distance(a, b, values) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2)) / n
    expected = sum(distance(a, b, values) for a, b in permutations(values, 2)) / (n * (n - 1))
    return 1 - observed / expected


def differ(a, b, values):
    return float(a != b)


def rank_distance(a, b, values):
    low, high = min(a, b), max(a, b)
    between = sum(low <= value <= high for value in values)
    return (between - (values.count(low) + values.count(high)) / 2) ** 2


units_of_ratings = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=8)


def counted(units):
    return np.array([[Counter(unit)[value] for value in range(5)] for unit in units])


def comparable(units):
    return len({value for unit in units if len(unit) > 1 for value in unit}) > 1


@given(units_of_ratings.filter(comparable))
@settings(max_examples=30)
def test_both_alphas_are_what_the_definition_says(units):
    assert nominal(nominal_parts(counted(units))) == pytest.approx(by_definition(units, differ))
    assert ordinal(ordinal_parts(counted(units))) == pytest.approx(by_definition(units, rank_distance))


@given(units_of_ratings.filter(comparable), st.permutations(range(5)))
@settings(max_examples=25)
def test_nominal_alpha_does_not_change_when_values_are_renamed(units, names):
    renamed = [[names[value] for value in unit] for unit in units]
    assert nominal(nominal_parts(counted(units))) == pytest.approx(nominal(nominal_parts(counted(renamed))))


@given(units_of_ratings.filter(comparable))
@settings(max_examples=25)
def test_ordinal_alpha_does_not_change_when_the_order_is_reversed(units):
    reversed_ = [[4 - value for value in unit] for unit in units]
    assert ordinal(ordinal_parts(counted(units))) == pytest.approx(ordinal(ordinal_parts(counted(reversed_))))


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=10).filter(lambda values: len(set(values)) > 1), st.integers(2, 5)
)
@settings(max_examples=25)
def test_alpha_is_one_for_equal_values(values, people):
    units = [[value] * people for value in values]
    assert nominal(nominal_parts(counted(units))) == pytest.approx(1.0)
    assert ordinal(ordinal_parts(counted(units))) == pytest.approx(1.0)


@given(units_of_ratings, units_of_ratings)
@settings(max_examples=25)
def test_parts_of_two_items_add_up(left, right):
    both = counted(left + right)
    assert nominal_parts(both) == pytest.approx(nominal_parts(counted(left)) + nominal_parts(counted(right)))
    assert ordinal_parts(both) == pytest.approx(ordinal_parts(counted(left)) + ordinal_parts(counted(right)))


@given(units_of_ratings.filter(comparable))
@settings(max_examples=25)
def test_a_weight_stands_for_repeated_units(units):
    weights = [1 + at % 3 for at in range(len(units))]
    repeated = [unit for unit, weight in zip(units, weights, strict=True) for _ in range(weight)]
    assert nominal_parts(counted(units), weights) == pytest.approx(nominal_parts(counted(repeated)))


@pytest.mark.parametrize("units", [[[1, 1], [1, 1, 1]], [[1], [2]], [[], []]])
def test_where_chance_agrees_in_full_or_nobody_is_compared_there_is_no_number(units):
    assert np.isnan(nominal(nominal_parts(counted(units))))
    assert np.isnan(ordinal(ordinal_parts(counted(units))))


def test_people_who_never_agree_are_below_chance():
    assert nominal(nominal_parts(counted([[0, 1], [1, 0], [0, 1]]))) < 0


def test_values_that_lie_close_cost_less_on_an_ordinal_scale():
    near = ordinal(ordinal_parts(counted([[0, 0], [1, 2], [2, 2], [3, 3], [4, 4]])))
    far = ordinal(ordinal_parts(counted([[0, 0], [0, 4], [2, 2], [3, 3], [4, 4]])))
    assert near > far


def test_many_sums_are_taken_at_once():
    parts = np.stack([nominal_parts(table(FOUR, "12345")), 2 * nominal_parts(table(FOUR, "12345"))])
    one, two = nominal(parts)
    assert one == pytest.approx(0.743, abs=5e-4)
    assert two == pytest.approx(nominal(parts[1]))
    assert ordinal(np.stack([ordinal_parts(table(FOUR, "12345"))] * 3)).shape == (3,)
