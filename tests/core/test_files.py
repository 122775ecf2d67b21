import errno
import hashlib
import json
import os

import pytest

from datasets_build.core.files import (
    DataError,
    Rejects,
    each_reject,
    publish_folder,
    read_json,
    read_rejects,
    sha256_file,
    whole_file,
    write_bytes,
    write_json,
    write_jsonl,
)
from datasets_build.core.records import Reject
from tests.recipes.disks import small_disk

ROW = Reject(stage="index", item="a.mp4", code="empty_file", reason="it has no bytes", action="copy it again")


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as aside:
        aside.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_file(path) as aside:
            aside.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_what_was_there(tmp_path):
    # /dev/full answers every write as a full disk does.
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fill():
        with whole_file(path) as aside:
            aside.symlink_to("/dev/full")
            with aside.open("wb", buffering=0) as out:
                out.write(b"new")

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert path.read_bytes() == b"old"


def test_a_folder_is_replaced_in_one_step(tmp_path):
    old, new = tmp_path / "data", tmp_path / "aside"
    for folder, text in ((old, "old"), (new, "new")):
        folder.mkdir()
        (folder / "x").write_text(text)
    publish_folder(new, old)
    assert (old / "x").read_text() == "new"
    assert os.listdir(tmp_path) == ["data"]


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "ü"], "a": None})
    assert read_json(tmp_path / "a.json") == {"b": [1, "ü"], "a": None}
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["b", "a"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[" * 100_000, b"9" * 5000])
def test_broken_json_is_named(tmp_path, content):
    write_bytes(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "b.json")


def test_rejects_come_back(tmp_path):
    path = tmp_path / "rejects.jsonl"
    assert read_rejects(path) == []
    write_jsonl(path, [ROW, ROW])
    assert read_rejects(path) == [ROW, ROW]
    odd = ROW.model_copy(update={"item": "a\u2028b\x85c.mp4"})
    write_jsonl(path, [odd])
    assert read_rejects(path) == [odd]
    write_jsonl(path, [ROW, ROW])
    path.write_text(path.read_text() + '{"stage": 1}\n')
    with pytest.raises(DataError, match=r"rejects\.jsonl:3"):
        read_rejects(path)


def test_rejects_are_read_one_by_one(tmp_path):
    path = tmp_path / "rejects.jsonl"
    write_jsonl(path, [ROW])
    path.write_text(path.read_text() + "broken\n")
    rows = each_reject(path)
    assert next(rows) == ROW
    with pytest.raises(DataError, match=r"rejects\.jsonl:2: not a reject row"):
        next(rows)
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        list(each_reject(path))


def test_rejects_wait_on_disk_in_their_order(tmp_path):
    odd = ROW.model_copy(update={"item": "a\u2028b\nc.mp4"})
    rejects = Rejects(tmp_path / "rejects.jsonl")
    assert list(rejects) == []
    rejects.extend([])
    assert os.listdir(tmp_path) == []
    rejects.extend([ROW, odd])
    rejects.extend(row for row in [ROW])
    assert list(rejects) == list(rejects) == [ROW, odd, ROW]
    assert list(Rejects(tmp_path / "rejects.jsonl")) == [], "what an earlier run left there goes"


def test_objects_of_a_json_file_can_be_left_out(tmp_path):
    write_json(tmp_path / "a.json", {"name": "x", "files": [{"path": "a"}, {"path": "b"}]})
    found = read_json(tmp_path / "a.json", hook=lambda row: None if "path" in row else row)
    assert found == {"name": "x", "files": [None, None]}


def test_hash_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_full_disk_is_told_with_the_file_that_was_to_be(tmp_path):
    with small_disk(tmp_path / "disk", size="16k") as disk:
        with pytest.raises(OSError, match=rf"No space left on device: '{disk}/a'"):
            write_bytes(disk / "a", b"x" * 65536)
        assert not list(disk.iterdir())


def test_an_error_that_names_its_own_file_keeps_it(tmp_path):
    with pytest.raises(OSError, match="'of another'"), whole_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device", "of another")
    with pytest.raises(OSError, match=r"^no such thing$"), whole_file(tmp_path / "a"):
        raise OSError("no such thing")
