"""Pictures to a video file that shows each from its instant to the next one's, exact to the nanosecond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain
from math import gcd
from pathlib import Path
from typing import Literal, NamedTuple

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from augment.errors import AugmentError, RoomError
from augment.matroska import Block, Matroska, Track
from augment.showing import Pixels
from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s
from datasets_build.core.files import whole_file
from datasets_build.core.worker import NO_SPACE
from datasets_build.decoders.frames import Size

Codec = Literal["h264", "lossless"]
# FFmpeg holds how long a frame of an MP4 stays in a signed int.
MOST_TICKS = 2**31 - 1
_BT601, _LIMITED = 6, 1
# No B-frames: an MP4 of uneven frames tells the end of the last one only where coding order is shown order. No look
# ahead: what x264 decides by it differs from run to run where pictures are small. Lengths instead of start codes.
_X264 = "bframes=0:rc-lookahead=0:mbtree=0:scenecut=0:weightp=0:annexb=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How pictures are coded: one thread, so that the bytes do not depend on the machine's cores.

    Attributes:
        encoder: of FFmpeg.
        pixels: the format that is coded; `odd_pixels` where a side is odd.
        options: of the encoder.
        colour: the matrix and range that the file names, as FFmpeg numbers them; None for RGB.
        key_every: frames from one that decoding can begin with to the next.
        matroska_id: the codec's name in Matroska.
    """

    encoder: str
    pixels: str
    odd_pixels: str
    options: Mapping[str, str]
    colour: tuple[int, int] | None
    key_every: int
    matroska_id: str

    def pixels_of(self, size: Size) -> str:
        """The format that pictures of a size are coded in."""
        return self.odd_pixels if any(side % 2 for side in size) else self.pixels


CODINGS: Mapping[Codec, Coding] = {
    "h264": Coding(
        encoder="libx264",
        pixels="yuv420p",
        # A colour sample for two by two pixels needs even sides.
        odd_pixels="yuv444p",
        options={"preset": "veryfast", "crf": "18", "x264-params": _X264, "threads": "1"},
        colour=(_BT601, _LIMITED),
        key_every=48,
        matroska_id="V_MPEG4/ISO/AVC",
    ),
    "lossless": Coding(
        encoder="ffv1",
        pixels="bgr0",
        odd_pixels="bgr0",
        options={"level": "3", "slices": "4", "slicecrc": "1", "threads": "1"},
        colour=None,
        key_every=1,
        matroska_id="V_FFV1",
    ),
}


class Container(NamedTuple):
    """A kind of file and the nanoseconds of one tick of its clock."""

    suffix: Literal["mp4", "mkv"]
    tick_ns: int


def container_of(clock: FrameClock) -> Container:
    """The container that holds a clock exactly: MP4 on the coarsest tick that divides all its times, else Matroska."""
    common = gcd(NS_PER_S, clock.end_ns, *np.unique(np.diff(clock.t_ns)).tolist())
    if stays(clock).max() // common <= MOST_TICKS:
        return Container("mp4", common)
    return Container("mkv", 1)


def stays(clock: FrameClock) -> Int64s:
    """How long each frame stays on screen, ns."""
    return np.diff(np.append(clock.t_ns, clock.end_ns))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Film:
    """What is encoded beside the pictures.

    Attributes:
        clock: when each picture is shown.
        coding: how they are coded.
        sar: width of a pixel over its height.
    """

    clock: FrameClock
    coding: Coding
    sar: Fraction = Fraction(1)


class _Muxing(NamedTuple):
    encode: Callable[[VideoFrame | None], list[Packet[VideoStream]]]
    put: Callable[[Packet[VideoStream]], None]


def encode(path: Path, pictures: Iterable[Pixels], film: Film) -> None:
    """Writes a video file; it is there when it is whole.

    Args:
        path: with the suffix of `container_of`.
        pictures: uint8 (height, width, 3) RGB of one size, one for each frame of the clock; taken one at a time.
        film: their times, and how they are coded.

    Raises:
        AugmentError: their sizes differ, there are more or fewer of them than times, or the encoder refuses them.
        RoomError: the disk is full.
    """
    try:
        with whole_file(path) as aside:
            _write(aside, pictures, film)
    except (OSError, av.error.FFmpegError) as error:
        if error.errno in NO_SPACE:
            raise RoomError(f"{path}: {error.strerror}; make room and run again, what is finished stays") from error
        if isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError):
            raise
        raise AugmentError(f"{path.name}: the encoder {film.coding.encoder} refuses it ({error.strerror})") from error


def _write(path: Path, pictures: Iterable[Pixels], film: Film) -> None:
    feed = iter(pictures)
    first = next(feed, None)
    if first is None:
        raise AugmentError(f"{path.name}: found no picture, expected {len(film.clock)}")
    height, width = first.shape[:2]
    container = container_of(film.clock)
    open_file = _mp4 if container.suffix == "mp4" else _mkv
    pts = (film.clock.t_ns // container.tick_ns).tolist()
    stay = dict(zip(pts, (stays(film.clock) // container.tick_ns).tolist(), strict=True))
    with open_file(path, film, (width, height), container) as muxing:
        made = _frames(chain((first,), feed), film.coding.pixels_of((width, height)), path.name, len(pts))
        for place, frame in enumerate(chain(made, (None,))):
            if frame is not None:
                frame.pts, frame.time_base = pts[place], Fraction(container.tick_ns, NS_PER_S)
            for packet in muxing.encode(frame):
                packet.duration = stay[packet.pts]
                muxing.put(packet)


def _frames(pictures: Iterable[Pixels], pixels: str, name: str, due: int) -> Iterator[VideoFrame]:
    scaler, size, count = VideoReformatter(), None, 0
    for picture in pictures:
        size = size or picture.shape
        if picture.shape != size or count == due:
            raise AugmentError(
                f"{name}: found a picture of {picture.shape} as number {count}, expected {due} of {size}"
            )
        count += 1
        yield scaler.reformat(
            VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), format="rgb24"), format=pixels, threads=1
        )
    if count < due:
        raise AugmentError(f"{name}: found {count} pictures, expected {due}")


def _set_up(context: VideoCodecContext, film: Film, size: Size, container: Container) -> None:
    context.width, context.height = size
    context.pix_fmt = film.coding.pixels_of(size)
    context.time_base = Fraction(container.tick_ns, NS_PER_S)
    # x264 takes its level from the rate, and without one from the tick.
    context.framerate = Fraction(len(film.clock) * NS_PER_S, film.clock.end_ns).limit_denominator(1000) or Fraction(1)
    context.gop_size = film.coding.key_every
    context.sample_aspect_ratio = film.sar
    if film.coding.colour:
        context.colorspace, context.color_range = film.coding.colour


@contextmanager
def _mp4(path: Path, film: Film, size: Size, container: Container) -> Iterator[_Muxing]:
    rate = str(NS_PER_S // container.tick_ns)
    # The edit list counts in movie units; in the usual milliseconds the end would be rounded.
    options = {"fflags": "+bitexact", "movie_timescale": rate, "video_track_timescale": rate}
    with av.open(str(path), "w", format="mp4", options=options) as out:
        stream = out.add_stream(film.coding.encoder, options=dict(film.coding.options))
        assert isinstance(stream, VideoStream), "an encoder of video"
        _set_up(stream.codec_context, film, size, container)
        stream.time_base = Fraction(container.tick_ns, NS_PER_S)
        yield _Muxing(stream.encode, out.mux)


@contextmanager
def _mkv(path: Path, film: Film, size: Size, container: Container) -> Iterator[_Muxing]:
    context = av.CodecContext.create(film.coding.encoder, "w")
    assert isinstance(context, VideoCodecContext), "an encoder of video"
    _set_up(context, film, size, container)
    context.options = dict(film.coding.options)
    context.flags |= Flags.global_header
    context.open()
    track = Track(
        codec_id=film.coding.matroska_id,
        private=bytes(context.extradata or b""),
        width=size[0],
        height=size[1],
        sar=film.sar,
        end_ns=film.clock.end_ns,
    )
    with path.open("wb") as file:
        writer = Matroska(file, track)
        yield _Muxing(context.encode, partial(_add, writer))
        writer.finish()


def _add(writer: Matroska, packet: Packet[VideoStream]) -> None:
    begin, stay = packet.pts, packet.duration
    assert begin is not None, "the encoder was given times"
    assert stay is not None, "set beside the time"
    block = Block(begin_ns=begin, stay_ns=stay, is_key=packet.is_keyframe, data=bytes(packet))
    writer.add(block)
