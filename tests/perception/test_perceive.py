import json
import os
import shutil
import signal
import subprocess
import sys
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
from datasets_build.perception.clip import TINY, ClipConfig, ClipError
from datasets_build.perception.perceive import PerceiveConfig, Task, perceive, perceive_one, short_ones
from datasets_build.perception.shots import ShotsConfig
from datasets_build.sources.index import IndexConfig, build_index
from tests.core.test_layout import video
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
    perceive(out, PerceiveConfig(shots=ShotsConfig(detector="adaptive")), engine=Local(2))
    before = tree_bytes(out)
    changed = PerceiveConfig(shots=ShotsConfig(detector="adaptive", threshold=2.5))
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


def test_what_a_power_cut_has_torn_is_made_again_and_what_is_whole_is_kept(out, caplog):
    expected = perceive_stage_bytes(out)
    parts = out / ".work/perceive/parts"
    torn, *whole = [parts / f"{each.id}.pyav" for each in read_videos(out)]
    for each, part in zip(read_videos(out), (torn, *whole), strict=True):
        perceive_one(Task(out, each, PerceiveConfig(), "pyav", part))
    (torn / "scenes.parquet").write_bytes((torn / "scenes.parquet").read_bytes()[:100])
    shutil.rmtree(out / "perceive")
    perceive(out, PerceiveConfig(), engine=Local(1))
    assert tree_bytes(out / "perceive") == expected
    assert [record for record in caplog.messages if "torn" in record] == [m for m in caplog.messages if torn.name in m]


def perceive_stage_bytes(out):
    perceive(out, PerceiveConfig(), engine=Local(1))
    return tree_bytes(out / "perceive")


def test_a_damaged_video_is_decoded_on_one_core_whoever_works():
    sound = video("v")
    shown = [perceive_stage._cores(each, sound.duration_ns, Local(4)) for each in (sound, damaged(sound))]
    assert shown == [4, 1]


def damaged(sound):
    return sound.model_copy(update={"status": "degraded"})


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
    counts = stage.counts()
    assert counts["videos"] == 2
    # All frames of the index: those that were decoded, and those that went with their video.
    assert (counts["frames"], counts["frames left out"]) == (40 + 42, 41 + 5)
    found = rejects(out)
    assert {row["item"] for row in found} == {bad.uri}
    assert [row["reason"].split()[0] for row in found] == ["pyav", "torchcodec"]
    assert all(row["action"] == "left out with its 46 frames; repair or convert the file" for row in found)


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


def tasks(*seconds):
    return [
        Task(None, video(str(k), duration_ns=int(length * 1e9)), PerceiveConfig(), "pyav", None)
        for k, length in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("seconds", "groups"),
    [
        ((), []),
        ((5,), []),
        ((5, 5, 5), ["012"]),
        ((30, 30, 30, 30), ["01", "23"]),
        # A long one is alone, and so is who has no neighbour left.
        ((20, 90, 20, 20), ["23"]),
        ((61, 59, 2), []),
        ((0, 60, 0), ["012"]),
        # No more than a batch has room for.
        ((1,) * 9, ["0123", "4567"]),
    ],
)
def test_short_videos_in_a_row_come_together(seconds, groups):
    found = short_ones(tasks(*seconds), together_ns=60_000_000_000, most=4)
    assert ["".join(task.video.id for task in group) for group in found] == groups


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_shared_batches_change_no_byte_of_what_is_published(out, monkeypatch):
    monkeypatch.setattr(perceive_stage, "CALLS", 1)
    found, calls = [], []
    for together_s in (60.0, 0.0):
        engine = Noting()
        perceive(out, PerceiveConfig(clip=ClipConfig(model=TINY, together_s=together_s)), engine=engine)
        calls.append([call for call in engine.calls if call[0].startswith("perceive")])
        found.append({path.name: path.read_bytes() for path in (out / "perceive").glob("*.parquet")})
        shutil.rmtree(out / "perceive")
    assert calls == [[("perceive_together", 1), ("perceive_one", 0)], [("perceive_one", 3)]]
    assert found[0] == found[1]
    assert set(found[0]) == {"shots.parquet", "scenes.parquet", "keyframes.parquet", "signals.parquet"}


class Noting:
    """This machine, with one worker, and what was asked of it."""

    def __init__(self):
        self.calls, self._engine = [], Local(1)

    def require(self, paths):
        self._engine.require(paths)

    def cores(self, share):
        return self._engine.cores(share)

    def run_each(self, function, items, **limits):
        self.calls.append((function.__name__, len(items)))
        return self._engine.run_each(function, items, **limits)


@pytest.mark.slow
def test_a_video_that_fails_among_others_costs_them_nothing(out, caplog, monkeypatch):
    monkeypatch.setattr(perceive_stage, "CALLS", 1)
    bad = read_videos(out)[1]
    longer = bad.model_copy(update={"n_frames": bad.n_frames + 5, "duration_ns": bad.duration_ns + 200_000_000})
    np.save(out / "index" / bad.pts_index, np.arange(longer.n_frames, dtype=np.int64) * 512)
    rows = [longer if video.id == bad.id else video for video in read_videos(out)]
    write_table(table_path(out, Video), Video, rows)
    stage = perceive(out, PerceiveConfig(clip=ClipConfig(model=TINY)), engine=Local(2))
    assert stage.counts()["videos"] == 2
    assert {row["item"] for row in rejects(out)} == {bad.uri}
    # The model says what it does not know, and so does every row.
    assert "knows nothing of real video" in caplog.text
    embedders = {row.embedder for row in read_table(table_path(out, Keyframe), Keyframe)}
    assert {(one.name, one.precision) for one in embedders} == {("tiny-clip-of-drawn-shapes", "fp32")}


@pytest.mark.slow
def test_the_precision_of_auto_is_settled_once_and_stands_in_the_fingerprint(out, monkeypatch):
    config = PerceiveConfig(clip=ClipConfig(model=TINY, precision="auto"))
    monkeypatch.setattr(perceive_stage, "fastest", in_bfloat16)
    perceive(out, config, engine=Local(1))
    manifest = json.loads((out / "perceive/manifest.json").read_text())
    assert manifest["fields"]["config.clip.precision"] == "'bf16'"
    assert {row.embedder.precision for row in read_table(table_path(out, Keyframe), Keyframe)} == {"bf16"}
    # Another machine would choose otherwise; the folder stays of one kind.
    monkeypatch.setattr(perceive_stage, "fastest", in_float32)
    assert perceive(out, config, engine=Local(1)).reused
    perceive(out, config, engine=Local(1), force=True)
    assert {row.embedder.precision for row in read_table(table_path(out, Keyframe), Keyframe)} == {"fp32"}
    with pytest.raises(StageError, match=r"config.clip.precision: 'fp32' → 'bf16'"):
        perceive(out, PerceiveConfig(clip=ClipConfig(model=TINY, precision="bf16")), engine=Local(1))


def in_bfloat16(_config):
    """A trial that bfloat16 wins; runs in a worker."""
    return "bf16"


def in_float32(_config):
    return "fp32"


@pytest.mark.slow
def test_without_a_model_the_signature_serves_and_the_log_says_so(out, caplog):
    perceive(out, PerceiveConfig(), engine=Local(1))
    assert "no CLIP weights given" in caplog.text
    assert not any(row.embedder.is_semantic for row in read_table(table_path(out, Keyframe), Keyframe))


def test_nobody_loads_what_the_settings_do_not_ask_for():
    # Torch takes 400 MB and seconds of every worker, PySceneDetect a tenth of a second.
    code = (
        "import sys, datasets_build.perception.perceive; from datasets_build.perception.shots import *; "
        "open_finder(ShotsConfig()); print([name for name in ('torch', 'scenedetect') if name in sys.modules]); "
        "open_finder(ShotsConfig(detector='content')); print('scenedetect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"
