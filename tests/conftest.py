"""Shared fixtures: the folder of real videos (where there is one), and no network."""

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.laws import examples

os.environ["HF_HUB_OFFLINE"] = "1"
# Two workers with two threads each wait for one another; programs that tests start take it over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Machines that run tests are shared and slow at times: laws count, not the time of one example.
settings.register_profile(
    "streamvl", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("streamvl")

#: Their tests start programs again and again. Begun first, they leave short files to fill every process to the end.
LONG_FILES = (
    "test_cli.py",
    "test_index.py",
    "test_render.py",
    "test_report_browser.py",
    "test_build.py",
    "test_launch.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay to the end: no garbage is looked for among them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, in the order above; all others behind them as they were."""
    place = {name: at for at, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that `STREAMVL_DATA` names; tests that need it are skipped without."""
    folder = os.environ.get("STREAMVL_DATA")
    if not folder:
        pytest.skip("STREAMVL_DATA names no folder of real videos")
    path = Path(folder)
    # A variable that points nowhere is a broken set-up, not a reason to skip.
    assert (path / "videos").is_dir(), f"STREAMVL_DATA={folder} holds no videos/"
    return path


@pytest.fixture(autouse=True)
def our_log() -> Iterator[None]:
    """The log as it was: a command that runs in a test's own process sends it to that test's stderr."""
    roots = logging.getLogger("datasets_build"), logging.getLogger("annotate")
    before = [(root.handlers[:], root.propagate, root.level) for root in roots]
    yield
    for root, was in zip(roots, before, strict=True):
        root.handlers[:], root.propagate, root.level = was
