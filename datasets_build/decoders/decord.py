"""decord: fast random access, wrong or deadly on some files; this module's functions run in a worker.

It turns pictures upright by itself and counts time from the first frame.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datasets_build.decoders.container import Walk, demux, open_source
from datasets_build.decoders.frames import Size, VideoError
from datasets_build.decoders.remote import Batch, Float64s, Remote, Survey

THREADS = min(4, os.cpu_count() or 1)
OPEN_READERS = 4


def ready() -> None:
    """Import the library."""
    import decord

    decord.bridge.set_bridge("native")


@contextmanager
def _plain_errors(path: str) -> Iterator[None]:
    """Give errors of the library without the hour, its source file and ours: `Failed to measure duration …`."""
    import decord

    try:
        yield
    except decord.DECORDError as error:
        said = re.sub(r"^\[[\d:]+\] \S+: ", "", str(error).strip().split("\n")[0])
        raise VideoError("decoder_failed", said.replace(f"[{path}] ", "").replace(path, "the file")) from error


@lru_cache(maxsize=OPEN_READERS)
def _reader(path: str, size: Size | None) -> Any:  # noqa: ANN401 - decord ships no types
    import decord

    width, height = size or (-1, -1)
    reader = decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=THREADS)
    # The decoder must have met the first packet before a seek, or H.264 4:4:4 comes out as garbage.
    reader.seek_accurate(0)
    reader.next()
    return reader


def _times(reader: Any, indices: list[int]) -> Float64s:  # noqa: ANN401 - decord ships no types
    starts = reader.get_frame_timestamp([0, *indices])[:, 0].astype(np.float64)
    return np.asarray(starts[1:] - starts[0], np.float64)


def survey(path: str) -> Survey:
    """What decord thinks of a file."""
    with _plain_errors(path):
        reader = _reader(path, None)
        count = len(reader)
        return Survey(count, _times(reader, list(range(count))))


def pictures(path: str, indices: list[int], size: Size | None) -> Batch:
    """Frames at increasing indices."""
    with _plain_errors(path):
        reader = _reader(path, size)
        return Batch(np.asarray(reader.get_batch(indices).asnumpy(), np.uint8), _times(reader, indices))


def doubt(path: Path) -> str | None:
    """A container that cannot seek exactly, or a key frame whose place in the file is not its place on screen.

    The latter is an open group of pictures, the default of x265: decord numbers key frames by their place in the file
    and seeks by their place on screen, so the frames after them come out shifted.
    """
    with open_source(path) as source:
        if source.format_name == "asf":
            return "a seek in an ASF file lands where it can, and decord counts on from where it should"
        packets = [packet for packet in demux(source, Walk()) if packet.size and packet.pts is not None]
        pts = np.array([packet.pts for packet in packets], np.int64)
        keys = np.array([packet.is_keyframe for packet in packets], bool)
    shown_at = np.argsort(np.argsort(pts, kind="stable"), kind="stable")
    moved = np.flatnonzero(keys & (shown_at != np.arange(len(pts))))
    if not len(moved):
        return None
    return f"the key frame stored at place {moved[0]} is shown at place {shown_at[moved[0]]}, where decord miscounts"


REMOTE = Remote("decord", ready=ready, survey=survey, pictures=pictures)
read, scan = REMOTE.read, REMOTE.scan
