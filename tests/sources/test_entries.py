from pathlib import Path

import pytest

from datasets_build.core.config import load_config
from datasets_build.core.files import DataError
from datasets_build.sources.entries import (
    ByVideo,
    Collector,
    CorpusConfig,
    csv_rows,
    duration_of,
    entries_of,
    json_lines,
    json_object,
    refused,
    seconds_of,
    split_named,
    text_of,
)
from datasets_build.sources.exact import CaptionError
from datasets_build.sources.said import Said


def said(where: str = "row 1", *, text: str = "a", start_ns: int = 0, end_ns: int = 5) -> Said:
    return Said(where=where, start_ns=start_ns, end_ns=end_ns, text=text)


def test_a_row_said_twice_is_told_once_and_the_other_time_as_a_duplicate():
    collected = Collector()
    for row in (said("row 1"), said("row 2"), said("row 3", text="b"), said("row 4", end_ns=6)):
        collected.add(row)
    sheet = collected.sheet()
    assert [row.where for row in sheet.rows] == ["row 1", "row 3", "row 4"]
    assert [(fault.code, fault.reason) for fault in sheet.faults] == [
        ("duplicate", "row 2: found the words and times of row 1 again")
    ]


def test_an_entry_counts_its_rows_whatever_became_of_them():
    found = ByVideo()
    found.of("a").add(said())
    found.of("b").add(said())
    found.of("a").fail("row 2", CaptionError("no_text", "found none"))
    first, second = entries_of(found, {"b": 7})
    assert (first.names, first.n_rows, first.sheet.duration_ns) == (("a",), 2, None)
    assert (second.names, second.n_rows, second.sheet.duration_ns) == (("b",), 1, 7)


def test_paths_count_from_the_yaml_that_names_them(tmp_path):
    yaml = tmp_path / "sub" / "build.yaml"
    yaml.parent.mkdir()
    yaml.write_text("file: ../val.json\n")
    config = load_config(CorpusConfig, yaml)
    assert config.file == tmp_path / "sub" / "../val.json"
    assert config.paths() == (config.file,)
    assert load_config(CorpusConfig, None, ["file=val.json"]).file == Path("val.json")


def test_text_without_its_mark_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\n")
    assert text_of(path) == "a\r\n"
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"a\.txt: not UTF-8"):
        text_of(path)
    with pytest.raises(DataError, match="cannot be read as a corpus file"):
        text_of(tmp_path / "none")


def test_json_that_is_no_object_is_an_error_with_the_files_name():
    assert json_object('{"a": 1}', Path("x.json"), "an object") == {"a": 1}
    with pytest.raises(DataError, match=r"x\.json: found \[\], expected an object"):
        json_object("[]", Path("x.json"), "an object")


def test_a_broken_line_costs_itself():
    (first, good), (second, bad) = json_lines('{"a": 1}\n\n{"a"\n')
    assert (first, good, second) == ("line 1", {"a": 1}, "line 3")
    assert isinstance(bad, CaptionError)


def test_a_table_has_the_columns_that_are_needed():
    ((where, row),) = csv_rows('a,b\n"x,y",2\n', Path("t.csv"), ("a",))
    assert (where, row) == ("line 2", {"a": "x,y", "b": "2"})
    assert next(csv_rows("a,b\n1\n", Path("t.csv"), ("a",)))[1] == {"a": "1", "b": ""}
    with pytest.raises(DataError, match=r"t\.csv: found columns a, expected also b, c"):
        list(csv_rows("a\n1\n", Path("t.csv"), ("b", "a", "c")))


def test_a_table_that_cannot_be_divided_into_cells_is_an_error():
    # A quote that nobody closes swallows the rest of the file.
    for text in ('a,b\n1,"x\n2,y\n3,z\n', 'a,b\n1,"' + "x" * 200_000):
        with pytest.raises(DataError, match=r"t\.csv: line \d+: cannot be read as a table"):
            list(csv_rows(text, Path("t.csv"), ("a",)))


def test_numbers_in_cells_are_exact_or_refused():
    assert seconds_of(" 118.85206699999999 ", "duration") == 118_852_067_000
    for text in ("", "soon", "1,5"):
        with pytest.raises(CaptionError):
            seconds_of(text, "duration")
    with pytest.raises(CaptionError):
        seconds_of("NaN", "duration")


def test_a_length_is_above_zero():
    assert duration_of(None) is None
    assert duration_of(3) == 3_000_000_000
    for value in (0, -1, "3"):
        with pytest.raises(CaptionError):
            duration_of(value)


@pytest.mark.parametrize(
    ("word", "split"),
    [("training", "train"), (" Validation ", "validation"), ("testing", "test"), ("holdout", None), (None, None)],
)
def test_splits_by_the_names_that_corpora_use(word, split):
    assert split_named(word) == split


def test_a_sheet_that_cannot_be_used_tells_of_each_row():
    sheet = refused("v", CaptionError("bad_type", "found 1"), 3)
    assert [fault.reason for fault in sheet.faults] == ["v, row 1: found 1", "v, row 2: found 1", "v, row 3: found 1"]
    assert len(refused("v", CaptionError("bad_type", "found 1"), 0).faults) == 1
