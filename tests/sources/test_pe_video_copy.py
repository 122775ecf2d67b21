import json

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.pe_video import PEVideoConfig, read_pe_video
from datasets_build.sources.pe_video_copy import TABLE, copy_pe_video
from tests.sources.corpora import rows
from tests.sources.test_pe_video import shard

# datasets' own streaming leaves its shards to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def said(text: str) -> dict[str, object]:
    return {"video_id": 1, "human_caption": text}


@pytest.mark.slow
def test_a_folder_of_shards_is_copied_and_read_back(tmp_path):
    shard(tmp_path / "pe" / "test" / "test-0000.tar", {"111": said("One."), "222": said("Two.")}, b"first")
    shard(tmp_path / "pe" / "test" / "test-0001.tar", {"333": said("Drei äöü.")}, b"second")
    copied = copy_pe_video(str(tmp_path / "pe"), tmp_path / "copy")
    assert [path.name for path in copied.videos] == ["111.mp4", "222.mp4", "333.mp4"]
    assert [path.read_bytes() for path in copied.videos] == [b"first", b"first", b"second"]
    assert copied.left_out == ()
    reading = read_pe_video(PEVideoConfig(file=tmp_path / "copy" / TABLE))
    assert [entry.names[0] for entry in reading.entries] == ["111", "222", "333"]
    assert [row.text for row in rows(reading)] == ["One.", "Two.", "Drei äöü."]
    before = (tmp_path / "copy" / TABLE).read_bytes()
    copy_pe_video(str(tmp_path / "pe"), tmp_path / "copy")
    assert (tmp_path / "copy" / TABLE).read_bytes() == before
    few = copy_pe_video(str(tmp_path / "pe"), tmp_path / "few", limit=2)
    assert [path.name for path in few.videos] == ["111.mp4", "222.mp4"]
    assert len((tmp_path / "few" / TABLE).read_text().splitlines()) == 2


@pytest.mark.slow
def test_keys_that_can_name_no_file_are_left_out_and_told(tmp_path):
    shard(tmp_path / "pe" / "test" / "0.tar", {"a b": said("x"), "deep/444": said("y"), "444": said("z")})
    copied = copy_pe_video(str(tmp_path / "pe"), tmp_path / "copy")
    assert [path.name for path in copied.videos] == ["444.mp4"]
    assert [reason.split(":")[0] for reason in copied.left_out] == ["sample 1 ('a b')", "sample 3 ('444')"]
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"444.mp4", TABLE}
    assert json.loads((tmp_path / "copy" / TABLE).read_text())["json"]["human_caption"] == "y"


@pytest.mark.slow
def test_what_is_no_dataset_is_an_error_and_leaves_no_table(tmp_path):
    with pytest.raises(DataError, match="split test"):
        copy_pe_video(str(tmp_path / "none"), tmp_path / "copy")
    (tmp_path / "csv" / "test").mkdir(parents=True)
    (tmp_path / "csv" / "test" / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="holds no sample of PE-Video"):
        copy_pe_video(str(tmp_path / "csv"), tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []
