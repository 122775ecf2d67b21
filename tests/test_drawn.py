"""The drawn videos hold what they claim: numbers, presentation times, turns and hidden frames, read back with PyAV."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn import (
    FILM,
    NTSC,
    NTSC60,
    NUMBERS,
    DrawnTruth,
    LongSpec,
    VideoSpec,
    channel_order,
    draw_long,
    draw_number,
    draw_video,
    expected,
    frame_number,
    long_number,
)

LENGTHS = (1, 3, 1, 2, 5, 1, 1, 7, 1, 2) * 2
SEVENTEEN_MS = Fraction(17, 1000)

VARIANTS = {
    "plain.mp4": VideoSpec(),
    "film.mp4": VideoSpec(rate=FILM, b_frames=2),
    "ntsc.mov": VideoSpec(rate=NTSC, b_frames=3, gop=7),
    "fast.mp4": VideoSpec(rate=NTSC60, audio=True),
    "film.mkv": VideoSpec(rate=FILM, audio=True),
    "reordered.mkv": VideoSpec(b_frames=2),
    "variable.mp4": VideoSpec(durations=LENGTHS, time_base=Fraction(1, 60)),
    "variable_reordered.mp4": VideoSpec(durations=LENGTHS, time_base=Fraction(1, 60), b_frames=2),
    "variable.mkv": VideoSpec(durations=LENGTHS, time_base=SEVENTEEN_MS, b_frames=2),
    "variable.webm": VideoSpec(codec="vp9", durations=LENGTHS, time_base=SEVENTEEN_MS),
    "late.mp4": VideoSpec(start=10),
    "late_reordered.mov": VideoSpec(start=10, b_frames=2, rate=NTSC),
    "late_audio.mp4": VideoSpec(start=10, b_frames=2, rate=FILM, audio=True),
    "late.mkv": VideoSpec(start=10),
    "late.ts": VideoSpec(start=90),
    "hidden.mp4": VideoSpec(hidden=5),
    "hidden_reordered.mp4": VideoSpec(hidden=5, b_frames=2),
    "hidden_long.mp4": VideoSpec(hidden=15, b_frames=2, audio=True, rate=NTSC),
    "hidden_on_key.mov": VideoSpec(hidden=12, codec="mpeg4"),
    "hidden_variable.mp4": VideoSpec(hidden=4, durations=LENGTHS, time_base=Fraction(1, 60)),
    "turned90.mp4": VideoSpec(rotation=90),
    "turned180.mp4": VideoSpec(rotation=180, b_frames=2),
    "turned270.mov": VideoSpec(rotation=270, size=(160, 90)),
    "odd.mp4": VideoSpec(size=(321, 241), pixel_format="yuv444p", frames=12),
    "odd.avi": VideoSpec(size=(321, 241), codec="mpeg4", frames=12),
    "odd.mkv": VideoSpec(size=(123, 97), codec="mpeg4"),
    "small.mp4": VideoSpec(size=(122, 82)),
    "plain.ts": VideoSpec(rate=NTSC),
    "reordered.ts": VideoSpec(rate=NTSC, b_frames=2, start=3, audio=True),
    "plain.avi": VideoSpec(codec="mpeg4", rate=NTSC),
    "reordered.avi": VideoSpec(codec="mpeg4", b_frames=2),
    "h264.avi": VideoSpec(audio=True),
    "plain.webm": VideoSpec(codec="vp9", rate=NTSC, audio=True),
    "hevc.mp4": VideoSpec(codec="hevc", b_frames=2, frames=20),
    "mpeg4.mp4": VideoSpec(codec="mpeg4", b_frames=2),
    "vp9.mp4": VideoSpec(codec="vp9"),
    "longest.mp4": VideoSpec(frames=150, size=(320, 240), b_frames=2),
}


def decode(truth: DrawnTruth) -> tuple[Fraction, list[int], list[np.ndarray]]:
    """Time base, pts and upright pictures, as PyAV gives them."""
    with av.open(str(truth.path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == truth.coded_size
        frames = list(container.decode(stream))
        assert {-frame.rotation % 360 for frame in frames} == {truth.rotation}
        pictures = [np.rot90(frame.to_ndarray(format="rgb24"), k=-truth.rotation // 90) for frame in frames]
        return stream.time_base, [frame.pts for frame in frames], pictures


@pytest.mark.parametrize("name", VARIANTS)
def test_a_decoder_finds_the_frames_that_were_drawn(tmp_path: Path, name: str):
    truth = draw_video(tmp_path / name, VARIANTS[name])
    time_base, pts, pictures = decode(truth)
    assert [frame_number(picture) for picture in pictures] == list(truth.numbers)
    assert {channel_order(picture) for picture in pictures} == {"rgb"}
    assert {picture.shape for picture in pictures} == {(truth.size[1], truth.size[0], 3)}
    assert time_base == truth.time_base
    assert pts == list(truth.pts)


@pytest.mark.parametrize("name", VARIANTS)
def test_truth_is_consistent_and_the_bytes_repeat(tmp_path: Path, name: str):
    spec = VARIANTS[name]
    first, again = draw_video(tmp_path / name, spec), draw_video(tmp_path / f"again_{name}", spec)
    assert first.path.read_bytes() == again.path.read_bytes()
    assert replace(again, path=first.path) == first == expected(first.path, spec)
    assert len(first.pts) == len(first.t_ns) == len(first.numbers) == len(spec.lengths) - spec.hidden
    assert first.t_ns[0] == 0
    assert list(first.t_ns) == sorted(set(first.t_ns))
    assert first.end_ns > first.t_ns[-1]


@pytest.mark.parametrize("name", ["plain.mp4", "film.mp4", "variable.mp4", "hidden_variable.mp4", "film.mkv"])
def test_the_last_frame_stays_as_long_as_it_was_given(tmp_path: Path, name: str):
    truth = draw_video(tmp_path / name, VARIANTS[name])
    with av.open(str(truth.path)) as container:
        ends = [packet.pts + packet.duration for packet in container.demux(video=0) if packet.pts is not None]
    exact = (max(ends) - truth.pts[0]) * truth.time_base * 1_000_000_000
    assert abs(exact - truth.end_ns) <= truth.time_base * 1_000_000_000 * (truth.path.suffix == ".mkv") + 1


def test_variable_times_are_sums_of_the_durations(tmp_path: Path):
    spec = VideoSpec(durations=(2, 1, 6), time_base=Fraction(1, 50), start=5)
    truth = draw_video(tmp_path / "a.mp4", spec)
    assert truth.t_ns == (0, 40_000_000, 60_000_000)
    assert truth.end_ns == 180_000_000
    assert [p * truth.time_base for p in truth.pts] == [Fraction(5, 50), Fraction(7, 50), Fraction(8, 50)]


def test_a_fractional_rate_is_exact(tmp_path: Path):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(rate=NTSC, frames=31))
    assert truth.t_ns[30] == 1_001_000_000
    assert truth.t_ns[1] == 33_366_667


def test_hidden_frames_are_in_the_file_but_not_shown(tmp_path: Path):
    truth = draw_video(tmp_path / "a.mp4", VideoSpec(frames=20, hidden=5))
    with av.open(str(truth.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == 20
    assert len(truth.numbers) == 15
    assert truth.numbers[0] == 5


def test_avi_cannot_say_the_times_of_reordered_h264(tmp_path: Path):
    truth = draw_video(tmp_path / "a.avi", VideoSpec(b_frames=2))
    assert not truth.ordered
    _, pts, pictures = decode(truth)
    assert [frame_number(picture) for picture in pictures] == list(truth.numbers)
    assert pts != sorted(pts)


def test_audio_is_there_when_asked_for(tmp_path: Path):
    for suffix in ("mp4", "mkv", "ts", "webm", "avi"):
        codec = "vp9" if suffix == "webm" else "h264"
        truth = draw_video(tmp_path / f"a.{suffix}", VideoSpec(audio=True, codec=codec))
        with av.open(str(truth.path)) as container:
            sound = list(container.decode(container.streams.audio[0]))
        seconds = sum(frame.samples for frame in sound) / 48_000
        assert seconds == pytest.approx(truth.end_ns / 1e9, abs=0.1)


@given(number=st.integers(0, NUMBERS - 1), width=st.integers(96, 320), height=st.integers(80, 240))
def test_every_number_reads_back(number: int, width: int, height: int):
    picture = draw_number(number, (width, height))
    assert frame_number(picture) == frame_number(picture[..., ::-1]) == number
    assert channel_order(picture) == "rgb"
    assert channel_order(picture[..., ::-1]) == "bgr"


@given(number=st.integers(0, NUMBERS - 1), turns=st.integers(1, 3), scale=st.sampled_from([0.25, 0.4, 0.5, 1.7]))
def test_a_number_survives_scaling_and_noise_but_not_turning(number: int, turns: int, scale: float):
    picture = draw_number(number, (192, 144))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng(number).integers(-30, 31, small.shape)
    # Limited range shown as full range: black at 16, white at 235.
    limited = np.clip(16 + small * (219 / 255) + noise, 0, 255).astype(np.uint8)
    assert frame_number(small) == frame_number(limited) == number
    assert frame_number(np.rot90(picture, k=turns)) is None


def test_a_picture_without_a_number_reads_as_none():
    assert frame_number(np.full((90, 120, 3), 128, np.uint8)) is None
    assert channel_order(np.full((90, 120, 3), 128, np.uint8)) is None
    damaged = draw_number(77, (120, 90))
    damaged[30:60] = 255
    assert frame_number(damaged) is None
    blend = draw_number(1, (120, 90)) // 2 + draw_number(2, (120, 90)) // 2
    assert frame_number(blend) is None


@pytest.mark.slow
def test_a_long_video_is_drawn_frame_by_frame(tmp_path: Path):
    spec = LongSpec(minutes=1)
    truth = draw_long(tmp_path / "long.mp4", spec)
    assert len(truth.pts) == 600
    assert truth.end_ns == 60_000_000_000
    assert truth.cuts == (200, 400)
    with av.open(str(truth.path)) as container:
        frames = [(frame.pts, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    assert [pts for pts, _ in frames] == list(truth.pts)
    assert [long_number(picture) for _, picture in frames] == list(truth.numbers)
    light = np.array([picture[:280].mean() for _, picture in frames])
    jumps = 1 + np.flatnonzero(np.abs(np.diff(light)) > 5)
    assert tuple(jumps) == truth.cuts
