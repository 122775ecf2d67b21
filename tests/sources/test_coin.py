import json

import pytest

from datasets_build.sources.coin import CoinConfig, parse_coin, read_coin
from tests.sources.corpora import S, codes, file, rows

# In the form of the example that the corpus publishes.
VIDEO = {
    "duration": 131.0309,
    "class": "ReplaceCDDriveWithSSD",
    "video_url": "embed/x",
    "start": 56.640895694775196,
    "annotation": [
        {"id": "212", "segment": [60.0, 69.0], "label": "take out the laptop CD drive"},
        {"id": "216", "segment": [71.0, 82.0], "label": "insert the hard disk tray"},
    ],
    "subset": "training",
    "end": 85.714362947023,
    "recipe_type": 131,
}


def test_the_published_example(tmp_path):
    reading = read_coin(CoinConfig(file=file(tmp_path, "COIN.json", json.dumps({"database": {"LtRSn-ntcLY": VIDEO}}))))
    (entry,) = reading.entries
    assert (entry.names[0], entry.split, entry.sheet.duration_ns) == ("LtRSn-ntcLY", "train", 131_030_900_000)
    assert [(row.start_ns // S, row.end_ns // S, row.kind, row.label) for row in rows(reading)] == [
        (56, 85, "label", "ReplaceCDDriveWithSSD"),
        (60, 69, "label", "take out the laptop CD drive"),
        (71, 82, "label", "insert the hard disk tray"),
    ]


def test_a_step_that_runs_backwards_is_told(tmp_path):
    wrong = {**VIDEO, "annotation": [{"id": "1", "segment": [82.0, 71.0], "label": "x"}, *VIDEO["annotation"]]}
    config = CoinConfig(file=tmp_path / "COIN.json")
    reading = parse_coin(json.dumps({"database": {"a": wrong}}), config)
    assert (codes(reading), reading.n_rows) == ({"bad_span": 1}, 4)


def test_the_task_holds_its_steps(tmp_path):
    reading = parse_coin(json.dumps({"database": {"a": VIDEO}}), CoinConfig(file=tmp_path / "COIN.json"))
    task, *steps = rows(reading)
    assert steps
    assert all(task.start_ns <= step.start_ns and step.end_ns <= task.end_ns for step in steps)


@pytest.mark.parametrize(
    ("change", "code"), [({"end": None}, "bad_type"), ({"end": 3.0}, "bad_span"), ({"class": 7}, "bad_type")]
)
def test_a_task_without_a_span_or_a_name_is_told_and_its_steps_stay(tmp_path, change, code):
    reading = parse_coin(json.dumps({"database": {"a": {**VIDEO, **change}}}), CoinConfig(file=tmp_path / "COIN.json"))
    assert codes(reading) == {code: 1}
    assert [row.label for row in rows(reading)] == [row["label"] for row in VIDEO["annotation"]]


def test_a_file_without_tasks_has_its_steps(tmp_path):
    bare = {name: value for name, value in VIDEO.items() if name not in ("class", "start", "end")}
    reading = parse_coin(json.dumps({"database": {"a": bare}}), CoinConfig(file=tmp_path / "COIN.json"))
    assert (codes(reading), reading.n_rows) == ({}, 2)
