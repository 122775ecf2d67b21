"""Pixels are those of a session, bit for bit; features those of serving; both come from disk the second time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.video import read
from models.feature_cache import content_key
from models.tower import Tower
from recipes.data.collate import collate
from recipes.data.example import GridRef
from recipes.data.features import Sightings, thumbnail
from recipes.data.frame_events import frame_events
from recipes.data.frames import DecodeError, Frames
from recipes.data.stored import Stored
from recipes.errors import RecipeError
from tests.drawn import frame_number
from tests.models.small import backbone
from tests.recipes.data.lessons import desk, frame_format, gradient, how, open_corpus

# Nothing is written there.
NOWHERE = Path("nowhere")


def frames_of(films, cache, **more):
    return Frames(films, more.pop("format", frame_format()), decoder="decord", cache=cache, **more)


def good(films):
    return [footage for footage in films.values() if footage.video.uri != "film-2.mp4"]


def bad(films):
    return next(footage for footage in films.values() if footage.video.uri == "film-2.mp4")


def test_every_grid_shows_the_frames_of_its_times(films, tmp_path):
    # So large that the numbers on the frames can be read.
    frames = frames_of(films, tmp_path, format=frame_format(min_pixels=64 * 48))
    for footage in good(films):
        for grid in footage.grids:
            pixels = frames.pixels(grid)
            numbers = [frame_number(picture.numpy()) for picture in pixels]
            assert numbers == [footage.clock.index_at(t_ns) for t_ns in (grid.t0_ns, grid.t1_ns)]


def test_patches_are_those_of_a_session(films, tmp_path):
    for bounds in ({}, {"max_pixels": 1024}, {"min_pixels": 10_000, "max_pixels": 100_000}):
        form = frame_format(**bounds)
        frames = frames_of(films, tmp_path, format=form)
        footage = good(films)[0]
        for grid in footage.grids[:3]:
            whole = read(footage.path, footage.clock, [grid.t0_ns, grid.t1_ns], decoder="pyav").data
            assert torch.equal(form.patchify(np.ascontiguousarray(whole)), form.patchify(frames.pixels(grid)))


@given(st.integers(24, 90), st.integers(24, 90), st.sampled_from([256, 1024, 4096]), st.integers(0, 9))
@settings(max_examples=30)
def test_resized_frames_are_resized_no_more(height, width, most, seed):
    form = frame_format(max_pixels=most, min_pixels=64)
    pixels = gradient(height, width, seed=seed)
    frames = Frames({}, form, decoder="pyav", cache=NOWHERE)
    once = frames.resized(pixels)
    assert torch.equal(form.patchify(pixels), form.patchify(once))
    assert torch.equal(frames.resized(once), once)


def test_a_frame_that_would_be_resized_twice_is_refused():
    frames = Frames({}, frame_format(max_pixels=64, min_pixels=64), decoder="pyav", cache=NOWHERE)
    with pytest.raises(RecipeError, match="resized once more"):
        frames.resized(gradient(8, 90))


def test_the_second_time_nothing_is_decoded(films, tmp_path):
    footage = good(films)[0]
    first = frames_of(films, tmp_path)
    before = [first.pixels(grid) for grid in footage.grids]
    assert first.stats.decoded == len(footage.times)
    again = frames_of(films, tmp_path)
    after = [again.pixels(grid) for grid in footage.grids]
    assert again.stats.decoded == 0
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    # Another size is another content.
    other = frames_of(films, tmp_path, format=frame_format(max_pixels=256, min_pixels=64))
    assert other.pixels(footage.grids[0]).shape != before[0].shape
    assert other.stats.decoded


def test_what_is_kept_goes_by_content_not_by_name(films, tmp_path):
    one, two = good(films)
    frames = frames_of(films, tmp_path)
    assert not torch.equal(frames.pixels(one.grids[0]), torch.zeros_like(frames.pixels(one.grids[0])))
    frames.pixels(two.grids[0])
    assert frames.stats.decoded == len(one.times) + len(two.times)


def test_a_damaged_file_of_the_cache_is_made_anew(films, tmp_path):
    footage = good(films)[0]
    before = frames_of(films, tmp_path).pixels(footage.grids[0])
    for path in (tmp_path / "frames").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])
    again = frames_of(films, tmp_path)
    assert torch.equal(again.pixels(footage.grids[0]), before)
    assert again.stats.decoded


def test_a_lone_frame_stands_twice(films, tmp_path):
    footage = good(films)[0]
    t_ns = footage.times[2]
    pixels = frames_of(films, tmp_path).pixels(GridRef(video_id=footage.video.id, t0_ns=t_ns, t1_ns=t_ns))
    assert torch.equal(pixels[0], pixels[1])


def test_a_time_that_is_no_frame_is_refused(films, tmp_path):
    footage = good(films)[0]
    frames = frames_of(films, tmp_path)
    for grid in (
        GridRef(video_id=footage.video.id, t0_ns=1, t1_ns=1),
        GridRef(video_id=footage.video.id, t0_ns=10**15, t1_ns=10**15),
        GridRef(video_id="nobody", t0_ns=0, t1_ns=0),
    ):
        with pytest.raises(RecipeError, match="has no frame at"):
            frames.pixels(grid)


def test_a_video_that_breaks_off_is_a_typed_error_and_not_tried_again(films, tmp_path):
    footage = bad(films)
    frames = frames_of(films, tmp_path)
    errors = []
    for grid in footage.grids:
        try:
            frames.pixels(grid)
        except DecodeError as error:
            errors.append(error)
    assert errors
    assert {error.video_id for error in errors} == {footage.video.id}
    assert errors[0].t_ns in footage.times
    assert str(footage.path) in str(errors[0])
    assert frames.stats.failed == 1
    assert not list((tmp_path / "frames").rglob("*.safetensors"))


def test_features_are_those_of_serving_and_made_once(films, tmp_path):
    tower = Tower(backbone())
    form = frame_format()
    frames = frames_of(films, tmp_path)
    footage = good(films)[0]
    sightings = Sightings(frames, form, tower=tower, cache=tmp_path)
    shown = sightings.shown(footage.grids)
    for grid in footage.grids:
        pixels = frames.pixels(grid)
        (found,) = tower.encode([form.patchify(pixels)], [form.grid(*pixels.shape[1:3])])
        assert torch.equal(shown[grid].features, found.embeds)
        assert not shown[grid].features.is_inference()
        assert shown[grid].pixels is None
    contents = {seen.content for seen in shown.values()}
    assert sightings.stats.encoded == len(contents)
    again = Sightings(frames_of(films, tmp_path), form, tower=tower, cache=tmp_path)
    same = again.shown(footage.grids)
    assert again.stats.encoded == 0
    assert all(torch.equal(same[grid].features, shown[grid].features) for grid in footage.grids)


def test_another_tower_has_other_features(films, tmp_path):
    grid = good(films)[0].grids[0]
    form = frame_format()
    frames = frames_of(films, tmp_path)
    first = Sightings(frames, form, tower=Tower(backbone()), cache=tmp_path).shown([grid])[grid]
    other = Tower(backbone("qwen2_5_omni"))
    second = Sightings(frames, form, tower=other, cache=tmp_path)
    assert second.shown([grid])[grid].content != first.content
    assert second.stats.encoded == 1


def test_deepstack_parts_stand_side_by_side(films, tmp_path):
    grid = good(films)[0].grids[0]
    form = frame_format("qwen3_vl")
    frames = frames_of(films, tmp_path, format=form)
    tower = Tower(backbone("qwen3_vl"))
    seen = Sightings(frames, form, tower=tower, cache=tmp_path).shown([grid])[grid]
    pixels = frames.pixels(grid)
    (found,) = tower.encode([form.patchify(pixels)], [form.grid(*pixels.shape[1:3])])
    width = found.embeds.shape[1]
    assert torch.equal(seen.features[:, :width], found.embeds)
    assert torch.equal(seen.features[:, width:], torch.cat(found.deepstack, dim=-1))


def test_a_learning_tower_gets_pixels_and_a_batch_takes_either(drawn, films, tmp_path):
    corpus = open_corpus(drawn)
    material = next(item for item in corpus.materials["train"] if item.footage.video.uri == "film-0.mp4")
    example = frame_events(material, 4.0, desk())[0]
    frames = frames_of(films, tmp_path)
    tower = Tower(backbone())
    pixels = Sightings(frames, frame_format(), tower=None, cache=tmp_path).shown(example.grids)
    features = Sightings(frames, frame_format(), tower=tower, cache=tmp_path).shown(example.grids)
    assert all(seen.features is None and seen.pixels is not None for seen in pixels.values())
    (one,), (two,) = collate([[example]], pixels, how()), collate([[example]], features, how())
    assert torch.equal(one.token_ids, two.token_ids)
    assert len(one.sights.patches)
    assert len(two.sights.features) == sum(two.sights.tokens)
    assert all(torch.equal(pixels[grid].thumbnail, features[grid].thumbnail) for grid in example.grids)


def test_a_thumbnail_tells_pictures_apart_and_has_no_mean():
    one, two = gradient(32, 48, seed=1), gradient(32, 48, seed=2)
    assert thumbnail(one).shape == (48,)
    assert abs(float(thumbnail(one).mean())) < 1e-3
    assert not torch.equal(thumbnail(one), thumbnail(two))
    # The newest frame counts.
    assert torch.equal(thumbnail(torch.stack([two[0], one[1]])), thumbnail(one))
    brighter = (one // 2 + 60).to(torch.uint8)
    darker = (one // 2).to(torch.uint8)
    assert torch.allclose(thumbnail(brighter), thumbnail(darker), atol=1e-3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
@settings(max_examples=25)
def test_memory_is_bounded_and_loses_nothing(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("stored")
    stored = Stored(folder, max_bytes=100)
    written = {}
    for number, put in steps:
        key = bytes([number]) * 16
        if put:
            written[key] = torch.full((10 + number,), number, dtype=torch.float32)
            stored.put(key, written[key])
        found = stored.get(key)
        assert (found is None) == (key not in written)
        assert found is None or torch.equal(found, written[key])
        assert stored.nbytes <= 100
    shutil.rmtree(folder)


def test_two_processes_may_write_the_same_and_leave_nothing_else(tmp_path):
    one, two = Stored(tmp_path, max_bytes=0), Stored(tmp_path, max_bytes=0)
    key = content_key(torch.zeros(2, dtype=torch.uint8))
    for stored in (one, two):
        stored.put(key, torch.ones(3))
    assert torch.equal(one.get(key), torch.ones(3))
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]
    assert one.nbytes == 0
