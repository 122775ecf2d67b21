from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.dense import label_lines
from datasets_build.sources.kinetics import KineticsConfig, parse_kinetics, read_kinetics
from tests.sources.corpora import codes, file, rows, spans

CONFIG = KineticsConfig(file=Path("train.csv"))
TABLE = "label,youtube_id,time_start,time_end,split\n"


def test_the_published_table_names_trimmed_clips():
    reading = parse_kinetics(TABLE + "abseiling,-3B32lodo2M,59,69,train\n", CONFIG, ["abseiling"])
    (entry,) = reading.entries
    assert (entry.names, entry.split) == (("-3B32lodo2M_000059_000069",), "train")
    (row,) = rows(reading)
    assert (row.kind, row.text, row.label, row.is_whole) == ("label", "abseiling", "abseiling", True)


def test_the_stretch_is_taken_where_videos_are_whole():
    config = KineticsConfig(file=Path("train.csv"), clips="untrimmed")
    reading = parse_kinetics(TABLE + "air drumming,x,59,69.5,validate\nabseiling,x,3,13,validate\n", config, None)
    assert [entry.names for entry in reading.entries] == [("x",), ("x",)]
    assert spans(reading) == [(59, 69.5), (3, 13)]
    assert not any(row.is_whole for row in rows(reading))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("abseiling,,59,69,train", "no_text"),
        ("abseiling,x,69,59,train", "bad_span"),
        ("abseiling,x,-9,59,train", "bad_time"),
        ("abseiling,x,soon,59,train", "bad_type"),
        (",x,59,69,test", "no_text"),
        ("flying,x,59,69,train", "unknown_label"),
    ],
)
def test_a_wrong_row_costs_itself(line, code):
    reading = parse_kinetics(f"{TABLE}abseiling,y,59,69,train\n{line}\n", CONFIG, ["abseiling"])
    assert (codes(reading), reading.n_rows, len(rows(reading))) == ({code: 1}, 2, 1)


def test_lists_of_paths_and_classes(real_data):
    labels = list(label_lines((real_data / "annotations/labels/kinetics_label_map_k400.txt").read_text()))
    assert len(labels) == 400
    text = "abseiling/a b.mp4 0\nval/c.mp4 399\nval/d.mp4 400\nval/e.mp4 4.5\n\n"
    reading = parse_kinetics(text, CONFIG, labels)
    assert [entry.names[0] for entry in reading.entries][:2] == ["abseiling/a b.mp4", "val/c.mp4"]
    assert [row.label for row in rows(reading)] == ["abseiling", "zumba"]
    assert codes(reading) == {"unknown_label": 2}


def test_a_class_after_a_comma_and_a_line_that_has_none():
    reading = parse_kinetics("a b.mp4,air drumming\nalone\n", CONFIG, None)
    assert [row.label for row in rows(reading)] == ["air drumming"]
    assert codes(reading) == {"bad_row": 1}


def test_numbers_need_the_list_and_another_file_is_an_error(tmp_path):
    assert codes(parse_kinetics("a.mp4 7\n", CONFIG, None)) == {"unknown_label": 1}
    with pytest.raises(DataError, match="expected the columns label,youtube_id"):
        parse_kinetics("{}\n", CONFIG, None)
    labels = file(tmp_path, "labels.txt", "zero\none\n")
    config = KineticsConfig(file=file(tmp_path, "list.txt", "a.mp4 1\n"), labels=labels)
    assert [row.label for row in rows(read_kinetics(config))] == ["one"]
    assert set(config.paths()) == {config.file, labels}


def test_a_number_of_thousands_of_digits_and_an_empty_line_of_the_list_are_no_class():
    reading = parse_kinetics(f"a.mp4 {'7' * 5000}\nb.mp4 1\nc.mp4 2\n", CONFIG, list(label_lines("zero\n\ntwo\n")))
    assert (codes(reading), [row.label for row in rows(reading)]) == ({"unknown_label": 2}, ["two"])
    assert codes(parse_kinetics(f"a.mp4 {'7' * 5000}\n", CONFIG, None)) == {"unknown_label": 1}


def test_a_label_with_a_nul_character_is_refused():
    assert codes(parse_kinetics("a.mp4,air\0drumming\n", CONFIG, None)) == {"bad_text": 1}
