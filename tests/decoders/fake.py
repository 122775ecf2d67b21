"""A decoder for tests that lives in a worker as the real ones do, and fails as they do when the file's name says so."""

from __future__ import annotations

import ctypes
import json
import os
import time
from pathlib import Path

import numpy as np

from datasets_build.decoders.frames import Size, VideoError
from datasets_build.decoders.remote import Batch, Remote, Survey

WIDTH, HEIGHT = 8, 6


def ready() -> None:
    """Nothing to import."""


def not_installed() -> None:
    """What a missing library does."""
    raise ModuleNotFoundError("No module named 'fake'")


def survey(path: str) -> Survey:
    """The file is JSON: `times` in seconds, and what goes wrong."""
    plan = json.loads(Path(path).read_text())
    _misbehave(plan.get("survey"))
    return Survey(len(plan["times"]), None if plan.get("mute") else np.array(plan["times"]))


def pictures(path: str, indices: list[int], size: Size | None) -> Batch:
    """Frames that are painted in their index."""
    plan = json.loads(Path(path).read_text())
    _misbehave(plan.get("pictures"))
    width, height = size or (WIDTH, HEIGHT)
    data = np.zeros((len(indices), height, width, 3), np.uint8)
    data[:] = np.array(indices, np.uint8)[:, None, None, None]
    shift = plan.get("shift", 0.0)
    return Batch(data, np.array(plan["times"])[indices] + shift)


def _misbehave(how: str | None) -> None:
    if how == "crash":
        ctypes.string_at(0)
    elif how == "hang":
        ctypes.CDLL(None).sleep(600)
    elif how == "slow":
        time.sleep(1.0)
    elif how == "refuse":
        raise VideoError("decoder_failed", "the picture is upside down")
    elif how == "raise":
        raise KeyError("x")


def count_calls(path: str) -> int:
    """Append a byte to a file and return its length."""
    with Path(path).open("ab") as out:
        out.write(b"x")
    return Path(path).stat().st_size


def pid_of() -> int:
    """The child's process id."""
    return os.getpid()


def make(name: str, **overrides: object) -> Remote:
    """A remote decoder made of the functions above."""
    parts: dict[str, object] = {"ready": ready, "survey": survey, "pictures": pictures}
    return Remote(name, **{**parts, **overrides})  # type: ignore[arg-type]
