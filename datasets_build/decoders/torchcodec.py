"""torchcodec: FFmpeg through PyTorch; this module's functions run in a worker, whose environment finds FFmpeg.

It turns pictures upright by itself and gives times on the container's own timeline.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datasets_build.decoders.container import open_source
from datasets_build.decoders.ffmpeg import library_environment
from datasets_build.decoders.frames import Size
from datasets_build.decoders.remote import Batch, Remote, Survey

THREADS = min(4, os.cpu_count() or 1)
OPEN_READERS = 4


def ready() -> None:
    """Import the library."""
    import torchcodec.decoders  # noqa: F401 - loading is the point


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    decoder: Any
    start_s: float


@lru_cache(maxsize=OPEN_READERS)
def _reader(path: str, size: Size | None) -> _Reader:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    with open_source(Path(path)) as source:
        stream = source.stream.index
    decoder = VideoDecoder(
        path,
        stream_index=stream,
        dimension_order="NHWC",
        num_ffmpeg_threads=THREADS,
        device="cpu",
        seek_mode="exact",
        transforms=[Resize((size[1], size[0]))] if size else None,
    )
    # The decoder must have met the first packet before a seek, or H.264 4:4:4 comes out as garbage.
    return _Reader(decoder, float(decoder.get_frame_at(0).pts_seconds))


def survey(path: str) -> Survey:
    """What torchcodec thinks of a file; it tells times only with pictures."""
    return Survey(len(_reader(path, None).decoder), None)


def pictures(path: str, indices: list[int], size: Size | None) -> Batch:
    """Frames at increasing indices."""
    reader = _reader(path, size)
    found = reader.decoder.get_frames_at(indices)
    return Batch(np.asarray(found.data.numpy(), np.uint8), found.pts_seconds.numpy() - reader.start_s)


def doubt(path: Path) -> str | None:  # noqa: ARG001 - the interface
    """Nothing is known against it before it is tried."""
    return None


REMOTE = Remote("torchcodec", ready=ready, survey=survey, pictures=pictures, environment=library_environment)
read, scan = REMOTE.read, REMOTE.scan
