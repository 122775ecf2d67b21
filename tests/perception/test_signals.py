import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.signals import Sample, SignalMeter, SignalsConfig, stretch

STEP = NS_PER_S // 8


def landscape(size=400):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (size // 8, size // 8)).astype(np.uint8)
    smooth = cv2.GaussianBlur(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), (5, 5), 0)
    return cv2.merge([smooth, smooth, smooth])


LAND = landscape()


def view(x=100.0, y=100.0, scale=1.0):
    """A 128 x 128 look at the landscape, its centre at (x + 64, y + 64); `scale` above 1 shows less of it."""
    matrix = np.array([[1 / scale, 0, x + 64 - 64 / scale], [0, 1 / scale, y + 64 - 64 / scale]], np.float64)
    return cv2.warpAffine(LAND, matrix, (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def measure(pictures, config=None):
    meter = SignalMeter(config or SignalsConfig())
    return [meter.feed(k * STEP, picture) for k, picture in enumerate(pictures)]


@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-4, 0), (0, 3), (0, -3), (5, 2)])
def test_a_moving_view_is_a_pan(dx, dy):
    last = measure([view(), view(100 + dx, 100 + dy)])[-1]
    # Widths per second: dx pixels of 128 in an eighth of a second; phase correlation is right to about a pixel.
    assert last.pan_x == pytest.approx(dx / 128 * 8, abs=0.07)
    assert last.pan_y == pytest.approx(dy / 128 * 8, abs=0.07)
    assert abs(last.zoom) < 0.1


@pytest.mark.parametrize("scale", [1.02, 1.04, 0.98, 0.96])
def test_a_growing_picture_is_a_zoom(scale):
    last = measure([view(), view(scale=scale)])[-1]
    # Phase correlation sees part of a growth that varies within a quarter: the sign is right, the size a lower bound.
    assert 0.4 <= last.zoom / ((scale - 1) * 8) <= 1.2
    assert abs(last.pan_x) < 0.05


def test_something_moving_in_a_still_picture_is_no_pan():
    before, after = view().copy(), view().copy()
    before[20:60, 10:50] = 255
    after[20:60, 22:62] = 255
    last = measure([before, after])[-1]
    assert (last.pan_x, last.pan_y, last.zoom) == (0, 0, 0)
    assert last.motion > 0.01


def test_flat_pictures_have_no_movement():
    black, white = np.zeros((72, 128, 3), np.uint8), np.full((72, 128, 3), 255, np.uint8)
    first, second = measure([black, white])
    assert (first.luma, first.contrast, first.motion, first.complexity) == (0, 0, 0, 0)
    assert (second.luma, second.motion) == (1.0, 1.0)
    assert (second.pan_x, second.zoom) == (0, 0)


def test_detail_is_complexity():
    rough, smooth = view(), cv2.GaussianBlur(view(), (31, 31), 0)
    assert measure([rough])[0].complexity > 2 * measure([smooth])[0].complexity


@given(st.lists(st.integers(1, NS_PER_S), min_size=1, max_size=40), st.floats(0.5, 30))
def test_samples_lie_at_least_a_step_apart_and_miss_nothing(gaps, rate):
    meter = SignalMeter(SignalsConfig(rate_hz=rate))
    times = np.cumsum([0, *gaps]).tolist()
    picture = np.zeros((8, 8, 3), np.uint8)
    taken = [t for t in times if meter.feed(t, picture) is not None]
    assert taken[0] == 0
    step = int(NS_PER_S / rate)
    for before, after in itertools.pairwise(taken):
        assert after - before >= step
        # The next sample is the first frame that is due.
        assert not [t for t in times if before + step <= t < after]


def test_a_stretch_holds_its_samples_in_order():
    samples = [Sample(k, 0.1 * k, 0.2, 0.3, 0.4, -0.5, 0.6, 0.7) for k in range(3)]
    row = stretch("v", 4, samples)
    assert row.t_ns == (0, 1, 2)
    assert row.ordinal == 4
    assert row.luma == pytest.approx((0, 0.1, 0.2))
    assert row.pan_x == (-0.5,) * 3
    assert row.id != stretch("v", 5, samples).id


def test_a_small_thing_that_moves_is_seen_where_it_moves():
    still = view()
    before, after = still.copy(), still.copy()
    before[60:66, 20:26] = 255
    after[60:66, 23:29] = 255
    assert measure([still, still])[-1].local_motion == 0
    last = measure([before, after])[-1]
    assert last.motion < 0.002
    assert last.local_motion > 0.05
