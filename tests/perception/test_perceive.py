import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from datasets_build.core.files import DataError
from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Video
from datasets_build.core.stage import StageError, output_folder
from datasets_build.core.table import read_table, write_table
from datasets_build.engines.local import Local
from datasets_build.perception import perceive as perceive_stage
from datasets_build.perception.clip import ClipConfig, ClipError
from datasets_build.perception.perceive import PerceiveConfig, Task, perceive, perceive_one
from datasets_build.perception.shots import ShotsConfig
from datasets_build.sources.index import IndexConfig, build_index
from tests.drawn import VideoSpec, draw_video
from tests.pipeline import tree_bytes


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """An index of three drawn videos; tests copy it."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "clips").mkdir()
    for number in range(3):
        draw_video(folder / f"clips/{number}.mp4", VideoSpec(frames=40 + number))
    out = folder / "out"
    with output_folder(out):
        build_index(folder / "clips", out, IndexConfig(check_decoders=()), engine=Local(1), force=False)
    return folder


@pytest.fixture
def out(indexed, tmp_path):
    shutil.copytree(indexed, tmp_path / "w")
    source = tmp_path / "w/out/index/source.json"
    source.write_text(json.dumps({"root": str(tmp_path / "w/clips")}))
    return tmp_path / "w/out"


def rejects(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def test_every_video_is_perceived_in_index_order(out):
    stage = perceive(out, PerceiveConfig(), engine=Local(2))
    assert stage.counts()["videos"] == 3
    order = [video.id for video in read_videos(out)]
    for model in (Shot, Keyframe, Signals):
        seen = [row.video_id for row in read_table(table_path(out, model), model)]
        assert list(dict.fromkeys(seen)) == order
    assert rejects(out) == []
    assert perceive(out, PerceiveConfig(), engine=Local(1)).reused


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(out):
    perceive(out, PerceiveConfig(), engine=Local(1))
    first = tree_bytes(out / "perceive")
    shutil.rmtree(out / "perceive")
    perceive(out, PerceiveConfig(), engine=Local(3))
    assert tree_bytes(out / "perceive") == first


@pytest.mark.slow
def test_a_changed_setting_is_refused_by_name(out):
    perceive(out, PerceiveConfig(), engine=Local(2))
    before = tree_bytes(out)
    changed = PerceiveConfig(shots=ShotsConfig(threshold=2.5))
    with pytest.raises(StageError, match=r"config\.shots\.threshold: 3\.0 → 2\.5"):
        perceive(out, changed, engine=Local(2))
    assert tree_bytes(out) == before
    perceive(out, changed, engine=Local(2), force=True)
    assert next(read_table(table_path(out, Shot), Shot)).detector.parameters[0].value == 2.5


def test_without_an_index_the_command_is_named(tmp_path):
    with pytest.raises(StageError, match="datasets_build index"):
        perceive(tmp_path, PerceiveConfig(), engine=Local(1))


@pytest.mark.slow
def test_what_still_runs_for_a_lost_node_meets_nobody(out):
    video = read_videos(out)[0]
    task = Task(out, video, PerceiveConfig(), "pyav", out / "parts" / f".{video.id}.pyav")
    perceive_one(task)
    whole = tree_bytes(task.to)
    assert "shots.parquet" in whole
    # It ends after its successor, whose result stands as it was.
    perceive_one(task)
    assert tree_bytes(task.to) == whole
    assert os.listdir(task.to.parent) == [task.to.name]
    # And one that fails leaves nothing.
    with pytest.raises(DataError, match=r"40 frames .* expected 3"):
        perceive_one(replace(task, decoder="torchcodec", video=video.model_copy(update={"n_frames": 3})))
    assert os.listdir(task.to.parent) == [task.to.name]


@pytest.mark.slow
def test_the_rest_of_a_run_that_was_killed_is_cleared(out):
    rest = out / ".work/perceive/parts/.x.pyav.0123"
    perceive(out, PerceiveConfig(), engine=Local(2))
    expected = tree_bytes(out)
    shutil.rmtree(out / "perceive")
    rest.mkdir(parents=True)
    (rest / ".shots.parquet.part").write_bytes(b"half")
    perceive(out, PerceiveConfig(), engine=Local(2))
    assert tree_bytes(out) == expected


@pytest.mark.slow
def test_a_file_that_changed_or_went_stops_the_run_and_costs_nothing(out):
    _, second, third = read_videos(out)
    clips = out.parent / "clips"
    kept = (clips / second.uri).read_bytes()
    (clips / second.uri).write_bytes(b"another")
    with pytest.raises(DataError, match=f"{second.uri}: has changed since it was indexed"):
        perceive(out, PerceiveConfig(), engine=Local(2))
    (clips / second.uri).unlink()
    with pytest.raises(DataError, match=f"{second.uri}: is gone"):
        perceive(out, PerceiveConfig(), engine=Local(2))
    (clips / second.uri).write_bytes(kept)
    (out / "index" / third.pts_index).rename(out / "kept.npy")
    with pytest.raises(DataError, match=r"\.npy: is gone"):
        perceive(out, PerceiveConfig(), engine=Local(2))
    (out / "kept.npy").rename(out / "index" / third.pts_index)
    assert perceive(out, PerceiveConfig(), engine=Local(2)).counts()["videos"] == 3


@pytest.mark.slow
def test_a_video_that_no_decoder_finishes_costs_a_row_and_not_the_run(out):
    # The index promises more frames than the file has: both decoders say so, the other videos go on.
    bad = read_videos(out)[1]
    longer = bad.model_copy(update={"n_frames": bad.n_frames + 5, "duration_ns": bad.duration_ns + 200_000_000})
    pts = np.arange(longer.n_frames, dtype=np.int64) * 512
    np.save(out / "index" / bad.pts_index, pts)
    rows = [longer if video.id == bad.id else video for video in read_videos(out)]
    write_table(table_path(out, Video), Video, rows)
    stage = perceive(out, PerceiveConfig(), engine=Local(2))
    assert stage.counts()["videos"] == 2
    found = rejects(out)
    assert {row["item"] for row in found} == {bad.uri}
    assert [row["reason"].split()[0] for row in found] == ["pyav", "torchcodec"]
    assert all(row["action"] == "left out; repair or convert the file" for row in found)


def perceive_or_die(task):
    """Perceive, but PyAV takes its process down in the middle of one video; runs in a worker."""
    if (task.decoder, task.video.uri) == ("pyav", "1.mp4"):
        task.to.mkdir(parents=True)
        (task.to / "shots.parquet").write_bytes(b"half a table")
        os.kill(os.getpid(), signal.SIGKILL)
    perceive_one(task)


@pytest.mark.slow
def test_a_crashed_worker_costs_one_process_and_the_fallback_is_recorded(out, monkeypatch):
    monkeypatch.setattr(perceive_stage, "perceive_one", perceive_or_die)
    stage = perceive(out, PerceiveConfig(fallback="decord"), engine=Local(1))
    assert stage.counts()["videos"] == 3
    (row,) = rejects(out)
    assert row["code"] == "decoder_crashed"
    assert "SIGKILL" in row["reason"]
    assert row["action"] == "decord decoded it instead"
    decoders = {shot.detector.decoder for shot in read_table(table_path(out, Shot), Shot)}
    assert decoders == {"pyav", "decord"}


def test_a_video_past_its_deadline_is_left_out_with_a_reason(out):
    config = PerceiveConfig(deadline_s=0.001, deadline_per_s=0.0)
    with pytest.raises(DataError, match="not one of 3 videos"):
        perceive(out, config, engine=Local(1))
    assert not (out / "perceive").exists()


@pytest.mark.slow
def test_weights_that_cannot_be_loaded_stop_the_run_before_it_starts(out):
    config = PerceiveConfig(clip=ClipConfig(model="local-dir:/no/such/folder"))
    with pytest.raises((ClipError, ValueError), match="cannot be loaded"):
        perceive(out, config, engine=Local(1))
    assert not (out / "perceive").exists()
