"""The settings for lessons: what they build from truth is lawful, short, even, and tells of shapes and cuts alone."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.config import load_config
from datasets_build.core.layout import read_videos, table_path, video_path
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import read_table
from datasets_build.engines.local import Local
from datasets_build.perception.perceive import perceive
from datasets_build.settings import Settings
from datasets_build.sources.index import build_index
from datasets_build.sources.world import read_truth, sidecar
from tests.builders.lessons import lesson
from tests.builders.made import write_out

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "datasets_build/configs/lessons.yaml"
LESSONS = load_config(Settings, FILE)
SUBJECT = re.compile(r"the (red|green|blue|yellow) (circle|square|triangle|cross)")


def build(out):
    build_events(out, LESSONS.events)
    build_streaming_qa(out, LESSONS.streaming_qa)
    build_frame_events(out, LESSONS.frame_events)
    build_dialogue(out, LESSONS.dialogue)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = write_out(tmp_path_factory.mktemp("lessons") / "out", [lesson(f"l{k}", seconds=20) for k in range(6)])
    build(out)
    return out


@pytest.fixture(scope="module")
def rows(built):
    return list(read_table(built / "streaming_qa/qa/train.parquet", StreamingQA))


@pytest.fixture(scope="module")
def talks(built):
    return list(read_table(built / "dialogue/dialogues/train.parquet", Dialogue))


def test_every_law_holds(built):
    assert run_checks(built, CheckConfig()).broken == 0


def test_there_are_at_least_two_dozen_questions_a_video_of_every_task(rows):
    per_video = Counter(row.video_id for row in rows)
    assert len(per_video) == 6
    assert min(per_video.values()) >= 24
    tasks = Counter(row.task for row in rows)
    assert set(tasks) == {"colour", "shape", "before", "count_so_far", "happened_yet", "tell_me_when", "next"}
    assert min(tasks.values()) >= 24


def test_answers_are_of_four_words_at_most_and_from_few(rows):
    said = {answer.text for row in rows for answer in row.answers}
    assert all(1 <= len(text.split()) <= 4 for text in said)
    words = {word for text in said for word in text.split() if not word.isdigit()}
    assert words <= set(
        "red green blue yellow circle square triangle cross enters leaves changes colour scene cuts yes no".split()  # noqa: SIM905 - reads as a sentence
    )


def test_who_asks_how_many_hears_of_each_further_one(rows):
    counts = [[int(a.text) for a in row.answers] for row in rows if row.task == "count_so_far"]
    assert all(early < late for numbers in counts for early, late in pairwise(numbers))
    assert sum(len(numbers) > 1 for numbers in counts) > 0.3 * len(counts)
    others = [row for row in rows if row.task != "count_so_far" and len(row.answers) > 1]
    assert all("each time" in row.question for row in others)


def test_no_answer_is_the_same_most_of_the_time(rows):
    groups: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        if row.task != "tell_me_when":
            asked = SUBJECT.sub("it", row.question)
            groups.setdefault((row.task, asked), Counter())[row.answers[0].text] += 1
    for group, counts in groups.items():
        if counts.total() >= 30:
            assert max(counts.values()) <= 0.7 * counts.total(), (group, counts)


def test_counts_range_over_several_numbers(rows):
    numbers = Counter(int(row.answers[0].text) for row in rows if row.task == "count_so_far")
    assert set(numbers) >= {0, 1, 2, 3, 4}


def test_only_shapes_and_cuts_are_events(built):
    labels = {event.label for event in read_table(table_path(built, Event), Event)}
    assert labels == {"video_start", "shot_start", "enter", "leave", "change_colour"}


def test_dialogues_hold_requests_reports_questions_and_interruptions(talks):
    triggers = Counter(turn.trigger for talk in talks for turn in talk.turns if turn.role == "assistant")
    assert set(triggers) == {"user_query", "event", "interruption"}
    tasks = {turn.task for talk in talks for turn in talk.turns if turn.role == "user"}
    assert tasks >= {"colour", "shape", "count_so_far", "happened_yet", "tell_me_when"}
    assert all({track.grid for track in talk.decisions} == {"native", "1/1", "2/1"} for talk in talks)


def test_a_report_comes_soon_after_the_shape_is_all_in(built, talks):
    events = {event.id: event for event in read_table(table_path(built, Event), Event)}
    late = []
    for talk in talks:
        for turn in talk.turns:
            if turn.trigger == "event" and events[turn.trigger_ref].label == "enter":
                assert turn.start_ns >= events[turn.trigger_ref].end_ns
                late.append(turn.start_ns - events[turn.trigger_ref].end_ns)
    assert late
    assert max(late) < 300_000_000


def test_splits_leave_enough_to_measure_with():
    split = LESSONS.index.split
    assert min(split.validation, split.test) * LESSONS.index.world.videos >= 24
    assert LESSONS.index.world.style == "lesson"
    assert LESSONS.index.source == "world"


@pytest.mark.slow
def test_from_pixels_to_the_check(tmp_path):
    """All stages on drawn videos: every cut is found and nothing else, and no law is broken."""
    config = LESSONS.index.model_copy(update={"world": LESSONS.index.world.model_copy(update={"videos": 4})})
    out = tmp_path / "out"
    build_index(tmp_path / "videos", out, config, engine=Local(2))
    perceive(out, LESSONS.perceive, engine=Local(2))
    build(out)
    assert run_checks(out, CheckConfig()).broken == 0
    shots: dict[str, list[int]] = {}
    for shot in read_table(table_path(out, Shot), Shot):
        shots.setdefault(shot.video_id, []).append(shot.start_ns)
    for video in read_videos(out):
        truth = read_truth(sidecar(video_path(out, video), "lesson"))
        assert shots[video.id] == [0, *(join.start_ns for join in truth.transitions)]
