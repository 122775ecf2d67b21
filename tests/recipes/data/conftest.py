"""Two small output folders, made once."""

import pytest

from tests.recipes.data.lessons import build, drawn_scene, made_scenes, open_corpus


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory):
    """Four videos without pictures, with all datasets."""
    return build(tmp_path_factory.mktemp("made") / "out", made_scenes())


@pytest.fixture(scope="session")
def corpus(made_folder):
    return open_corpus(made_folder)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Two short videos whose pictures are there, and a third that breaks off in the middle of its data."""
    out = tmp_path_factory.mktemp("drawn") / "out"
    scenes = [drawn_scene(out / "videos", f"film-{k}", frames=100 - 10 * k, seed=k) for k in range(3)]
    broken = out / "videos" / scenes[2].video.uri
    whole = broken.read_bytes()
    # The index stands in front or behind; what is lost is the middle of the pictures.
    broken.write_bytes(whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * (len(whole) // 3) :])
    return build(out, scenes)


@pytest.fixture(scope="session")
def films(drawn):
    """Their footage, by video."""
    return open_corpus(drawn).footage()
