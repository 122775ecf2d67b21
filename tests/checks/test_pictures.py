"""The hash of a picture: the same for one that was encoded anew, another for another picture."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets_build.checks.pictures import BITS, Album, picture_hash
from tests.checks.leaky import picture


def apart(one, other):
    return int(np.bitwise_count(one ^ other).sum())


def jpeg_of(levels):
    made = io.BytesIO()
    Image.fromarray(np.asarray(levels, np.uint8)).save(made, "JPEG")
    return made.getvalue()


@pytest.mark.parametrize("change", [{"quality": 40}, {"lighter": 15}, {"size": (320, 240)}, {"size": (80, 48)}])
def test_a_picture_made_anew_is_near(change):
    for seed in range(5):
        assert apart(picture_hash(picture(seed)), picture_hash(picture(seed, **change))) <= 20


def test_other_pictures_are_far():
    hashes = [picture_hash(picture(seed)) for seed in range(12)]
    assert min(apart(one, other) for k, one in enumerate(hashes) for other in hashes[:k]) > 60


def test_the_bits_are_where_brightness_grows():
    columns = np.tile(np.repeat(np.arange(17) % 2 * 200, 20), (160, 1))
    made = picture_hash(jpeg_of(columns))
    assert made.shape == (BITS // 8,)
    assert set(made.tolist()) == {0b10101010}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_no_hash(level):
    assert picture_hash(jpeg_of(np.full((48, 64), level))) is None


@pytest.mark.parametrize("content", [b"", b"no picture", picture(1)[:60]])
def test_a_broken_picture_has_no_hash(content):
    assert picture_hash(content) is None


def test_an_album_finds_the_video():
    album = Album()
    for seed in range(30):
        album.add(f"v{seed // 3}", picture_hash(picture(seed)))
    assert album.sizes["v4"] == 3
    assert album.near(picture_hash(picture(13, quality=50)), 20) == {"v4"}
    assert album.near(picture_hash(picture(99)), 20) == set()
    assert album.near(picture_hash(picture(13, quality=50, lighter=9)), 0) == set()


def test_an_empty_album_finds_nothing():
    assert Album().near(picture_hash(picture(1)), 64) == set()


def test_near_is_as_near_as_it_is_asked_for():
    rng = np.random.default_rng(3)
    album, base = Album(), picture_hash(picture(5))
    album.add("v", base)
    found = dict.fromkeys((5, 15, 26), 0)
    for bits in found:
        for _ in range(40):
            flips = np.zeros(BITS, bool)
            flips[rng.choice(BITS, bits, replace=False)] = True
            near = base ^ np.packbits(flips)
            found[bits] += album.near(near, bits) == {"v"}
            assert album.near(near, bits - 1) == set()
    assert found[5] == 40
    assert found[15] >= 38
    assert found[26] >= 30
