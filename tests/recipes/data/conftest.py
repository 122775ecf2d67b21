"""The small output folder, made once."""

import pytest

from tests.recipes.data.lessons import build, made_scenes, open_corpus


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory):
    """Five videos without pictures, with all datasets."""
    return build(tmp_path_factory.mktemp("made") / "out", made_scenes())


@pytest.fixture(scope="session")
def corpus(made_folder):
    return open_corpus(made_folder)
