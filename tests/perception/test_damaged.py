"""What becomes of damaged films: both commands run as a user runs them, and nothing vanishes."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.video import probe
from tests.perception import damaged
from tests.perception.damaged import (
    FRAMES,
    WAYS,
    Fate,
    fates,
    origin,
    perceived,
    plain_frames,
    shortened,
    spoil,
    variant,
)
from tests.pipeline import tree_bytes

# Fast ones ask no other decoder: that starts processes. The slow ones run as they come.
QUICK = "index.check_decoders=[]"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return damaged.draw(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """The films as they are, perceived; tests copy it."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(films[0].parent, folder / "films")
    perceived(folder / "films", folder / "out", QUICK)
    return folder


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 10_000))
def test_a_variant_is_its_seed_and_no_longer_than_the_film(content, seed):
    way, found = variant(content, seed)
    assert variant(content, seed) == (way, found)
    assert len(found) < len(content) if way == "cut" else len(found) == len(content)
    if way == "swap":
        assert sorted(found) == sorted(content)


def test_most_variants_are_not_the_film(films):
    for way in range(len(WAYS)):
        content = films[0].read_bytes()
        changed = [variant(content, seed)[1] != content for seed in range(way, 100, len(WAYS))]
        assert sum(changed) >= 24


def test_the_films_are_whole_before(films, whole):
    assert [(fate.frames, fate.status) for fate in fates(whole / "films", whole / "out")] == [(FRAMES, "ok")] * 5
    assert {path.name: plain_frames(path) for path in films} == {path.name: FRAMES for path in films}


def test_no_frame_of_a_damaged_film_is_lost_in_silence(films, tmp_path):
    spoil(films, tmp_path / "damaged", range(10, 15))
    perceived(tmp_path / "damaged", tmp_path / "out", QUICK)
    found = fates(tmp_path / "damaged", tmp_path / "out")
    assert len(found) == 25
    assert shortened(found, {path.name: FRAMES for path in films}) == []
    for fate in found:
        assert fate.code or fate.frames == plain_frames(tmp_path / "damaged" / fate.uri), fate
    # Some are whole, some lost frames, some cannot be opened: the seeds are not idle.
    assert any(fate.frames == FRAMES for fate in found)
    assert any(0 < fate.frames < FRAMES for fate in found)
    assert any(fate.code for fate in found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_damaged_films_come_out_the_same_twice(films, tmp_path):
    spoil(films, tmp_path / "damaged", range(40))
    for out in ("once", "twice"):
        perceived(tmp_path / "damaged", tmp_path / out)
    found = fates(tmp_path / "damaged", tmp_path / "once")
    assert len(found) == 200
    assert shortened(found, {path.name: FRAMES for path in films}) == []
    for fate in found:
        assert fate.code or fate.frames == plain_frames(tmp_path / "damaged" / fate.uri), fate
    assert tree_bytes(tmp_path / "once") == tree_bytes(tmp_path / "twice")


# The five smallest of which damage leaves something to decode, one of each container.
SMALLEST = ("decord_video_270.mov", "tc_av1_video.mkv", "tc_h265_video.mp4", "mb_frames.webm", "tc_gradient.gif")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_real_films_do_not_lose_frames_in_silence(real_data, tmp_path):
    films = [real_data / "videos" / name for name in SMALLEST]
    spoil(films, tmp_path / "damaged", range(40))
    perceived(tmp_path / "damaged", tmp_path / "out")
    found = fates(tmp_path / "damaged", tmp_path / "out")
    assert len(found) == 200
    assert shortened(found, {path.name: probe(path).n_frames for path in films}) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_real_film_is_perceived_or_rejected_by_name(real_data, tmp_path):
    perceived(real_data / "videos", tmp_path / "out")
    found = fates(real_data / "videos", tmp_path / "out")
    assert len(found) == len(os.listdir(real_data / "videos"))
    refused = {fate.uri for fate in found if fate.code}
    # Those that hold no film that anybody could see.
    assert refused == {
        *("damaged_empty.mp4", "damaged_moov_missing.mp4", "damaged_not_a_video.mp4", "mb_multiple-aac-tracks.mp4")
    }


# Damaged ones and each container.
SAMPLE = (
    *("damaged_rabbit_truncated_60pct.mp4", "damaged_truncated_60pct.mp4", "decord_corrupted.mp4", "mb_no-aud.ts"),
    *("imageio_newtonscradle.gif", "gradio_b.avi", "tc_av1_video.mkv", "mb_frames.webm", "tc_sine_stereo_mp2.mpg"),
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sample_of_real_films_comes_out_the_same_twice(real_data, tmp_path):
    (tmp_path / "films").mkdir()
    for name in SAMPLE:
        shutil.copy(real_data / "videos" / name, tmp_path / "films")
    for out in ("once", "twice"):
        perceived(tmp_path / "films", tmp_path / out)
    assert {fate.uri for fate in fates(tmp_path / "films", tmp_path / "once")} == set(SAMPLE)
    assert tree_bytes(tmp_path / "once") == tree_bytes(tmp_path / "twice")


def test_the_law_finds_what_is_planted(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder, out = tmp_path / "films", tmp_path / "out"
    # A film that nobody speaks of.
    shutil.copy(folder / "film.mp4", folder / "other.mp4")
    with pytest.raises(AssertionError, match=r"other\.mp4"):
        fates(folder, out)
    (folder / "other.mp4").unlink()
    # A table that lacks frames of the index.
    manifest = out / "perceive" / "manifest.json"
    said = manifest.read_text()
    manifest.write_text(said.replace(f'"frames": {5 * FRAMES}', f'"frames": {5 * FRAMES - 1}'))
    assert manifest.read_text() != said
    with pytest.raises(AssertionError, match="'frames': 199"):
        fates(folder, out)
    manifest.write_text(said)
    # A decoder that took its process down.
    (out / "rejects.jsonl").write_text(
        '{"stage": "perceive", "item": "film.mp4", "code": "decoder_crashed", "reason": "x", "action": "y"}\n'
    )
    with pytest.raises(AssertionError, match="decoder_crashed"):
        fates(folder, out)


def test_a_film_that_became_shorter_without_a_word_is_named():
    whole = {"a.mp4": 40}
    quiet, told, counted = (
        Fate("a_mp4-001-cut.mp4", 39, status) for status in ("ok", "degraded", "header_count_differs")
    )
    same, refused = Fate("a_mp4-002-cut.mp4", 40, "ok"), Fate("a_mp4-003-cut.mp4", code="no_frames")
    assert shortened([quiet, told, counted, same, refused], whole) == [quiet]
    assert origin("two-part_name_mp4-001-cut.mp4") == "two-part_name.mp4"
