from dataclasses import replace

import pytest
import torch

from models.errors import FrameError, SettingsError
from models.tower import Tower
from models.vision import Encoder, VisionSettings
from tests.models.watched import (
    FAMILIES,
    PLAIN,
    THREAD,
    WAIT,
    counts,
    grey,
    picture,
    same,
)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_features_are_those_of_the_tower(backbones, formats, family, chosen):
    tower, form = Tower(backbones[family]), formats[family]
    with Encoder(tower, form, chosen) as encoder:
        for seed, size in enumerate([(16, 24), (40, 24), (16, 24)]):
            frames = picture(seed, size)
            found = encoder.submit(frames).result(WAIT)
            (expected,) = tower.encode([form.patchify(frames)], [form.grid(*size)])
            assert same(found, expected)
            assert found.tokens == form.tokens(*size)


@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_frames_seen_before_cost_no_vision_work(make, tower, chosen):
    encoder = make(chosen)
    futures = [encoder.submit(picture(seed)) for seed in (1, 2, 1, 1, 2, 3, 1)]
    found = [future.result(WAIT) for future in futures]
    assert tower.grids == 3
    assert found[0] is found[2] is found[3] is found[6]
    assert found[1] is found[4]
    stats = counts(encoder)
    assert (stats.submitted, stats.encoded, stats.exact_hits, stats.similar_hits) == (7, 3, 4, 0)
    assert stats.held_bytes == 3 * found[0].nbytes
    assert stats.seconds > 0
    before = stats.seconds
    encoder.submit(picture(1)).result(WAIT)
    assert counts(encoder).seconds == before


def test_one_pixel_or_another_size_is_another_picture(make, tower):
    encoder = make()
    frames = picture(1)
    first = encoder.submit(frames).result()
    other = frames.clone()
    other[0, 0, 0, 0] ^= 1
    assert not same(encoder.submit(other).result(), first)
    encoder.submit(frames.reshape(2, 24, 16, 3)).result()
    assert tower.grids == 3


def test_other_formats_or_weights_have_other_keys(backbones, formats):
    tower, form = Tower(backbones["qwen2_5_vl"]), formats["qwen2_5_vl"]
    names = [
        Encoder(tower, form, PLAIN)._name,
        Encoder(tower, replace(form, max_pixels=form.max_pixels + 1), PLAIN)._name,
        Encoder(Tower(backbones["qwen2_5_omni"]), form, PLAIN)._name,
    ]
    assert len(set(names)) == 3
    assert Encoder(Tower(backbones["qwen2_5_vl"]), replace(form), PLAIN)._name == names[0]


def test_a_like_frame_is_answered_with_the_one_that_was_encoded(make, tower):
    encoder = make(similarity=3.0)
    found = [encoder.submit(grey(value)).result() for value in (100, 102, 104, 102, 100, 106)]
    stats = counts(encoder)
    # 102 is like 100; 104 is like 102, but not like 100, which is what was encoded; 102 is then nearest to the latest.
    assert (stats.encoded, stats.similar_hits, stats.exact_hits) == (2, 3, 1)
    assert found[1] is found[0]
    assert found[3] is found[2]
    assert found[4] is found[0]
    assert found[5] is found[2]


def test_a_slow_drift_never_creeps(make, tower):
    encoder = make(similarity=3.0)
    for value in range(60, 120):
        found = encoder.submit(grey(value)).result()
        # What stands in was made from a frame less than 3 levels away.
        near = [encoder.submit(grey(other)).result() for other in range(value - 2, value + 1) if other >= 60]
        assert any(found is one for one in near)
    assert tower.grids == 20


def test_likeness_is_off_by_default(make, tower):
    encoder = make()
    for value in (100, 101, 102):
        encoder.submit(grey(value)).result()
    assert tower.grids == 3
    assert VisionSettings().similarity is None


def test_nothing_is_made_of_features_that_were_dropped(make, tower):
    encoder = make(similarity=3.0, cache_bytes=0)
    for value in (100, 101, 100):
        encoder.submit(grey(value)).result()
    assert tower.grids == 3


def test_likeness_to_a_frame_that_failed_is_none(make, tower):
    encoder = make(similarity=3.0)
    tower.broken = True
    assert encoder.submit(grey(100)).exception() is not None
    tower.broken = False
    encoder.submit(grey(101)).result()
    assert counts(encoder).encoded == 1


@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_bad_frames_are_refused_at_once(make, tower, chosen):
    encoder = make(chosen)
    for bad in (torch.zeros(2, 16, 24, 3), picture(0)[:1], picture(0).permute(0, 3, 1, 2)):
        with pytest.raises(FrameError):
            encoder.submit(bad)
    assert encoder.submit(picture(0)).result(WAIT).tokens == 6
    assert counts(encoder).submitted == 1


@pytest.mark.parametrize(
    "change",
    [{"cache_bytes": -1}, {"cache_bytes": 1.0}, {"similarity": 0}, {"similarity": 256.0}, {"similarity": True},
     {"similarity": "1"}, {"similarity": float("nan")}, {"background": 1}, {"max_pending": 0}, {"max_pending": True},
     {"batch": 0}, {"batch": None}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(change):
    with pytest.raises(SettingsError):
        replace(PLAIN, **change)
