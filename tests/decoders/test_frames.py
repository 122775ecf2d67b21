"""Small pictures: of the right size, never enlarged, and the same picture as the whole one, whoever makes them."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.decoders.frames import shrunk_size
from datasets_build.decoders.pyav import scan
from datasets_build.perception.standby import shrink
from datasets_build.video import probe
from tests.decoders.samples import NAMES


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 600))
def test_a_size_keeps_its_shape_within_the_side(width, height, side):
    small = shrunk_size(width, height, side)
    assert max(small) == min(side, max(width, height))
    assert min(small) >= 1
    scale = max(small) / max(width, height)
    assert abs(small[0] - width * scale) <= max(0.5 + 1e-6, 1 - width * scale)
    assert abs(small[1] - height * scale) <= max(0.5 + 1e-6, 1 - height * scale)
    assert shrunk_size(*small, side) == small


@pytest.mark.parametrize("name", NAMES)
def test_a_small_picture_is_the_whole_one_shrunk(sample, name):
    made = sample(name)
    for frame in scan(made.path, made.probe.clock, size=None):
        whole = frame.full()
        for side in (40, 61, max(whole.shape), 2000):
            small = frame.small(side)
            expected = shrink(whole, side)
            assert small.shape == expected.shape
            assert small.flags.c_contiguous
            # 30 dB: the scaler takes the mean of the planes that the file holds, not of the colours made of them.
            assert ((small.astype(float) - expected) ** 2).mean() < 255**2 / 1e3
        assert np.array_equal(frame.small(max(whole.shape)), whole)


@pytest.mark.parametrize("side", [64, 65, 223, 224])
def test_a_small_picture_has_all_of_its_colours(tmp_path, side):
    # Stripes of pure colours, which a scaler that takes every other colour would mix.
    width, height = 8 * side, 64
    stripes = np.zeros((height, width, 3), np.uint8)
    for k in range(side):
        stripes[:, 8 * k : 8 * k + 8, 2 * (k % 2)] = 255
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        out.mux([*stream.encode(av.VideoFrame.from_ndarray(stripes, format="rgb24")), *stream.encode(None)])
    (frame,) = scan(tmp_path / "a.mp4", probe(tmp_path / "a.mp4").clock, size=None)
    apart = frame.small(side).astype(float) - shrink(frame.full(), side)
    # 20 dB: with half of the colours it is 8.
    assert (apart**2).mean() < 255**2 / 100


@pytest.mark.parametrize(("width", "height"), [(1600, 16), (16, 1600), (1602, 902), (34, 18)])
def test_pictures_of_any_shape_shrink(tmp_path, width, height):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
        out.mux([*stream.encode(av.VideoFrame.from_ndarray(ramp, format="rgb24")), *stream.encode(None)])
    (frame,) = scan(tmp_path / "a.mp4", probe(tmp_path / "a.mp4").clock, size=None)
    for side in (1, 2, 3, 17, 224):
        expected = shrink(frame.full(), side)
        small = frame.small(side)
        assert (small is None) == (min(expected.shape[:2]) == 1)
        if small is not None:
            assert small.shape == expected.shape
            assert abs(float(small.mean()) - float(expected.mean())) < 8
