"""Captions by a model: pictures inside the shot only, known at the shot's end, and a reason where there is none."""

import base64
import json

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.captions import PROMPT, CaptionsConfig, looks_at
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.files import read_rejects
from datasets_build.core.layout import by_video, dataset_rows, table_path
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.stage import StageError
from datasets_build.core.table import read_table
from datasets_build.teachers.model import ModelError
from datasets_build.teachers.settings import ChatConfig, TeachersConfig
from tests.builders.made import Scene, clock_from, keyframes_at, shots_at, video_of, write_out
from tests.builders.worlds import breaches
from tests.teachers.server import KEY, completion, says, serving, status

EVENTS = EventsConfig(teacher="chat", captions=CaptionsConfig(pictures=3))


def scene(name, cuts=(50, 120), frames=(0, 10, 49, 50, 51, 70, 119, 120, 150), split="train"):
    clock = clock_from([40] * 199)
    video = video_of(name, clock, split=split)
    shots = shots_at(video, clock, list(cuts))
    keys = [
        row.model_copy(update={"jpeg": f"{name} frame {row.frame_index}".encode()})
        for row in keyframes_at(video, clock, shots, list(frames))
    ]
    return Scene(video, clock, shots, [], [], keys)


SCENES = [scene("one"), scene("two", split="test"), scene("three", cuts=(), frames=(5,))]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        state.answer = described
        yield state


def described(request):
    """A caption that names the pictures it was made from."""
    return completion(json.dumps({"caption": f"A cat walks past {' and '.join(pictures_in(request))}."}))


def pictures_in(request):
    parts = [part for part in request["messages"][0]["content"] if part["type"] == "image_url"]
    return [base64.b64decode(part["image_url"]["url"].split(",")[1]).decode() for part in parts]


@pytest.fixture
def out(tmp_path):
    return write_out(tmp_path / "out", SCENES)


def teachers(server, **more):
    chat = ChatConfig(base_url=server.url, model="some-vlm", revision="r1", max_retries=0)
    return TeachersConfig(chat=chat, **more)


def captions(out):
    return [row for row in read_table(table_path(out, Event), Event) if row.source == "model"]


def test_every_shot_gets_a_caption_that_is_known_at_its_end(out, server):
    # The words of a picture's name hold numbers of frames, which no caption may.
    server.answer = lambda request: completion(json.dumps({"caption": f"{len(pictures_in(request))} cats walk past."}))
    stage = build_events(out, EVENTS, teachers=teachers(server))
    found = by_video(captions(out))
    for made in SCENES:
        rows = found[made.video.id]
        assert [(row.start_ns, row.end_ns) for row in rows] == [(shot.start_ns, shot.end_ns) for shot in made.shots]
        for row, shot in zip(rows, made.shots, strict=True):
            assert row.known_from_ns == row.end_ns == shot.end_ns
            assert (row.label, row.label_set, row.confidence) == ("caption", "chat:some-vlm", 0.5)
            assert row.provenance.kind == "model"
            assert (row.provenance.agent, row.provenance.version) == ("chat:some-vlm", "r1")
            assert row.provenance.prompt_sha256 == PROMPT.sha256
            inside = {key.id for key in made.keyframes if shot.start_ns <= key.t_ns < shot.end_ns}
            assert row.provenance.inputs[0] == shot.id
            assert set(row.provenance.inputs[1:]) <= inside
    assert stage.counts()["teacher_questions"] == len(server.requests) == 7


def test_only_pictures_inside_the_shot_are_sent(out, server):
    build_events(out, EVENTS, teachers=teachers(server))
    shown = sorted(pictures_in(request) for request in server.requests)
    assert shown == [
        ["one frame 0", "one frame 10", "one frame 49"],
        ["one frame 120", "one frame 150"],
        ["one frame 50", "one frame 51", "one frame 70"],
        ["three frame 5"],
        ["two frame 0", "two frame 10", "two frame 49"],
        ["two frame 120", "two frame 150"],
        ["two frame 50", "two frame 51", "two frame 70"],
    ]
    for request in server.requests:
        text = request["messages"][0]["content"][-1]["text"]
        assert ("This picture is" in text) == (len(pictures_in(request)) == 1)
        assert not [video for video in ("one", "two", "three") if f"{video}.mp4" in text]


def test_pictures_are_spread_over_the_shot():
    made = scene("x", cuts=(), frames=range(0, 100, 10))
    (look,) = looks_at(made.shots, made.keyframes, CaptionsConfig(pictures=3))
    assert [row.frame_index for row in look.keyframes] == [0, 30, 60]
    (every,) = looks_at(made.shots, list(reversed(made.keyframes)), CaptionsConfig(pictures=32))
    assert [row.frame_index for row in every.keyframes] == list(range(0, 100, 10))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("At 0:12 a cat walks past.", "caption_unfit"),
        ("A cat walks " + "on and on " * 30, "caption_unfit"),
        ('A cat says "meow".', "caption_unfit"),
        ("   ", "caption_unfit"),
    ],
)
def test_a_caption_that_may_not_stand_is_told(out, server, said, code):
    server.answer = lambda request: completion(json.dumps({"caption": said}))
    build_events(out, EVENTS, teachers=teachers(server))
    assert not captions(out)
    rows = [row for row in read_rejects(out / "events/rejects.jsonl") if row.code == code]
    assert len(rows) == 7
    assert {row.at_ns for row in rows[:3]} == {shot.start_ns for shot in SCENES[0].shots}
    assert all("some-vlm" in row.reason for row in rows)


def test_refusals_and_shots_without_a_picture_are_told(tmp_path, server):
    out = write_out(tmp_path / "out", [scene("one", frames=(0, 130))])
    server.steps = [says(None, refusal="no people please")]
    build_events(out, EVENTS, teachers=teachers(server))
    told = {row.code: row.reason for row in read_rejects(out / "events/rejects.jsonl")}
    assert told["no_picture"] == "the shot holds no keyframe to show"
    assert "refused, no people please" in told["no_caption"]
    assert len(captions(out)) <= 1


def test_a_server_that_goes_away_leaves_nothing_half_written(out, server):
    server.steps = [status(500)]
    with pytest.raises(ModelError, match="status 500"):
        build_events(out, EVENTS, teachers=teachers(server))
    assert not (out / "events").exists()
    build_events(out, EVENTS, teachers=teachers(server))
    assert len(server.requests) <= 14


def test_what_is_asked_of_captions_keeps_every_law(out, server):
    server.answer = lambda request: completion(
        json.dumps({"caption": f"{'A red' if 'frame 0' in pictures_in(request)[0] else 'A small'} cat walks past."})
    )
    given = teachers(server)
    build_events(out, EVENTS, teachers=given)
    build_streaming_qa(out, StreamingQAConfig(), teachers=given)
    build_dialogue(out, DialogueConfig(), teachers=given)
    events = by_video(read_table(table_path(out, Event), Event))
    asked = by_video(dataset_rows(out, "streaming_qa/qa", StreamingQA))
    held = by_video(dataset_rows(out, "dialogue/dialogues", Dialogue))
    spoken = 0
    for made in SCENES:
        rows = events[made.video.id]
        assert not breaches(made, rows, questions=asked[made.video.id], dialogues=held[made.video.id])
        known = {row.id: row.known_from_ns for row in rows if row.source == "model"}
        for row in asked[made.video.id]:
            for piece in row.evidence:
                if piece.event_id in known and piece.role == "necessary" and row.task != "happened_yet":
                    assert row.answers[0].t_ns >= known[piece.event_id], "said only when the shot is over"
                    spoken += 1
    assert spoken


def test_another_model_or_prompt_is_another_build(out, server):
    build_events(out, EVENTS, teachers=teachers(server))
    assert build_events(out, EVENTS, teachers=teachers(server)).reused
    other = TeachersConfig(chat=ChatConfig(base_url=server.url, model="other-vlm"))
    with pytest.raises(StageError, match=r"input\.teacher"):
        build_events(out, EVENTS, teachers=other)
