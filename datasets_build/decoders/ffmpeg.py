"""Where torchcodec finds FFmpeg: inside the PyAV package, so that both decode with one FFmpeg; else on the system."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import av

BUNDLED = re.compile(r"(lib(?:av\w+|sw\w+))-[0-9a-f]+(\.so\.\d+)[\d.]*")


def library_environment() -> dict[str, str]:
    """Variables under which a child process finds FFmpeg's shared libraries; empty where PyAV brings none.

    PyAV's wheel carries all of FFmpeg under names with a hash; a folder of links gives them back their plain names. The
    system's FFmpeg, another version with other pixels and other errors, is left alone: bytes must not depend on it.
    """
    bundled = Path(av.__file__).parent.parent / "av.libs"
    if not bundled.is_dir():
        return {}
    return {"LD_LIBRARY_PATH": os.pathsep.join([str(link_folder(bundled, _cache_home())), str(bundled), *_inherited()])}


def _inherited() -> list[str]:
    value = os.environ.get("LD_LIBRARY_PATH", "")
    return [value] if value else []


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamvl"


def plain_links(names: list[str]) -> Iterator[tuple[str, str]]:
    """`(plain name, file name)` of each bundled FFmpeg library: `libavutil.so.60`, `libavutil-58ad.so.60.26.102`."""
    for name in sorted(names):
        found = BUNDLED.fullmatch(name)
        if found:
            yield found[1] + found[2], name


def link_folder(bundled: Path, cache: Path) -> Path:
    """The folder of links to a folder of bundled libraries, made whole on first use; elsewhere if `cache` is shut."""
    links = dict(plain_links([entry.name for entry in bundled.iterdir()]))
    key = hashlib.blake2b(f"{bundled} {version('av')} {sorted(links.items())}".encode(), digest_size=8).hexdigest()
    target = cache / f"ffmpeg-{key}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not target.is_dir():
            _make_links(bundled, links, target)
    except OSError:
        target = Path(tempfile.mkdtemp(prefix="streamvl-ffmpeg-")) / "lib"
        _make_links(bundled, links, target)
    return target


def _make_links(bundled: Path, links: dict[str, str], target: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=".ffmpeg-", dir=target.parent))
    for plain, name in links.items():
        (aside / plain).symlink_to(bundled / name)
    try:
        aside.rename(target)
    except OSError:
        # Another process was first with the same links.
        for plain in links:
            (aside / plain).unlink()
        aside.rmdir()
        if not target.is_dir():
            raise
