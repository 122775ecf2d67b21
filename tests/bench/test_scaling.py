"""The benchmark of scale draws what it says and measures the command; records are drawn as they are written."""

import os
import sys
import tracemalloc
from collections import Counter

import pytest

from datasets_build.builders.build import build_events
from datasets_build.builders.events import EventsConfig
from datasets_build.core.layout import clock_of, each_video
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Annotation
from datasets_build.core.table import count_rows, read_table
from tests.augment.folders import tree
from tests.bench import scaling
from tests.bench.scaling import MOST, STAGES, Cost, lines_of, main, measure, used_by
from tests.bench.scaling_records import scene, write_records

ENDS = [sys.executable, "-c"]


def test_the_records_are_those_of_a_finished_folder(tmp_path):
    out = write_records(tmp_path / "out", 12)
    videos = list(each_video(out))
    assert len(videos) == len({video.id for video in videos}) == 12
    for number, video in enumerate(videos):
        assert video == scene(number).video
        assert len(clock_of(out, video)) == video.n_frames
        assert 6 <= video.duration_ns / 1e9 <= 12.2
    for model, name in ((Annotation, "index/annotations"), (Shot, "perceive/shots"), (Signals, "perceive/signals")):
        rows = Counter(row.video_id for row in read_table(out / f"{name}.parquet", model))
        assert set(rows) == {video.id for video in videos}
        assert max(rows.values()) <= 8
    assert count_rows(out / "perceive/keyframes.parquet", Keyframe) >= 12
    found = build_events(out, EventsConfig())
    assert found.counts()["videos"] == 12
    assert found.counts()["events"] >= 36


def test_the_first_videos_of_many_are_the_few(tmp_path):
    few, many = write_records(tmp_path / "few", 3), write_records(tmp_path / "many", 9)
    assert list(each_video(few)) == list(each_video(many))[:3]
    assert tree(write_records(tmp_path / "again", 3)) == tree(few)
    other = write_records(tmp_path / "other", 3, seed=1)
    assert [row.duration_ns for row in each_video(other)] != [row.duration_ns for row in each_video(few)]


def test_drawing_holds_a_part_of_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.bench.scaling_records._AT_ONCE", 5)
    peaks = []
    write_records(tmp_path / "warm", 10)
    for videos in (10, 60):
        tracemalloc.start()
        write_records(tmp_path / f"{videos}", videos)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def cost(**changes):
    plain = {"stage": "events", "videos": 1_000, "records": 4_000, "cpu_s": 2.0, "peak": 200_000_000}
    return Cost(**plain | changes)


def test_memory_that_grows_is_told():
    memory, speed = lines_of(cost(), cost(videos=10_000, records=40_000, cpu_s=25.0, peak=250_000_000))
    assert memory.value == 1.25
    assert memory.passed
    assert speed.value == pytest.approx(0.8)
    assert speed.passed, "speed is reported, and no reason to fail"
    assert "10,000 videos" in memory.what
    assert speed.ours == "1,600, 2.5 ms a video"
    grown, _ = lines_of(cost(), cost(videos=10_000, peak=270_000_000))
    assert not grown.passed


def test_a_command_is_measured_to_the_file_it_makes(tmp_path):
    there = tmp_path / "there"
    code = f"import time; x = bytearray(150_000_000); open({str(there)!r}, 'w').close(); time.sleep(600)"
    used = used_by([*ENDS, code], until=there)
    assert used.peak > 150_000_000
    assert 0 < used.cpu_s < 60
    assert used_by([*ENDS, "pass"]).cpu_s > 0


@pytest.mark.parametrize("code", ["raise SystemExit('no room')", "print('no room')"])
def test_a_command_that_ends_without_its_file_is_told(tmp_path, code):
    with pytest.raises(RuntimeError, match="no room"):
        used_by([*ENDS, code], until=tmp_path / "there")
    with pytest.raises(RuntimeError, match="no room"):
        used_by([*ENDS, "raise SystemExit('no room')"])


def test_the_program_says_whether_memory_grows(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scaling", "--videos", "10", "1"])
    for peak, code in ((210_000_000, 0), (300_000_000, 1)):
        peaks = {1: 200_000_000, 10: peak}
        made = lambda folder, videos, peaks=peaks: iter([cost(videos=videos, peak=peaks[videos])])  # noqa: E731
        monkeypatch.setattr(scaling, "measure", made)
        assert main() == code
        assert ("PASS", "FAIL")[code] in capsys.readouterr().out


@pytest.mark.slow
def test_memory_is_that_of_few_videos(tmp_path):
    """Through the command itself, each stage in a process of its own."""
    few, many = (list(measure(tmp_path, videos)) for videos in (1_000, 4_000))
    assert [each.stage for each in few] == list(STAGES)
    assert os.listdir(tmp_path) == []
    for before, behind in zip(few, many, strict=True):
        assert behind.records > 3 * before.records
        assert behind.peak < MOST * before.peak, behind.stage
        # Far from the law's edge: other programs change what a second of the processor does.
        assert behind.per_s > before.per_s / 3, behind.stage
