"""Pictures are the frames that people saw: the number drawn on a frame is on its picture."""

import base64
import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotate.proxy import make_proxy, proxy_path, source_time
from annotate.report import stills as module
from annotate.report.stills import frame_at, stills
from datasets_build.core.clock import Span
from tests.annotate.films import indexed
from tests.drawn import FILM, NTSC, VideoSpec, draw_video, frame_number
from tests.laws import examples

MS = Fraction(1, 1000)
FILMS = {
    "pal.mp4": VideoSpec(frames=60),
    "film.mp4": VideoSpec(frames=60, rate=FILM),
    "ntsc.mkv": VideoSpec(frames=60, rate=NTSC, b_frames=2),
    "late.mp4": VideoSpec(frames=60, start=7),
    "turned.mp4": VideoSpec(frames=60, rotation=90),
    "variable.mp4": VideoSpec(durations=tuple(17 + 37 * k % 61 for k in range(60)), time_base=MS),
}


def picture_of(uri):
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Windows over the second half of each film, with its clock and the folder of proxies."""
    root = tmp_path_factory.mktemp("films")
    found = {}
    for name, spec in FILMS.items():
        draw_video(root / name, spec)
        video, clock = indexed(root / name)
        span = Span(start_ns=clock.time_of(20), end_ns=clock.end_ns)
        window = make_proxy(root / name, video, clock, span=span, folder=root / "proxies")
        found[name] = (root / "proxies", window, clock)
    return found


@pytest.mark.parametrize("name", FILMS)
def test_a_picture_at_the_start_of_a_frame_is_that_frame(shown, name):
    folder, window, clock = shown[name]
    indices = (20, 21, 33, 58, 59)
    frames = [frame_at(window, clock.time_of(index)) for index in indices]
    found = stills(folder, window, frames, longest=160)
    assert found.reason == ""
    assert [frame_number(picture_of(found.by_frame[frame])) for frame in frames] == list(indices)
    wide, high = found.size
    assert {picture_of(uri).shape for uri in found.by_frame.values()} == {(high, wide, 3)}


@settings(max_examples=examples(50), deadline=None)
@given(name=st.sampled_from(sorted(FILMS)), part=st.fractions(0, 1))
def test_the_frame_of_any_instant_is_the_next_that_comes_on_or_the_last(shown, name, part):
    _, window, clock = shown[name]
    t = window.start_ns + int(part * (window.end_ns - window.start_ns))
    frame = frame_at(window, t)
    seen = source_time(window, clock, frame)
    if frame < window.frames - 1:
        longest = max(np.diff(clock.t_ns).max(), 10**9 * window.fps_den // window.fps_num)
        assert -longest <= seen - t <= longest
    assert frame == window.frames - 1 if t == window.end_ns else 0 <= frame < window.frames


def test_pictures_are_not_enlarged_and_keep_their_shape(shown):
    folder, window, _ = shown["pal.mp4"]
    assert stills(folder, window, [0], longest=640).size == (160, 120)
    assert stills(folder, window, [0], longest=80).size == (80, 60)
    _, tall, _ = shown["turned.mp4"]
    assert (tall.width, tall.height) == (160, 120)
    assert stills(folder, window.model_copy(update={"width": 640, "height": 2}), [], longest=16).size == (16, 1)


def test_no_frames_no_file(tmp_path, shown):
    _, window, _ = shown["pal.mp4"]
    assert stills(tmp_path, window, [], longest=64).by_frame == {}
    assert stills(tmp_path, window, [], longest=64).reason == ""


def test_a_proxy_that_is_gone_or_another_gives_no_picture(tmp_path, shown):
    folder, window, _ = shown["pal.mp4"]
    assert stills(tmp_path, window, [3], longest=64).reason == "of the clip that people saw there is no file"
    content = bytearray(proxy_path(folder, window).read_bytes())
    content[-1] ^= 1
    proxy_path(tmp_path, window).write_bytes(content)
    found = stills(tmp_path, window, [3], longest=64)
    assert found.by_frame == {}
    assert found.reason.startswith("of the clip that people saw there is sha256 ")


def test_a_window_with_frames_that_its_proxy_lacks_gives_no_picture(shown):
    folder, window, _ = shown["pal.mp4"]
    more = window.model_copy(update={"frames": window.frames + 50})
    found = stills(folder, more, [window.frames + 20], longest=64)
    assert found.reason == "the clip cannot be read (frames_lost)"


def test_noise_is_coarser_and_a_plain_picture_is_not():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    uri = module._uri(noise)
    assert len(uri) < 1.4 * module._MOST_BYTES
    plain = np.full((240, 320, 3), 90, np.uint8)
    assert np.abs(picture_of(module._uri(plain)).astype(int) - 90).max() <= 1
    assert len(module._uri(plain)) < 4000
