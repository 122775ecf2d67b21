"""Traces and their files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.evaluation.trace import Decision, Reply, Speech, Talk, Trace, read_trace, write_trace
from tests.recipes.evaluation.made import speech

TIMES = st.integers(0, 2**62)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STATE = st.sampled_from(["silence", "standby", "respond", None])
SHARE = st.floats(0, 1)
CHANCES = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda row: tuple(part / sum(row) for part in row))
REPLIES = st.lists(st.builds(Reply, key=TEXT, t_ns=TIMES, text=TEXT, state=STATE, confidence=SHARE), max_size=3)
SPEECH = st.builds(
    lambda t, length, **rest: Speech(t_ns=t, end_ns=t + length, **rest),
    TIMES, st.integers(0, 10**9), text=TEXT, state=STATE, heard=st.integers(-1, 3), tokens=st.integers(0, 9),
    confidence=SHARE, cut=st.booleans(),
)  # fmt: skip
DECISIONS = st.lists(st.tuples(TIMES, CHANCES), max_size=4, unique_by=lambda row: row[0]).map(
    lambda rows: tuple(Decision(t_ns=t, state="silence", chances=chances) for t, chances in sorted(rows))
)
TALKS = st.lists(st.builds(Talk, key=TEXT, decisions=DECISIONS, speeches=st.lists(SPEECH, max_size=3).map(tuple)))
TRACES = st.builds(
    Trace, video_id=TEXT, variant=st.sampled_from(["seen", "blind"]), replies=REPLIES.map(tuple), on=REPLIES.map(tuple),
    talks=TALKS.map(tuple),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


@settings(max_examples=30)
@given(TRACES)
def test_a_trace_comes_back_as_it_was_and_its_bytes_are_its_own(folder, trace):
    path = folder / "t.json"
    write_trace(path, trace)
    first = path.read_bytes()
    assert read_trace(path) == trace
    write_trace(path, read_trace(path))
    assert path.read_bytes() == first
    json.loads(first)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"video_id": "v"}', b"\xff\xfe", b"[1, 2"])
def test_a_broken_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"t\.json: found no whole trace"):
        read_trace(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="no whole trace"):
        read_trace(tmp_path / "none.json")


def test_a_file_with_an_impossible_record_is_refused(tmp_path):
    path = tmp_path / "t.json"
    chances = (0.2, 0.3, 0.5)
    decisions = (Decision(t_ns=1, state="silence", chances=chances), Decision(t_ns=2, state="silence", chances=chances))
    talk = Talk(key="q", decisions=decisions, speeches=())
    write_trace(path, Trace(video_id="v", variant="seen", replies=(), on=(), talks=(talk,)))
    path.write_bytes(path.read_bytes().replace(b'"t_ns": 2', b'"t_ns": 0'))
    with pytest.raises(RecipeError, match="out of order"):
        read_trace(path)


def test_chances_sum_to_one():
    with pytest.raises(RecipeError, match="sum to 1"):
        Decision(t_ns=0, state="silence", chances=(0.5, 0.5, 0.5))
    with pytest.raises(RecipeError, match="sum to 1"):
        Decision(t_ns=0, state="silence", chances=(1.5, -0.5, 0.0))


def test_a_speech_ends_after_it_begins():
    with pytest.raises(RecipeError, match="ends before"):
        Speech(t_ns=5, end_ns=4, text="", state=None, heard=-1, tokens=0, confidence=1.0, cut=False)


@pytest.mark.parametrize(
    ("heard", "state", "text", "responds"),
    [(-1, None, "", True), (0, None, "yes", True), (0, "respond", "yes", True), (0, "standby", "", False),
     (0, "standby", "soon", False), (0, "silence", "", False), (0, None, " ", False)],
)  # fmt: skip
def test_who_takes_the_floor(heard, state, text, responds):
    assert speech(1, text, heard=heard, state=state).responds is responds
