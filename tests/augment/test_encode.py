"""Files hold the clocks they were given, to the nanosecond, and the pictures, to the bit or nearly."""

from fractions import Fraction
from itertools import accumulate, pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.encode import CODINGS, MOST_TICKS, Film, container_of, encode
from augment.errors import AugmentError, RoomError
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.video import check_decoder, probe, read
from tests.drawn import draw_number, frame_number
from tests.laws import examples
from tests.recipes.disks import small_disk

SHORT, LONG = st.integers(1, 60_000_000), st.integers(1, 40 * NS_PER_S)
# Decibels of the worst frame, drawn ones too, whose hard colour edges are the worst there are for 4:2:0.
PSNR = 35


def clock_of_stays(stays):
    times = np.array([0, *accumulate(stays)], np.int64)
    return FrameClock(times[:-1], int(times[-1]), times[:-1])


CLOCKS = st.one_of(
    st.lists(SHORT, min_size=1, max_size=9),
    st.lists(LONG, min_size=1, max_size=6),
    st.lists(st.integers(1, 99).map(lambda ms: ms * 1_000_000), min_size=1, max_size=9),
    st.lists(st.integers(1, 30).map(lambda s: s * NS_PER_S), min_size=1, max_size=6),
).map(clock_of_stays)


def numbers(clock, size=(48, 48)):
    return [draw_number(k, size) for k in range(len(clock))]


def written(folder, clock, codec="lossless", *, size=(48, 48), sar=Fraction(1)):
    path = folder / f"film.{container_of(clock).suffix}"
    encode(path, numbers(clock, size), Film(clock=clock, coding=CODINGS[codec], sar=sar))
    return path


@given(CLOCKS)
def test_a_container_holds_every_time(clock):
    container = container_of(clock)
    times = [*clock.t_ns.tolist(), clock.end_ns]
    assert all(t % container.tick_ns == 0 for t in times)
    assert NS_PER_S % container.tick_ns == 0
    longest = max(b - a for a, b in pairwise(times)) // container.tick_ns
    assert longest <= MOST_TICKS or container.suffix == "mkv"


def test_the_longest_stay_of_an_mp4_is_that_of_its_tick():
    most = MOST_TICKS
    assert container_of(clock_of_stays([1, most])) == ("mp4", 1)
    assert container_of(clock_of_stays([1, most + 1])) == ("mkv", 1)
    assert container_of(clock_of_stays([1000, (most + 1) * 1000])) == ("mkv", 1)
    assert container_of(clock_of_stays([1000, most * 1000])) == ("mp4", 1000)
    # Three nanoseconds are no part of a second in whole ticks.
    assert container_of(clock_of_stays([3, 6])) == ("mp4", 1)


@pytest.mark.parametrize("codec", CODINGS)
@settings(max_examples=examples(60), deadline=None)
@given(clock=CLOCKS)
def test_a_file_has_the_clock_that_was_asked_for(tmp_path_factory, codec, clock):
    found = probe(written(tmp_path_factory.mktemp("film"), clock, codec))
    assert found.clock.t_ns.tolist() == clock.t_ns.tolist()
    assert found.clock.end_ns == clock.end_ns
    assert found.time_base == Fraction(container_of(clock).tick_ns, NS_PER_S)
    assert (found.start_pts, found.start_offset_ns, found.problems, found.status) == (0, 0, (), "ok")
    assert (found.reorder_depth, found.rotation_deg, found.audio) == (0, 0, None)


EVEN = clock_of_stays([40_000_000] * 30)
STALLED = clock_of_stays([33_333_333] * 20 + [7 * NS_PER_S] + [33_333_334] * 20)
DECODERS = ("decord", "pyav", "torchcodec")


@pytest.mark.slow
@pytest.mark.parametrize("clock", [EVEN, STALLED], ids=["mp4", "mkv"])
@pytest.mark.parametrize("size", [(160, 120), (61, 49)])
def test_lossless_files_come_back_bit_for_bit_from_every_decoder(tmp_path, clock, size):
    path = written(tmp_path, clock, size=size)
    found, right = probe(path), np.stack(numbers(clock, size))
    for name in DECODERS:
        trust = check_decoder(path, found, name)
        assert trust.trusted, trust.reason
        pictures = read(path, found.clock, clock.t_ns, decoder=trust, fallback=False).data
        assert np.array_equal(pictures, right)
        # Out of order, too.
        (late,) = read(path, found.clock, [clock.end_ns - 1], decoder=trust, fallback=False).data
        assert np.array_equal(late, right[-1])


@pytest.mark.parametrize("clock", [EVEN, STALLED], ids=["mp4", "mkv"])
@pytest.mark.parametrize("size", [(160, 120), (161, 121)])
def test_h264_files_come_back_frame_for_frame_and_nearly_the_same(tmp_path, clock, size):
    path = written(tmp_path, clock, "h264", size=size)
    found, right = probe(path), np.stack(numbers(clock, size)).astype(float)
    assert found.pixel_format == ("yuv420p" if size[0] % 2 == 0 else "yuv444p")
    for name in DECODERS:
        trust = check_decoder(path, found, name)
        assert trust.trusted, trust.reason
        pictures = read(path, found.clock, clock.t_ns, decoder=trust, fallback=False).data
        assert [frame_number(picture) for picture in pictures] == list(range(len(clock)))
        worst = ((pictures - right) ** 2).mean(axis=(1, 2, 3)).max()
        assert 10 * np.log10(255**2 / worst) > PSNR


@pytest.mark.parametrize("codec", CODINGS)
@pytest.mark.parametrize("clock", [EVEN, STALLED], ids=["mp4", "mkv"])
def test_pixels_that_are_not_square_stay_so(tmp_path, codec, clock):
    assert probe(written(tmp_path, clock, codec, sar=Fraction(4, 3))).sar == Fraction(4, 3)


@pytest.mark.parametrize("codec", CODINGS)
def test_a_seek_finds_the_key_frame_before(tmp_path, codec):
    """Matroska's cues lead to the cluster, not to the file's start."""
    clock = clock_of_stays([NS_PER_S // 30] * 60 + [9 * NS_PER_S] + [NS_PER_S // 30] * 60)
    path = written(tmp_path, clock, codec)
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        source.seek(clock.time_of(110), stream=stream)
        first = next(source.demux(stream))
    assert first.is_keyframe
    assert first.pts == clock.time_of(110 if codec == "lossless" else 96)


@pytest.mark.parametrize("codec", CODINGS)
@pytest.mark.parametrize("clock", [EVEN, STALLED], ids=["mp4", "mkv"])
def test_the_same_pictures_give_the_same_bytes(tmp_path, codec, clock):
    first = written(tmp_path, clock, codec).read_bytes()
    assert written(tmp_path, clock, codec).read_bytes() == first


@pytest.mark.parametrize(
    ("pictures", "told"),
    [
        ([], "found no picture, expected 30"),
        (numbers(EVEN)[:29], "found 29 pictures, expected 30"),
        ([*numbers(EVEN), draw_number(30, (48, 48))], "as number 30, expected 30"),
        ([*numbers(EVEN)[:5], draw_number(5, (64, 48))], r"found a picture of \(48, 64, 3\) as number 5"),
    ],
)
def test_pictures_that_do_not_fit_the_clock_leave_no_file(tmp_path, pictures, told):
    with pytest.raises(AugmentError, match=told):
        encode(tmp_path / "film.mp4", pictures, Film(clock=EVEN, coding=CODINGS["h264"]))
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_with_the_pictures_is_told_as_it_is(tmp_path):
    def torn():
        yield from numbers(EVEN)[:3]
        raise FileNotFoundError("the source is gone")

    with pytest.raises(FileNotFoundError, match="the source is gone"):
        encode(tmp_path / "film.mp4", torn(), Film(clock=EVEN, coding=CODINGS["h264"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clock", [EVEN, STALLED], ids=["mp4", "mkv"])
def test_a_full_disk_is_told_and_leaves_no_file(tmp_path, clock):
    noise = np.random.default_rng(0).integers(0, 255, (len(clock), 120, 160, 3)).astype(np.uint8)
    with small_disk(tmp_path / "disk") as disk:
        path = disk / f"film.{container_of(clock).suffix}"
        with pytest.raises(RoomError, match=r"No space left.*make room and run again"):
            encode(path, noise, Film(clock=clock, coding=CODINGS["lossless"]))
        assert list(disk.iterdir()) == []
