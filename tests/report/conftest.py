"""One browser for the report's tests, and a folder of videos whose name needs quoting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.browser import Browser
from tests.report.sample_out import Site


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture
def browser(running: Browser) -> Iterator[Browser]:
    """The running browser; at the end of a test the page must have had no problem and asked for no address."""
    running.problems.clear()
    running.requests.clear()
    running.size(1300, 1000)
    yield running
    assert running.problems == []
    assert {url.split(":", 1)[0] for url in running.requests} <= {"file", "data"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    videos = tmp_path / "my videos #1 – überall?"
    videos.mkdir()
    return Site(tmp_path / "out 100%", videos)
