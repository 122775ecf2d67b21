"""Rows with the time of each frame in words: JoyAI's and Streamo's."""

import json
import re

import pytest

from datasets_build.core.files import read_json
from datasets_build.formats.format import Options
from datasets_build.formats.loss import LossReport
from datasets_build.formats.rows import rows_of
from datasets_build.formats.samples import samples_of
from datasets_build.formats.stamped import JOYAI, SETTLED, STREAMO
from datasets_build.formats.verify import check_export
from tests.formats.made import reel_of, said, talk_of

FORMS = {"joyai-seconds": JOYAI, "streamo-image": STREAMO}


def written(name):
    """The messages of a short talk in a form."""
    talk = talk_of(
        said("a", "user", 0.5, "What now?\nAnd then?"),
        said("b", "assistant", 2.0, "A ball.", trigger="user_query", trigger_ref="a"),
    )
    options = Options(**SETTLED[name])
    (sample,) = samples_of(reel_of(talk), options, LossReport(name), turn_loss=True)
    row = FORMS[name].row_of(sample, [f"{k}.jpg" for k in sample.frames])
    return [(message.role, message.content) for message in row.messages], row.images


def test_joyai_has_seconds_with_a_tenth_and_no_word_for_waiting():
    messages, images = written("joyai-seconds")
    assert messages == [
        ("user", "<0.0 seconds>\n<image>"),
        ("assistant", "</silence>"),
        ("user", "<1.0 seconds>\n<image>\nWhat now?\nAnd then?"),
        ("assistant", "</silence>"),
        ("user", "<2.0 seconds>\n<image>"),
        ("assistant", "</response> A ball."),
        ("user", "<3.0 seconds>\n<image>"),
        ("assistant", "</silence>"),
    ]
    assert len(images) == 4


def test_streamo_has_the_second_that_a_frame_stands_for():
    messages, _ = written("streamo-image")
    assert [content.split("\n")[0] for role, content in messages if role == "user"] == [
        "<0s-1s>", "<1s-2s>", "<2s-3s>", "<3s-4s>",
    ]  # fmt: skip
    assert [content for role, content in messages if role == "assistant"][2] == "</Response> A ball."
    assert {content for role, content in messages if role == "assistant"} <= {
        "</Silence>", "</Standby>", "</Response> A ball.",
    }  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dataset", ["dialogue", "streaming_qa", "frame_events"])
def test_an_export_has_no_fault_and_is_a_frame_a_second(name, dataset, exported, out):
    folder = exported(name, dataset, fps="5", layout="turns")
    assert check_export(folder, out) == []
    assert read_json(folder / "manifest.json")["fields"]["config.fps"] in ("1", "'1'")
    pattern = r"^<\d+\.\d seconds>$" if name == "joyai-seconds" else r"^<\d+s-\d+s>$"
    for line in (folder / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        users = [message["content"] for message in row["messages"] if message["role"] == "user"]
        stamps = [text for text in "\n".join(users).split("\n") if re.match(pattern, text)]
        assert len(stamps) == len(row["images"]) == sum(text.count("<image>") for text in users)


@pytest.mark.parametrize("name", FORMS)
def test_a_check_reads_the_words_without_the_times(name, exported):
    (row, *_) = rows_of(exported(name, fps="1"), name)
    assert not any("seconds>" in said.content or "s>" in said.content for said in row.messages)


def test_words_of_a_user_that_look_like_a_time_stay(exported, tmp_path):
    """Only what stands right before a frame is its time."""
    folder = exported("joyai-seconds", fps="1")
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    user = rows[0]["messages"][1 if rows[0]["messages"][0]["role"] == "system" else 0]
    user["content"] += "\n<4.0 seconds>\nYes."
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "frames").symlink_to(folder / "frames")
    (copy / "train.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (row,) = rows_of(copy, "joyai-seconds")
    assert any(said.content.endswith("\n<4.0 seconds>\nYes.") for said in row.messages)
