from fractions import Fraction

import numpy as np
import pytest

from datasets_build.core.clock import FrameClock
from datasets_build.core.files import DataError, write_json
from datasets_build.core.layout import (
    VideoRows,
    by_video,
    clock_of,
    dataset_rows,
    read_videos,
    table_path,
    video_path,
)
from datasets_build.core.records import Event, Provenance, Video
from datasets_build.core.table import TableError, write_table

PTS = [9000, 12003, 15006, 21000]


def video(video_id="v1", pts=tuple(PTS), **changes):
    clock = FrameClock.from_pts(pts, time_base=Fraction(1, 90_000), last_duration=3003)
    fields = {
        "id": video_id, "video_id": video_id, "source": "folder", "uri": f"{video_id}.mp4", "sha256": "0" * 64,
        "bytes": 9,
        "container": "mov", "codec": "h264", "pixel_format": "yuv420p", "width": 320, "height": 240, "sar_num": 1,
        "sar_den": 1, "rotation_deg": 90, "time_base_num": 1, "time_base_den": 90_000, "start_pts": pts[0],
        "start_offset_ns": 0, "duration_ns": clock.end_ns, "n_frames": len(pts), "header_frames": None,
        "avg_fps_num": 30, "avg_fps_den": 1, "is_vfr": True, "max_gap_ns": 0, "max_jitter_ns": 0, "reorder_depth": 0,
        "audio": None, "pts_index": f"pts/{video_id}.npy", "licence": "CC0-1.0", "group": video_id, "split": "train",
        "status": "ok",
    }  # fmt: skip
    return Video.model_validate(fields | changes)


def event(video_id, number):
    return Event(
        id=f"{video_id}/{number}", video_id=video_id, start_ns=number, end_ns=number, label="cut", label_set="s",
        caption="A cut.", known_from_ns=number, confidence=1.0, source="shot",
        provenance=Provenance(kind="rule", agent="t"),
    )  # fmt: skip


@pytest.fixture
def out(tmp_path):
    (tmp_path / "index/pts").mkdir(parents=True)
    write_table(tmp_path / "index/videos.parquet", Video, [video("v1"), video("v2")])
    write_json(tmp_path / "index/source.json", {"root": "clips"})
    np.save(tmp_path / "index/pts/v1.npy", np.array(PTS, np.int64))
    return tmp_path


def test_videos_and_their_files_are_found(out):
    first, second = read_videos(out)
    assert [first.id, second.id] == ["v1", "v2"]
    assert video_path(out, first) == out / "clips/v1.mp4"
    assert first.upright_size == (240, 320)
    write_json(out / "index/source.json", {"root": "/elsewhere"})
    assert str(video_path(out, first)) == "/elsewhere/v1.mp4"


def test_the_clock_is_rebuilt_exactly(out):
    clock = clock_of(out, video("v1"))
    assert clock.pts.tolist() == PTS
    assert clock.end_ns == video("v1").duration_ns
    assert clock.t_ns.tolist() == [0, 33_366_667, 66_733_333, 133_333_333]


def test_a_clock_that_disagrees_with_its_record_is_refused(out):
    with pytest.raises(DataError, match=r"expected 5 over"):
        clock_of(out, video("v1", n_frames=5))
    np.save(out / "index/pts/v1.npy", np.array([3, 2], np.int64))
    with pytest.raises(DataError, match="increase strictly"):
        clock_of(out, video("v1"))
    (out / "index/pts/v1.npy").write_bytes(b"torn")
    with pytest.raises(DataError, match="not a readable pts index"):
        clock_of(out, video("v1"))


def test_a_source_without_a_root_is_refused(out):
    write_json(out / "index/source.json", {"toor": 1})
    with pytest.raises(DataError, match="field root is missing"):
        video_path(out, video("v1"))


def test_rows_are_walked_video_by_video(out):
    path = table_path(out, Event)
    path.parent.mkdir()
    write_table(path, Event, [event("v1", 1), event("v1", 2), event("v3", 5)])
    rows = VideoRows(path, Event)
    assert [row.start_ns for row in rows.take("v1")] == [1, 2]
    assert rows.take("v2") == []
    with pytest.raises(TableError, match="names video v3, out of order"):
        rows.finish()
    assert len(rows.take("v3")) == 1
    rows.finish()


def test_rows_of_all_splits_of_a_subset_come_in_order(tmp_path):
    assert list(dataset_rows(tmp_path, "frame_events/events", Event)) == []
    folder = tmp_path / "frame_events/events"
    folder.mkdir(parents=True)
    rows = {"test": [event("v3", 1)], "train": [event("v1", 1), event("v2", 2)]}
    for split, found in rows.items():
        write_table(folder / f"{split}.parquet", Event, found)
    assert list(dataset_rows(tmp_path, "frame_events/events", Event)) == rows["train"] + rows["test"]


def test_rows_are_sorted_by_their_video():
    rows = [event("v2", 1), event("v1", 2), event("v2", 0)]
    assert by_video(rows) == {"v2": [rows[0], rows[2]], "v1": [rows[1]]}
    assert by_video(rows)["nobody"] == []
