"""Video files as a stream: frames upright, in the order of their presentation, each with its exact time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from models.errors import SettingsError, StreamError

SECOND_NS: Final = 1_000_000_000
Frame = npt.NDArray[np.uint8]


class FilmError(StreamError):
    """A video file cannot be opened or decoded, or tells no times."""


def frames(path: Path | str, *, fps: float | None) -> Iterator[tuple[Frame, int]]:
    """Decode a video file from its beginning to its end.

    With `fps`, time is cut by ticks at 0, 1/fps, 2/fps, …, and of each tick the frame is given that is on the screen
    then: the last one shown at or before it. It comes once, with its own time, however many ticks it stays; at a
    variable frame rate a still picture therefore is one frame. What is between the last tick and the end is left out.

    Args:
        path: the file.
        fps: ticks per second; None gives every frame.

    Yields:
        uint8 (height, width, 3) RGB, turned upright by the file's display matrix to the nearest right angle; and the
        presentation time in nanoseconds since the first shown frame, rounded once, always rising.

    Raises:
        FilmError: with the path: it is absent, no file, empty, no video, damaged, or has frames without times.
        SettingsError: `fps` is not above 0.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise SettingsError(f"fps is {fps!r}, expected a number above 0, or None for every frame")
    file = Path(path)
    _check_file(file)
    timed = _shown(file)
    for frame, since in timed if fps is None else _on_screen(timed, Fraction(str(fps))):
        yield _upright(frame), _nanoseconds(since)


def _check_file(file: Path) -> None:
    if not file.exists():
        raise FilmError(f"{file}: no such file; check the path")
    if not file.is_file():
        raise FilmError(f"{file}: found a folder or a device, expected a video file")
    if file.stat().st_size == 0:
        raise FilmError(f"{file}: found an empty file, expected a video; copy it anew")


def _shown(file: Path) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    """Each frame with its time in seconds after the first one."""
    begin, last = None, Fraction(-1)
    try:
        with av.open(str(file)) as container:
            stream = _video_stream(container, file)
            for frame in container.decode(stream):
                if frame.pts is None or frame.time_base is None:
                    raise FilmError(f"{file}: a frame carries no time; put the video in a container such as mp4")
                time = frame.pts * frame.time_base
                begin = time if begin is None else begin
                # A broken file may show a moment twice; a stream's time only rises.
                if time - begin > last:
                    last = time - begin
                    yield frame, last
    except (av.FFmpegError, ValueError) as error:
        where = "" if begin is None else f" after {float(last):.3f} s"
        told = " ".join(str(error).split())
        raise FilmError(f"{file}: cannot be decoded{where} ({told}); copy it anew, or convert it") from error
    if begin is None:
        raise FilmError(f"{file}: its video holds no frame that decodes; copy it anew")


def _video_stream(container: InputContainer, file: Path) -> VideoStream:
    for stream in container.streams.video:
        # The cover of a song is a video stream of one picture.
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise FilmError(f"{file}: holds no video stream, expected one")


def _on_screen(
    timed: Iterator[tuple[av.VideoFrame, Fraction]], fps: Fraction
) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    due = 0  # ticks before this one have their frame
    shown: tuple[av.VideoFrame, Fraction] | None = None
    for frame, since in timed:
        # The frame before stayed until now, so it is the one of all ticks before now.
        first_after = -(-since * fps // 1)
        if shown is not None and first_after > due:
            yield shown
            due = int(first_after)
        shown = frame, since
    if shown is not None:
        frame, since = shown
        stays = Fraction(frame.duration or 0) * (frame.time_base or 0)
        if since * fps == due or due < (since + stays) * fps:
            yield shown


def _upright(frame: av.VideoFrame) -> Frame:
    # FFmpeg counts counter-clockwise, and so does rot90.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90) % 4))


def _nanoseconds(seconds: Fraction) -> int:
    return round(seconds * SECOND_NS)
