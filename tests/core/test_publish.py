"""Streaming a dataset's files: row groups go out as they fill, empty splits leave no file, errors leave nothing."""

import pyarrow.parquet as pq
import pytest

from datasets_build.builders.events import EventsConfig
from datasets_build.core.dataset import Subset
from datasets_build.core.perceived import Keyframe
from datasets_build.core.publish import VIDEOS, Publisher, publish_card
from datasets_build.core.records import Part, Video
from datasets_build.core.stage import Fingerprint, Stage
from datasets_build.core.table import ROWS_PER_GROUP, read_table
from tests.builders.made import clock_from, keyframes_at, shots_at, video_of


class Row(Part):
    """A row of a test table."""

    number: int


ROWS = Subset("rows", Row, "a number")
CLOCK = clock_from([40] * 9)


def numbers(path):
    return [row.number for row in read_table(path, Row)]


def test_rows_stream_into_their_split_in_order(tmp_path):
    with Publisher(tmp_path, [ROWS]) as publisher:
        publisher.add("rows", "train", (Row(number=k) for k in range(3)))
        publisher.add("rows", "test", [Row(number=9)])
        publisher.add("rows", "train", [Row(number=3)])
        publisher.add("rows", "train", [])
    assert numbers(tmp_path / "rows/train.parquet") == [0, 1, 2, 3]
    assert numbers(tmp_path / "rows/test.parquet") == [9]
    assert publisher.counts()["rows"] == {"train": 4, "validation": 0, "test": 1}
    assert publisher.totals() == {"rows": 5, "videos": 0}


def test_a_split_without_rows_has_no_file(tmp_path):
    with Publisher(tmp_path, [ROWS]) as publisher:
        publisher.add("rows", "train", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, ROWS_PER_GROUP - 1, ROWS_PER_GROUP, ROWS_PER_GROUP + 1, 3 * ROWS_PER_GROUP])
def test_row_groups_are_full_however_rows_come(tmp_path, count):
    sizes = sorted({1, 7, count})
    for size in sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        with Publisher(folder, [ROWS]) as publisher:
            for first in range(0, count, size):
                publisher.add("rows", "train", (Row(number=k) for k in range(first, min(count, first + size))))
        path = folder / "rows/train.parquet"
        assert numbers(path) == list(range(count))
        assert pq.ParquetFile(path).num_row_groups == -(-count // ROWS_PER_GROUP)
    assert len({(tmp_path / str(size) / "rows/train.parquet").read_bytes() for size in sizes}) == 1


def test_memory_holds_one_row_group(tmp_path):
    most = 0

    def feed(publisher):
        nonlocal most
        for k in range(4 * ROWS_PER_GROUP):
            waiting = publisher._sheets.get(("rows", "train"))
            most = max(most, len(waiting.waiting) if waiting else 0)
            yield Row(number=k)

    with Publisher(tmp_path, [ROWS]) as publisher:
        publisher.add("rows", "train", feed(publisher))
    assert most <= ROWS_PER_GROUP
    assert publisher.totals()["rows"] == 4 * ROWS_PER_GROUP


def test_an_error_leaves_no_file(tmp_path):
    def broken():
        yield Row(number=1)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), Publisher(tmp_path, [ROWS]) as publisher:
        publisher.add("rows", "train", broken())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_videos_stand_beside_and_their_licences_are_counted(tmp_path):
    with Publisher(tmp_path, [ROWS]) as publisher:
        publisher.add_video(video_of("a", CLOCK, licence="CC0-1.0"))
        publisher.add_video(video_of("b", CLOCK, licence="CC0-1.0", split="test"))
        publisher.add_video(video_of("c", CLOCK, licence=""))
    assert [row.uri for row in read_table(tmp_path / "videos/train.parquet", Video)] == ["a.mp4", "c.mp4"]
    assert publisher.licences == {"CC0-1.0": 2, "": 1}
    assert publisher.subsets == [ROWS, VIDEOS]


def test_the_card_names_settings_licences_and_counts(tmp_path):
    stage = Stage.open(tmp_path, "streaming_qa", Fingerprint({"a": "1"}))
    video = video_of("a", CLOCK, licence="")
    with Publisher(stage.final, [Subset("keys", Keyframe, "a keyframe")]) as publisher:
        publisher.add("keys", "train", keyframes_at(video, CLOCK, shots_at(video, CLOCK, []), [0, 1]))
        publisher.add_video(video)
    publish_card(stage, publisher, EventsConfig(), title="A title", summary="A summary.", notes=["A note."])
    text = (stage.final / "README.md").read_text()
    for part in (
        "# A title", "A summary.", "- A note.", "| not stated | 1 |", "`streaming_qa.pan.on` = `0.08`",
        "| `keys` | a keyframe | 2 | 0 | 0 |", stage.fingerprint.digest, "path: keys/train.parquet",
    ):  # fmt: skip
        assert part in text, part
    assert "validation.parquet" not in text
