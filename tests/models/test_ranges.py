"""Tests of the checks of numbers: what lies in the range passes, all else is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SettingsError
from models.ranges import INT64, check_count, check_number

no_ints = st.one_of(st.booleans(), st.floats(), st.text(), st.none())


@given(st.integers(), st.integers(-5, 5), st.integers(6, 20))
def test_a_count_passes_exactly_inside_its_bounds(value, least, most):
    if least <= value <= most:
        check_count("setting slots", value, least=least, most=most)
    else:
        with pytest.raises(SettingsError, match=rf"slots is {value}, expected an integer in \[{least}, {most}\]"):
            check_count("setting slots", value, least=least, most=most)


@given(no_ints)
def test_a_count_is_an_int(value):
    with pytest.raises(SettingsError, match=r"setting slots is .*, expected an integer of 1 or more"):
        check_count("setting slots", value, least=1)


def test_a_count_without_a_bound_fits_in_64_bits():
    check_count("setting slots", INT64, least=0)
    with pytest.raises(SettingsError, match="of 0 or more"):
        check_count("setting slots", -1, least=0)
    # "0 or more" would be no reason to refuse a greater one.
    with pytest.raises(SettingsError, match=rf"in \[0, {INT64}\]"):
        check_count("setting slots", INT64 + 1, least=0)


@given(st.floats() | st.integers() | st.just(10**400), st.floats(-5, 5), st.floats(6, 20))
def test_a_number_passes_exactly_inside_its_bounds(value, low, high):
    if low <= value <= high:
        check_number("setting top_p", value, low=low, high=high)
    else:
        with pytest.raises(SettingsError, match=r"setting top_p is .*, expected a number in"):
            check_number("setting top_p", value, low=low, high=high)


@given(st.one_of(st.booleans(), st.text(), st.none()))
def test_a_number_is_one(value):
    with pytest.raises(SettingsError, match="expected a number in"):
        check_number("setting top_p", value, low=0, high=1)
