"""Whatever the checks write is laid out, without knowing its fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.files import DataError, write_json
from datasets_build.report.checks import MOST_ROWS, Checked, Grid, grids, read_check, text

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20)


def test_single_values_come_first_and_lists_have_their_own_table() -> None:
    content = {"broken": 1, "laws": [{"law": "order", "checked": 1200}, {"law": "leak", "broken": True}], "ok": False}
    assert list(grids(content)) == [
        Grid("", ("", ""), (("broken", "1"), ("ok", "no"))),
        Grid("laws", ("law", "checked", "broken"), (("order", "1,200", "–"), ("leak", "–", "yes"))),
    ]


def test_nested_groups_carry_their_path_as_title() -> None:
    content = {"streaming_qa": {"leakage": {"checked": 3, "ids": ["a", "b"]}}}
    assert list(grids(content)) == [
        Grid("streaming_qa / leakage", ("", ""), (("checked", "3"),)),
        Grid("streaming_qa / leakage / ids", ("",), (("a",), ("b",))),
    ]


def test_long_lists_are_cut_and_counted() -> None:
    (found,) = grids([{"id": k} for k in range(MOST_ROWS + 7)])
    assert (len(found.rows), found.left_out) == (MOST_ROWS, 7)


@given(JSON)
def test_any_json_is_laid_out_in_rectangles(content: object) -> None:
    for found in grids(content):
        assert all(len(row) == len(found.columns) for row in found.rows)


@given(st.lists(st.dictionaries(st.text(max_size=3), LEAVES), max_size=5))
def test_no_row_of_a_list_is_lost(rows: list[dict[str, object]]) -> None:
    (found,) = grids(rows)
    assert len(found.rows) == len(rows)


def test_values_inside_values_stay_readable() -> None:
    assert text({"a": [1, 2], "b": None}) == "a: 1, 2, b: –"
    assert (text([]), text({}), text(1.5), text(True)) == ("–", "–", "1.5", "yes")


def test_an_absent_file_means_not_checked_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert read_check(tmp_path) is None
    write_json(tmp_path / "check.json", {"broken": 0})
    assert read_check(tmp_path) == Checked(0, (Grid("", ("", ""), (("broken", "0"),)),))
    for content in ([1], {"broken": "two"}, {"broken": True}, {}):
        write_json(tmp_path / "check.json", content)
        assert read_check(tmp_path).broken is None
    (tmp_path / "check.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"check\.json: not valid JSON"):
        read_check(tmp_path)
