from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import Features
from models.errors import SettingsError
from models.feature_cache import BLOCK_FACTOR, FeatureCache, SimilarCache, content_key, signature
from tests.laws import examples


def features(rows, value=0.0, deep=0):
    return Features(
        embeds=torch.full((rows, 4), value), deepstack=tuple(torch.full((rows, 4), value) for _ in range(deep))
    )


def frames(value=100, height=16, width=24):
    return torch.full((2, height, width, 3), value, dtype=torch.uint8)


keys = st.integers(0, 9).map(lambda number: bytes([number]))
steps = st.lists(st.tuples(st.booleans(), keys, st.integers(1, 6)), max_size=60)


@settings(max_examples=examples(50))
@given(steps=steps, bound=st.integers(0, 20).map(lambda rows: 16 * rows))
def test_it_is_a_dictionary_that_forgets_the_longest_unused(steps, bound):
    cache, model = FeatureCache(bound), OrderedDict()
    for puts, key, rows in steps:
        if puts:
            held = features(rows)
            cache.put(key, held)
            model.pop(key, None)
            if held.nbytes <= bound:
                model[key] = held
            while sum(part.nbytes for part in model.values()) > bound:
                model.popitem(last=False)
        else:
            if key in model:
                model.move_to_end(key)
            assert cache.get(key) is model.get(key)
        assert cache.nbytes == sum(part.nbytes for part in model.values()) <= bound
        assert len(cache) == len(model)
        assert all(key in cache for key in model)


def test_a_hit_is_the_tensors_themselves():
    cache, held = FeatureCache(1000), features(3, 0.5, deep=2)
    cache.put(b"a", held)
    assert cache.get(b"a") is held
    assert cache.nbytes == 3 * 4 * 4 * 3
    assert cache.get(b"b") is None


def test_what_is_too_large_is_not_kept_and_drops_nothing_else():
    cache = FeatureCache(100)
    cache.put(b"a", features(2))
    cache.put(b"b", features(50))
    assert (b"a" in cache, b"b" in cache) == (True, False)
    # The old features under its own key would be wrong by now.
    cache.put(b"a", features(50))
    assert (len(cache), cache.nbytes) == (0, 0)


def test_no_bytes_keep_nothing_and_fewer_are_refused():
    cache = FeatureCache(0)
    cache.put(b"a", features(1))
    assert len(cache) == 0
    with pytest.raises(SettingsError):
        FeatureCache(-1)


def test_a_key_names_pixels_shape_and_settings():
    drawn = torch.randint(0, 256, (2, 8, 12, 3), dtype=torch.uint8)
    key = content_key(drawn, b"format", b"tower")
    assert len(key) == 16
    assert key == content_key(drawn.clone(), b"format", b"tower")
    assert key == content_key(drawn.transpose(1, 2).contiguous().transpose(1, 2), b"format", b"tower")
    brighter = drawn.clone()
    brighter[1, 7, 11, 2] ^= 1
    others = [
        content_key(brighter, b"format", b"tower"),
        content_key(drawn.flip(0), b"format", b"tower"),
        content_key(drawn.reshape(2, 12, 8, 3), b"format", b"tower"),
        content_key(drawn, b"formas", b"tower"),
        content_key(drawn, b"format", b"towes"),
        content_key(drawn, b"formatt", b"ower"),
        content_key(drawn, b"tower", b"format"),
        content_key(drawn),
    ]
    assert len({key, *others}) == 9


def alike(first, second, threshold=2.0, grid=(4, 6)):
    return signature(first, grid).like(signature(second, grid), threshold)


def test_a_signature_is_mean_colours():
    half = frames(0)
    half[0, :, 12:, 1] = 200
    cells = signature(half, (2, 2)).cells.reshape(2, 3, 2, 2)
    assert cells[0, 1].tolist() == [[0, 200], [0, 200]]
    assert cells.sum() == 400
    # Sizes that do not divide.
    assert signature(frames(7, 17, 23), (4, 6)).cells.unique().tolist() == [7.0]


def test_like_is_a_bound_on_the_mean():
    assert alike(frames(100), frames(101))
    assert not alike(frames(100), frames(102))
    assert not alike(frames(100), frames(103))
    assert not alike(frames(100, 16, 24), frames(100, 24, 16))
    # The same cells of another size.
    assert not alike(frames(100, 16, 24), frames(100, 32, 48))


def test_either_frame_counts():
    moved = frames(100)
    moved[1] = 110
    assert not alike(frames(100), moved)


@settings(max_examples=examples(50))
@given(top=st.integers(0, 12), left=st.integers(0, 20), moment=st.integers(0, 1), bright=st.integers(0, 255))
def test_a_small_thing_is_never_missed(top, left, moment, bright):
    """One patch of another colour is 1/24 of the picture: too little for the mean, enough for its cell."""
    still, moved = frames(100), frames(100)
    moved[moment, top : top + 4, left : left + 4] = bright
    apart = (signature(still, (4, 6)).cells - signature(moved, (4, 6)).cells).abs()
    assert alike(still, moved) == (float(apart.amax()) < BLOCK_FACTOR * 2 and float(apart.mean()) < 2)
    # A cell holds at least a quarter of the thing, wherever it stands.
    if abs(bright - 100) >= 4 * BLOCK_FACTOR * 2:
        assert not alike(still, moved)


def test_the_latest_like_frame_comes_first_and_the_oldest_goes():
    cache = SimilarCache(3.0, entries=2)
    for name, value in ((b"a", 100), (b"b", 101), (b"c", 200)):
        cache.add(signature(frames(value), (4, 6)), name)
    assert len(cache) == 2
    assert list(cache.like(signature(frames(100), (4, 6)))) == [b"b"]
    cache.add(signature(frames(99), (4, 6)), b"d")
    cache.add(signature(frames(100), (4, 6)), b"e")
    assert list(cache.like(signature(frames(100), (4, 6)))) == [b"e", b"d"]
    assert list(cache.like(signature(frames(50), (4, 6)))) == []


@pytest.mark.parametrize(("threshold", "entries"), [(0, 1), (-1.0, 1), (256, 1), (1.0, 0), (float("nan"), 1)])
def test_a_threshold_that_means_nothing_is_refused(threshold, entries):
    with pytest.raises(SettingsError):
        SimilarCache(threshold, entries=entries)
