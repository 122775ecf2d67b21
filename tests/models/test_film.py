"""Video files as streams: every frame upright, in order, at its exact time, and what is no video is refused."""

from fractions import Fraction
from itertools import count, pairwise, takewhile

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import SettingsError, StreamError
from models.film import FilmError, frames
from tests.drawn import FILM, NTSC, PAL, DrawnTruth, VideoSpec, channel_order, draw_video, frame_number

SMALL = {"size": (96, 72), "gop": 6}


def watched(path, fps=None):
    """`(number, t_ns)` of each frame."""
    return [(frame_number(picture), t_ns) for picture, t_ns in frames(path, fps=fps)]


def on_screen(truth: DrawnTruth, fps: Fraction):
    """What stands on the screen at each tick, each frame once, worked out tick by tick."""
    end = Fraction(truth.pts[-1] - truth.pts[0]) * truth.time_base + Fraction(truth.end_ns - truth.t_ns[-1], 10**9)
    times = [(pts - truth.pts[0]) * truth.time_base for pts in truth.pts]
    ticks = takewhile(lambda tick: tick < end, (Fraction(k) / fps for k in count()))
    seen = {max(place for place, time in enumerate(times) if time <= tick) for tick in ticks}
    return [(truth.numbers[place], truth.t_ns[place]) for place in sorted(seen)]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("plain.mp4", VideoSpec(rate=PAL, frames=12, **SMALL)),
        ("ntsc.mp4", VideoSpec(rate=NTSC, frames=12, b_frames=2, **SMALL)),
        ("film.mkv", VideoSpec(rate=FILM, frames=12, b_frames=2, **SMALL)),
        ("late.mp4", VideoSpec(frames=12, start=50, **SMALL)),
        ("hidden.mp4", VideoSpec(frames=12, hidden=3, **SMALL)),
        ("sound.mp4", VideoSpec(frames=12, audio=True, **SMALL)),
        ("stream.ts", VideoSpec(frames=12, start=90, **SMALL)),
        ("jumpy.mp4", VideoSpec(durations=(1, 400, 20, 20, 3000, 1, 7), time_base=Fraction(1, 1000), **SMALL)),
        ("odd.mp4", VideoSpec(frames=3, pixel_format="yuv444p", size=(97, 71))),
    ],
)
def test_every_frame_comes_once_at_its_exact_time(tmp_path, name, spec):
    truth = draw_video(tmp_path / name, spec)
    assert watched(truth.path) == list(zip(truth.numbers, truth.t_ns, strict=True))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_frames_are_upright(tmp_path, rotation):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(frames=2, rotation=rotation, size=(96, 72)))
    picture, t_ns = next(frames(truth.path, fps=None))
    assert (picture.shape, picture.dtype) == ((72, 96, 3), np.uint8)
    assert picture.flags.c_contiguous
    assert (frame_number(picture), channel_order(picture), t_ns) == (0, "rgb", 0)
    assert type(t_ns) is int


# Named here, the checks of the profile no longer hold: how long drawing takes is said again.
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=12).map(tuple),
    st.sampled_from(["0.5", "1", "2", "4", "7", "29.97", "1000"]),
)
def test_at_each_tick_the_frame_on_the_screen_comes_once(tmp_path, durations, fps):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(durations=durations, time_base=Fraction(1, 1000), **SMALL))
    seen = watched(truth.path, float(fps))
    assert seen == on_screen(truth, Fraction(fps))
    assert all(earlier[1] < later[1] for earlier, later in pairwise(seen))


def test_a_whole_rate_takes_every_nth_frame(tmp_path):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(rate=PAL, frames=51, **SMALL))
    assert watched(truth.path, 5) == [(number, number * 40_000_000) for number in range(0, 51, 5)]
    assert len(watched(truth.path, 100)) == 51


def test_a_frame_whose_moment_comes_twice_is_given_once(tmp_path, monkeypatch):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(frames=4, **SMALL))
    with av.open(str(truth.path)) as container:
        pictures = list(container.decode(video=0))
    pictures[2].pts = pictures[1].pts
    monkeypatch.setattr(av, "open", lambda path: Told(pictures))
    assert watched(truth.path) == [(0, 0), (1, 40_000_000), (3, 120_000_000)]
    pictures[1].pts = None
    with pytest.raises(FilmError, match="a frame carries no time"):
        watched(truth.path)


class Told:
    """A container that hands out the frames it was given."""

    def __init__(self, pictures):
        self.pictures, self.streams = pictures, self
        self.video, self.disposition, self.thread_type = [self], 0, ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def decode(self, stream):
        return iter(self.pictures)


def sound_only(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for part in (frame, None):
            out.mux(stream.encode(part))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "found a folder"),
        (lambda path: path.write_bytes(b""), "found an empty file"),
        (lambda path: path.write_bytes(b"no video at all" * 99), "cannot be decoded"),
        (sound_only, "holds no video stream"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, make, told):
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(FilmError) as caught:
        next(frames(path, fps=2))
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert isinstance(caught.value, StreamError)


def test_a_torn_file_gives_an_error_or_fewer_frames(tmp_path):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(frames=30, **SMALL))
    whole = truth.path.read_bytes()
    for share in (0.2, 0.5, 0.9):
        truth.path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(FilmError, match=r"a\.mp4: cannot be decoded"):
            watched(truth.path)
    stream = draw_video(tmp_path / "a.mkv", VideoSpec(frames=30, **SMALL))
    whole = stream.path.read_bytes()
    stream.path.write_bytes(whole[: len(whole) // 2])
    seen = watched(stream.path)
    assert 0 < len(seen) < 30
    assert seen == list(zip(stream.numbers, stream.t_ns, strict=True))[: len(seen)]


@pytest.mark.parametrize("fps", [0, -1, float("inf"), float("nan")])
def test_a_rate_has_to_be_above_zero(tmp_path, fps):
    with pytest.raises(SettingsError, match="fps is"):
        next(frames(tmp_path / "a.mp4", fps=fps))
