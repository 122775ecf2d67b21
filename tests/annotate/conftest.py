"""One real Label Studio for the tests of annotation that ask for it."""

import pytest

from annotate import server
from tests.annotate.servers import servers
from tests.augment.folders import finished

__all__ = ["servers"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A finished folder of two short drawn videos, to read only."""
    return finished(tmp_path_factory.mktemp("clips") / "data", splits=("train", "test"), seconds=3, frames=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for the long first start, which takes minutes on a busy machine."""
    for item in items:
        if isinstance(item, pytest.Function) and "servers" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(2 * server.START_S))
