import json
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.video_json import VideoJsonConfig, parse_video_json, read_video_json
from tests.sources.corpora import codes, rows

CONFIG = VideoJsonConfig(file=Path("demo.json"))
ASK, SAY = {"role": "user", "content": "<video>Why?"}, {"role": "assistant", "content": "So."}


def sample(*turns: object, videos: object = ("a.mp4",), **more: object) -> dict[str, object]:
    return {"messages": list(turns or (ASK, SAY)), "videos": videos, **more}


def read(*samples: object):
    return parse_video_json(json.dumps(list(samples)), CONFIG)


def test_both_published_examples_are_read_whole(real_data):
    folder = real_data / "annotations/qa_with_video"
    llama = read_video_json(VideoJsonConfig(file=folder / "llamafactory_mllm_video_demo.json"))
    qwen = read_video_json(VideoJsonConfig(file=folder / "qwen3vl_demo_video.json"))
    assert [entry.names[0] for entry in llama.entries] == [f"mllm_demo_data/{n}" for n in ("1.mp4", "2.avi", "3.mp4")]
    assert rows(llama)[1].text == "What is she doing?\nShe is cooking."
    assert qwen.entries[0].names[0] == "v_7bUu05RIksU.mp4"
    assert rows(qwen)[0].text.startswith("Can you give me an overview of the video content?\nThe video showcases")
    for reading in (llama, qwen):
        assert (reading.n_rows, codes(reading)) == (3, {})
        assert {(row.kind, row.is_whole) for row in rows(reading)} == {("qa", True)}


def test_every_question_with_its_reply_is_a_row():
    again = {"role": "user", "content": "And now?"}
    reading = read(sample(ASK, SAY, again, {"role": "assistant", "content": "Nothing."}))
    assert [(row.where, row.text) for row in rows(reading)] == [
        ("sample 1, turn 1", "Why?\nSo."),
        ("sample 1, turn 3", "And now?\nNothing."),
    ]


def test_turns_that_are_no_pair_are_told():
    system = {"role": "system", "content": "Be brief."}
    reading = read(sample(system, ASK, ASK | {"content": "Who?"}, SAY, SAY, ASK | {"content": "When?"}))
    assert [row.text for row in rows(reading)] == ["Why?\nSo."]
    assert codes(reading) == {"not_a_pair": 4}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (sample(videos=["a.mp4", "b.mp4"]), "many_videos"),
        (sample(videos=[]), "many_videos"),
        (sample(videos=None), "bad_type"),
        (sample(images=["x.jpg"]), "other_media"),
        (sample({"role": "user", "content": "no tag"}, SAY), "bad_tags"),
        (sample(ASK, {"role": "assistant", "content": "<video>"}), "bad_tags"),
        (sample({"role": "robot", "content": "<video>"}), "bad_value"),
        (sample(ASK, {"role": "assistant", "content": " "}), "no_text"),
        ({"videos": ["a.mp4"]}, "bad_type"),
        (3, "bad_type"),
    ],
)
def test_a_wrong_sample_costs_itself(wrong, code):
    reading = read(sample(), wrong)
    assert (codes(reading), len(rows(reading))) == ({code: 1}, 1)


def test_json_lines_are_read_and_other_files_are_errors():
    text = json.dumps(sample()) + "\n{\n"
    reading = parse_video_json(text, CONFIG)
    assert (codes(reading), len(rows(reading))) == ({"not_json": 1}, 1)
    for wrong in ("3", "[", '"x"'):
        with pytest.raises(DataError, match=r"demo\.json"):
            parse_video_json(wrong, CONFIG)
