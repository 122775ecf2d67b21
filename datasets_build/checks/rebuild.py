"""Rebuild equality: the datasets made anew from the index and what was perceived are the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from datasets_build.checks.laws import Breach, Ledger
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.corrections import TABLE
from datasets_build.core.files import DataError, read_json, sha256_file, write_json
from datasets_build.core.layout import read_videos, video_root

REBUILT = ("rebuilds_alike", "built anew from the same index and perceive, a stage has the same bytes")
_INPUTS = ("index", "perceive")
Builds = Mapping[str, Callable[[Path], object]]
"""What builds each stage in a folder, in the order in which they read each other."""


def check_rebuild(out: Path, builds: Builds, ledger: Ledger) -> None:
    """Build the stages that are there anew, beside them, and compare every file.

    Raises:
        DataError: the folder was augmented or imported, so other things make it; or its stages cannot be built.
    """
    if any(video.source == AUGMENTED for video in read_videos(out)):
        raise DataError(f"{out}: was augmented from another folder; rebuild it with `python -m augment apply --force`")
    if (out / "import" / "manifest.json").exists():
        raise DataError(f"{out}: was imported from a file; `python -m datasets_build build --force` makes it anew")
    there = [name for name in builds if (out / name / "manifest.json").exists()]
    scratch = out / ".work" / "rebuild"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _lend(out, scratch)
        for name, build in builds.items():
            # Every dataset reads the events.
            if name in there or name == "events":
                build(scratch)
        for name in there:
            _compare(out / name, scratch / name, ledger)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not any(scratch.parent.iterdir()):
            scratch.parent.rmdir()


def _lend(out: Path, scratch: Path) -> None:
    """What the stages read, as it is there: links, but for the index, which says where its videos are."""
    for name in _INPUTS:
        (scratch / name).mkdir()
        for path in sorted((out / name).iterdir()):
            if path.name != "source.json":
                (scratch / name / path.name).symlink_to(path.resolve())
    source = read_json(out / "index" / "source.json")
    assert isinstance(source, dict), "the check has read the index"
    write_json(scratch / "index" / "source.json", source | {"root": str(video_root(out).resolve())})
    if (out / TABLE).exists():
        (scratch / TABLE).symlink_to((out / TABLE).resolve())


def _compare(found: Path, anew: Path, ledger: Ledger) -> None:
    """Every file of a stage; where the manifests name different settings or code, that alone is said."""
    changed = _changed(found, anew)
    if changed:
        shown = ", ".join(changed[:4]) + (" …" if len(changed) > 4 else "")
        file = f"{found.name}/manifest.json"
        ledger.note(*REBUILT, file, found.name, [Breach(f"made with another {shown}", "the settings and code at hand")])
        return
    for name in sorted({path.relative_to(folder).as_posix() for folder in (found, anew) for path in _files(folder)}):
        one, other = found / name, anew / name
        same = one.is_file() and other.is_file() and sha256_file(one) == sha256_file(other)
        what = (
            "no such file" if not one.is_file() else "a file that is not made" if not other.is_file() else "other bytes"
        )
        ledger.note(*REBUILT, f"{found.name}/{name}", name, [] if same else [Breach(what, "what is built anew")])


def _files(folder: Path) -> Sequence[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _changed(found: Path, anew: Path) -> list[str]:
    """The settings, code and inputs in which two manifests differ."""
    sides = [read_json(folder / "manifest.json") for folder in (found, anew)]
    fields = [side.get("fields") if isinstance(side, dict) else None for side in sides]
    old, new = (each if isinstance(each, dict) else {} for each in fields)
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
