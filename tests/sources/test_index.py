import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from datasets_build.core.config import load_config
from datasets_build.core.files import DataError, read_json, read_rejects
from datasets_build.core.layout import clock_of, read_videos, table_path, video_path, video_root
from datasets_build.core.records import Annotation, Reject, Video
from datasets_build.core.stage import Stage, StageError, output_folder
from datasets_build.core.table import read_table
from datasets_build.engines.local import Local
from datasets_build.sources import index
from datasets_build.sources.folder import FolderConfig, LicenceRule
from datasets_build.sources.index import IndexConfig, build_index
from datasets_build.sources.splits import SplitConfig
from datasets_build.sources.world import WorldConfig
from tests.drawn import VideoSpec, draw_video
from tests.sources import faults

S = 1_000_000_000
SMALL = VideoSpec(frames=10, size=(96, 72))
QUICK = IndexConfig(check_decoders=())


def run(videos: Path, out: Path, config: IndexConfig = QUICK, *, workers: int = 1, force: bool = False) -> Stage:
    with output_folder(out):
        return build_index(videos, out, config, engine=Local(workers), force=force)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rejected(out: Path) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for row in read_rejects(out / "index" / "rejects.jsonl"):
        rows.setdefault(row.item, []).append(row.code)
    return rows


def annotations(out: Path) -> list[Annotation]:
    return list(read_table(table_path(out, Annotation), Annotation))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Good and bad: two plain videos, a copy, a late start with subtitles, captions, and what is no video at all."""
    root = tmp_path_factory.mktemp("corpus") / "videos"
    (root / "sub").mkdir(parents=True)
    draw_video(root / "b.mp4", SMALL)
    draw_video(root / "a.mkv", VideoSpec(frames=12, size=(96, 72)))
    shutil.copyfile(root / "b.mp4", root / "sub" / "copy of b.mp4")
    # 25 frames a second and a first frame at 2 s of the container's timeline.
    draw_video(root / "late.mp4", VideoSpec(frames=50, start=50, size=(96, 72)))
    (root / "late.srt").write_text(
        "1\n00:00:02,000 --> 00:00:02,500\nat the first frame\n\n2\n00:00:03,500 --> 00:00:09,000\ntoo long\n\n"
        "3\n00:00:00,500 --> 00:00:01,000\nbefore the picture\n\n4\nsoon --> later\nlost\n"
    )
    (root / "b.json").write_text('[{"start": 0.1, "end": 0.2, "text": "x"}, {"start": 0, "end": 0.1, "text": "y"}]')
    (root / "sub" / "orphan.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nx\n")
    (root / "damaged.mp4").write_bytes((root / "b.mp4").read_bytes()[:300])
    (root / "damaged.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nx\n")
    (root / "empty.webm").touch()
    (root / "text.mov").write_text("no video")
    os.mkfifo(root / "pipe.avi")
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    # A regular file by its mode, but reading it fails, also for root.
    (root / "broken.mp4").symlink_to(f"/proc/{os.getpid()}/mem")
    (root / "readme.txt").write_text("not ours")
    return root


@pytest.fixture(scope="session")
def built(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    rules = (LicenceRule(match="sub/*", licence="CC0-1.0"),)
    config = IndexConfig(folder=FolderConfig(licences=rules), check_decoders=())
    stage = run(corpus, out, config)
    assert not stage.reused
    return out


def test_every_video_file_is_a_record_or_a_reject(corpus, built):
    videos = read_videos(built)
    assert [video.uri for video in videos] == ["a.mkv", "b.mp4", "late.mp4", "sub/copy of b.mp4"]
    named = {
        path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.suffix in FolderConfig().suffixes
    }
    assert named == {video.uri for video in videos} | (rejected(built).keys() & named)
    assert rejected(built).keys() - named == {"damaged.srt", "late.srt", "sub/orphan.vtt"}
    assert rejected(built)["pipe.avi"] == ["not_a_file"]
    assert rejected(built)["gone.mp4"] == ["dangling_link"]
    assert rejected(built)["broken.mp4"] == ["unreadable"]
    assert rejected(built)["damaged.srt"] == ["video_rejected"]
    assert rejected(built)["sub/orphan.vtt"] == ["orphan"]
    for row in read_rejects(built / "index" / "rejects.jsonl"):
        assert row.item in row.reason
        assert row.action
        assert str(corpus) not in row.model_dump_json()
    counts = Stage.finished(built, "index").counts()
    assert counts == {"files": 10, "videos": 4, "left out": 6, "degraded": 0, "sidecars": 3, "annotations": 4}


def test_records_and_clocks_agree_with_the_files(corpus, built):
    for video in read_videos(built):
        clock = clock_of(built, video)
        assert len(clock) == video.n_frames
        assert video_path(built, video).read_bytes() == (corpus / video.uri).read_bytes()
        assert np.load(built / "index" / video.pts_index).dtype == np.int64
        assert video.source == "folder"
        assert video.status == "ok"
        assert video.decoders == ()
    late = next(video for video in read_videos(built) if video.uri == "late.mp4")
    assert late.start_offset_ns == 2 * S


def test_licences_follow_the_rules(built):
    assert [video.licence for video in read_videos(built)] == ["unknown", "unknown", "unknown", "CC0-1.0"]


def test_copies_stay_in_one_split(built):
    videos = {video.uri: video for video in read_videos(built)}
    first, second = videos["b.mp4"], videos["sub/copy of b.mp4"]
    assert (first.group, first.split) == (second.group, second.split)
    assert first.id != second.id
    assert {video.split for video in videos.values()} == {"train", "validation", "test"}


def test_annotations_follow_the_videos_and_the_clock_of_the_first_frame(built):
    rows = annotations(built)
    order = [video.id for video in read_videos(built)]
    assert [order.index(row.video_id) for row in rows] == sorted(order.index(row.video_id) for row in rows)
    late = [(row.start_ns, row.end_ns, row.text, row.adjusted) for row in rows if row.origin == "subtitles"]
    assert late == [
        (0, S // 2, "at the first frame", None),
        (3 * S // 2, 2 * S, "too long", f"cut to the video from {3 * S // 2}..{7 * S} ns"),
    ]
    assert [row.text for row in rows if row.origin == "captions"] == ["y", "x"]
    assert rejected(built)["late.srt"] == ["bad_time", "outside_video"]


def test_the_stage_is_whole(built):
    assert (built / "rejects.jsonl").read_bytes() == (built / "index" / "rejects.jsonl").read_bytes()
    assert not (built / ".work").exists()
    manifest = read_json(built / "index" / "manifest.json")
    assert isinstance(manifest, dict)
    assert manifest["fields"]["input.files"] == "8 videos, 3 sidecars"
    assert not [name for name in manifest["fields"] if "workers" in name or "world" in name]
    assert {"av", "pysubs2", "python"} <= set(manifest["tools"])


def test_a_second_run_finds_it_done(corpus, tmp_path):
    videos = shutil.copytree(corpus, tmp_path / "videos", symlinks=True, ignore=shutil.ignore_patterns("pipe.avi"))
    run(videos, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "index").iterdir()}
    stage = run(videos, tmp_path / "out", workers=1)
    assert stage.reused
    assert tree(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "index").iterdir()}


def test_the_number_of_workers_changes_no_byte(corpus, tmp_path):
    run(corpus, tmp_path / "one", workers=1)
    run(corpus, tmp_path / "three", workers=3)
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


@pytest.fixture
def small(tmp_path) -> Path:
    """Two short videos in a folder of their own."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(2):
        draw_video(videos / f"{number}.mp4", VideoSpec(frames=3 + number, size=(64, 48)))
    return videos


@pytest.mark.slow
def test_another_setting_is_refused_by_name_and_force_rebuilds(small, tmp_path):
    out = tmp_path / "out"
    run(small, out)
    before = tree(out)
    other = QUICK.model_copy(update={"split": SplitConfig(seed=7)})
    with pytest.raises(StageError, match=r"config\.split\.seed: 0 → 7.*--force"):
        run(small, out, other)
    assert tree(out) == before
    assert not run(small, out, other, force=True).reused
    assert tree(out) != before
    run(small, out, force=True)
    assert tree(out) == before


@pytest.mark.parametrize(
    "update", [{"reject_limit": 0.5}, {"world": WorldConfig(videos=9)}], ids=["reject_limit", "world"]
)
def test_a_setting_that_changes_no_byte_asks_for_no_rebuild(small, tmp_path, update):
    run(small, tmp_path / "out")
    assert run(small, tmp_path / "out", QUICK.model_copy(update=update)).reused


def test_changed_inputs_are_refused_by_name(small, tmp_path):
    out = tmp_path / "out"
    run(small, out)
    draw_video(small / "new one.mp4", VideoSpec(frames=2, size=(64, 48)))
    with pytest.raises(StageError, match=r"input files: new new one\.mp4$"):
        run(small, out)
    (small / "0.mp4").unlink()
    (small / "1.mp4").write_bytes(b"x")
    (small / "1.srt").write_text("1\n00:00:00,000 --> 00:00:00,050\nx\n")
    with pytest.raises(StageError, match=r"gone 0\.mp4, changed 1\.mp4, new 1\.srt and 1 more"):
        run(small, out)
    assert not run(small, out, force=True).reused
    assert [video.uri for video in read_videos(out)] == ["new one.mp4"]


def test_a_pipe_that_appears_is_a_change_too(small, tmp_path):
    run(small, tmp_path / "out")
    os.mkfifo(small / "pipe.mp4")
    with pytest.raises(StageError, match=r"new pipe\.mp4"):
        run(small, tmp_path / "out")


def test_a_folder_that_moved_is_a_change_too(small, tmp_path):
    run(small, tmp_path / "out")
    small.rename(tmp_path / "moved")
    with pytest.raises(StageError, match=r"input\.root: .*videos → .*moved"):
        run(tmp_path / "moved", tmp_path / "out")


def test_videos_inside_out_move_with_it(tmp_path):
    out = tmp_path / "out"
    (out / "videos").mkdir(parents=True)
    draw_video(out / "videos" / "a.mp4", SMALL)
    run(out / "videos", out)
    assert read_json(out / "index" / "source.json") == {"root": "videos"}
    out.rename(tmp_path / "moved")
    (video,) = read_videos(tmp_path / "moved")
    assert video_path(tmp_path / "moved", video).is_file()
    assert run(tmp_path / "moved" / "videos", tmp_path / "moved").reused


def test_out_inside_videos_is_not_walked(small):
    run(small, small / "out")
    (small / "out" / "index" / "stray.mp4").touch()
    assert run(small, small / "out").reused
    assert video_root(small / "out") == small


def test_one_file_is_a_corpus(small, tmp_path):
    run(small / "1.mp4", tmp_path / "out")
    assert [video.uri for video in read_videos(tmp_path / "out")] == ["1.mp4"]
    assert video_root(tmp_path / "out") == small


def test_odd_names_reach_the_decoder(tmp_path, monkeypatch):
    names = ["-x.mp4", "a b.mp4", "concat:a.mp4", "line\nbreak.mp4", "été 汉字.mp4"]
    (tmp_path / "v").mkdir()
    draw_video(tmp_path / "v" / names[0], VideoSpec(frames=2, size=(64, 48)))
    for name in names[1:]:
        shutil.copyfile(tmp_path / "v" / names[0], tmp_path / "v" / name)
    # As the command line would give it: a relative path, which a decoder could take for a protocol or an option.
    monkeypatch.chdir(tmp_path / "v")
    run(Path(), tmp_path / "out")
    assert [video.uri for video in read_videos(tmp_path / "out")] == names
    assert read_rejects(tmp_path / "out" / "rejects.jsonl") == []


def test_not_one_usable_video_is_an_error_after_the_reasons_are_written(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_text("no video")
    (tmp_path / "v" / "b.mp4").touch()
    for _ in range(2):
        with pytest.raises(DataError, match=r"not one of 2 video files can be used; .*rejects\.jsonl says why"):
            run(tmp_path / "v", tmp_path / "out")
        assert [row.item for row in read_rejects(tmp_path / "out" / "rejects.jsonl")] == ["a.mp4", "b.mp4"]
    assert read_videos(tmp_path / "out") == []


def test_too_many_rejects_are_an_error_after_everything_is_written(small, tmp_path):
    (small / "bad.mp4").touch()
    strict = QUICK.model_copy(update={"reject_limit": 0.3})
    with pytest.raises(DataError, match=r"1 of 3 video files were left out, expected at most a share of 0\.3"):
        run(small, tmp_path / "out", strict)
    assert len(read_videos(tmp_path / "out")) == 2
    assert run(small, tmp_path / "out", QUICK.model_copy(update={"reject_limit": 0.34})).reused


def test_nothing_to_index_leaves_nothing(tmp_path):
    (tmp_path / "v").mkdir()
    with pytest.raises(DataError, match="holds no video"):
        run(tmp_path / "v", tmp_path / "out")
    with pytest.raises(DataError, match="No such file"):
        run(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_few_videos_fill_few_splits_and_say_so(small, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "datasets_build"):
        run(small, tmp_path / "out")
    assert {video.split for video in read_videos(tmp_path / "out")} == {"train", "test"}
    assert "2 different videos do not fill every split" in caplog.text


def test_files_that_take_a_process_down_cost_themselves_only(small, tmp_path, monkeypatch):
    for name in ("crash.mp4", "bug.mp4"):
        shutil.copyfile(small / "1.mp4", small / name)
    monkeypatch.setattr(index, "examine", faults.examine)
    run(small, tmp_path / "out")
    assert [video.uri for video in read_videos(tmp_path / "out")] == ["0.mp4", "1.mp4"]
    rows = {row.item: row for row in read_rejects(tmp_path / "out" / "rejects.jsonl")}
    assert {item: row.code for item, row in rows.items()} == {
        "bug.mp4": "decoder_failed",
        "crash.mp4": "decoder_crashed",
    }
    assert rows["crash.mp4"].reason == "crash.mp4: PyAV crashed: the process ended with SIGSEGV"
    assert "nobody foresaw bug.mp4" in rows["bug.mp4"].reason


@pytest.mark.slow
def test_files_that_hang_cost_themselves_only(small, tmp_path, monkeypatch):
    for name in ("hang.mp4", "decoder hang.mp4"):
        shutil.copyfile(small / "1.mp4", small / name)
    monkeypatch.setattr(index, "examine", faults.examine_hanging)
    monkeypatch.setattr(index, "try_decoder", faults.try_decoder)
    # Long enough for a child to start on a busy machine.
    run(small, tmp_path / "out", IndexConfig(deadline_s=20.0, deadline_per_mb_s=0.0))
    trusts = {video.uri: video.decoders for video in read_videos(tmp_path / "out")}
    assert {uri: [trust.trusted for trust in found] for uri, found in trusts.items()} == {
        "0.mp4": [True, True],
        "1.mp4": [True, True],
        "decoder hang.mp4": [False, True],
    }
    rows = {row.item: row for row in read_rejects(tmp_path / "out" / "rejects.jsonl")}
    assert {item: row.code for item, row in rows.items()} == {
        "decoder hang.mp4": "decord_hung",
        "hang.mp4": "decoder_hung",
    }
    assert "no result within 20" in rows["hang.mp4"].reason


def test_a_file_that_cannot_even_be_hashed_is_a_reject(small, tmp_path, monkeypatch):
    shutil.copyfile(small / "1.mp4", small / "crash.mp4")
    monkeypatch.setattr(index, "digest", faults.digest)
    run(small, tmp_path / "out")
    assert rejected(tmp_path / "out") == {"crash.mp4": ["unreadable"]}


def test_a_decoder_that_takes_a_process_down_is_not_trusted(small, tmp_path, monkeypatch):
    for name in ("crash.mp4", "bug.mp4"):
        shutil.copyfile(small / "1.mp4", small / name)
    monkeypatch.setattr(index, "try_decoder", faults.try_decoder)
    run(small, tmp_path / "out", IndexConfig())
    trusts = {video.uri: {trust.name: trust for trust in video.decoders} for video in read_videos(tmp_path / "out")}
    assert {uri: trust["decord"].trusted for uri, trust in trusts.items()} == {
        "0.mp4": True, "1.mp4": True, "bug.mp4": False, "crash.mp4": False,
    }  # fmt: skip
    assert all(trust["torchcodec"].trusted for trust in trusts.values())
    assert trusts["crash.mp4"]["decord"].reason == "decord crashed: the process ended with SIGSEGV"
    assert rejected(tmp_path / "out") == {"bug.mp4": ["decord_failed"], "crash.mp4": ["decord_crashed"]}
    assert Stage.finished(tmp_path / "out", "index").counts()["left out"] == 0


def test_real_decoders_are_asked(small, tmp_path):
    run(small, tmp_path / "out", IndexConfig(check_decoders=("decord",)))
    for video in read_videos(tmp_path / "out"):
        assert [(trust.name, trust.trusted) for trust in video.decoders] == [("decord", True)]


def test_a_drawn_world_is_a_corpus_with_its_truth(tmp_path):
    out = tmp_path / "out"
    config = IndexConfig(
        source="world", world=WorldConfig(videos=3, seconds=4, width=128, height=128), check_decoders=()
    )
    run(out / "videos", out, config)
    videos, rows = read_videos(out), annotations(out)
    assert [video.source for video in videos] == ["world"] * 3
    assert read_rejects(out / "rejects.jsonl") == []
    for video in videos:
        truth = json.loads((out / "videos" / video.uri).with_suffix(".world.json").read_text())
        assert [row.text for row in rows if row.video_id == video.id] == [
            row["text"] for row in sorted(truth["annotations"], key=lambda row: (row["start_ns"], row["end_ns"]))
        ]
        clock = clock_of(out, video)
        assert all(clock.on_grid(row.start_ns) for row in rows if row.video_id == video.id)
    assert run(out / "videos", out, config).reused


@pytest.mark.parametrize(
    "override",
    ["source=hub", "deadline_s=0", "reject_limit=2", "check_decoders=[opencv]", "workers=2", "split.train=0.5"],
)
def test_settings_are_checked(override):
    with pytest.raises((DataError, ValidationError), match=override.split("=")[0].split(".")[0]):
        load_config(IndexConfig, None, [override])


def test_a_reject_row_reads_back(built):
    lines = (built / "rejects.jsonl").read_text().splitlines()
    assert all(Reject.model_validate_json(line).stage == "index" for line in lines)
    assert Video.model_validate(read_videos(built)[0].model_dump()) == read_videos(built)[0]
