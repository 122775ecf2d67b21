"""The row of one small sample in every format, to the letter."""

import json
import tarfile
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from datasets_build.core.config import ConfigError, load_config
from datasets_build.core.files import read_json
from datasets_build.core.layout import read_videos
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import read_table
from datasets_build.formats import hf, llamafactory, ms_swift, qwen_finetune, trl, webdataset
from datasets_build.formats.chats import info_of, read_infos
from datasets_build.formats.format import Options
from datasets_build.formats.loss import Losses, LossReport
from datasets_build.formats.rows import ROWS
from datasets_build.formats.samples import samples_of
from datasets_build.formats.source import Reader, kind_of
from tests.formats.made import reel_of, said, talk_of

TALK = talk_of(
    said("u", "user", 0.0, "How many?"),
    said("a", "assistant", 0.0, "One.", learn=False),
    said("b", "assistant", 1.0, "Two.", loss_weight=0.5),
    system="Watch.",
    seconds=1.5,
)
NAMES = ["frames/v/0.jpg", "frames/v/25.jpg"]


def sample(*, turn_loss=True):
    reel = reel_of(TALK, seconds=1.5)
    (made,) = samples_of(reel, Options(fps="1"), LossReport("test"), turn_loss=turn_loss)
    return made, reel


def as_json(row):
    return json.loads(row.model_dump_json(exclude_none=True))


def test_ms_swift():
    assert as_json(ms_swift.row_of(sample()[0], NAMES)) == {
        "id": "talk-000",
        "messages": [
            {"role": "system", "content": "Watch."},
            {"role": "user", "content": "<image>\nHow many?"},
            {"role": "assistant", "content": "</Response> One.", "loss": False},
            {"role": "user", "content": "<image>"},
            {"role": "assistant", "content": "</Response> Two.", "loss": True, "loss_scale": 0.5},
        ],
        "images": NAMES,
    }


def test_llamafactory():
    assert as_json(llamafactory.row_of(sample(turn_loss=False)[0], NAMES)) == {
        "id": "talk-000",
        "messages": [
            {"role": "system", "content": "Watch."},
            {"role": "user", "content": "<image>\nHow many?\nAssistant: One.\n<image>"},
            {"role": "assistant", "content": "</Response> Two."},
        ],
        "images": NAMES,
    }


def test_llamafactory_names_its_files_and_tags(exported):
    folder = exported("llamafactory", fps="1")
    entries = read_json(folder / "dataset_info.json")
    assert set(entries) == {"streamvl_train", "streamvl_test"}
    for entry in entries.values():
        assert (folder / entry["file_name"]).is_file()
        assert (entry["formatting"], entry["columns"]) == ("sharegpt", {"messages": "messages", "images": "images"})
        assert entry["tags"]["system_tag"] == "system"


def test_qwen_finetune():
    assert as_json(qwen_finetune.row_of(sample(turn_loss=False)[0], NAMES)) == {
        "id": "talk-000",
        "image": NAMES,
        "conversations": [
            {"from": "human", "value": "Watch.\n<image>\nHow many?\nAssistant: One.\n<image>"},
            {"from": "gpt", "value": "</Response> Two."},
        ],
    }


def test_qwen_tells_where_the_system_prompt_went(exported):
    told = {loss.field: loss for loss in Losses.read(exported("qwen-vl-finetune", fps="1")).losses}
    assert told["system"].records == 3


def test_trl():
    image, told = {"type": "image"}, SimpleNamespace()
    assert as_json(trl.row_of(sample(turn_loss=False)[0], told)) == {
        "id": "talk-000",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Watch."}]},
            {
                "role": "user",
                "content": [
                    image, {"type": "text", "text": "How many?"}, {"type": "text", "text": "Assistant: One."}, image
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "</Response> Two."}]},
        ],
    }  # fmt: skip


def test_hf_keeps_loss_times_and_rights():
    made, reel = sample()
    row = hf.row_of(made, SimpleNamespace(reel=reel))
    assert [(each.role, each.learn, each.weight) for each in row.messages] == [
        ("system", False, 1.0), ("user", False, 1.0), ("assistant", False, 1.0), ("user", False, 1.0),
        ("assistant", True, 0.5),
    ]  # fmt: skip
    assert (row.t_ns, row.frame_index, row.state) == ((0, 10**9), (0, 25), ("respond", "respond"))
    assert (row.licence, row.sha256, row.record_id) == (reel.video.licence, reel.video.sha256, "talk")


def test_webdataset_has_names_for_its_frames():
    made, reel = sample()
    row = webdataset.row_of(made, reel)
    assert row.images == ("000000.jpg", "000001.jpg")
    assert row.info == info_of(made, reel)
    assert [each.learn for each in row.messages] == [False, False, False, False, True]


def test_shards_have_nothing_of_the_machine_in_them(exported):
    for path in exported("webdataset", fps="1").glob("*.tar"):
        with tarfile.open(path) as shard:
            members = shard.getmembers()
        assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in members} == {(0, 0, 0, "", 0o644)}
        names = [each.name.partition(".")[0] for each in members]
        # All files of a sample follow each other, as readers demand.
        assert [key for k, key in enumerate(names) if k == 0 or names[k - 1] != key] == list(dict.fromkeys(names))


def test_the_sidecar_has_every_turn_of_a_sample(exported, out):
    turns = {
        row.id: {turn.id for turn in row.turns}
        for path in (out / "dialogue" / "dialogues").glob("*.parquet")
        for row in read_table(path, Dialogue)
    }
    for info in read_infos(exported("ms-swift", fps="native")):
        assert {turn for step in info.steps for turn in step.turns} == turns[info.record_id]


@pytest.mark.parametrize(
    ("dataset", "model", "table"), [("streaming_qa", StreamingQA, "qa"), ("dialogue", Dialogue, "dialogues")]
)
def test_the_reader_gives_every_record_once_in_the_order_of_videos(out, dataset, model, table):
    reels = list(Reader(out, kind_of(out / dataset)).reels())
    assert [reel.video.id for reel in reels] == [video.id for video in read_videos(out)]
    found = sorted(talk.id for reel in reels for talk in reel.talks)
    paths = (out / dataset / table).glob("*.parquet")
    assert found == sorted(row.id for path in paths for row in read_table(path, model))


def test_the_reader_tells_events_as_one_talk_a_video(out):
    for reel in Reader(out, "frame_events").reels():
        (talk,) = reel.talks
        events = [
            row
            for path in (out / "frame_events" / "events").glob("*.parquet")
            for row in read_table(path, Event)
            if row.video_id == reel.video.id
        ]
        assert sorted(turn.id for turn in talk.turns[1:]) == sorted(event.id for event in events)


@pytest.mark.parametrize("setting", ["fps=0", "fps=two", "size=8", "quality=96", "max_steps=0", "silence=''", "x=1"])
def test_options_that_cannot_be_are_refused(setting):
    with pytest.raises((ConfigError, ValidationError)):
        load_config(Options, None, [setting])


def test_every_format_that_is_written_can_be_read_to_check_it(exported):
    for name in ROWS:
        folder = exported(name, fps="1")
        rows = [row for split in ("train", "test") for row in ROWS[name](folder, split)]
        assert sorted(row.id for row in rows) == sorted(info.id for info in read_infos(folder))
        assert list(ROWS[name](folder, "validation")) == []
