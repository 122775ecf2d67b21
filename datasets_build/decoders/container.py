"""Open a file, choose the stream that is shown, and decode it packet by packet past whatever is damaged."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from datasets_build.decoders.frames import VideoError

# PyAV's own logging stays off (its default): its hook wants the interpreter's lock from FFmpeg's threads and hangs.
# FFmpeg opens these as one-frame "videos", text even as a typewriter film.
NOT_VIDEO = frozenset({"image2", "tty", "ico"})
# Text that names other files: what it shows is not in its bytes, so neither its digest nor its place says what it is.
PLAYLISTS = frozenset({"concat", "concatf", "dash", "hls", "imf"})
NOT_SHOWN = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
# Their demuxers make presentation times up, wrongly where frames are reordered: AVI stores none at all, ASF one time
# per packet in decoding order.
NO_PTS_STORED = frozenset({"avi"})
ONE_TIME_STORED = frozenset({"asf"})
# Their frames are drawn over the one before, whatever the key-frame mark says.
NEVER_SEEK = frozenset({"gif", "apng"})
MAX_DEMUX_ERRORS = 32


class TroubleError(Exception):
    """A threaded pass met damage: its outcome depends on timing, so the pass is repeated with one thread."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An open file and the stream that is shown; `has_pts` says that its presentation times are its own."""

    path: Path
    container: InputContainer
    stream: VideoStream
    width: int
    height: int
    has_pts: bool

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick of this stream's timestamps."""
        assert self.stream.time_base is not None, "a demuxed stream has a time base"
        return self.stream.time_base

    @property
    def format_name(self) -> str:
        """The container's first name: mov, matroska, mpegts, avi, gif or the like."""
        return self.container.format.name.split(",")[0]

    @property
    def seeks_well(self) -> bool:
        """Whether decoding may start in the middle: not where times are told by counting reordered frames."""
        if not self.has_pts:
            return not self.stream.codec_context.has_b_frames
        return self.format_name not in NEVER_SEEK

    def use_threads(self, *, wanted: bool) -> None:
        """Say, before anything is decoded, whether FFmpeg decodes with all cores or in the calling thread alone."""
        self.stream.codec_context.thread_type = "AUTO" if wanted else "NONE"
        self.stream.codec_context.thread_count = 0 if wanted else 1

    def skip_smoothing(self) -> None:
        """Say, before anything is decoded, that pictures on which no other rests need not have their blocks smoothed.

        That is a twentieth to an eighth of decoding. Such pictures come within 55 dB of their own mostly, within 30 to
        40 where they are noisy or coarsely coded.
        """
        self.stream.codec_context.options = {"skip_loop_filter": "noref"}


@dataclass(slots=True, eq=False)
class Walk:
    """What one pass has met so far; `errors` holds `(pts or None, text)` of what could not be demuxed or decoded.

    `flagged` holds the times of packets that the container itself calls damaged: a part before or of them is missing.
    """

    packet_pts: array[int] = field(default_factory=lambda: array("q"))
    errors: list[tuple[int | None, str]] = field(default_factory=list)
    flagged: list[int | None] = field(default_factory=list)
    n_discarded: int = 0
    n_guessed: int = 0
    slots: deque[int | None] = field(default_factory=deque)


@contextmanager
def open_source(path: Path, *, threads: bool = True) -> Iterator[Source]:
    """Open a file and choose its first real video stream; `threads` is how it will be decoded.

    Raises:
        VideoError: `no_such_file`, `empty_file`, `moov_missing`, `not_a_video`, `cannot_open`, `no_video_stream` or
            `unsupported_codec`.
    """
    if not path.is_file():
        raise VideoError("no_such_file", f"{path}: no such file")
    if path.stat().st_size == 0:
        raise VideoError(
            "empty_file", f"{path}: the file is empty (0 bytes), expected a video; copy or download it again"
        )
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise _open_error(path, error) from error
    with container:
        name = container.format.name
        if name in NOT_VIDEO or name.endswith("_pipe"):
            raise VideoError("not_a_video", f"{path}: a picture or text ({name}), expected a video")
        if name.split(",")[0] in PLAYLISTS:
            raise VideoError("not_a_video", f"{path}: a playlist ({name}) that names other files, expected a video")
        source = _choose_stream(path, container)
        source.use_threads(wanted=threads)
        yield source


def _open_error(path: Path, error: Exception) -> VideoError:
    with path.open("rb") as handle:
        head = handle.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return VideoError(
            "moov_missing",
            f"{path}: an MP4 or MOV file without a readable index (moov box), expected one: the copy did not finish",
        )
    if isinstance(error, av.error.InvalidDataError):
        return VideoError("not_a_video", f"{path}: no container that FFmpeg knows, expected a video file")
    said = error.strerror if isinstance(error, av.error.FFmpegError) else error
    return VideoError("cannot_open", f"{path}: FFmpeg cannot open it ({said}), expected a video file")


def _choose_stream(path: Path, container: InputContainer) -> Source:
    shown = [stream for stream in container.streams.video if not stream.disposition & NOT_SHOWN]
    if not shown:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
        raise VideoError("no_video_stream", f"{path}: holds no moving picture (found {kinds}), expected a video stream")
    stream = shown[0]
    if stream.codec_context is None:
        raise VideoError(
            "unsupported_codec",
            f"{path}: this FFmpeg has no decoder for its video stream, expected a codec that it knows",
        )
    context, name = stream.codec_context, container.format.name.split(",")[0]
    has_pts = name not in NO_PTS_STORED and not (name in ONE_TIME_STORED and context.has_b_frames)
    return Source(path, container, stream, context.width, context.height, has_pts)


def demux(source: Source, walk: Walk) -> Iterator[Packet[VideoStream]]:
    """The stream's packets, the empty one that ends it included; errors are noted and passed over."""
    n_errors = 0
    while n_errors < MAX_DEMUX_ERRORS:
        try:
            yield from source.container.demux(source.stream)
        except IndexError:
            # PyAV has no place for a stream that begins in the middle; its packets are not ours.
            continue
        except av.error.FFmpegError as error:
            n_errors += 1
            walk.errors.append((None, f"cannot read on: {error.strerror}"))
        else:
            return


def last_packet_end_s(path: Path) -> Fraction:
    """When the last packet of any video or audio stream ends, in seconds on the container's timeline."""
    end = Fraction(0)
    with open_source(path) as source, suppress(av.error.FFmpegError):
        for packet in source.container.demux(source.container.streams.video + source.container.streams.audio):
            if packet.pts is not None and packet.time_base:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return end


def decode(source: Source, walk: Walk, *, strict: bool) -> Iterator[tuple[int, VideoFrame]]:
    """Every frame that decodes, as `(pts, frame)` in the decoder's output order; `walk` notes what happens.

    Args:
        source: opened with threads or without.
        walk: filled on the way.
        strict: give up at the first damage instead of going on. Frames then come some places late, so that none is
            out that was predicted from a damaged one shown after it.

    Raises:
        TroubleError: with `strict` only, at the first error or damaged picture.
        VideoError: `no_timestamps`, for a frame that has neither a pts nor a packet's dts to stand in.
    """
    held: deque[tuple[int, VideoFrame]] = deque()
    delay = source.stream.codec_context.reorder_depth if strict else 0
    for packet in demux(source, walk):
        if packet.size:
            _note(packet, walk)
        elif packet.dts is not None:
            # An empty chunk says "show the last frame again"; to the decoder it would say "the end".
            continue
        try:
            frames = packet.decode()
        except av.error.EOFError:
            continue
        except av.error.FFmpegError as error:
            walk.errors.append((packet.pts, f"cannot decode: {error.strerror}"))
            if packet.size and walk.slots:
                walk.slots.pop()
            frames = []
        if strict and (walk.errors or any(frame.is_corrupt for frame in frames)):
            raise TroubleError
        held.extend((_time_of(source, walk, frame), frame) for frame in frames)
        while len(held) > delay:
            yield held.popleft()
    yield from held


def _note(packet: Packet[VideoStream], walk: Walk) -> None:
    walk.slots.append(packet.dts)
    walk.n_discarded += packet.is_discard
    if packet.is_corrupt:
        walk.flagged.append(packet.pts)
    if packet.pts is not None and not packet.is_discard:
        walk.packet_pts.append(packet.pts)


def _time_of(source: Source, walk: Walk, frame: VideoFrame) -> int:
    # Where none is stored the n-th shown frame takes the place of the n-th packet.
    slot = walk.slots.popleft() if walk.slots else None
    guessed = frame.pts is None or not source.has_pts
    pts = slot if guessed else frame.pts
    if pts is None:
        raise VideoError(
            "no_timestamps",
            f"{source.path}: a frame has no timestamp, expected one for each; remux or re-encode the file",
        )
    walk.n_guessed += guessed
    return pts
