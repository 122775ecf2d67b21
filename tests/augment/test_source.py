"""The folder that is augmented: refused where it is not whole, its clips whole and in order, its rules as it says."""

import json
import re
import shutil

import numpy as np
import pytest

from augment.answers import Rules
from augment.errors import AugmentError
from augment.source import Source, by_size, size_of
from datasets_build.builders.build import build_events, build_streaming_qa
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.layout import clock_of, read_videos
from datasets_build.core.perceived import Signals
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import read_table
from tests.augment.folders import finished
from tests.builders.made import lively, write_out

SECOND = 1_000_000_000


def test_a_clip_has_all_records_of_its_video_and_no_others(parent):
    source = Source.open(parent)
    clips = list(source.clips())
    assert [clip.video for clip in clips] == read_videos(parent)
    tables = (
        (Event, "events/events.parquet", "events"),
        (Signals, "perceive/signals.parquet", "signals"),
        (StreamingQA, "streaming_qa/qa", "questions"),
        (Dialogue, "dialogue/dialogues", "dialogues"),
    )
    for model, name, part in tables:
        path = parent / name
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        told = {row.id: row for file in files for row in read_table(file, model)}
        found = [(clip.video.id, row) for clip in clips for row in getattr(clip, part)]
        assert {row.id: row for _, row in found} == told
        assert len(found) == len(told) > 0
        assert all(row.video_id == video_id for video_id, row in found)
    for clip in clips:
        assert np.array_equal(clip.clock.t_ns, clock_of(parent, clip.video).t_ns)
        assert clip.shots
        assert clip.keyframes
        assert [row.id for row in clip.questions] == list(dict.fromkeys(row.id for row in clip.questions))


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ("dialogue", "datasets: found the text 'dialogue', expected a list of names, such as ['streaming_qa']"),
        ("", "datasets: found the text '', expected a list"),
        ([], "datasets: found none, expected of streaming_qa, frame_events, dialogue, or None for all"),
        ((), "datasets: found none, expected of streaming_qa"),
        (["talk"], "found no dataset talk, expected of streaming_qa, frame_events, dialogue"),
    ],
)
def test_datasets_that_are_no_list_of_some_are_told(parent, datasets, words):
    with pytest.raises(AugmentError, match=re.escape(words)):
        next(Source.open(parent).clips(datasets))


def test_it_is_read_twice_the_same(parent):
    source = Source.open(parent)
    once, twice = list(source.clips()), list(source.clips())
    assert [(a.video, a.events, a.questions, a.dialogues) for a in once] == [
        (b.video, b.events, b.questions, b.dialogues) for b in twice
    ]


def test_its_datasets_are_those_that_are_finished(parent, tmp_path):
    assert Source.open(parent).datasets == ("streaming_qa", "frame_events", "dialogue")
    shutil.copytree(parent, tmp_path / "out")
    (tmp_path / "out" / "dialogue" / "manifest.json").unlink()
    assert Source.open(tmp_path / "out").datasets == ("streaming_qa", "frame_events")
    shutil.rmtree(tmp_path / "out" / "streaming_qa")
    shutil.rmtree(tmp_path / "out" / "frame_events")
    with pytest.raises(AugmentError, match="holds none of streaming_qa, frame_events, dialogue"):
        Source.open(tmp_path / "out")


@pytest.mark.parametrize("stage", ["index", "events"])
def test_what_is_missing_is_named(parent, tmp_path, stage):
    shutil.copytree(parent, tmp_path / "out")
    (tmp_path / "out" / stage / "manifest.json").unlink()
    with pytest.raises(AugmentError, match=f"holds no finished {stage}; expected an output of"):
        Source.open(tmp_path / "out")


@pytest.mark.parametrize(
    ("lost", "verb"),
    [
        ("index/source.json", "index"),
        ("perceive/shots.parquet", "perceive"),
        ("events/events.parquet", "build"),
        ("streaming_qa/qa/train.parquet", "build"),
    ],
)
def test_a_stage_that_has_lost_a_file_is_refused(parent, tmp_path, lost, verb):
    """Its records would be left out in silence."""
    shutil.copytree(parent, tmp_path / "out")
    (tmp_path / "out" / lost).unlink()
    with pytest.raises(AugmentError, match=rf"{lost}: is missing, .* run python -m datasets_build {verb} --force"):
        Source.open(tmp_path / "out")


@pytest.mark.parametrize("stage", ["perceive", "dialogue"])
def test_a_stage_that_is_half_built_is_refused(parent, tmp_path, stage):
    out = tmp_path / "out"
    shutil.copytree(parent, out)
    (out / ".work" / stage / "final").mkdir(parents=True)
    # What was whole before is there until the new one is.
    assert "dialogue" in Source.open(out).datasets
    for name in ("events", "streaming_qa", "frame_events", "dialogue"):
        path = out / name / "manifest.json"
        content = json.loads(path.read_text())
        content["fields"] = {key: value for key, value in content["fields"].items() if key != f"input.{stage}"}
        path.write_text(json.dumps(content))
    shutil.rmtree(out / stage)
    with pytest.raises(AugmentError, match=rf"out: {stage} is half built; finish it with python -m datasets_build"):
        Source.open(out)
    shutil.rmtree(out / ".work")
    assert Source.open(out).datasets


@pytest.mark.parametrize(("anew", "stale"), [("index", "events"), ("perceive", "events"), ("events", "streaming_qa")])
def test_what_is_stale_is_named(parent, tmp_path, anew, stale):
    out = tmp_path / "out"
    shutil.copytree(parent, out)
    manifest = out / anew / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"fingerprint": "another"}))
    with pytest.raises(AugmentError, match=f"{stale}: was built before {anew} was made anew; build it again"):
        Source.open(out)


def test_the_rules_are_those_of_its_datasets(tmp_path):
    out = tmp_path / "out"
    write_out(out, [lively("a", seconds=12.0)])
    build_events(out, EventsConfig())
    facts = {"window_ns": 2 * SECOND, "max_told": 2, "recent_ns": 5 * SECOND}
    build_streaming_qa(out, StreamingQAConfig.model_validate_json(json.dumps({"facts": facts})))
    source = Source.open(out)
    told = source.rules("streaming_qa")
    assert (told.window_ns, told.max_told, told.recent_ns) == (2 * SECOND, 2, 5 * SECOND)
    assert told.max_answers == Rules().max_answers
    assert source.rules("dialogue") == Rules()


def test_the_rules_of_conversations_have_the_speed_of_speech(parent):
    manifest = json.loads((parent / "dialogue" / "manifest.json").read_text())
    told = Source.open(parent).rules("dialogue")
    assert str(told.user_chars_per_s) == manifest["fields"]["config.speech.user_chars_per_s"]
    assert str(told.pause_ns) == manifest["fields"]["config.speech.pause_ns"]


def test_videos_that_are_no_use_are_no_clips(tmp_path):
    """One that is quarantined, and those after it keep their rows."""
    scenes = [lively(name, seconds=10.0) for name in "abc"]
    scenes[1].video = scenes[1].video.model_copy(update={"status": "quarantined"})
    out = write_out(tmp_path / "out", scenes)
    build_events(out, EventsConfig())
    build_streaming_qa(out, StreamingQAConfig())
    clips = list(Source.open(out).clips())
    assert [clip.video.uri for clip in clips] == ["a.mp4", "c.mp4"]
    for clip in clips:
        assert clip.events
        assert {row.video_id for rows in (clip.events, clip.annotations, clip.shots) for row in rows} == {clip.video.id}


def test_a_folder_that_was_never_perceived_has_clips(tmp_path):
    out = finished(tmp_path / "out", splits=("train",), seconds=5, frames=False, talk=False)
    shutil.rmtree(out / "perceive")
    (clip,) = Source.open(out).clips()
    assert clip.events
    assert (clip.shots, clip.keyframes, clip.signals) == ([], [], [])


def test_only_videos_of_one_split_and_size_stand_together(parent):
    clips = list(Source.open(parent).clips())
    found = by_size(clips)
    assert found == {("train", 64, 48): clips[:2], ("test", 64, 48): clips[2:]}
    assert all(size_of(clip.video) == key for key, same in found.items() for clip in same)
    turned = clips[0].video.model_copy(update={"rotation_deg": 90})
    assert size_of(turned) == ("train", 48, 64)
