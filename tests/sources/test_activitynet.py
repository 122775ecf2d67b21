import json

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.activitynet import ActivityNetConfig, read_activitynet
from tests.sources.corpora import codes, file, rows


def test_the_published_captions_are_read_whole(real_data):
    path = real_data / "annotations/activitynet_captions/val_1.json"
    reading = read_activitynet(ActivityNetConfig(file=path))
    content = json.loads(path.read_text())
    assert len(reading.entries) == len(content) == 4917
    assert reading.n_rows == sum(len(video["sentences"]) for video in content.values()) == 17505
    assert (len(rows(reading)), codes(reading)) == (17505, {})
    first = reading.entries[0]
    assert (first.names[0], first.sheet.duration_ns) == ("v_uqiMw7tQ1Cc", 55_150_000_000)
    assert (first.sheet.rows[0].start_ns, first.sheet.rows[0].end_ns) == (280_000_000, 55_150_000_000)


def test_classes_are_held_against_the_list(tmp_path):
    rows_ = [{"segment": [1, 2], "label": "Surfing"}, {"segment": [2, 3], "label": "surfing"}]
    content = {"database": {"a": {"duration": 9, "subset": "validation", "annotations": rows_}}}
    path, labels = file(tmp_path, "net.json", json.dumps(content)), file(tmp_path, "labels.txt", "Surfing\nSkiing\n")
    assert codes(read_activitynet(ActivityNetConfig(file=path))) == {}
    config = ActivityNetConfig(file=path, labels=labels)
    assert config.paths() == (path, labels)
    assert codes(read_activitynet(config)) == {"unknown_label": 1}


def test_the_real_class_list_is_a_list(real_data, tmp_path):
    labels = real_data / "annotations/labels/activitynet_label_map.txt"
    named = [{"segment": [1, 2], "label": label} for label in ("Drinking coffee", "Flying a kite to the moon")]
    path = file(tmp_path, "net.json", json.dumps({"database": {"a": {"annotations": named}}}))
    (entry,) = read_activitynet(ActivityNetConfig(file=path, labels=labels)).entries
    assert [row.label for row in entry.sheet.rows] == ["Drinking coffee"]
    assert "200 labels" in entry.sheet.faults[0].reason


def test_another_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"x\.json"):
        read_activitynet(ActivityNetConfig(file=file(tmp_path, "x.json", "[]")))
