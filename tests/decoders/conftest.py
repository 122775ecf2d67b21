from collections.abc import Callable
from functools import cache

import pytest

from datasets_build.decoders.lanes import LANES
from tests.decoders.samples import Sample, make_sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Callable[[str], Sample]:
    """A drawn video by name, made once."""
    folder = tmp_path_factory.mktemp("samples")
    return cache(lambda name: make_sample(folder, name))


@pytest.fixture(scope="session", autouse=True)
def _no_worker_stays():
    yield
    LANES.close()
