import logging

import cv2
import numpy as np

from datasets_build.perception.shot_training.material import CLIP_SIZE, PHOTO_SIDE, load_material, texture
from tests.perception.test_pyscenedetect import write_film
from tests.perception.test_shots import scene


def test_photographs_are_found_below_a_folder_and_what_is_none_is_told(tmp_path, caplog):
    (tmp_path / "deep").mkdir()
    cv2.imwrite(str(tmp_path / "deep/a.png"), scene(1))
    cv2.imwrite(str(tmp_path / "b.jpg"), scene(2))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "note.txt").write_text("no picture either")
    (tmp_path / "link.png").symlink_to(tmp_path / "b.jpg")
    with caplog.at_level(logging.WARNING):
        found = load_material(tmp_path, [], drawn=3, rng=np.random.default_rng(0))
    assert len(found.photos) == 5
    assert found.clips == ()
    assert {min(photo.shape[:2]) for photo in found.photos} == {PHOTO_SIDE}
    assert "broken.jpg: cannot be read as a picture" in caplog.text
    assert "note.txt" not in caplog.text


def test_a_clip_is_read_whole_and_a_damaged_one_up_to_its_damage(tmp_path, caplog):
    good = write_film(tmp_path / "good.mp4", [scene(k % 3) for k in range(30)])
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        found = load_material(None, [good, bad], drawn=1, rng=np.random.default_rng(0))
    (clip,) = found.clips
    assert clip.shape == (30, CLIP_SIZE[1], CLIP_SIZE[0], 3)
    assert "bad.mp4: ends after 0 frames" in caplog.text


def test_textures_differ_and_come_again_with_their_seed():
    one, other, again = (texture(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert one.shape == other.shape == (PHOTO_SIDE, PHOTO_SIDE * 16 // 9, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
