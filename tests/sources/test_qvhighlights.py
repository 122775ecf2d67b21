import json
import time
from pathlib import Path

import pytest

from datasets_build.sources.qvhighlights import QVHighlightsConfig, parse_qvhighlights, read_qvhighlights
from tests.sources.corpora import codes, rows

CONFIG = QVHighlightsConfig(file=Path("val.jsonl"))
GOOD = {
    "qid": 1,
    "query": "A dog.",
    "duration": 150,
    "vid": "x_60.0_210.0",
    "relevant_windows": [[2, 6], [10, 12]],
    "relevant_clip_ids": [1, 2, 5],
    "saliency_scores": [[1, 2, 3], [4, 4, 4], [0, 0, 1]],
}


def read(**change: object):
    return parse_qvhighlights(json.dumps({**GOOD, **change}), CONFIG)


def test_the_published_queries_are_read_whole(real_data):
    path = real_data / "annotations/qvhighlights/highlight_val_release.jsonl"
    reading = read_qvhighlights(QVHighlightsConfig(file=path))
    queries = [json.loads(line) for line in path.read_text().splitlines()]
    assert reading.n_rows == sum(len(query["relevant_windows"]) for query in queries) == 2803
    assert (len(rows(reading)), codes(reading)) == (2803, {})
    # The name of a clip keeps its times: `.0` is no suffix of a file.
    assert reading.entries[0].names == ("NUsG9BgSes0_210.0_360.0",)
    (note,) = reading.notes
    assert (note.code, "1550 queries" in note.reason) == ("not_kept", True)


def test_a_query_whose_clips_are_those_of_its_windows_is_kept():
    assert (codes(read()), len(rows(read()))) == ({}, 2)
    bare = {name: value for name, value in GOOD.items() if name not in ("relevant_clip_ids", "saliency_scores")}
    reading = parse_qvhighlights(json.dumps(bare), CONFIG)
    assert (len(rows(reading)), reading.notes) == (2, ())


@pytest.mark.parametrize(
    "change",
    [
        {"relevant_clip_ids": [1, 2]},
        {"relevant_clip_ids": [1, 2, 6]},
        {"relevant_clip_ids": [1, 2, 2]},
        {"relevant_clip_ids": None},
        {"saliency_scores": [[1, 2, 5], [4, 4, 4], [0, 0, 1]]},
        {"saliency_scores": [[1, 2, True], [4, 4, 4], [0, 0, 1]]},
        {"saliency_scores": [1, 2, 3]},
        {"relevant_windows": [[2, 6], [10, 14]]},
    ],
)
def test_a_query_whose_saliency_is_of_other_clips_is_refused_whole(change):
    assert codes(read(**change)) == {"bad_saliency": 2}
    assert rows(read(**change)) == []


def test_a_window_as_long_as_the_age_of_the_world_costs_itself():
    start = time.monotonic()
    change = {"relevant_windows": [[2, 1e9], [0, 4e17]], "relevant_clip_ids": [1], "saliency_scores": [[1, 2, 3]]}
    assert codes(read(**change)) == {"bad_saliency": 2}
    assert time.monotonic() - start < 5


def test_windows_that_share_a_clip_name_it_once():
    change = {"relevant_windows": [[2, 5], [4, 8], [8, 10]], "saliency_scores": [[1, 2, 3]] * 4}
    assert codes(read(**change, relevant_clip_ids=[1, 2, 3, 4])) == {}
    assert codes(read(**change, relevant_clip_ids=[1, 2, 3, 3])) == {"bad_saliency": 3}
    assert codes(read(**change, relevant_clip_ids=[True, 2, 3, 4])) == {"bad_saliency": 3}


def test_only_queries_that_are_rated_are_counted():
    bare = {**GOOD, "saliency_scores": None, "relevant_clip_ids": None}
    assert parse_qvhighlights(json.dumps(bare), CONFIG).notes == ()
    (note,) = parse_qvhighlights("\n".join(map(json.dumps, (bare, GOOD, bare))), CONFIG).notes
    assert "clips of 1 queries" in note.reason
