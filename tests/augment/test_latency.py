"""Latencies: in their ranges, the same for the same seed, as often bad as their states say, and traces as measured."""

import copy
import json
import math
import os
import pickle
import random
import shutil
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from augment.latency import WHOLE_PATHS, Bursts, Constant, Latency, LogNormal, Trace, draw, read_trace
from augment.settings import Pipeline
from datasets_build.core.config import ConfigError, flatten, load_config
from datasets_build.core.files import sha256_file

MS = 1_000_000
LATENCY = TypeAdapter(Latency)


def drawn(latency, count, seed=0):
    return draw(latency, random.Random(seed), count)


@given(st.floats(0, 60_000), st.integers(0, 20))
def test_constant_is_the_same_every_time(ms, count):
    assert drawn(Constant(ms=ms), count) == [round(ms * MS)] * count


@given(st.floats(1, 1000), st.floats(0, 3), st.floats(1, 5000), st.integers(0, 99))
def test_lognormal_lies_in_its_range(median, sigma, most, seed):
    latency = LogNormal(median_ms=median, sigma=sigma, most_ms=most)
    found = drawn(latency, 50, seed)
    assert all(0 <= ns <= round(most * MS) for ns in found)
    assert found == drawn(latency, 50, seed)


def test_half_of_lognormal_lies_below_its_median():
    found = drawn(LogNormal(median_ms=100.0, sigma=0.7), 4000)
    assert statistics.median(found) == pytest.approx(100 * MS, rel=0.05)
    assert statistics.stdev(math.log(ns) for ns in found) == pytest.approx(0.7, rel=0.05)


def test_bursts_are_as_often_bad_and_as_long_as_their_states_say():
    found = drawn(Bursts(good_ms=10.0, bad_ms=500.0, to_bad=0.05, to_good=0.2), 40_000)
    bad = [ns == 500 * MS for ns in found]
    assert set(found) == {10 * MS, 500 * MS}
    assert sum(bad) / len(bad) == pytest.approx(0.2, rel=0.1)
    begins = sum(now and not before for before, now in pairwise(bad))
    assert sum(bad) / begins == pytest.approx(5.0, rel=0.1)


def test_bursts_begin_as_they_go_on():
    bursts = Bursts(good_ms=0.0, bad_ms=1.0, to_bad=0.3, to_good=0.1)
    begun = [drawn(bursts, 1, seed)[0] for seed in range(2000)]
    assert statistics.mean(begun) / MS == pytest.approx(0.75, abs=0.04)


def test_a_trace_is_replayed_from_some_line_on(tmp_path):
    path = tmp_path / "trace.txt"
    path.write_text("# measured at home\n10\n\n20.5\n30\n")
    latency = Trace(path=str(path))
    assert latency.sha256 == sha256_file(path)
    assert read_trace(path) == [10.0, 20.5, 30.0]
    begun = set()
    for seed in range(20):
        found = [ns / MS for ns in drawn(latency, 7, seed)]
        begun.add(found[0])
        at = [10.0, 20.5, 30.0].index(found[0])
        assert found == [[10.0, 20.5, 30.0][(at + k) % 3] for k in range(7)]
    assert begun == {10.0, 20.5, 30.0}


def test_another_content_is_another_setting(tmp_path):
    path = tmp_path / "trace.txt"
    path.write_text("10\n")
    old = Trace(path=str(path)).sha256
    path.write_text("11\n")
    assert Trace(path=str(path)).sha256 != old
    with pytest.raises(ValidationError, match="its content has changed"):
        Trace(path=str(path), sha256=old)


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "found no latency"), ("# none\n", "found no latency"), ("5\n-1\n", "line 2: found '-1'"),
     ("fast\n", "line 1: found 'fast'"), ("1\n60001\n", "line 2"), ("nan\n", "line 1"), ("inf\n", "line 1")],
)  # fmt: skip
def test_what_is_no_trace_is_refused_by_line(tmp_path, text, found):
    path = tmp_path / "trace.txt"
    path.write_text(text)
    with pytest.raises(ValidationError, match=found):
        Trace(path=str(path))


def test_a_trace_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValidationError, match=r"none\.txt: no such file; expected latencies in ms"):
        Trace(path=str(tmp_path / "none.txt"))


PIPELINE = "operations:\n  - {kind: delay, network: {form: trace, path: measured/home.txt}}\n"


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline in a file, with its trace beside it."""
    (tmp_path / "configs" / "measured").mkdir(parents=True)
    (tmp_path / "configs" / "measured" / "home.txt").write_text("10\n20\n")
    (tmp_path / "configs" / "late.yaml").write_text(PIPELINE)
    return tmp_path / "configs" / "late.yaml"


@pytest.mark.parametrize("folder", [".", "configs", "elsewhere"])
def test_a_path_counts_from_the_file_that_names_it(pipeline, tmp_path, monkeypatch, folder):
    (tmp_path / "elsewhere" / "measured").mkdir(parents=True)
    (tmp_path / "elsewhere" / "measured" / "home.txt").write_text("999\n")
    monkeypatch.chdir(tmp_path / folder)
    for path in (pipeline, Path(os.path.relpath(pipeline))):
        (delay,) = load_config(Pipeline, path).operations
        monkeypatch.chdir(tmp_path / folder)
        assert set(drawn(delay.network, 2)) == {10 * MS, 20 * MS}
        assert delay.network.sha256 == sha256_file(pipeline.parent / "measured" / "home.txt")


def test_a_trace_stays_where_it_is_wherever_it_is_taken(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = load_config(Pipeline, pipeline)
    again = Pipeline(seed=1, operations=read.operations)
    changed = read.model_copy(update={"seed": 2})
    for each in (again, changed, pickle.loads(pickle.dumps(read)), copy.deepcopy(read)):
        assert set(drawn(each.operations[0].network, 2)) == {10 * MS, 20 * MS}


def test_an_absolute_path_is_one_and_without_a_file_it_counts_from_here(pipeline, tmp_path, monkeypatch):
    whole = pipeline.parent / "measured" / "home.txt"
    (tmp_path / "whole.yaml").write_text(PIPELINE.replace("measured/home.txt", str(whole)))
    assert load_config(Pipeline, tmp_path / "whole.yaml").operations[0].network.file == whole
    with pytest.raises(ValidationError, match="no such file"):
        Trace(path="measured/home.txt")
    monkeypatch.chdir(pipeline.parent)
    assert set(drawn(Trace(path="measured/home.txt"), 2)) == {10 * MS, 20 * MS}


def test_a_setting_says_the_content_and_not_where_it_lies(pipeline, tmp_path):
    """What is written down is the same wherever a project lies, and another once the content is."""
    shutil.copytree(pipeline.parent, tmp_path / "moved")
    here, there = (load_config(Pipeline, path) for path in (pipeline, tmp_path / "moved" / "late.yaml"))
    assert flatten(here) == flatten(there)
    assert here.model_dump_json() == there.model_dump_json()
    assert str(tmp_path) not in here.model_dump_json()
    (tmp_path / "moved" / "measured" / "home.txt").write_text("10\n21\n")
    assert flatten(load_config(Pipeline, tmp_path / "moved" / "late.yaml")) != flatten(here)


def test_settings_for_another_folder_say_paths_from_the_root(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "elsewhere.json"
    written.write_text(load_config(Pipeline, Path("configs/late.yaml")).model_dump_json(context=WHOLE_PATHS))
    monkeypatch.chdir("/")
    (delay,) = load_config(Pipeline, written).operations
    assert delay.network.path == str(pipeline.parent / "measured" / "home.txt")
    assert set(drawn(delay.network, 2)) == {10 * MS, 20 * MS}


@pytest.mark.parametrize("path", ["", ".", "no\0name", "x\x1b[31my", "x" * 300, "home.txt/below"])
def test_a_path_that_cannot_be_a_trace_is_one_sentence(pipeline, path):
    bad = pipeline.with_name("bad.yaml")
    bad.write_text(f"operations:\n  - {{kind: delay, model: {{form: trace, path: {json.dumps(path)}}}}}\n")
    with pytest.raises(
        ConfigError, match=r"operations\.0\.delay\.model\.trace: path .*(no such file|is a folder|cannot be read)"
    ) as caught:
        load_config(Pipeline, bad)
    assert str(caught.value).isprintable()
    assert str(bad.parent / path).replace("\0", "\\x00").replace("\x1b", "\\x1b") in str(caught.value)


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ({"form": "constant", "ms": -1.0}, "greater than or equal to 0"),
        ({"form": "constant"}, "Field required"),
        ({"form": "normal", "ms": 1.0}, "does not match any of the expected tags"),
        ({"form": "lognormal", "median_ms": 5.0, "sigma": 9.0}, "less than or equal to 3"),
        ({"form": "bursts", "good_ms": 9.0, "bad_ms": 1.0}, "bad_ms 1.0 lies below good_ms 9.0"),
        ({"form": "bursts", "good_ms": 1.0, "bad_ms": 9.0, "to_bad": 0.0}, "greater than 0"),
        ({"form": "constant", "ms": 5.0, "jitter": 1.0}, "Extra inputs"),
    ],
)
def test_bad_settings_are_refused(given_, found):
    with pytest.raises(ValidationError, match=found):
        LATENCY.validate_python(given_)
