"""The reference: what it gives when asked for one frame equals what one pass from the start gives, in every file."""

from contextlib import suppress

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from datasets_build.decoders.container import TroubleError, Walk, decode, last_packet_end_s, open_source
from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.probe import probe
from datasets_build.decoders.pyav import pictures, read, scan
from tests.decoders.samples import NAMES, encode, film_texture, scratch
from tests.drawn import VideoSpec, channel_order, draw_video, frame_number


def numbers(images):
    return [frame_number(image) for image in images]


def ask(sample, indices, size=None):
    return read(sample.path, sample.probe.clock, np.array(indices), size=size, deadline_s=60.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_shows_every_frame_in_order(sample, name):
    made = sample(name)
    size = (96, 72)
    frames = list(scan(made.path, made.probe.clock, size=size))
    assert [frame.index for frame in frames] == list(range(len(made.numbers)))
    assert [frame.t_ns for frame in frames] == list(made.t_ns)
    assert numbers(frame.image for frame in frames) == list(made.numbers)
    assert {frame.image.shape for frame in frames} == {(72, 96, 3)}


@pytest.mark.parametrize("name", ["film.mp4", "turned90.mp4", "odd.mp4", "variable.webm"])
def test_the_whole_frame_is_upright_rgb_of_full_size(sample, name):
    made = sample(name)
    for frame in scan(made.path, made.probe.clock, size=(60, 60)):
        full = frame.full()
        assert full.shape == (*made.probe.upright_size[::-1], 3)
        assert full.flags.c_contiguous
        assert frame.image.flags.c_contiguous
        assert (channel_order(full), channel_order(frame.image)) == ("rgb", "bgr")
        assert frame_number(full) == made.numbers[frame.index]


def test_frames_may_be_kept_and_converted_after_the_pass(sample):
    made = sample("film.mp4")
    kept = list(scan(made.path, made.probe.clock, size=None))
    assert {frame.image is None for frame in kept} == {True}
    assert numbers(frame.full() for frame in reversed(kept)) == list(reversed(made.numbers))


@pytest.mark.parametrize("name", NAMES)
def test_each_frame_alone_equals_the_same_frame_of_a_pass(sample, name):
    made = sample(name)
    whole = [frame.full() for frame in scan(made.path, made.probe.clock, size=None)]
    for index in {0, len(whole) // 2, len(whole) * 2 // 3, max(0, len(whole) - 2), len(whole) - 1}:
        assert np.array_equal(ask(made, [index])[0], whole[index])


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_that_need_not_be_exact_shows_the_same_frames_almost(sample, name):
    made = sample(name)
    exact = list(scan(made.path, made.probe.clock, size=(96, 72)))
    quick = list(scan(made.path, made.probe.clock, size=(96, 72), exact=False))
    assert [(frame.index, frame.t_ns) for frame in quick] == [(frame.index, frame.t_ns) for frame in exact]
    for one, other in zip(exact, quick, strict=True):
        for kind in (lambda frame: frame.full(), lambda frame: frame.image):
            apart = kind(one).astype(float) - kind(other)
            # 40 dB.
            assert (apart**2).mean() < 255**2 / 1e4
    again = scan(made.path, made.probe.clock, size=(96, 72), cores=1, exact=False)
    assert [frame.full().tobytes() for frame in again] == [frame.full().tobytes() for frame in quick]


def inexact(path, clock):
    """The frames that a pass which need not be exact shows otherwise."""
    passes = [scan(path, clock, size=None, exact=exact) for exact in (True, False)]
    return {one.index for one, other in zip(*passes, strict=True) if not np.array_equal(one.full(), other.full())}


@pytest.mark.parametrize("pyramid", ["none", "strict"])
def test_only_frames_on_which_no_other_rests_are_not_exact(tmp_path, pyramid):
    path = tmp_path / "a.mp4"
    film_texture(path, {"crf": "30", "bf": "3", "b-adapt": "0", "b-pyramid": pyramid, "x264-params": "scenecut=0"})
    with av.open(str(path)) as source:
        b_frames = {k for k, frame in enumerate(source.decode(video=0)) if frame.pict_type == PictureType.B}
    others = inexact(path, probe(path).clock)
    # In a pyramid the middle one of three rests on two and bears two.
    bearing = {k for k in b_frames if {k - 1, k + 1} <= b_frames} if pyramid == "strict" else set()
    assert len(b_frames) > 50
    assert others
    assert others <= b_frames - bearing


def test_behind_damage_frames_are_as_inexact_as_before_it(tmp_path):
    path = tmp_path / "a.mp4"
    film_texture(path, B_HEAVY)
    scratch(path, [30], start=0.4)
    clock = probe(path).clock
    others = inexact(path, clock)
    assert min(others) < 20
    assert max(others) > len(clock) - 10


@given(st.data())
def test_any_frames_of_any_video_are_those_asked_for(sample, data):
    made = sample(data.draw(st.sampled_from(["long.mp4", "open_groups.ts", "no_key_frames.mp4", "reordered.avi"])))
    count = len(made.numbers)
    asked = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=6)))
    assert numbers(ask(made, asked)) == [made.numbers[index] for index in asked]


def test_sizes_are_upright(sample):
    for name in ("turned90.mp4", "turned180.mp4", "turned270.mov"):
        (image,) = ask(sample(name), [5], size=(80, 64))
        assert image.shape == (64, 80, 3)
        assert frame_number(image) == sample(name).numbers[5]


def test_a_clock_that_promises_more_than_the_file_is_an_error_and_no_silence(sample):
    made = sample("plain.mp4")
    longer = FrameClock.from_pts(range(0, 512 * 33, 512), time_base=made.probe.time_base, last_duration=512)
    shown = []
    with pytest.raises(VideoError, match="3 of 33 frames of the index no longer decode") as caught:
        shown.extend(frame.index for frame in scan(made.path, longer, size=None))
    assert caught.value.code == "frames_lost"
    assert shown == list(range(30))
    with pytest.raises(VideoError, match="no longer decode"):
        read(made.path, longer, np.array([32]), size=None, deadline_s=60)


def test_frames_that_the_clock_does_not_know_are_not_shown(sample):
    made = sample("plain.mp4")
    every_other = FrameClock.from_pts(range(0, 512 * 30, 1024), time_base=made.probe.time_base, last_duration=1024)
    assert numbers(frame.full() for frame in scan(made.path, every_other, size=None)) == list(range(0, 30, 2))


def test_time_that_runs_out_is_said(sample):
    made = sample("long.mp4")
    with pytest.raises(VideoError, match="did not finish in time") as caught:
        read(made.path, made.probe.clock, np.arange(150), size=None, deadline_s=0.0)
    assert caught.value.code == "decoder_hung"


SMOOTH = {"preset": "ultrafast", "crf": "35", "g": "30", "bf": "0"}
DENSE = {"preset": "medium", "crf": "30", "g": "60"}
B_HEAVY = {"preset": "veryfast", "crf": "32", "bf": "3", "g": "60"}


@pytest.mark.parametrize(
    ("options", "packets", "start"),
    [
        (SMOOTH, [33, 34], 0.4),
        (SMOOTH, [10, 45], 0.4),
        (SMOOTH, [20, 21, 22, 23], 0.05),
        (DENSE, [10, 45], 0.05),
        (DENSE, [30], 0.4),
        (B_HEAVY, [20, 21, 22, 23], 0.4),
        (B_HEAVY, [10, 45], 0.05),
    ],
)
def test_a_damaged_file_shows_the_same_frames_each_time_and_either_way(tmp_path, options, packets, start):
    # With threads FFmpeg mends these differently from run to run.
    path = tmp_path / "a.mp4"
    film_texture(path, options)
    scratch(path, packets, start=start)
    found = probe(path)
    assert found.status == "degraded"
    clock = found.clock
    once = [frame.full() for frame in scan(path, clock, size=None)]
    assert len(once) == len(clock)
    for _ in range(2):
        again = [frame.full() for frame in scan(path, clock, size=None)]
        assert [k for k in range(len(once)) if not np.array_equal(once[k], again[k])] == []
    for index in (3, 12, 25, 36, 47, 51, 64, len(clock) - 1):
        assert np.array_equal(read(path, clock, np.array([index]), size=None, deadline_s=60)[0], once[index]), index
    assert np.array_equal(read(path, clock, np.arange(0, len(clock), 7), size=None, deadline_s=60), once[::7])


def test_frames_shown_before_a_damaged_one_wait_for_it(tmp_path):
    # A B-frame may be predicted from a damaged picture that is shown after it: it must not be out already.
    path = tmp_path / "a.mp4"
    film_texture(path, B_HEAVY)
    scratch(path, [12], start=0.4)
    found = probe(path)
    (damaged,) = [problem.at_ns for problem in found.problems if problem.code == "corrupt_frames"]
    shown = []
    with open_source(path) as source, suppress(TroubleError):
        shown.extend(pts for pts, _ in decode(source, Walk(), strict=True))
    assert 0 < len(shown) <= found.clock.index_at(damaged) - 2


def test_a_change_of_size_is_scaled_to_the_headers(tmp_path):
    for name, size, start in (("a.ts", (160, 120), 0), ("b.ts", (320, 240), 30)):
        draw_video(tmp_path / name, VideoSpec(size=size, start=start))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    clock = probe(joined).clock
    images = read(joined, clock, np.arange(len(clock)), size=None, deadline_s=60)
    assert images.shape == (60, 120, 160, 3)
    assert numbers(images) == [*range(30), *range(30)]


def test_h264_444_seeks_right(tmp_path):
    # FFmpeg decodes 4:4:4 as an old x264 meant it when the first packet names one; a seek must not lose the name.
    path = tmp_path / "a.mp4"
    film_texture(path, {"preset": "veryfast", "crf": "30", "g": "20"}, pixel_format="yuv444p")
    content = path.read_bytes()
    assert content.count(b"x264 - core 1") == 1
    place = content.index(b"x264 - core 1") + len(b"x264 - core 1")
    path.write_bytes(content[:place] + b"48" + content[place + 2 :])
    clock = probe(path).clock
    whole = [frame.full() for frame in scan(path, clock, size=None)]
    for index in (70, 99):
        assert np.array_equal(read(path, clock, np.array([index]), size=None, deadline_s=60)[0], whole[index])


def test_memory_does_not_grow_with_the_pass(tmp_path):
    import psutil

    path = tmp_path / "a.mp4"
    encode(path, "libx264", {"preset": "ultrafast", "g": "50"}, frames=1500)
    clock = probe(path).clock
    me = psutil.Process()
    marks = [me.memory_info().rss for frame in scan(path, clock, size=(64, 48)) if frame.index % 500 == 400]
    assert marks[-1] - marks[0] < 20 * 2**20


def test_a_pass_may_be_left_in_the_middle(sample):
    made = sample("long.mp4")
    for _ in range(20):
        for frame in scan(made.path, made.probe.clock, size=None):
            if frame.index == 3:
                break
    assert len(list(scan(made.path, made.probe.clock, size=None))) == len(made.numbers)


def test_pictures_come_one_by_one(sample):
    made = sample("film.mp4")
    found = dict(pictures(made.path, made.probe.clock, np.array([2, 9, 17]), size=None, deadline_s=60))
    assert {index: frame_number(image) for index, image in found.items()} == {2: 2, 9: 9, 17: 17}


def test_the_end_of_all_streams_is_found(sample):
    assert (
        last_packet_end_s(sample("plain.mp4").path)
        == sample("plain.mp4").probe.n_frames * sample("plain.mp4").probe.time_base * 512
    )
    assert last_packet_end_s(sample("fast_audio.mp4").path) >= sample("fast_audio.mp4").probe.duration_ns / 10**9


def test_an_empty_chunk_is_not_the_end(sample, monkeypatch):
    # AVI repeats a picture by an empty chunk; to a decoder an empty packet would mean that the stream is over.
    made = sample("plain.avi")
    honest = av.container.InputContainer.demux

    def with_gap(source, walk):
        for place, packet in enumerate(honest(source.container, source.stream)):
            if place == 5:
                empty = av.Packet(0)
                empty.dts = packet.dts
                empty.stream = packet.stream if hasattr(empty, "stream") else None
                yield empty
            yield packet

    monkeypatch.setattr("datasets_build.decoders.container.demux", with_gap)
    with open_source(made.path) as source:
        assert len(list(decode(source, Walk(), strict=False))) == 30
