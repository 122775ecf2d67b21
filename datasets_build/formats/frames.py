"""Frames of steps as JPEG files: the frames of a grid at their exact times, each video whole or absent."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets_build.core.files import publish_folder
from datasets_build.core.records import Reject, Video
from datasets_build.formats.format import Job, Options, Reel
from datasets_build.video import REFERENCE, Size, VideoError, read

FOLDER = "frames"
READ_BYTES = 64 * 2**20


def frame_name(video_id: str, index: int) -> str:
    """Where a frame lies in an export: `frames/<video>/<index>.jpg`."""
    return f"{FOLDER}/{video_id}/{index:08d}.jpg"


def frame_of(name: str) -> tuple[str, int]:
    """The video and the frame index of a name; inverse of `frame_name`."""
    path = Path(name)
    return path.parent.name, int(path.stem)


def shown_size(video: Video, longest: int | None) -> Size | None:
    """The size of a frame whose longest side has at most so many pixels; None for the video's own."""
    width, height = video.upright_size
    if longest is None or max(width, height) <= longest:
        return None
    return max(1, round(width * longest / max(width, height))), max(1, round(height * longest / max(width, height)))


def encode(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    """A picture `(height, width, 3) uint8` as JPEG; the same pixels give the same bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def jpegs(reel: Reel, indices: Sequence[int], options: Options) -> Iterator[bytes]:
    """Frames of a video as JPEG in the order given; memory holds a few at a time.

    Raises:
        VideoError: the video cannot be read.
    """
    size = shown_size(reel.video, options.size)
    width, height = reel.video.upright_size
    run = max(1, READ_BYTES // max(1, width * height * 3))
    # One decoder for all, so that a slow hour, in which another would step in, changes no byte.
    for first in range(0, len(indices), run):
        times = [reel.clock.time_of(k) for k in indices[first : first + run]]
        for pixels in read(reel.path, reel.clock, times, size=size, decoder=REFERENCE).data:
            yield encode(pixels, options.quality)


def save_frames(reel: Reel, indices: Iterable[int], job: Job) -> Path | None:
    """Write frames of a video below `job.work`; None, and a row among the rejects, where it cannot be read.

    A video that an earlier run of the same command has finished is left as it is.
    """
    folder = job.work / FOLDER / reel.video.id
    if folder.exists():
        return folder
    problem = _changed(reel)
    if problem is not None:
        job.rejects.append(_unread(reel, problem))
        return None
    aside = job.work / f"{reel.video.id}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    wanted = sorted(set(indices))
    try:
        for index, content in zip(wanted, jpegs(reel, wanted, job.options), strict=True):
            (aside / f"{index:08d}.jpg").write_bytes(content)
    except VideoError as error:
        shutil.rmtree(aside)
        job.rejects.append(_unread(reel, error))
        return None
    folder.parent.mkdir(exist_ok=True)
    publish_folder(aside, folder)
    return folder


def _changed(reel: Reel) -> VideoError | None:
    """What is wrong with a video's file before it is read."""
    uri, path = reel.video.uri, reel.path
    if not path.is_file():
        return VideoError("no_file", f"{uri}: no such file")
    if path.stat().st_size != reel.video.bytes:
        found = path.stat().st_size
        return VideoError("file_changed", f"{uri}: has {found} bytes, expected {reel.video.bytes}; index it anew")
    return None


def _unread(reel: Reel, error: VideoError) -> Reject:
    return Reject(
        stage="export",
        item=reel.video.uri,
        code=error.code,
        reason=str(error).replace(str(reel.path), reel.video.uri),
        action=f"its {len(reel.talks)} records are left out; augmented videos have files once they are rendered",
    )
