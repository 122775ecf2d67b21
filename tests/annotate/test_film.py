"""Files of proxies hold what they are asked to, and a file that does not is found out."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from annotate.film import Fault, Quality, Reel, Source, _turned, encode, find_fault, fitting_size
from datasets_build.video import probe
from tests.annotate.films import indexed
from tests.builders.made import steady, video_of
from tests.drawn import NTSC, VideoSpec, draw_video

QUALITY = Quality(23, "superfast")
REEL = Reel(rate=Fraction(25), size=(160, 120))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "pal.mp4"
    draw_video(path, VideoSpec(frames=60))
    return Source(path, *indexed(path))


def written(folder, source, shown, reel=REEL):
    path = folder / "film"
    encode(path, source, np.array(shown, np.int64), reel, quality=QUALITY)
    return path


SIDES = st.integers(1, 5000)
PIXELS = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(width=SIDES, height=SIDES, pixel=PIXELS, rotation=st.sampled_from([0, 90, 180, 270]), high=st.integers(2, 1080),
       long=st.integers(2, 1920))  # fmt: skip
def test_sizes_are_even_within_limits_and_nearly_of_the_right_shape(width, height, pixel, rotation, high, long):
    video = video_of("v", steady(1)).model_copy(
        update={"width": width, "height": height, "sar_num": pixel[0], "sar_den": pixel[1], "rotation_deg": rotation}
    )
    wide, tall = Fraction(width * pixel[0], pixel[1]), Fraction(height)
    if rotation in (90, 270):
        wide, tall = tall, wide
    found = fitting_size(video, most_high=high, most_long=long)
    scale = min(1, high / tall, long / max(wide, tall))
    assert all(side % 2 == 0 and side >= 2 for side in found)
    assert found[1] <= max(high, 2)
    assert max(found) <= max(long, 2)
    for side, right in zip(found, (wide * scale, tall * scale), strict=True):
        assert side == 2 or right - 2 < side <= right


def test_common_sizes():
    def size(width, height, rotation=0, pixel=(1, 1), **limits):
        video = video_of("v", steady(1)).model_copy(
            update={"width": width, "height": height, "rotation_deg": rotation, "sar_num": pixel[0],
                    "sar_den": pixel[1]}
        )  # fmt: skip
        return fitting_size(video, **{"most_high": 720, "most_long": 1280, **limits})

    assert size(1920, 1080) == (1280, 720)
    assert size(1920, 1080, 90) == (404, 720)
    assert size(2560, 1080) == (1280, 540)
    assert size(640, 360) == (640, 360)
    assert size(720, 576, pixel=(64, 45)) == (1024, 576)
    assert size(720, 480, 270, pixel=(8, 9)) == (480, 640)
    assert size(1920, 1080, most_high=360) == (640, 360)
    assert size(1920, 1080, most_long=640) == (640, 360)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_planes_turn_as_pictures_do(rotation):
    """Through RGB and back the same but for the blur of the colours."""
    light = np.linspace(16, 235, 18 * 26).reshape(26, 18).round().astype(np.uint8)
    planes = np.concatenate([light.reshape(-1), np.full(26 * 18 // 2, 128, np.uint8)]).reshape(39, 18)
    turned = _turned(VideoFrame.from_ndarray(planes, format="yuv420p"), rotation)
    right = np.rot90(light, k=-rotation // 90)
    assert (turned.height, turned.width) == right.shape
    assert np.array_equal(turned.to_ndarray()[: turned.height], right)


def test_a_film_is_what_its_reel_says(tmp_path, source):
    """Pictures are repeated, left out, and begin in the middle."""
    shown = [7, 7, 7, 8, 20, 21, 21, 59]
    reel = Reel(rate=NTSC, size=(80, 60))
    path = written(tmp_path, source, shown, reel)
    assert find_fault(path, 8, reel) is None
    found = probe(path)
    assert (found.container, found.codec, found.pixel_format, found.audio) == ("mov", "h264", "yuv420p", None)
    assert (found.width, found.height, found.sar, found.rotation_deg) == (80, 60, 1, 0)
    assert (found.start_pts, found.start_offset_ns, found.reorder_depth) == (0, 0, 0)
    assert [pts * found.time_base for pts in found.pts.tolist()] == [k / NTSC for k in range(8)]
    assert found.last_duration * found.time_base == 1 / NTSC
    with av.open(str(path)) as film:
        # What browsers count frames by.
        assert Fraction(film.streams.video[0].duration * found.time_base) == 8 / NTSC
        assert film.streams.video[0].average_rate == NTSC
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_rate_below_one_has_a_key_frame_each_time():
    assert Reel(rate=Fraction(1, 2), size=(2, 2)).key_every == 1
    assert Reel(rate=NTSC, size=(2, 2)).key_every == 29


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (50, 34)])
def test_small_pictures_do_too_and_give_the_same_bytes(tmp_path, source, size):
    reel = Reel(rate=Fraction(25), size=size)
    first = written(tmp_path, source, range(60), reel).read_bytes()
    assert find_fault(tmp_path / "film", 60, reel) is None
    assert written(tmp_path, source, range(60), reel).read_bytes() == first


PLANTED = [
    (61, REEL, Fault("60 frames", "61")),
    (59, REEL, Fault("60 frames", "59")),
    (60, Reel(rate=Fraction(24), size=(160, 120)), Fault("frame 1 at 1/25 s", "at 1/24 s")),
    (60, Reel(rate=Fraction(25), size=(160, 122)), Fault("pictures of 160x120", "160x122")),
]


@pytest.mark.parametrize(("frames", "reel", "fault"), PLANTED)
def test_a_film_of_other_frames_is_found_out(tmp_path, source, frames, reel, fault):
    path = written(tmp_path, source, range(60))
    assert find_fault(path, 60, REEL) is None
    assert find_fault(path, frames, reel) == fault


FOREIGN = [
    (VideoSpec(frames=60, start=1, gop=25), "frame 0 at 1/25 s", "at 0 s"),
    (VideoSpec(frames=60, gop=26), "26 frames without a key frame", "25 at most, the first among them"),
    (VideoSpec(durations=(1,) * 58 + (2, 1), gop=25), "frame 59 at 12/5 s", "at 59/25 s"),
    (VideoSpec(durations=(1,) * 59 + (2,), gop=25), "a last frame of 2/25 s", "1/25 s"),
]


@pytest.mark.parametrize(("spec", "found", "expected"), FOREIGN)
def test_foreign_files_are_found_out(tmp_path, spec, found, expected):
    path = tmp_path / "foreign.mp4"
    draw_video(path, spec)
    assert find_fault(path, 60, REEL) == Fault(found, expected)


def test_damaged_files_are_found_out(tmp_path, source):
    path = written(tmp_path, source, range(60))
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 3000
    content[at : at + 400] = bytes(400)
    path.write_bytes(content)
    fault = find_fault(path, 60, REEL)
    assert fault is not None
    assert "errors, first: cannot decode" in fault.found
    path.write_bytes(content[:500])
    assert find_fault(path, 60, REEL) == Fault("moov_missing", "a video")
