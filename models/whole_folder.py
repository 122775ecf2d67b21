"""A folder that appears whole or not at all: written beside its place, flushed, and put there in one step."""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from models.errors import PackageError

_AT_FDCWD: Final = -100  # from <fcntl.h>
_RENAME_EXCHANGE: Final = 2  # from <linux/fs.h>


@contextmanager
def whole_folder(target: Path, *, overwrite: bool, marks: Sequence[str]) -> Iterator[Path]:
    """Yield a new folder to fill; on a clean exit it takes the name `target`, on an error it goes.

    What a killed process left beside `target` goes with the next save. Writers to one parent folder take turns.

    Args:
        target: the final name.
        overwrite: put it in the place of a folder that is there; otherwise that is refused.
        marks: file names; a folder that is there is replaced only if it is empty or holds one of them.

    Raises:
        PackageError: `target` exists and may not be replaced, is a file or link, or is the working directory or one of
            its parents.
    """
    _check_free(target, overwrite=overwrite, marks=marks)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    with _alone_in(target.parent):
        _give_back(target)
        _check_free(target, overwrite=overwrite, marks=marks)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
            _flush(aside)
            _publish(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def restore(target: Path) -> None:
    """Give back a folder that a killed replacement had set aside, where folders cannot be exchanged in one step."""
    if not target.exists() and _old(target).is_dir():
        with _alone_in(target.parent):
            _give_back(target)


def _give_back(target: Path) -> None:
    old = _old(target)
    if old.is_dir() and not target.exists():
        old.rename(target)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _check_free(target: Path, *, overwrite: bool, marks: Sequence[str]) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise PackageError(f"{target}: found a file or a link, expected a new folder; choose another name")
    if not target.exists():
        return
    if _is_here(target):
        raise PackageError(
            f"{target}: is the working directory or holds it, expected a folder to make or replace; choose another name"
        )
    if not overwrite:
        raise PackageError(f"{target}: exists already; choose another name, or have it replaced whole (overwrite)")
    names = sorted(path.name for path in target.iterdir())
    if names and not set(names) & set(marks):
        raise PackageError(
            f"{target}: found a folder with {names[0]} and without {' or '.join(marks)}, so it is none that may be "
            "replaced; choose another name, or move what it holds away first"
        )


def _is_here(target: Path) -> bool:
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return False
    return target.resolve() in (here, *here.parents)


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems lock no folders; then only the exchange below keeps writers apart.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _flush(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _publish(aside: Path, target: Path) -> None:
    if not target.exists():
        aside.rename(target)
    elif not _exchange(aside, target):
        shutil.rmtree(_old(target), ignore_errors=True)
        target.rename(_old(target))
        aside.rename(target)
    _flush_names(target.parent)
    shutil.rmtree(_old(target), ignore_errors=True)


def _flush_names(parent: Path) -> None:
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system cannot. See renameat2(2)."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if swap(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
