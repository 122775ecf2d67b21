import json

import pytest

from datasets_build.sources.exact import CaptionError
from datasets_build.sources.moments import parse_moments
from tests.sources.corpora import codes, reasons, rows, spans

GOOD = {"qid": 1, "query": "A dog.", "duration": 30.96, "vid": "a", "relevant_windows": [[1, 2.5], [4, 6]]}


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_every_window_is_a_row():
    reading = parse_moments(lines(GOOD, {**GOOD, "vid": "b"}, {**GOOD, "query": "A cat."}))
    assert [(entry.names, entry.n_rows, entry.sheet.duration_ns) for entry in reading.entries] == [
        (("a",), 4, 30_960_000_000),
        (("b",), 2, 30_960_000_000),
    ]
    assert spans(reading)[:2] == [(1, 2.5), (4, 6)]
    assert [row.where for row in rows(reading)][:2] == ["line 1, window 1", "line 1, window 2"]


@pytest.mark.parametrize(
    ("change", "code", "lost"),
    [
        ({"relevant_windows": []}, "no_window", 1),
        ({"relevant_windows": 3}, "no_window", 1),
        ({"query": " "}, "no_text", 2),
        ({"duration": 31}, "other_duration", 2),
        ({"duration": 0}, "bad_number", 2),
        ({"relevant_windows": [[2, 1], [4, 5]]}, "bad_span", 1),
        ({"relevant_windows": [[31, 32]]}, "beyond_duration", 1),
        ({"relevant_windows": [[1, 2.5]]}, "duplicate", 1),
    ],
)
def test_what_is_wrong_with_a_query_is_told_for_each_of_its_windows(change, code, lost):
    reading = parse_moments(lines(GOOD, {**GOOD, **change}))
    assert codes(reading) == {code: lost}
    assert all("line 2" in reason for reason in reasons(reading))


@pytest.mark.parametrize(("line", "code"), [("{", "not_json"), ("3", "bad_type"), ('{"query": "x"}', "bad_type")])
def test_a_line_that_names_no_video_is_told(line, code):
    reading = parse_moments(lines(GOOD) + line + "\n")
    assert (codes(reading), reading.n_rows, len(rows(reading))) == ({code: 1}, 3, 2)


def test_a_query_may_be_refused_for_reasons_of_its_corpus():
    def inspect(query):
        if query["qid"] == 2:
            raise CaptionError("bad_saliency", "found two")

    reading = parse_moments(lines(GOOD, {**GOOD, "qid": 2, "query": "x"}), inspect)
    assert (codes(reading), len(rows(reading))) == ({"bad_saliency": 2}, 2)
