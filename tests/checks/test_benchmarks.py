"""Annotation files of benchmarks: read in their own forms, refused by field where they are none."""

import json

import pytest

from datasets_build.checks.benchmarks import BenchmarkFile, names_of, read_benchmark
from datasets_build.core.files import DataError


def file_of(tmp_path, content, form="ovo_bench"):
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(content))
    return BenchmarkFile(format=form, file=str(path))


def test_items_of_ovo_bench(tmp_path):
    items = [
        {"id": 1, "task": "EPM", "video": "a/b.mp4", "question": "What is it?", "options": [], "gt": 0},
        {"id": 2, "task": "SSR", "video": "c.mp4", "tutorial": "tea", "all_steps": []},
    ]
    found = list(read_benchmark(file_of(tmp_path, items)))
    assert [(each.name, each.video, each.question) for each in found] == [
        ("OVO-Bench", "a/b.mp4", "What is it?"),
        ("OVO-Bench", "c.mp4", None),
    ]


def test_items_of_streaming_bench_alone_and_in_sequences(tmp_path):
    item = {"video_path": "./v/sample_1.mp4", "questions": [{"question": "Who?"}, {"question": "Where?"}]}
    found = list(read_benchmark(file_of(tmp_path, [item, [item]], "streaming_bench")))
    assert [each.question for each in found] == ["Who?", "Where?"] * 2
    assert {each.video for each in found} == {"./v/sample_1.mp4"}


@pytest.mark.parametrize(
    ("content", "form", "told"),
    [
        ({}, "ovo_bench", "found dict, expected a list"),
        ([3], "ovo_bench", "item 0: found int, expected a mapping"),
        ([{"question": "x"}], "ovo_bench", "item 0: field video is None, expected text"),
        ([{"video_path": "a"}], "streaming_bench", "item 0: field questions is None, expected a list"),
        ([{"video_path": "a", "questions": [1]}], "streaming_bench", "field questions holds 1"),
        ([{"video_path": "a", "questions": [{}]}], "streaming_bench", "field question is None, expected text"),
    ],
)
def test_what_is_no_benchmark_is_refused(tmp_path, content, form, told):
    with pytest.raises(DataError, match=told):
        list(read_benchmark(file_of(tmp_path, content, form)))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.json: no such file"):
        list(read_benchmark(BenchmarkFile(format="ovo_bench", file=str(tmp_path / "absent.json"))))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("perception_test/video_3161.mp4", {"video_3161"}),
        ("hirest/FcRrnEpE4x8_165_439.mp4", {"FcRrnEpE4x8_165_439", "FcRrnEpE4x8"}),
        ("a\\b\\sample_17_sqa.mkv", {"sample_17_sqa"}),
        ("holiday.mp4", set()),
        ("0001.mp4", set()),
        ("wonderful.mp4", set()),
    ],
)
def test_names_that_tell_a_video(path, names):
    assert names_of(path) == names
