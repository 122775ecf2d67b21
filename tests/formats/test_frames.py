import io

import numpy as np
import pytest
from PIL import Image

from datasets_build.core.layout import clock_of, read_videos, video_path
from datasets_build.formats.format import Job, Options, Reel
from datasets_build.formats.frames import encode, frame_name, frame_of, jpegs, save_frames, shown_size
from datasets_build.formats.loss import LossReport
from datasets_build.video import read
from tests.builders.made import steady, video_of


@pytest.fixture
def reel(out):
    video = read_videos(out)[0]
    return Reel(video=video, clock=clock_of(out, video), path=video_path(out, video), talks=())


def job_in(folder, **options):
    return Job(folder=folder / "final", work=folder, options=Options(**options), losses=LossReport("test"))


def test_names_are_read_back():
    assert frame_name("abc", 12) == "frames/abc/00000012.jpg"
    assert frame_of(frame_name("abc", 12)) == ("abc", 12)


@pytest.mark.parametrize(
    ("longest", "rotation", "size"),
    [(None, 0, None), (64, 0, None), (640, 0, None), (32, 0, (32, 24)), (32, 90, (24, 32)), (1, 0, (1, 1))],
)
def test_frames_are_made_smaller_and_never_larger(longest, rotation, size):
    video = video_of("made", steady(1.0)).model_copy(update={"rotation_deg": rotation})
    assert shown_size(video, longest) == size


def test_the_same_pixels_are_the_same_bytes():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert encode(pixels, 90) == encode(pixels.copy(), 90)
    assert len(encode(pixels, 20)) < len(encode(pixels, 90))
    with Image.open(io.BytesIO(encode(pixels, 90))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (30, 20))


def test_jpegs_are_the_frames_that_were_asked_for(reel):
    wanted = [0, 7, len(reel.clock) - 1]
    times = [reel.clock.time_of(k) for k in wanted]
    expected = [encode(pixels, 90) for pixels in read(reel.path, reel.clock, times, decoder="pyav").data]
    assert list(jpegs(reel, wanted, Options())) == expected
    assert len(set(expected)) == 3


def test_runs_of_frames_do_not_change_them(reel, monkeypatch):
    whole = list(jpegs(reel, range(9), Options()))
    monkeypatch.setattr("datasets_build.formats.frames.READ_BYTES", 2 * 64 * 48 * 3)
    assert list(jpegs(reel, range(9), Options())) == whole


def test_frames_are_saved_once(reel, tmp_path):
    job = job_in(tmp_path)
    folder = save_frames(reel, [3, 1, 3], job)
    assert [path.name for path in sorted(folder.iterdir())] == ["00000001.jpg", "00000003.jpg"]
    before = folder.stat().st_mtime_ns
    assert save_frames(reel, [3, 1], job) == folder
    assert folder.stat().st_mtime_ns == before
    assert not job.rejects
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("fault", ["no_file", "file_changed", "broken"])
def test_a_video_that_cannot_be_read_leaves_a_reject_and_no_frames(reel, tmp_path, fault):
    path = tmp_path / "clip.mp4"
    if fault != "no_file":
        path.write_bytes(b"0" * (reel.video.bytes if fault == "broken" else 5))
    broken = Reel(video=reel.video, clock=reel.clock, path=path, talks=())
    job = job_in(tmp_path)
    assert save_frames(broken, [0], job) is None
    (row,) = job.rejects
    assert row.item == reel.video.uri
    assert str(tmp_path) not in row.reason
    assert row.code == fault or fault == "broken"
    assert not (tmp_path / "frames").exists()
    assert not list(tmp_path.glob("*.part"))
