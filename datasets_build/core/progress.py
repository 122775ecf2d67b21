"""What a long run shows: a header, a bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
LINE_EVERY_S = 60.0
log = logging.getLogger(__name__)
console = Console(stderr=True)


def set_up_logging(*, verbose: bool = False) -> None:
    """Send our log, and that of rounds, to stderr: coloured on a terminal, plain lines elsewhere."""
    level = logging.DEBUG if verbose else logging.INFO
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for name in ("datasets_build", "annotate"):
        root = logging.getLogger(name)
        root.handlers[:] = [handler]
        root.setLevel(level)
        root.propagate = False


def tool_versions(*packages: str) -> dict[str, str]:
    """Installed versions of the named packages (`absent` where there is none) and of Python."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def print_header(title: str, tools: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Log what runs: title, versions, and every setting with its full path."""
    log.info("%s", title)
    log.info("  versions: %s", ", ".join(f"{name} {number}" for name, number in tools.items()))
    for name, value in settings.items():
        log.info("  %s = %s", name, value)


def track(items: Iterable[T], *, total: int, label: str, unit: str = "videos") -> Iterator[T]:
    """Pass items through while showing how many are done: a bar on a terminal, else a line a minute and at the end."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            yield from bar.track(items, total=total, description=label)
        return
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            log.info("%s: %d of %d %s, %.0f s", label, done, total, unit, now - started)
            last = now
    log.info("%s: %d of %d %s, %.1f s", label, done, total, unit, time.monotonic() - started)
