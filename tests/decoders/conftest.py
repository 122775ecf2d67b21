from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.lanes import LANES
from datasets_build.video import DECODERS
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


@pytest.fixture(scope="session")
def missing(sample) -> Callable[[str], str]:
    """Why a decoder cannot be used on this machine; empty when it can."""

    def why(name: str) -> str:
        made = sample("plain.mp4")
        try:
            DECODERS[name].read(made.path, made.probe.clock, np.array([0]), size=None, deadline_s=60.0)
        except VideoError as error:
            if error.code == "decoder_unavailable":
                return str(error)
            raise
        return ""

    return cache(why)


@pytest.fixture(autouse=True)
def _library_is_there(request):
    """Skip a test with a parameter `decoder` whose library cannot be loaded here, and say why."""
    name = request.node.callspec.params.get("decoder") if hasattr(request.node, "callspec") else None
    if name and (reason := request.getfixturevalue("missing")(name)):
        pytest.skip(reason)
