"""What tests of annotation share: a small folder, a small round, proxies that cost nothing, one real Label Studio."""

import pytest

from annotate import plan, server
from annotate.push import push
from tests.annotate.board_of_lies import BoardOfLies
from tests.annotate.planned import no_proxy
from tests.annotate.rounds_of_items import CONFIG, patience, posting, some_round
from tests.annotate.servers import servers
from tests.augment.folders import finished

__all__ = ["servers"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A finished folder of two short drawn videos, to read only."""
    return finished(tmp_path_factory.mktemp("clips") / "data", splits=("train", "test"), seconds=3, frames=False)


@pytest.fixture
def board():
    """An honest server in memory."""
    return BoardOfLies(honest=True)


@pytest.fixture
def round_(tmp_path, board):
    """A small round that was pushed to it."""
    made = some_round(tmp_path / "rounds")
    push(made, board, config=CONFIG, posting=posting, patience=patience(board))
    return made


@pytest.fixture
def unmade(monkeypatch):
    """Proxies cost nothing: windows that no file stands for. The spans that were asked for."""
    made = []

    def make(path, video, clock, **more):
        made.append((video.id, more["span"].start_ns))
        return no_proxy(path, video, clock, **more)

    monkeypatch.setattr(plan, "make_proxy", make)
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for the long first start, which takes minutes on a busy machine."""
    for item in items:
        if isinstance(item, pytest.Function) and "servers" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(2 * server.START_S))
