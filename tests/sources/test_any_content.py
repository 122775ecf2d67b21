"""No content of a corpus file, however odd, stops a build with anything but one sentence, and no row of it is lost."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.files import DataError
from datasets_build.sources.activitynet import ActivityNetConfig, parse_activitynet
from datasets_build.sources.charades import CharadesConfig, parse_charades
from datasets_build.sources.coin import CoinConfig, parse_coin
from datasets_build.sources.ego4d import Ego4DConfig, parse_ego4d
from datasets_build.sources.entries import Reading
from datasets_build.sources.epic_kitchens import parse_epic_kitchens
from datasets_build.sources.kinetics import KineticsConfig, parse_kinetics
from datasets_build.sources.qvhighlights import QVHighlightsConfig, parse_qvhighlights
from datasets_build.sources.video_json import VideoJsonConfig, parse_video_json
from datasets_build.sources.words import parse_words
from datasets_build.sources.youcook2 import YouCook2Config, parse_youcook2
from tests.sources.corpora import rows
from tests.sources.test_epic_kitchens import HEAD

FILE = Path("some.file")
WORDS = """
database duration timestamps sentences annotations annotation segment label subset sentence videos video messages
conversations role from content value narration_pass_1 narrations summaries timestamp_sec timestamp_frame
narration_text start_sec end_sec summary_text vid query relevant_windows relevant_clip_ids saliency_scores x
"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.sampled_from(["", " ", "a", "v_a", "user", "gpt", "<video>Why?", "#C C sits", "training", "1e9", "\ud800"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)
JSON_READERS = {
    "activitynet": lambda text: parse_activitynet(text, ActivityNetConfig(file=FILE)),
    "charades": lambda text: parse_charades(text, CharadesConfig(file=FILE)),
    "coin": lambda text: parse_coin(text, CoinConfig(file=FILE)),
    "ego4d": lambda text: parse_ego4d(text, Ego4DConfig(file=FILE)),
    "qvhighlights": lambda text: parse_qvhighlights(text, QVHighlightsConfig(file=FILE)),
    "video_json": lambda text: parse_video_json(text, VideoJsonConfig(file=FILE)),
    "youcook2": lambda text: parse_youcook2(text, YouCook2Config(file=FILE)),
}
LINES = st.text(st.sampled_from('ab1 ,.:;#"\n\t_-<>/{}\\k'), max_size=80)


def is_sound(reading: Reading) -> bool:
    """Whether all that was read can be placed: it lies at or after 0, runs forward and has words."""
    return all(
        row.text and row.start_ns >= 0 and (row.is_whole or row.is_point == (row.start_ns == row.end_ns))
        for row in rows(reading)
    )


def outcome(read: Callable[[], Reading]) -> Reading | str:
    """What a reader makes of a text, or the sentence with which it refuses it."""
    try:
        return read()
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("name", JSON_READERS)
@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_any_json_is_read_or_refused(name, value):
    text = json.dumps(value)
    for content in (text, json.dumps({"v_a": value}), json.dumps([value])):
        found = outcome(partial(JSON_READERS[name], content))
        assert found.startswith("some.file: ") if isinstance(found, str) else is_sound(found)


@settings(max_examples=100, deadline=None)
@given(LINES)
def test_any_lines_are_read_or_refused(text):
    readers = (
        lambda: parse_charades("a 1 2##b\n" + text, CharadesConfig(file=FILE)),
        lambda: parse_kinetics("a.mp4 b\n" + text, KineticsConfig(file=FILE), None),
        lambda: parse_kinetics("label,youtube_id,time_start,time_end\n" + text, KineticsConfig(file=FILE), ["a", "b"]),
        lambda: parse_epic_kitchens(HEAD + text, FILE, durations={}, verbs=None, nouns=None),
    )
    for read in readers:
        found = outcome(read)
        assert found.startswith("some.file: ") if isinstance(found, str) else is_sound(found)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["<00:00:01.500>", "<00:61.000>", "<c>", "one", " ", "\n", "{\\k50}", "{\\kf9}", "2"])))
def test_any_marks_give_words_in_their_cue_or_a_fault(parts):
    marked = "".join(parts)
    vtt = f"WEBVTT\n\n00:01.000 --> 00:02.000\n{marked}\n"
    ass = "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,," + marked.replace("\n", "\\N") + "\n"
    for text, syntax in ((vtt, "vtt"), (ass, "ass")):
        for item in parse_words(text, syntax):
            assert getattr(item, "code", None) == "bad_span" or 10**9 <= item.start_ns < item.end_ns <= 2 * 10**9
