"""Frames of a source to an H.264 file that browsers play and seek exactly, and what such a file holds."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.core.records import Video
from datasets_build.decoders.container import TroubleError, Walk, decode, open_source
from datasets_build.decoders.cursor import Cursor
from datasets_build.decoders.frames import Size, VideoError, turned_size
from datasets_build.decoders.problems import DAMAGE
from datasets_build.decoders.pyav import rotation_of, scan

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"]
# No B-frames: coding order is shown order, so the first time is 0 without an edit list. No look ahead: what x264
# decides by it differs from run to run where pictures are small. Key frames come where they are due and nowhere else.
_X264 = "bframes=0:rc-lookahead=0:mbtree=0:scenecut=0:weightp=0"
# MP4 counts time in units that divide a frame; fewer than this in a second are unusual.
_LEAST_TICKS = 10_000


class Quality(NamedTuple):
    """How hard x264 tries: its constant rate factor, lower is better, and its preset."""

    crf: int
    preset: Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Reel:
    """What a file is to be.

    Attributes:
        rate: frames per second.
        size: upright, both sides even.
    """

    rate: Fraction
    size: Size

    @property
    def key_every(self) -> int:
        """Frames from one that decoding can begin with to the next: a second at most."""
        return max(1, int(self.rate))

    @property
    def tick(self) -> Fraction:
        """Seconds of a unit of the file's clock."""
        return Fraction(1, self.rate.numerator * -(-_LEAST_TICKS // self.rate.numerator))


def fitting_size(video: Video, *, most_high: int, most_long: int) -> Size:
    """The size to show a video in: upright, with square pixels, even sides, within limits and not enlarged.

    Args:
        video: its coded size, rotation and the shape of its pixels.
        most_high: pixels.
        most_long: pixels along the longer side.
    """
    wide, high = Fraction(video.width * video.sar_num, video.sar_den), Fraction(video.height)
    if video.rotation_deg in (90, 270):
        wide, high = high, wide
    scale = min(Fraction(1), most_high / high, most_long / max(wide, high))
    even_wide, even_high = (max(2, int(side * scale) // 2 * 2) for side in (wide, high))
    return even_wide, even_high


class _Colours(NamedTuple):
    """What numbers of a picture mean, as FFmpeg counts matrices, curves and primaries."""

    space: int
    trc: int
    primaries: int


class _Printer:
    """Turns pictures into upright `yuv420p` frames of one size, in the colours of the first."""

    def __init__(self, size: Size) -> None:
        self._size, self._scaler = size, VideoReformatter()
        self.colours: _Colours | None = None

    def upright(self, frame: VideoFrame) -> VideoFrame:
        """Raises FFmpegError for a layout of pixels that the scaler does not know."""
        rotation = rotation_of(frame)
        wide, high = turned_size(*self._size, rotation)
        is_painted = frame.format.is_rgb or frame.format.has_palette
        is_limited = frame.format.name == "yuv420p" and frame.color_range != ColorRange.JPEG
        made = self._scaler.reformat(
            frame,
            wide,
            high,
            "yuv420p",
            dst_colorspace=self._matrix() if is_painted else None,
            interpolation=Interpolation.BILINEAR,
            # Asked to limit what has no stated range, the scaler would copy each picture.
            dst_color_range=None if is_limited else ColorRange.MPEG,
            threads=1,
        )
        if self.colours is None:
            self.colours = _Colours(made.colorspace, frame.color_trc, frame.color_primaries)
        return _turned(made, rotation) if rotation else made

    def _matrix(self) -> int:
        """What red, green and blue are coded with: as the pictures before, else as of old."""
        known = {1: Colorspace.ITU709, 9: Colorspace.BT2020}
        return known.get(self.colours.space, Colorspace.ITU601) if self.colours else Colorspace.ITU601


def _turned(frame: VideoFrame, rotation_deg: int) -> VideoFrame:
    """A `yuv420p` picture turned clockwise."""
    wide, high = frame.width, frame.height
    flat = frame.to_ndarray().reshape(-1)
    sizes = ((high, wide), (high // 2, wide // 2), (high // 2, wide // 2))
    ends = np.cumsum([rows * columns for rows, columns in sizes])[:-1]
    planes = (part.reshape(size) for part, size in zip(np.split(flat, ends), sizes, strict=True))
    turned = np.concatenate([np.rot90(plane, k=-rotation_deg // 90).reshape(-1) for plane in planes])
    new_wide, new_high = turned_size(wide, high, rotation_deg)
    return VideoFrame.from_ndarray(turned.reshape(new_high * 3 // 2, new_wide), format="yuv420p")


class Source(NamedTuple):
    """A video file with its record and the times of its frames."""

    path: Path
    video: Video
    clock: FrameClock


def _pictures(source: Source, indices: Sequence[int]) -> Iterator[VideoFrame]:
    """The frames at strictly increasing indices, as they decode.

    Where seeking and threads do not bring one, or the file is damaged, a pass from the start does, as for the index.

    Raises:
        VideoError: the file cannot be opened, or no longer holds the frames of its index.
    """
    path, video, clock = source
    given = 0
    if not any(problem.code in DAMAGE for problem in video.problems):
        with suppress(TroubleError), open_source(path) as opened:
            cursor = Cursor(opened, clock)
            for index in indices:
                frame = cursor.fetch(index)
                if frame is None:
                    break
                yield frame
                given += 1
    missing = set(indices[given:])
    if not missing:
        return
    for shown in scan(path, clock, size=None):
        if shown.index in missing:
            missing.remove(shown.index)
            yield VideoFrame.from_ndarray(shown.full(), format="rgb24")
        if not missing:
            return


def encode(path: Path, source: Source, shown: Int64s, reel: Reel, *, quality: Quality) -> None:
    """Writes an MP4 of constant rate from 0, without sound, its index in front; the same bytes each time.

    Args:
        path: of the file, with any name.
        source: whose frames are shown.
        shown: `(frames,) int64`, the place in the clock of what each frame shows, rising.
        reel: what the file is to be.
        quality: of the coding.

    Raises:
        VideoError: the source cannot be read, or its pictures not be converted.
        FFmpegError, OSError: the file cannot be written.
    """
    ticks = str(reel.tick.denominator)
    options = {
        "fflags": "+bitexact",
        "movflags": "+faststart",
        # The header tells lengths in movie units; in the usual milliseconds browsers would count a frame too many.
        "movie_timescale": ticks,
        "video_track_timescale": ticks,
    }
    printer = _Printer(reel.size)
    frames = _timed(source, shown, printer, reel)
    with av.open(str(path), "w", format="mp4", options=options) as out:
        first = next(frames)
        stream = _stream(out, reel, quality)
        _mark(stream, printer.colours)
        for frame in chain((first,), frames, (None,)):
            for packet in stream.encode(frame):
                packet.duration = 1
                out.mux(packet)


def _timed(source: Source, shown: Int64s, printer: _Printer, reel: Reel) -> Iterator[VideoFrame]:
    """What is encoded, each time with the next time on it."""
    indices, counts = np.unique(shown, return_counts=True)
    at = 0
    for picture, count in zip(_pictures(source, indices.tolist()), counts.tolist(), strict=True):
        try:
            upright = printer.upright(picture)
        except FFmpegError as error:
            told = (
                f"{source.path}: FFmpeg converts no pictures of {picture.format.name} ({error.strerror}); re-encode it"
            )
            raise VideoError("cannot_convert", told) from error
        # Decoded pictures say what they were coded as, which x264 would obey.
        upright.pict_type, upright.time_base = PictureType.NONE, 1 / reel.rate
        for place in range(at, at + count):
            upright.pts = place
            yield upright
        at += count


def _stream(out: OutputContainer, reel: Reel, quality: Quality) -> VideoStream:
    options = {
        "preset": quality.preset,
        "crf": str(quality.crf),
        "x264-params": _X264,
        "threads": "1",
        "a53cc": "0",
    }
    stream = out.add_stream("libx264", options=options)
    assert isinstance(stream, VideoStream), "an encoder of video"
    context = stream.codec_context
    context.width, context.height = reel.size
    context.pix_fmt = "yuv420p"
    stream.time_base = context.time_base = 1 / reel.rate
    context.framerate = reel.rate
    context.gop_size = reel.key_every
    context.sample_aspect_ratio = Fraction(1)
    return stream


def _mark(stream: VideoStream, colours: _Colours | None) -> None:
    context = stream.codec_context
    context.color_range = ColorRange.MPEG
    if colours:
        context.colorspace, context.color_trc, context.color_primaries = colours


class Fault(NamedTuple):
    """What is wrong with a file."""

    found: str
    expected: str


def find_fault(path: Path, frames: int, reel: Reel) -> Fault | None:
    """Decodes a file and says the first thing that is not as it should be; None where all is.

    Asked are its size, that all of it decodes, how many frames there are, that they begin at 0 and come on evenly, when
    the last one ends, and that there is a key frame each second.
    """
    walk, pts, keys, stay = Walk(), array("q"), [], 0
    try:
        with open_source(path) as source:
            size, base = (source.width, source.height), source.time_base
            for time, frame in decode(source, walk, strict=False):
                if frame.key_frame:
                    keys.append(len(pts))
                pts.append(time)
                stay = frame.duration or 0
    except VideoError as error:
        return Fault(error.code, "a video")
    return next(_faults(_Held(size, base, pts, stay, keys, [text for _, text in walk.errors]), frames, reel), None)


class _Held(NamedTuple):
    size: Size
    base: Fraction
    pts: array[int]
    stay: int
    keys: list[int]
    errors: list[str]


def _faults(held: _Held, frames: int, reel: Reel) -> Iterator[Fault]:
    if held.errors:
        yield Fault(f"{len(held.errors)} errors, first: {held.errors[0]}", "none")
    if held.size != reel.size:
        yield Fault("pictures of {}x{}".format(*held.size), "{}x{}".format(*reel.size))
    if len(held.pts) != frames:
        yield Fault(f"{len(held.pts)} frames", f"{frames}")
    step = 1 / (reel.rate * held.base)
    for place, pts in enumerate(held.pts):
        if pts != place * step:
            yield Fault(f"frame {place} at {pts * held.base} s", f"at {place / reel.rate} s")
            break
    if held.stay != step:
        yield Fault(f"a last frame of {held.stay * held.base} s", f"{1 / reel.rate} s")
    gap = max((b - a for a, b in pairwise([*held.keys, frames])), default=0)
    if held.keys[:1] != [0] or gap > reel.key_every:
        yield Fault(f"{gap} frames without a key frame", f"{reel.key_every} at most, the first among them")
