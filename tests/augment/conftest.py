"""A small finished output folder, made once."""

import pytest

from tests.augment.folders import finished


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    """Two short drawn videos to train on and one to test on, with all datasets; read only."""
    return finished(tmp_path_factory.mktemp("parent") / "out")
