"""A real Label Studio for tests: one a process of tests, the long first start paid once for all of them.

Tests that ask for `servers` are slow ones; without an environment of Label Studio they are skipped. It is looked for in
`$STREAMVL_TEST_STUDIO` (a virtual environment) and where `make label-studio` puts it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from annotate import server
from annotate.access import Access, read_access, write_access


class Servers:
    """Real servers in folders of their own, each begun from the same database: that of a first start."""

    def __init__(self, shared: Path, own: Path, venv: Path) -> None:
        self._shared, self._own, self._venv = shared, own, venv
        self._homes: list[Path] = []

    def prepare(self) -> None:
        """Make the database that all begin from, unless another process of this run has: the long first start."""
        template = self._shared / "first"
        with _alone(self._shared):
            if (self._shared / "first.made").exists():
                return
            shutil.rmtree(template, ignore_errors=True)
            _empty_home(template, self._venv)
            try:
                server.start(template)
            finally:
                server.stop(template)
            (self._shared / "first.made").touch()

    def home(self, name: str) -> Path:
        """A new folder in which a server may be started within seconds; whatever runs in it at the end is ended."""
        home = self._own / name
        shutil.copytree(self._shared / "first", home, symlinks=True)
        write_access(home, replace(read_access(home), media=home / "media"))
        self._homes.append(home)
        return home

    def running_home(self) -> Path:
        """The folder of the one server that tests share; it runs, or is started."""
        home = self._own / "shared"
        if home not in self._homes:
            self.home("shared")
        server.start(home)
        return home

    def access(self) -> Access:
        """The way into the one that tests share."""
        return read_access(self.running_home())

    def stop(self) -> None:
        for home in self._homes:
            server.stop(home)


def mark_installed(home: Path) -> None:
    """Say of an environment that was made elsewhere that it is whole."""
    (home / "venv.sha256").write_bytes(server.whole_mark(server.REQUIREMENTS))


def needs_sdk() -> None:
    """Skip where the client library is not installed beside the project."""
    try:
        version("label-studio-sdk")
    except PackageNotFoundError:
        pytest.skip("no label-studio-sdk; `pip install --no-deps -r annotate/requirements-sdk.txt`")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    named = os.environ.get("STREAMVL_TEST_STUDIO")
    venv = Path(named) if named else server.default_home() / "venv"
    if not (venv / "bin" / "label-studio").exists():
        # A variable that points nowhere is a broken set-up, not a reason to skip.
        assert named is None, f"STREAMVL_TEST_STUDIO={named} holds no bin/label-studio"
        pytest.skip(f"no Label Studio in {venv}; `make label-studio` makes it")
    own = tmp_path_factory.mktemp("studio")
    # Beside the folders of the other processes of this run, where there are others.
    together = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent / "studio-first" if together else own / "first"
    shared.mkdir(exist_ok=True)
    running = Servers(shared, own, venv)
    running.prepare()
    try:
        yield running
    finally:
        running.stop()


def _empty_home(home: Path, venv: Path) -> None:
    home.mkdir()
    (home / "venv").symlink_to(venv.resolve())
    mark_installed(home)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
