"""Pictures of the last seconds: the right ones, no more than asked for, found by the nearest frame."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import ScanFrame
from datasets_build.perception.standby import StandbyPictures, picture_of, shrink

FRAME_NS = NS_PER_S // 20


def frame(index, *, t_ns=None, size=(40, 80), full=(400, 800), light=None):
    """A frame whose small picture is dark and blue and whose whole one is light and red."""
    small = np.zeros((*size, 3), np.uint8)
    small[:, :, 0] = 200 if light is None else light

    def whole():
        picture = np.zeros((*full, 3), np.uint8)
        picture[:, :, 0] = 250
        return picture

    return ScanFrame(index, index * FRAME_NS if t_ns is None else t_ns, small, whole)


def fed(count, **settings):
    kept = StandbyPictures(**settings)
    for index in range(count):
        kept.feed(frame(index))
    return kept


def indices(kept, count):
    return sorted({held.frame_index for k in range(count) if (held := kept.nearest(k, first=0)) is not None})


def test_so_many_pictures_a_second_are_kept():
    assert indices(fed(41, per_s=4, seconds=60), 41) == list(range(0, 41, 5))
    assert indices(fed(41, per_s=20, seconds=60), 41) == list(range(41))
    assert indices(fed(41, per_s=1000, seconds=60), 41) == list(range(41)), "no more than there are frames"


def test_only_the_last_seconds_are_kept():
    assert indices(fed(400, per_s=4, seconds=2), 400) == list(range(355, 400, 5))


def test_memory_does_not_grow_with_the_video():
    assert len(fed(300, per_s=4, seconds=3)) == len(fed(3000, per_s=4, seconds=3)) == 13


def test_the_nearest_picture_inside_a_span_is_given():
    kept = fed(41, per_s=4, seconds=60)
    assert kept.nearest(12, first=0).frame_index == 10
    assert kept.nearest(13, first=0).frame_index == 15
    assert kept.nearest(12, first=11).frame_index == 15
    assert kept.nearest(14, first=0, end=15).frame_index == 10
    assert kept.nearest(100, first=0, end=41).frame_index == 40
    assert kept.nearest(12, first=10, end=11).frame_index == 10


def test_where_no_picture_is_there_is_none():
    kept = fed(41, per_s=4, seconds=60)
    assert kept.nearest(12, first=11, end=15) is None
    assert kept.nearest(12, first=41) is None
    assert kept.nearest(12, first=12, end=12) is None
    assert StandbyPictures().nearest(0, first=0) is None
    assert fed(400, per_s=4, seconds=2).nearest(10, first=0, end=300) is None


def test_of_two_that_are_as_near_the_earlier_is_given():
    kept = StandbyPictures(per_s=20, seconds=60)
    for index in (0, 4):
        kept.feed(frame(index))
    assert kept.nearest(2, first=0).frame_index == 0


def test_a_picture_knows_its_frame_and_time():
    held = fed(12, per_s=4, seconds=60).nearest(10, first=0)
    assert (held.frame_index, held.t_ns) == (10, 10 * FRAME_NS)


@pytest.mark.parametrize(
    ("side", "shape", "colour"),
    [
        (224, (112, 224), [250, 0, 0]),
        (81, (40, 81), [250, 0, 0]),
        (80, (40, 80), [0, 0, 200]),
        (20, (10, 20), [0, 0, 200]),
    ],
)
def test_a_picture_comes_from_the_small_image_where_that_is_large_enough(side, shape, colour):
    kept = StandbyPictures(side=side)
    kept.feed(frame(0))
    picture = kept.nearest(0, first=0).picture
    assert picture.shape == (*shape, 3)
    assert picture[0, 0].tolist() == colour


def test_without_a_small_image_the_whole_one_is_taken():
    kept = StandbyPictures(side=20)
    kept.feed(ScanFrame(0, 0, None, lambda: np.full((100, 200, 3), 7, np.uint8)))
    assert kept.nearest(0, first=0).picture.shape == (10, 20, 3)


def test_a_whole_frame_is_converted_only_when_it_is_kept():
    asked = []
    kept = StandbyPictures(per_s=4, seconds=60)
    for index in range(41):
        kept.feed(
            ScanFrame(index, index * FRAME_NS, None, lambda k=index: asked.append(k) or np.zeros((9, 9, 3), np.uint8))
        )
    assert asked == list(range(0, 41, 5))


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=60),
    st.floats(0.5, 8),
    st.floats(0.5, 20),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_the_nearest_is_what_a_search_of_all_would_find(gaps_ms, per_s, seconds, wanted, first, end):
    """Whatever the frame rate: pictures are a step apart, reach back far enough, and none outside the span is given."""
    kept, times = StandbyPictures(per_s=per_s, seconds=seconds), np.cumsum([0, *gaps_ms]) * 1_000_000
    due, last = [], None
    for index, t_ns in enumerate(times.tolist()):
        kept.feed(frame(index, t_ns=t_ns, size=(2, 2), full=(2, 2)))
        if last is None or t_ns - last >= int(NS_PER_S / per_s):
            due.append(index)
            last = t_ns
    due = [index for index in due if last - times[index] <= int(NS_PER_S * seconds)]
    assert len(kept) == len(due) <= per_s * seconds + 2
    inside = [index for index in due if first <= index < end]
    found = kept.nearest(wanted, first=first, end=end)
    assert (found.frame_index if found else None) == min(inside, key=lambda k: (abs(k - wanted), k), default=None)


@pytest.mark.parametrize(("shape", "expected"), [((400, 800), (112, 224)), ((10, 20), (10, 20)), ((1, 1000), (1, 224))])
def test_pictures_shrink_and_never_grow(shape, expected):
    assert shrink(np.zeros((*shape, 3), np.uint8), 224).shape == (*expected, 3)


def test_a_picture_is_made_small_by_who_decodes_or_else_here():
    whole, small = (
        np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8) for size in ((60, 90), (4, 6))
    )
    asked = []
    frame = ScanFrame(0, 0, None, lambda: whole, lambda side: asked.append(side) or small)
    assert picture_of(frame, 6) is small
    assert asked == [6]
    assert np.array_equal(picture_of(ScanFrame(0, 0, None, lambda: whole), 6), shrink(whole, 6))
    assert picture_of(ScanFrame(0, 0, None, lambda: whole), 90) is whole
