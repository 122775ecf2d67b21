"""How rows stand in files."""

from __future__ import annotations

import json

import pytest

from datasets_build.core.files import DataError
from datasets_build.formats import containers as c


def test_a_list_is_read_from_json_and_from_lines():
    form = c.listed("rows.json")
    assert form.split("x.json", '[{"a": 1}, 2]') == [{"a": 1}, 2]
    assert form.split("x.jsonl", '{"a": "\\u2028"}\n\n2\n') == [{"a": "\u2028"}, 2]
    assert json.loads(form.join([{"a": "é"}])["rows.json"]) == [{"a": "é"}]


def test_a_line_separator_in_a_text_is_no_end_of_line():
    rows = [{"a": "one\u2028two\x85three"}]
    files = c.lined("rows.jsonl").join(rows)
    assert c.lined("rows.jsonl").split("rows.jsonl", files["rows.jsonl"].decode()) == rows


@pytest.mark.parametrize("text", ["{", '{"a": 1}', ""])
def test_what_is_no_list_is_an_error_that_names_the_file(text):
    with pytest.raises(DataError, match=r"bad\.json"):
        c.listed("rows.json").split("bad.json", text)


def test_seeks_are_where_lines_begin_in_bytes():
    rows = [[{"text": "wörld"}], [{"text": "b"}], [{"text": "ccc"}]]
    content = c.SEEKS.join(rows)["livecc_with_seeks.jsonl"]
    *_, last = content.decode().splitlines()
    seeks = json.loads(last)
    for row, seek in zip(rows, seeks, strict=True):
        assert json.loads(content[seek:].split(b"\n", 1)[0]) == row
    assert content.endswith(b"]\n")
    assert c.SEEKS.split("a.jsonl", content.decode()) == rows


def test_the_reader_of_livecc_finds_the_last_line():
    """It seeks to two bytes before the end and goes back to a line's end."""
    content = c.SEEKS.join([[1.5], [2.5]])["livecc_with_seeks.jsonl"]
    at = len(content) - 2
    while content[at : at + 1] != b"\n":
        at -= 1
    assert json.loads(content[at + 1 :]) == [0, 6]


def test_wrong_seeks_are_an_error():
    with pytest.raises(DataError, match="names 1 places"):
        c.SEEKS.split("a.jsonl", '["row"]\n[3]\n')


def test_lines_without_seeks_are_read_too():
    assert c.SEEKS.split("a.jsonl", '["row"]\n') == [["row"]]


def test_streaming_vlm_has_its_seeks_beside():
    files = c.SEEKS_BESIDE.join([["é"], ["b"]])
    assert set(files) == {"streaming_vlm.jsonl", "streaming_vlm_seeks.jsonl"}
    starts = json.loads(files["streaming_vlm_seeks.jsonl"])
    assert files["streaming_vlm.jsonl"][starts[1] :] == b'["b"]\n'


def test_sequences_keep_their_lists():
    text = '[[{"q": 1}, {"q": 2}], {"q": 3}, [{"q": 4}]]'
    rows = c.SEQUENCES.split("sqa.json", text)
    assert [row.get("sequence") for row in rows] == [0, 0, None, 2]
    (content,) = c.SEQUENCES.join(rows).values()
    assert json.loads(content) == json.loads(text)


def test_an_object_by_video():
    text = '{"v_a": {"duration": 1}, "v_b": {"duration": 2}}'
    rows = c.BY_VIDEO.split("a.json", text)
    assert rows == [{"video": "v_a", "duration": 1}, {"video": "v_b", "duration": 2}]
    assert json.loads(c.BY_VIDEO.join(rows)["activitynet.json"]) == json.loads(text)
    with pytest.raises(DataError, match="found a JSON list"):
        c.BY_VIDEO.split("a.json", "[]")


def test_narrations_stand_by_video_and_annotator_and_talks_in_a_list():
    text = '{"v": {"a1": [{"text": "x"}], "a2": [{"text": "y"}]}}'
    rows = c.MMDUET.split("dvc.json", text)
    assert [row["anno_uid"] for row in rows] == ["a1", "a2"]
    assert json.loads(c.MMDUET.join(rows)["mmduet_narrations.json"]) == json.loads(text)
    both = c.MMDUET.join([*rows, {"video_uid": "v", "conversation": []}])
    assert set(both) == {"mmduet.json", "mmduet_narrations.json"}
    with pytest.raises(DataError, match="found no rows"):
        c.MMDUET.split("dvc.json", "{}")


def test_subtitles_are_named_as_their_video():
    assert c.SUBTITLES.split("clip.vtt", "WEBVTT\n") == [{"video": "clip", "text": "WEBVTT\n"}]
    assert c.SUBTITLES.join([{"video": "a/clip.mp4", "text": "W"}]) == {"a/clip.vtt": b"W"}
    assert c.SUBTITLES.join([{"video": "clip", "text": "W"}]) == {"clip.vtt": b"W"}
