"""Every rule of the check, each by a fault that is planted into an export that is right."""

import io
import json
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_build.core.files import DataError, read_json, sha256_file, write_json
from datasets_build.core.layout import read_videos
from datasets_build.core.records import Dialogue
from datasets_build.core.table import read_table, write_table
from datasets_build.formats.verify import check_export


@pytest.fixture
def planted(exported, tmp_path):
    """A copy of an export in which a test plants; its rows are those of `train.jsonl`."""
    return Planted(exported("ms-swift", fps="1"), tmp_path / "planted")


class Planted:
    def __init__(self, folder, copy):
        self.folder = shutil.copytree(folder, copy)
        self.path = copy / "train.jsonl"
        self.rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        self.sidecar = copy / "samples.jsonl"
        self.infos = [json.loads(line) for line in self.sidecar.read_text().splitlines()]

    def save(self):
        """Write what was changed, and a manifest that agrees with it: what a wrong exporter would leave."""
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.sidecar.write_text("".join(json.dumps(row) + "\n" for row in self.infos))
        seal(self.folder)

    def users(self, row=0):
        return [each for each in self.rows[row]["messages"] if each["role"] == "user"]


def seal(folder):
    manifest = read_json(folder / "manifest.json")
    manifest["files"] = [
        entry | {"sha256": sha256_file(folder / entry["path"])}
        for entry in manifest["files"]
        if (folder / entry["path"]).exists()
    ]
    write_json(folder / "manifest.json", manifest)


def rules(folder, out=None):
    return {fault.rule for fault in check_export(folder, out)}


def test_a_copy_is_as_good(planted, out):
    planted.save()
    assert rules(planted.folder, out) == set()


@pytest.mark.parametrize("plant", ["<image> more", "no tag"])
def test_tags_and_images_of_other_counts(planted, plant):
    user = planted.users()[1]
    user["content"] = "<image>\n<image>" if plant == "<image> more" else "nothing to see"
    planted.save()
    assert rules(planted.folder) == {"tags"}


def test_a_tag_in_the_words_of_the_assistant(planted):
    first, second = planted.rows[0]["messages"][1:3]
    assert (first["role"], second["role"]) == ("user", "assistant")
    first["content"], second["content"] = "Look.", "<image>"
    planted.save()
    assert rules(planted.folder) == {"tags"}


def test_turns_that_do_not_alternate(planted):
    messages = planted.rows[0]["messages"]
    del messages[2]
    planted.save()
    assert rules(planted.folder) == {"alternation"}


def test_a_row_that_ends_with_the_user(planted):
    planted.rows[0]["messages"].pop()
    planted.save()
    assert "alternation" in rules(planted.folder)


def test_a_message_without_words(planted):
    planted.rows[0]["messages"][2]["content"] = " "
    planted.save()
    assert rules(planted.folder) == {"content"}


def test_a_file_that_is_not_there_and_one_that_does_not_open(planted):
    first, second = planted.rows[0]["images"][:2]
    (planted.folder / first).unlink()
    (planted.folder / second).write_bytes((planted.folder / second).read_bytes()[:300])
    assert rules(planted.folder) == {"media", "manifest"}
    planted.save()
    assert rules(planted.folder) == {"media"}


def test_a_row_twice_and_a_row_that_vanished(planted):
    planted.rows.append(planted.rows.pop(0) | {"id": planted.rows[0]["id"]})
    planted.save()
    assert {"ids", "sidecar"} <= rules(planted.folder)


def test_a_row_that_no_line_of_the_sidecar_knows(planted):
    planted.rows[0]["id"] = "stranger"
    planted.save()
    assert rules(planted.folder) == {"sidecar"}


def test_a_record_that_vanished_with_its_line(planted, out):
    key = planted.rows.pop(0)["id"]
    planted.infos = [info for info in planted.infos if info["id"] != key]
    planted.save()
    assert rules(planted.folder) == set()
    assert rules(planted.folder, out) == {"nothing vanishes"}


def test_frames_out_of_order(planted):
    info = next(info for info in planted.infos if info["id"] == planted.rows[0]["id"])
    info["steps"][1], info["steps"][2] = info["steps"][2], info["steps"][1]
    planted.save()
    assert "steps" in rules(planted.folder)


def test_a_frame_of_the_future_in_the_place_of_one(planted, out):
    images = planted.rows[0]["images"]
    images[-1] = images[0]
    planted.save()
    assert rules(planted.folder) == set()
    assert rules(planted.folder, out) == {"causality"}


def test_a_file_that_holds_a_frame_of_another_time(planted, out):
    images = planted.rows[0]["images"]
    (planted.folder / images[-1]).write_bytes((planted.folder / images[0]).read_bytes())
    assert rules(planted.folder) == {"manifest"}
    planted.save()
    assert rules(planted.folder) == set()
    assert rules(planted.folder, out) == {"causality"}


def test_times_that_are_not_those_of_the_frames(planted, out):
    for step in planted.infos[0]["steps"]:
        step["t_ns"] += 1
    planted.save()
    assert rules(planted.folder) == set()
    assert "causality" in rules(planted.folder, out)


def speaking(planted):
    """Row, and the place in it of the first message in which the assistant says words."""
    for row in planted.rows:
        for place, message in enumerate(row["messages"]):
            if message["content"].startswith("</Response> ") and place > 3:
                return row["messages"], place
    raise AssertionError("no row in which anybody speaks")


def test_an_answer_that_is_told_a_step_early(planted, out):
    messages, place = speaking(planted)
    messages[place - 2]["content"] = messages[place]["content"]
    planted.save()
    assert rules(planted.folder) == set()
    assert rules(planted.folder, out) == {"causality"}


def test_a_question_that_is_shown_at_the_start(planted, out):
    for row in planted.rows:
        users = [each for each in row["messages"] if each["role"] == "user"]
        late = [each for each in users[2:] if each["content"] != "<image>"]
        if late:
            asked = late[0]["content"].removeprefix("<image>\n")
            users[0]["content"] = f"<image>\n{asked}"
            break
    planted.save()
    assert rules(planted.folder, out) == {"causality"}


def silent(planted):
    """The first message of a row that says that nothing is said."""
    return next(message for row in planted.rows for message in row["messages"] if message["content"] == "</Silence>")


def test_a_silence_that_says_something(planted, out):
    silent(planted)["content"] = "</Response> Soon it ends."
    planted.save()
    assert rules(planted.folder, out) == {"messages"}


def test_a_system_message_of_no_record(planted, out):
    messages = planted.rows[0]["messages"]
    assert messages[0]["role"] == "system"
    messages[0]["content"] = "The answer is yes, at 0:12."
    planted.save()
    assert rules(planted.folder, out) == {"messages"}


def test_words_of_nobody_beside_those_of_a_turn(planted, out):
    messages, place = speaking(planted)
    messages[place]["content"] += " At last."
    planted.save()
    assert rules(planted.folder, out) & {"messages", "words"}


@pytest.mark.parametrize("change", [{"loss": False}, {"loss_scale": 3.0}])
def test_a_message_whose_loss_is_another(planted, out, change):
    silent(planted).update(change)
    planted.save()
    assert rules(planted.folder, out) == {"loss"}


def test_a_frame_that_is_replaced_by_the_next_one(planted, out):
    images = planted.rows[0]["images"]
    images[0] = images[1]
    planted.save()
    assert rules(planted.folder) == set()
    assert rules(planted.folder, out) == {"causality"}


def test_words_that_are_lost(planted, out):
    messages, place = speaking(planted)
    messages[place]["content"] = "</Silence>"
    planted.save()
    assert rules(planted.folder, out) == {"words"}


def test_a_record_of_another_source(planted, out):
    planted.infos[0]["record_id"] = "stranger"
    planted.save()
    assert {"source", "nothing vanishes"} <= rules(planted.folder, out)


def test_a_source_whose_turns_come_later(exported, out, tmp_path):
    """What the files say was right when it was exported; of the moved turns it is too early."""
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    path = copy / "dialogue" / "dialogues" / "train.parquet"
    rows = list(read_table(path, Dialogue))
    late = 3_000_000_000
    moved = [
        row.model_copy(
            update={
                "turns": tuple(
                    turn.model_copy(update={"start_ns": turn.start_ns + late, "end_ns": turn.end_ns + late})
                    for turn in row.turns
                )
            }
        )
        for row in rows
    ]
    write_table(path, Dialogue, moved)
    assert rules(exported("ms-swift", fps="1"), copy) == {"causality"}


def test_a_picture_of_another_time_inside_a_shard(exported, out, tmp_path):
    folder = shutil.copytree(exported("webdataset", fps="1"), tmp_path / "shards")
    (path,) = folder.glob("train-*.tar")
    with tarfile.open(path) as shard:
        files = [(member.name, shard.extractfile(member).read()) for member in shard]
    pictures = [content for name, content in files if name.endswith(".jpg")]
    with tarfile.open(path, "w") as shard:
        for name, content in files:
            changed = pictures[0] if content == pictures[-1] else content
            member = tarfile.TarInfo(name)
            member.size = len(changed)
            shard.addfile(member, io.BytesIO(changed))
    seal(folder)
    assert rules(folder) == set()
    assert rules(folder, out) == {"causality"}


def test_a_message_that_is_lost_inside_a_table(exported, tmp_path):
    folder = shutil.copytree(exported("trl", fps="1"), tmp_path / "tables")
    (path,) = folder.glob("data/train-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["messages"].pop()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    seal(folder)
    assert rules(folder) == {"alternation"}


def test_a_system_of_qwen_would_be_learned(exported, tmp_path):
    folder = shutil.copytree(exported("qwen-vl-finetune", fps="1"), tmp_path / "qwen")
    lines = (folder / "train.jsonl").read_text().splitlines()
    row = json.loads(lines[0])
    row["conversations"].insert(0, {"from": "system", "value": "Watch."})
    (folder / "train.jsonl").write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    seal(folder)
    assert rules(folder) == {"alternation"}


@pytest.mark.parametrize("name", ["ms-swift", "webdataset"])
def test_files_that_are_no_rows_are_refused_by_name(exported, tmp_path, name):
    folder = shutil.copytree(exported(name, fps="1"), tmp_path / "copy")
    if name == "ms-swift":
        (folder / "train.jsonl").write_text('{"id": "x"}\n')
        words = r"train\.jsonl:1: not a row"
    else:
        with tarfile.open(folder / "train-000000.tar", "w") as shard:
            shard.addfile(tarfile.TarInfo("key.jpg"))
        words = r"train-000000\.tar: sample key: not a row"
    with pytest.raises(DataError, match=words):
        check_export(folder)


def test_a_folder_that_is_no_export_is_refused(out, tmp_path):
    with pytest.raises(DataError, match=r"field input\.format is missing"):
        check_export(out / "dialogue")
    with pytest.raises(DataError, match=r"manifest\.json: no such file"):
        check_export(tmp_path)


def test_a_sidecar_that_is_broken_is_refused_by_line(planted):
    planted.infos[1]["steps"] = "none"
    planted.save()
    with pytest.raises(DataError, match=r"samples\.jsonl:2: not a line of a sidecar"):
        check_export(planted.folder)


def test_the_videos_of_the_source_are_all_looked_at(planted, out):
    assert {info["video_id"] for info in planted.infos} == {video.id for video in read_videos(out)}
