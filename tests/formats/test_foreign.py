"""What is kept of a foreign row: with it the row is as it was, and where people changed a record their word stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.files import DataError
from datasets_build.formats.foreign import Kept, applied, differences, same

scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.text(max_size=3))
keys = st.sampled_from(["a", "b", "c/d", "e~f", "0", ""])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


@given(values, values)
def test_what_is_kept_turns_one_row_into_the_other(written, found):
    kept = differences(written, found)
    assert same(applied(written, kept), found)
    assert (kept == ()) == same(written, found)


@given(values)
def test_nothing_is_kept_of_equal_rows(row):
    assert differences(row, row) == ()


@given(values, values)
def test_applying_leaves_the_written_row_alone(written, found):
    before = repr(written)
    applied(written, differences(written, found))
    assert repr(written) == before


def test_numbers_are_equal_as_json_and_truth_is_no_number():
    assert same(5, 5.0)
    assert same({"a": [1]}, {"a": [1.0]})
    assert not same(1, True)
    assert not same([0], [False])
    assert not same({"a": 1}, {"b": 1})
    assert not same([1], [1, 1])


def test_each_piece_names_its_place_and_both_sides():
    kept = differences({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3], "c/d": "x"})
    assert kept == (Kept(at="/b/1", was="2", value="3"), Kept(at="/c~1d", was=None, value='"x"'))


def test_what_people_changed_is_not_overwritten():
    kept = differences({"t": 5.005, "text": "one"}, {"t": 5, "text": "one", "id": 7})
    assert applied({"t": 9.0, "text": "two"}, kept) == {"t": 9.0, "text": "two", "id": 7}


def test_a_piece_whose_place_is_gone_is_passed_over():
    kept = differences({"rows": [{"t": 1}, {"t": 2}]}, {"rows": [{"t": 1}, {"t": 2, "note": "n"}]})
    assert applied({"rows": [{"t": 1}]}, kept) == {"rows": [{"t": 1}]}
    assert applied({"rows": None}, kept) == {"rows": None}


def test_a_key_that_the_file_lacks_is_taken_away_unless_it_changed():
    kept = differences({"task": "dialogue"}, {})
    assert applied({"task": "dialogue"}, kept) == {}
    assert applied({"task": "other"}, kept) == {"task": "other"}


def test_a_key_that_is_there_by_now_is_not_replaced():
    kept = differences({}, {"note": "old"})
    assert applied({"note": "new"}, kept) == {"note": "new"}


def test_a_whole_row_of_another_shape_is_kept_whole():
    kept = differences({"a": 1}, [1, 2])
    assert [piece.at for piece in kept] == [""]
    assert applied({"a": 1}, kept) == [1, 2]
    assert applied({"a": 2}, kept) == {"a": 2}


def test_a_broken_piece_is_an_error():
    with pytest.raises(DataError, match="/rows/x"):
        applied({"rows": [1]}, [Kept(at="/rows/x", was="1", value="2")])
    with pytest.raises(DataError, match="expected a value"):
        applied({"rows": [1]}, [Kept(at="/rows/0", was="1", value=None)])
