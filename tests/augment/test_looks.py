"""Looks: what is drawn is in bounds and the same for the same seed; a frame's pixels follow from that frame alone."""

import colorsys
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from augment.boxes import Box
from augment.errors import AugmentError
from augment.looks import (
    Seen,
    apply_looks,
    draw_look,
    draw_looks,
    size_after,
    untellable_labels,
    untellable_tasks,
)
from augment.picture_settings import Aspect, Blur, Colour, Compress, Noise, Resolution, Shake, Window
from augment.pictures import CHANGES, wandered
from augment.settings import Pipeline, Speed
from datasets_build.core.augmentation import Look
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.topics import CAMERA
from datasets_build.sources.world_shapes import COLOURS
from tests.laws import examples

BOX = Box(left=0.3, top=0.4, right=0.5, bottom=0.7)
OPERATIONS = (
    Resolution(heights=(32, 40)),
    Resolution(least=20, most=90),
    Aspect(ratios=("1:1", "16:9", "9:16")),
    Aspect(form="squeeze", ratios=("4:3", "3:2")),
    Window(),
    Colour(),
    Blur(),
    Blur(form="motion", least=0.02, most=0.05),
    Shake(),
    Shake(edges="zoom", least=0.05, most=0.1),
    Noise(),
)


def seen(size=(64, 48), boxes=(BOX,)):
    return Seen(size=size, fps=Fraction(24), boxes=lambda: list(boxes))


def drawn(operation, seed=0, size=(64, 48), boxes=(BOX,)):
    return draw_look(operation, random.Random(seed), seen(size, boxes))


def pictures(count, size=(64, 48), seed=0):
    """Smooth pictures of many colours, each another."""
    width, height = size
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return small.repeat(-(-height // 6), axis=1).repeat(-(-width // 8), axis=2)[:, :height, :width].copy()


def times(count):
    return np.arange(count, dtype=np.int64) * 40_000_000


def laid(looks, pixels):
    count = len(pixels)
    return apply_looks(looks, pixels, np.arange(count, dtype=np.int64), times(count))


@st.composite
def chains(draw, size=(64, 48)):
    """Some looks, one after the other."""
    picked = draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4))
    # A window after shake has no boxes to keep.
    picked.sort(key=lambda operation: operation.kind == "shake")
    seed = draw(st.integers(0, 999))
    try:
        return draw_looks([(each, random.Random(f"{seed} {k}")) for k, each in enumerate(picked)], seen(size))
    except AugmentError:
        # Too much of a squeeze after a letterbox, or nothing left to cut off.
        return draw_looks([(Noise(), random.Random(seed))], seen(size))


@settings(max_examples=examples(50), deadline=None)
@given(chains(), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_a_frame_looks_the_same_whatever_is_read_with_it(looks, asked):
    """Random access equals the whole, and no frame knows of another, let alone of a later one."""
    frames = pictures(6)
    whole = laid(looks, frames)
    index = np.array(asked, np.int64)
    assert np.array_equal(apply_looks(looks, frames[index], index, times(6)[index]), whole[index])
    later = frames.copy()
    later[3:] = 255 - later[3:]
    assert np.array_equal(laid(looks, later)[:3], whole[:3])


@settings(max_examples=examples(50), deadline=None)
@given(chains(size=(66, 50)))
def test_the_size_is_the_one_that_is_told(looks):
    found = laid(looks, pictures(2, (66, 50)))
    assert found.dtype == np.uint8
    width, height = size_after(looks, (66, 50))
    assert found.shape == (2, height, width, 3)
    assert (width % 2, height % 2) == (0, 0)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.kind} {getattr(each, 'form', '')}")
def test_each_look_changes_the_picture_is_drawn_from_its_seed_and_leaves_what_it_was_given(operation):
    look = drawn(operation)
    assert look == drawn(operation)
    assert look != drawn(operation, seed=1)
    assert look.kind in CHANGES
    frames = pictures(2)
    before = frames.copy()
    found = laid([look], frames)
    assert np.array_equal(frames, before)
    assert found.shape != frames.shape or not np.array_equal(found, frames)
    assert np.array_equal(found, laid([look], frames))


def test_no_looks_change_nothing():
    frames = pictures(3)
    assert laid([], frames) is frames
    assert size_after([], (7, 5)) == (7, 5)
    assert laid([drawn(Noise())], frames[:0]).shape == (0, 48, 64, 3)


def test_a_look_that_is_not_known_is_told():
    with pytest.raises(AugmentError, match="found kind fisheye, expected one of"):
        laid([Look(kind="fisheye")], pictures(1))
    with pytest.raises(KeyError, match="look noise: has no parameter sd"):
        laid([Look(kind="noise")], pictures(1))


def test_a_change_of_time_is_no_look():
    with pytest.raises(AugmentError, match="no operation on pixels"):
        draw_look(Speed(), random.Random(0), seen())


@given(st.integers(0, 99), st.sampled_from([(64, 48), (641, 481), (1080, 1920)]))
def test_resolution_has_the_asked_height_and_keeps_proportions(seed, size):
    width, height = size_after([drawn(Resolution(heights=(120, 240)), seed, size)], size)
    assert height in (120, 240)
    assert abs(width - height * size[0] / size[1]) <= 1
    low = size_after([drawn(Resolution(least=100, most=130), seed, size)], size)
    assert 100 <= low[1] <= 130


def test_resolution_keeps_the_mean_of_the_picture():
    frames = pictures(2, (160, 120))
    for heights in ((60,), (240,)):
        found = laid([drawn(Resolution(heights=heights), size=(160, 120))], frames)
        assert np.abs(found.mean(axis=(1, 2)) - frames.mean(axis=(1, 2))).max() < 2


def test_a_letterbox_holds_the_whole_picture_between_black_bars():
    frames = np.maximum(pictures(1), 1)
    for ratio, size in (("1:1", (64, 64)), ("16:9", (86, 48)), ("9:16", (64, 114))):
        look = drawn(Aspect(ratios=(ratio,)))
        assert size_after([look], (64, 48)) == size
        (found,) = laid([look], frames)
        rows, columns = np.flatnonzero(found.any(axis=(1, 2))), np.flatnonzero(found.any(axis=(0, 2)))
        inner = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.array_equal(inner, frames[0])
        assert not found.sum() - inner.sum()


def test_a_squeeze_is_a_small_one_and_no_shape_is_asked_after():
    look = drawn(Aspect(form="squeeze", ratios=("3:2",)))
    assert size_after([look], (64, 48)) == (72, 48)
    assert untellable_tasks([look]) == {"shape"}
    assert untellable_tasks([drawn(Aspect())]) == set()
    with pytest.raises(AugmentError, match=r"1:1 squeezes pictures of 64×48 by 0\.75.*take form letterbox"):
        drawn(Aspect(form="squeeze", ratios=("1:1",)))


@given(st.integers(0, 999), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=examples(100), deadline=None)
def test_light_and_saturation_turn_no_hue(seed, red, green, blue):
    operation = Colour(
        brightness=0.25, contrast=0.25, gamma=0.25, warmth=0.0, least_saturation=0.5, most_saturation=1.5
    )
    picture = np.full((1, 1, 1, 3), (red, green, blue), np.uint8)
    (after,) = laid([drawn(operation, seed)], picture).reshape(-1, 3).tolist()
    spread = min(max(red, green, blue) - min(red, green, blue), max(after) - min(after))
    if spread >= 8:
        turned = abs(colorsys.rgb_to_hsv(red, green, blue)[0] - colorsys.rgb_to_hsv(*after)[0])
        # Rounding of each channel moves a hue by as much as one level is of the colour's spread.
        assert min(turned, 1 - turned) <= 1.5 / 6 / spread + 1e-9


@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_of_the_drawn_world_keeps_its_name(name):
    """Of all named colours its own hue stays the nearest one, under the strongest change; white stays white."""
    operation = Colour(brightness=0.25, contrast=0.25, gamma=0.25, warmth=0.1, least_saturation=0.5)
    hues = {each: colorsys.rgb_to_hsv(*rgb)[0] for each, rgb in COLOURS.items() if each != "white"}
    for seed in range(60):
        picture = np.full((1, 1, 1, 3), COLOURS[name], np.uint8)
        (after,) = laid([drawn(operation, seed)], picture).reshape(-1, 3).tolist()
        hue, saturation, _ = colorsys.rgb_to_hsv(*after)
        if name == "white":
            assert saturation < 0.2
            assert min(after) > 130
        else:
            assert saturation > 0.2
            assert min(hues, key=lambda each: min(abs(hue - hues[each]), 1 - abs(hue - hues[each]))) == name


def test_black_stays_black_and_colour_does_what_it_says():
    def look(**changed):
        values = {"brightness": 1.0, "contrast": 1.0, "gamma": 1.0, "warmth": 0.0, "saturation": 1.0} | changed
        return Look(kind="colour", parameters=[{"name": k, "value": v} for k, v in values.items()])

    frames = pictures(1)
    assert np.array_equal(laid([look()], frames), frames)
    dark = np.zeros((1, 4, 4, 3), np.uint8)
    assert not laid([look(brightness=1.25, contrast=0.75, gamma=0.75)], dark).any()
    grey = np.full((1, 2, 2, 3), 100, np.uint8)
    assert laid([look(brightness=0.8)], grey).max() == 80
    assert laid([look(gamma=0.8)], grey).min() > 100
    assert laid([look(gamma=1.2)], grey).max() < 100
    warm = laid([look(warmth=0.1)], grey)[0, 0, 0]
    assert warm[0] > warm[1] > warm[2]
    pale = laid([look(saturation=0.5)], np.full((1, 1, 1, 3), (200, 100, 60), np.uint8))[0, 0, 0]
    assert pale.max() - pale.min() == 70
    assert laid([look(contrast=1.25)], np.full((1, 1, 1, 3), 60, np.uint8)).max() < 60


def test_blur_takes_detail_away_and_motion_only_along_its_way():
    frames = pictures(1, (160, 120))
    sharp = np.abs(np.diff(frames.astype(int), axis=2)).sum()
    soft = laid([drawn(Blur(least=0.04, most=0.05), size=(160, 120))], frames)
    assert np.abs(np.diff(soft.astype(int), axis=2)).sum() < 0.85 * sharp
    streak = Look(kind="motion_blur", parameters=[{"name": "share", "value": 0.1}, {"name": "angle", "value": 0.0}])
    stripes = np.repeat((np.arange(48) % 2 * 255).astype(np.uint8)[None, :, None, None], 64, axis=2).repeat(3, axis=3)
    assert np.array_equal(laid([streak], stripes), stripes)
    across = laid([streak], stripes.transpose(0, 2, 1, 3).copy())
    assert across.std() < stripes.std() / 3
    assert abs(across.mean() - stripes.mean()) < 3


def test_noise_is_as_strong_as_asked_and_new_in_each_frame():
    look = Look(kind="noise", parameters=[{"name": "sd", "value": 0.05}], seed=3)
    for level, share in ((128, 0.25 + 0.75 * 128 / 255), (30, 0.25 + 0.75 * 30 / 255)):
        flat = np.full((2, 96, 96, 3), level, np.uint8)
        found = laid([look], flat)
        assert found.std() == pytest.approx(0.05 * 255 * share**0.5, rel=0.03)
        assert found.mean() == pytest.approx(level, abs=0.3)
        assert not np.array_equal(found[0], found[1])
        assert np.array_equal(found, laid([look], flat))
        assert not np.array_equal(found, laid([look.model_copy(update={"seed": 4})], flat))


@given(st.integers(0, 99), st.integers(0, 10**11))
@settings(max_examples=examples(100), deadline=None)
def test_a_shaken_camera_moves_smoothly_and_never_too_far(seed, t_ns):
    look = drawn(Shake(least=0.03, most=0.03, period_s=0.5), seed)
    here, soon = wandered(look, t_ns), wandered(look, t_ns + NS_PER_S // 100)
    assert max(map(abs, here)) <= 0.03
    # In a hundredth of a second, a twelfth of the fastest period: a B-spline's slope is bounded by its control points.
    assert max(abs(a - b) for a, b in zip(here, soon, strict=True)) < 0.03 / 4


def test_a_shaken_camera_does_move_and_each_its_own_way():
    look, other = drawn(Shake(least=0.03, most=0.03), 0), drawn(Shake(least=0.03, most=0.03), 1)
    ways = [[wandered(each, t * NS_PER_S // 5) for t in range(100)] for each in (look, other)]
    assert np.std(ways[0], axis=0).min() > 0.003
    assert abs(np.corrcoef(np.array(ways[0])[:, 0], np.array(ways[1])[:, 0])[0, 1]) < 0.5


def test_shake_moves_the_picture_by_what_it_says():
    """A white dot goes where the camera's way puts it; edges show the picture mirrored, or nothing but the picture."""
    size, spot = (200, 100), (60, 120)
    frames = np.zeros((8, 100, 200, 3), np.uint8)
    frames[:, spot[0] - 2 : spot[0] + 3, spot[1] - 2 : spot[1] + 3] = 255
    look = drawn(Shake(least=0.05, most=0.05, period_s=0.1), size=size)
    for k, picture in enumerate(laid([look], frames)):
        x, y = wandered(look, k * 40_000_000)
        rows, columns = np.nonzero(picture[..., 0] > 127)
        assert rows.mean() == pytest.approx(spot[0] - y * 100, abs=0.6)
        assert columns.mean() == pytest.approx(spot[1] - x * 200, abs=0.6)
    bright = np.full((4, 100, 200, 3), 200, np.uint8)
    for edges in ("reflect", "zoom"):
        assert (laid([drawn(Shake(edges=edges, least=0.1, most=0.1))], bright) == 200).all()


def test_what_looks_hide():
    assert untellable_labels([drawn(Shake())]) == CAMERA | {"still", "motion_burst"}
    assert untellable_labels([drawn(Shake(edges="zoom"))]) == CAMERA | {"still", "motion_burst"}
    assert untellable_labels([drawn(Window())]) == {"motion_burst", "light_up", "light_down"}
    others = [drawn(each) for each in OPERATIONS if each.kind not in ("shake", "window")]
    assert untellable_labels(others) == set()


@given(
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.floats(0.05, 0.5),
    st.floats(0.05, 0.5),
    st.integers(0, 99),
    st.sampled_from([(64, 48), (65, 49), (640, 360)]),
)
@settings(max_examples=examples(100), deadline=None)
def test_a_window_keeps_every_box_whole(left, top, wide, high, seed, size):
    box = Box(left=left, top=top, right=min(1.0, left + wide), bottom=min(1.0, top + high))
    free = [min(n // 2, int(low * n) + n - int(-(-high * n // 1))) for low, high, n in corners(box, size)]
    if max(free) < 2:
        return
    look = drawn(Window(least=0.5), seed, size, boxes=(box,))
    x, y, width, height = (round(look.value(name)) for name in ("left", "top", "width", "height"))
    assert x >= 0
    assert y >= 0
    assert x + width <= size[0]
    assert y + height <= size[1]
    assert x <= box.left * size[0]
    assert x + width >= box.right * size[0]
    assert y <= box.top * size[1]
    assert y + height >= box.bottom * size[1]
    assert width >= 0.5 * size[0]
    assert height >= 0.5 * size[1]
    # What touches an edge of the picture keeps it.
    assert left > 0.001 or x == 0
    assert box.right < 0.999 or x + width == size[0]


def corners(box, size):
    """Where a box begins and ends in both directions, and how many pixels there are."""
    reaches = (box.left, 1.0 if box.right > 0.999 else box.right), (box.top, 1.0 if box.bottom > 0.999 else box.bottom)
    return [(0.0 if low <= 0.001 else low, high, n) for (low, high), n in zip(reaches, size, strict=True)]


def test_a_window_shows_the_part_that_it_names():
    frames = pictures(1)
    look = drawn(Window(least=0.5), seed=2)
    x, y, width, height = (round(look.value(name)) for name in ("left", "top", "width", "height"))
    assert (width, height) != (64, 48)
    assert np.array_equal(laid([look], frames)[0], frames[0, y : y + height, x : x + width])


def test_boxes_that_reach_all_edges_leave_nothing_to_cut():
    with pytest.raises(AugmentError, match="nothing of the picture can be cut off"):
        drawn(Window(), boxes=(Box(left=0.0, top=0.0, right=1.0, bottom=1.0),))


def test_a_window_after_shake_is_refused():
    chance = [(Shake(), random.Random(0)), (Window(), random.Random(1))]
    with pytest.raises(AugmentError, match="put it before"):
        draw_looks(chance, seen())
    assert [look.kind for look in draw_looks(chance[::-1], seen())] == ["window", "shake"]


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "resolution", "heights": [33]},
        {"kind": "resolution", "least": 400, "most": 200},
        {"kind": "aspect", "ratios": ["4/3"]},
        {"kind": "aspect", "ratios": []},
        {"kind": "colour", "least_saturation": 0.4},
        {"kind": "colour", "hue": 0.1},
        {"kind": "blur", "least": 0.02, "most": 0.01},
        {"kind": "compress", "least_kbit_s": 500.0, "most_kbit_s": 100.0},
        {"kind": "compress", "least_kbit_s": 0.0},
        {"kind": "shake", "least": 0.05, "most": 0.01},
        {"kind": "noise", "most": 0.5},
        {"kind": "noise", "least": 0.1, "most": 0.05},
        {"kind": "window", "least": 1.0},
        {"kind": "fisheye"},
    ],
)
def test_settings_that_cannot_be_are_refused(bad):
    with pytest.raises(ValidationError):
        TypeAdapter(Pipeline).validate_python({"operations": (bad,)})


def test_pictures_do_not_grow_without_end():
    """Bars beside bars beside bars: no machine holds such a frame."""
    picked = [Aspect(ratios=(ratio,)) for ratio in ("1:10", "10:1", "1:10", "10:1")]
    chance = [(each, random.Random(0)) for each in picked]
    assert size_after(draw_looks(chance[:2], seen()), (64, 48)) == (6400, 640)
    with pytest.raises(AugmentError, match="aspect: makes pictures of 6400 × 64000 pixels, expected 16384 a side at"):
        draw_looks(chance, seen())


def test_views_need_something_that_makes_them_differ():
    with pytest.raises(ValidationError, match="all would look alike"):
        Pipeline(views=2, operations=(Speed(),))
    with pytest.raises(ValidationError, match="all would look alike"):
        Pipeline(views=2, operations=(Speed(), Noise(p=0.0)))
    pipeline = Pipeline(views=2, operations=(Noise(), Speed(), Compress()))
    assert [each.kind for each in pipeline.in_time] == ["speed"]
    assert [each.kind for each in pipeline.on_pixels] == ["noise", "compress"]


@pytest.mark.parametrize(("size", "most"), [((192, 128), 10.0), ((64, 48), 30.0)])
def test_pictures_are_not_compressed_until_nothing_is_seen(size, most):
    operation = Compress(least_kbit_s=10.0, most_kbit_s=most)
    text = rf"compress: {most:g} kbit/s leave nothing to see .* at 24 frames a second, expected \d+ or more"
    with pytest.raises(AugmentError, match=text):
        draw_look(operation, random.Random(0), seen(size))
    for seed in range(20):
        wide = Compress(least_kbit_s=10.0, most_kbit_s=400.0)
        assert draw_look(wide, random.Random(seed), seen(size)).value("kbit_s") >= 36
