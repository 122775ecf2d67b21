import json
import shutil

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image
from typer.testing import CliRunner

from datasets_build.__main__ import app
from datasets_build.core.files import DataError, read_json, read_rejects
from datasets_build.core.layout import clock_of, read_videos
from datasets_build.core.stage import StageError
from datasets_build.formats import chats
from datasets_build.formats.chats import read_infos
from datasets_build.formats.export import FORMATS, export
from datasets_build.formats.format import FormatError, Options
from datasets_build.formats.hf import push_to_hub
from datasets_build.formats.rows import ROWS
from datasets_build.formats.source import made_of
from datasets_build.formats.stamped import SETTLED
from datasets_build.formats.verify import check_export
from tests.pipeline import tree_bytes

NAMES = tuple(ROWS)
DATASETS = ("streaming_qa", "frame_events", "dialogue")


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", NAMES)
def test_every_format_of_every_dataset_passes_the_check(exported, out, name, dataset):
    folder = exported(name, dataset, fps="1")
    assert check_export(folder, out) == []
    assert made_of(folder).dataset == dataset
    asked = Options(fps="1").model_copy(update=SETTLED.get(name, {}))
    assert (made_of(folder).format, made_of(folder).options) == (name, asked)


@pytest.mark.parametrize("name", NAMES)
def test_windows_and_turns_and_the_native_grid_pass_the_check(exported, out, name):
    assert check_export(exported(name, fps="native", max_steps=40, size=32, layout="turns"), out) == []


@pytest.mark.parametrize("name", ["ms-swift", "webdataset", "trl"])
def test_the_same_command_gives_the_same_bytes(exported, out, tmp_path, name):
    first = exported(name, fps="1")
    again = tmp_path / first.name
    done = export(out / "dialogue", name, again, Options(fps="1"))
    assert not done.stage.reused
    assert tree_bytes(again) == tree_bytes(first)
    stamps = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    done = export(out / "dialogue", name, again, Options(fps="1"))
    assert done.stage.reused
    assert done.losses[0].startswith("lost: ")
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == stamps


def test_frames_are_those_of_the_grid_at_their_times(exported, out):
    folder = exported("ms-swift", fps="1", size=32)
    for video in read_videos(out):
        clock = clock_of(out, video)
        grid = clock.grid(Options(fps="1").rate).tolist()
        files = sorted((folder / "frames" / video.id).glob("*.jpg"))
        assert [int(path.stem) for path in files] == grid
        with Image.open(files[-1]) as picture:
            assert picture.size == (32, 24)


def test_splits_licences_and_provenance_are_kept(exported, out):
    folder = exported("ms-swift", "streaming_qa", fps="1")
    videos = {video.id: video for video in read_videos(out)}
    infos = {info.id: info for info in read_infos(folder)}
    for split in ("train", "test"):
        rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        assert rows
        for row in rows:
            info = infos.pop(row["id"])
            video = videos[info.video_id]
            assert (info.split, video.split) == (split, split)
            assert (info.licence, info.sha256, info.uri) == (video.licence, video.sha256, video.uri)
    assert not infos
    card = (folder / "README.md").read_text()
    assert "CC0-1.0: 3 videos" in card
    assert "--strict true" in card
    listed = {entry["path"] for entry in read_json(folder / "manifest.json")["files"]}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert present == listed | {"manifest.json"}


def test_a_stopped_export_leaves_nothing_and_goes_on_where_it_was(exported, out, tmp_path, monkeypatch):
    to, seen = tmp_path / "export", []
    save = chats.save_frames

    def stop(reel, indices, job):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(reel.video.id)
        return save(reel, indices, job)

    with monkeypatch.context() as patched:
        patched.setattr(chats, "save_frames", stop)
        with pytest.raises(KeyboardInterrupt):
            export(out / "dialogue", "ms-swift", to, Options(fps="1"))
    assert not to.exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / ".work").rglob("*.jpg")}
    assert len({path.parent for path in kept}) == 2
    export(out / "dialogue", "ms-swift", to, Options(fps="1"))
    assert not (tmp_path / ".work").exists()
    frames = {path.name: path.stat().st_mtime_ns for path in (to / "frames" / seen[0]).iterdir()}
    assert frames == {path.name: stamp for path, stamp in kept.items() if path.parent.name == seen[0]}
    whole, other = tree_bytes(to), tree_bytes(exported("ms-swift", fps="1"))
    assert {key: whole[key] for key in whole if key != "manifest.json"} == {
        key: other[key] for key in other if key != "manifest.json"
    }


def test_other_options_are_refused_until_forced(out, tmp_path):
    to = tmp_path / "export"
    export(out / "dialogue", "ms-swift", to, Options(fps="1"))
    with pytest.raises(StageError, match=r"config\.fps: '1' → '1/2'"):
        export(out / "dialogue", "ms-swift", to, Options(fps="1/2"))
    export(out / "dialogue", "ms-swift", to, Options(fps="1/2"), force=True)
    assert check_export(to, out) == []


def test_a_video_that_is_gone_is_a_reject_and_the_others_stay(out, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    gone, broken, _ = read_videos(copy)
    (copy / "videos" / gone.uri).unlink()
    (copy / "videos" / broken.uri).write_bytes(b"no video")
    to = tmp_path / "export"
    done = export(copy / "dialogue", "llamafactory", to, Options(fps="1"))
    rejects = {row.item: row for row in read_rejects(to / "rejects.jsonl")}
    assert set(rejects) == {gone.uri, broken.uri}
    assert rejects[gone.uri].code == "no_file"
    assert str(tmp_path) not in rejects[broken.uri].reason
    assert done.counts["videos"] == 1
    assert check_export(to, out) == []


def test_an_export_of_nothing_is_refused(out, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    for video in read_videos(copy):
        (copy / "videos" / video.uri).unlink()
    with pytest.raises(FormatError, match=r"nothing can be exported; clip-0\.mp4: clip-0\.mp4: no such file"):
        export(copy / "dialogue", "hf", tmp_path / "export", Options())
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("dataset", "name", "to", "words"),
    [
        ("dialogue", "csv", "x", "format 'csv' is unknown, expected one of ms-swift"),
        ("events", "trl", "x", "expected a dataset folder such as OUT/streaming_qa"),
        ("dialogue", "trl", "out/dialogue/x", "expected a folder outside the output"),
    ],
)
def test_what_cannot_be_exported_is_said(out, dataset, name, to, words):
    with pytest.raises(DataError, match=words):
        export(out / dataset, name, out.parent / to, Options())


def test_the_command_line_prints_the_losses(out, tmp_path):
    arguments = ["export", str(out / "dialogue"), "--format", "trl", "--to", str(tmp_path / "x"), "layout=turns"]
    done = CliRunner().invoke(app, [*arguments, "--fps", "1", "--size", "32", "--max-steps", "3"])
    assert done.exit_code == 0, done.output
    assert "lost: turn.task:" in done.output
    assert f"{tmp_path}/x: complete: " in done.output
    assert made_of(tmp_path / "x").options == Options(fps="1", size=32, max_steps=3, layout="turns")


def test_load_dataset_reads_what_goes_to_the_hub(exported):
    folder = exported("hf", fps="1")
    rows = load_dataset(str(folder))
    assert set(rows) == {"train", "test"}
    for row in rows["train"]:
        assert len(row["images"]) == len(row["t_ns"]) == len(row["state"])
        assert row["images"][0].size == (64, 48)
        assert sum(part["type"] == "image" for each in row["messages"] for part in each["content"]) == len(row["t_ns"])


def test_large_splits_go_into_several_files(exported, out):
    folder = exported("webdataset", "streaming_qa", fps="1", shard=3)
    assert len(list(folder.glob("train-*.tar"))) > 2
    assert check_export(folder, out) == []
    folder = exported("trl", "streaming_qa", fps="1", shard=3)
    assert len(list(folder.glob("data/train-*.parquet"))) > 2
    assert check_export(folder, out) == []
    assert load_dataset(str(folder), split="train").num_rows == read_json(folder / "manifest.json")["counts"]["train"]


def test_exports_of_one_name_and_one_size_do_not_share_a_cache(exported, tmp_path):
    cards = []
    for fps in ("1", "2"):
        folder = tmp_path / fps / "same"
        shutil.copytree(exported("trl", "streaming_qa", fps=fps), folder)
        cards.append((folder / "README.md").read_text().split("---")[1])
        loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        rows = [row for path in sorted(folder.glob("data/train-*")) for row in pq.read_table(path).to_pylist()]
        assert [len(row["images"]) for row in loaded] == [len(row["images"]) for row in rows]
    assert cards[0] != cards[1]


def test_a_push_sends_the_whole_folder(exported, tmp_path):
    class Local:
        """A hub that is a folder."""

        def create_repo(self, repo_id, *, repo_type, private, exist_ok):
            assert (repo_type, private, exist_ok) == ("dataset", True, True)
            (tmp_path / repo_id).mkdir(parents=True)

        def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message):
            assert (repo_type, commit_message) == ("dataset", "streamvl export")
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)

    folder = exported("hf", fps="1")
    push_to_hub(folder, "me/streams", Local(), private=True)
    assert tree_bytes(tmp_path / "me" / "streams") == tree_bytes(folder)
    assert check_export(tmp_path / "me" / "streams") == []
    with pytest.raises(FormatError, match="is an export for trl, expected one of the format hf"):
        push_to_hub(exported("trl", fps="1"), "me/other", Local(), private=True)


def test_all_formats_can_be_checked():
    assert set(ROWS) <= set(FORMATS)
    assert all(name == form.NAME for name, form in FORMATS.items())
