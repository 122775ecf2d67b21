"""What a build holds at a time does not grow with the number of videos; whatever gathers them is found."""

import gc
from functools import partial

import pytest

from datasets_build.builders import build, frame_events
from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core import publish
from datasets_build.core.layout import each_video, read_videos
from datasets_build.core.records import Part
from datasets_build.core.table import write_table
from tests.builders.made import bare, keyframes_at, said, write_out

FEW, MANY = 4, 24
STAGES = {
    "events": lambda out: build_events(out, EventsConfig()),
    "streaming_qa": lambda out: build_streaming_qa(out, StreamingQAConfig(tasks=("shots",), least=1, per_minute=1)),
    "frame_events": lambda out: build_frame_events(out, FrameEventsConfig(fps=("1",))),
    "dialogue": lambda out: build_dialogue(out, DialogueConfig(least=1, per_minute=1)),
}


def folder(out, videos):
    """Videos of a few frames; what is said of each becomes no event, and so a reject."""
    scenes = [bare(f"v{k:02}", frames=5) for k in range(videos)]
    for scene in scenes:
        scene.annotations = [said(scene.video, 0, 1, "What is it?", kind="qa")]
        scene.keyframes = keyframes_at(scene.video, scene.clock, scene.shots, [0, 2])
    return write_out(out, scenes)


def pass_over_what_is_there():
    """Only what is made from here on is looked at: a test session holds a great deal, which it keeps to its end."""
    gc.collect()
    gc.freeze()


def most_held(out, stage, monkeypatch):
    """The most records that are there at once while a stage is built, looked at when each video is asked for."""
    held = []

    def watched(where):
        for video in watched_walk(where):
            held.append(sum(isinstance(each, Part) for each in gc.get_objects()))
            yield video

    watched_walk = build.each_video
    pass_over_what_is_there()
    with monkeypatch.context() as patched:
        patched.setattr(build, "each_video", watched)
        # A file's row group is what may be held of it, however many videos there are.
        patched.setattr(publish, "ROWS_PER_GROUP", 2)
        patched.setattr(build, "write_table", partial(write_table, rows_per_group=2))
        STAGES[stage](out)
    return max(held)


@pytest.mark.parametrize("stage", STAGES)
def test_as_many_records_are_held_of_many_videos_as_of_few(tmp_path, stage, monkeypatch):
    most = {}
    for videos in (FEW, MANY):
        out = folder(tmp_path / f"{videos}", videos)
        for before in list(STAGES)[: list(STAGES).index(stage)][:1]:
            STAGES[before](out)
        most[videos] = most_held(out, stage, monkeypatch)
    assert 0 < most[MANY] <= most[FEW] + 2


def gathered_videos(monkeypatch):
    monkeypatch.setattr(build, "each_video", lambda out: iter(read_videos(out)))


def gathered_rejects(monkeypatch):
    class Listed(list):
        def __init__(self, path):
            del path

    monkeypatch.setattr(build, "Rejects", Listed)


def gathered_labels(monkeypatch):
    kept = []
    plain = frame_events.view_of

    def keeping(source, fps):
        rows = list(plain(source, fps))
        kept.extend(rows)
        return iter(rows)

    monkeypatch.setattr(build, "view_of", keeping)


@pytest.mark.parametrize(
    ("stage", "plant"),
    [
        ("events", gathered_videos),
        ("events", gathered_rejects),
        ("dialogue", gathered_videos),
        ("frame_events", gathered_labels),
    ],
)
def test_what_gathers_records_is_found(tmp_path, stage, plant, monkeypatch):
    plant(monkeypatch)
    most = {}
    for videos in (FEW, MANY):
        out = folder(tmp_path / f"{videos}", videos)
        if stage != "events":
            STAGES["events"](out)
        most[videos] = most_held(out, stage, monkeypatch)
    assert most[MANY] > most[FEW] + (MANY - FEW) // 2


def test_the_walk_is_over_all_videos_in_order(tmp_path):
    out = folder(tmp_path / "out", FEW)
    assert list(each_video(out)) == read_videos(out)
    walk = each_video(out)
    assert next(walk).uri == "v00.mp4"
