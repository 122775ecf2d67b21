from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.exact import (
    CaptionError,
    fraction_of,
    load_json,
    nanoseconds,
    object_of,
    ordered,
    show,
    span_of,
    string_of,
)


def code(function, *arguments) -> str:
    with pytest.raises(CaptionError) as caught:
        function(*arguments)
    return caught.value.fault.code


def test_a_decimal_is_taken_as_it_is_written():
    # As a binary fraction 0.1 + 0.2 is not 0.3; the text of a file is.
    assert nanoseconds(load_json("0.3")) == 300_000_000
    assert nanoseconds(load_json("1e-9")) == 1
    assert nanoseconds(load_json("123456789.123456789")) == 123_456_789_123_456_789
    assert nanoseconds(1500, "ms") == 1_500_000_000


@given(st.integers(-(10**15), 10**15), st.integers(0, 9))
def test_every_decimal_of_nanoseconds_comes_back(units, places):
    text = f"{Decimal(units).scaleb(-places):f}"
    assert nanoseconds(load_json(text)) == units * 10 ** (9 - places)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "bad_type"),
        ("1", "bad_type"),
        (None, "bad_type"),
        (Decimal("NaN"), "bad_number"),
        (Decimal("Infinity"), "bad_number"),
        (Decimal("1e999999999"), "bad_number"),
        (Decimal("1e-999999999"), "bad_number"),
    ],
)
def test_what_is_no_time_is_refused(value, expected):
    assert code(fraction_of, value) == expected


@pytest.mark.parametrize("text", ["{", "", '{"a": 1, "a": 2}', '{"\\ud800": 1}', "[" * 100_000])
def test_what_is_no_json_is_refused(text):
    assert code(load_json, text) == "not_json"


def test_a_text_is_stripped_and_has_words():
    assert string_of("  so \n", "text") == "so"
    assert code(string_of, " \t", "text") == "no_text"
    assert code(string_of, 3, "text") == "bad_type"
    assert code(string_of, "\ud800", "text") == "bad_text"


def test_an_object_is_one():
    assert object_of({"a": 1}) == {"a": 1}
    assert code(object_of, [1]) == "bad_type"


def test_a_span_is_two_seconds_in_order():
    assert span_of([0, Decimal("1.5")], "times") == (0, 1_500_000_000)
    assert code(span_of, [1], "times") == "bad_time"
    assert code(span_of, "1-2", "times") == "bad_time"
    assert code(span_of, [2, 2], "times") == "bad_span"
    assert code(span_of, [-1, 2], "times") == "bad_time"
    assert code(span_of, [5, 6], "times", 5_000_000_000) == "beyond_duration"
    assert span_of([4, 6], "times", 5_000_000_000) == (4_000_000_000, 6_000_000_000)


def test_what_is_wrong_with_a_span_is_told_as_found():
    with pytest.raises(CaptionError, match=r"^found 3 to 2, expected an end after the start$"):
        ordered(3, 2, "found 3 to 2")
    assert ordered(2, 3, "found") == (2, 3)


def test_values_are_shown_short():
    assert show("x" * 100) == '"' + "x" * 56 + "..."
    assert show({"a": Decimal("1.5")}) == '{"a": "1.5"}'
