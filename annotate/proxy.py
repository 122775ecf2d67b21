"""What people watch of a video: proxies that any browser plays and seeks exactly, found again once they are made.

A folder of proxies holds `<sha256>.mp4` files and `made/<key>.json`, which say what was made of which video, span and
settings. Both are there only when they are whole.
"""

from __future__ import annotations

import hashlib
import logging
from fractions import Fraction
from pathlib import Path

import av.error
from pydantic import Field, ValidationError

from annotate.errors import AnnotateError
from annotate.film import Preset, Quality, Reel, Source, encode, find_fault, fitting_size
from annotate.lock import alone
from annotate.pace import pace_of, unseen
from annotate.pace import source_time as source_time
from annotate.pace import to_proxy_frame as to_proxy_frame
from annotate.tasks import Window
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.config import Config
from datasets_build.core.files import sha256_file, whole_file, write_bytes
from datasets_build.core.records import Video
from datasets_build.core.worker import NO_SPACE

log = logging.getLogger(__name__)
# Raised when what is made of the same video and settings changes.
VERSION = 2


class ProxyError(AnnotateError):
    """A proxy that cannot be made or used: the file, what was found and what was expected."""

    def __init__(self, file: Path, found: str, expected: str, advice: str) -> None:
        super().__init__(f"{file}: found {found}, expected {expected}; {advice}")
        self.file, self.found, self.expected, self.advice = file, found, expected, advice

    def __reduce__(self) -> tuple[type[ProxyError], tuple[Path, str, str, str]]:
        return type(self), (self.file, self.found, self.expected, self.advice)


class UnshownError(ProxyError):
    """A stretch of a video that nobody can be shown; others can."""


class ProxyConfig(Config):
    """How proxies look.

    `most_high`, `most_long`: pixels, upright, of the height and of the longer side. `crf`: x264's constant rate
    factor, lower is better and larger. `preset`: of x264.
    """

    most_high: int = Field(default=720, ge=2)
    most_long: int = Field(default=1280, ge=2)
    crf: int = Field(default=23, ge=1, le=40)
    preset: Preset = "superfast"


DEFAULT = ProxyConfig()


def proxy_path(folder: Path, window: Window) -> Path:
    """Where the proxy of a window lies in a folder of proxies."""
    return folder / f"{window.proxy_sha256}.mp4"


def make_proxy(
    path: Path, video: Video, clock: FrameClock, *, span: Span, folder: Path, config: ProxyConfig = DEFAULT
) -> Window:
    """The proxy of a stretch of a video; one that was made before is found again.

    It is H.264 at a constant rate (`pace_of`) from 0, upright, with square pixels and even sides, a key frame at least
    each second, its index in front, and no sound. It was decoded again and is what it should be. The same video, span
    and settings give the same bytes.

    Args:
        path: the video file.
        video: its record.
        clock: its frames' times.
        span: what is shown, its ends on frames or on the video's end.
        folder: of the proxies; made where it is missing.
        config: how it looks.

    Raises:
        AnnotateError: the span is empty or its ends are not on frames.
        UnshownError: the video file is not that of the record; the proxy does not hold what was asked for.
        ProxyError: a proxy that was made before has changed since; the disk is full.
        VideoError: the video cannot be read, or its pictures not be converted.
    """
    _check_input(path, video, clock, span)
    note = folder / "made" / f"{_key(video, clock, span, config)}.json"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        # Who comes second at the same time finds what the first has made.
        with alone(folder):
            if found := _found(folder, note):
                return found.model_copy(update={"video_id": video.video_id})
            return _make(Source(path, video, clock), span, note, config)
    except (OSError, av.error.FFmpegError) as error:
        if error.errno not in NO_SPACE:
            raise
        raise ProxyError(
            folder, f"{error.strerror}", "room for a proxy", "make room and run again, what is finished stays"
        ) from error


def check_proxy(folder: Path, window: Window, *, decode: bool = False) -> None:
    """Makes sure that a window's proxy is there and is the one that was made.

    Args:
        folder: of the proxies.
        window: of which.
        decode: hold what it decodes to against the window, too; its bytes tell as much of one that was made here.

    Raises:
        ProxyError: it is not.
    """
    path = proxy_path(folder, window)
    if not path.is_file():
        raise ProxyError(path, "no file", "a proxy", "make it again")
    sha256 = sha256_file(path)
    if sha256 != window.proxy_sha256:
        raise ProxyError(
            path, f"sha256 {sha256}", window.proxy_sha256, "it was changed since it was made: delete it, make it again"
        )
    if decode:
        rate = Fraction(window.fps_num, window.fps_den)
        _verify(path, window.frames, Reel(rate=rate, size=(window.width, window.height)))


def _check_input(path: Path, video: Video, clock: FrameClock, span: Span) -> None:
    if span.duration_ns == 0 or not (clock.on_grid(span.start_ns) and clock.on_grid(span.end_ns)):
        raise AnnotateError(
            f"{video.video_id}: found a window [{span.start_ns}, {span.end_ns}), expected one of a frame or more, its"
            f" ends on frames or at the end, {clock.end_ns}"
        )
    # A missing file is told by who opens it.
    size = path.stat().st_size if path.is_file() else video.bytes
    if size != video.bytes:
        raise UnshownError(path, f"{size} bytes", f"{video.bytes}", "it is not the indexed file: index the videos anew")


def _key(video: Video, clock: FrameClock, span: Span, config: ProxyConfig) -> str:
    """What a proxy is made of: 32 hex digits."""
    digest = hashlib.blake2b(clock.t_ns.tobytes(), digest_size=16)
    shape = (video.width, video.height, video.sar_num, video.sar_den, video.rotation_deg)
    base = (video.time_base_num, video.time_base_den)
    for part in (VERSION, video.sha256, clock.end_ns, shape, base, span, config):
        digest.update(f"{part!r}\0".encode())
    return digest.hexdigest()


def _noted(note: Path) -> Window | None:
    """The window that a note tells of; None where there is none that can be read, which costs no more than time."""
    try:
        return Window.model_validate_json(note.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _found(folder: Path, note: Path) -> Window | None:
    """The window whose proxy was made before and is still what was made; None for none."""
    window = _noted(note)
    if window is None or not proxy_path(folder, window).exists():
        return None
    check_proxy(folder, window)
    return window


def _make(source: Source, span: Span, note: Path, config: ProxyConfig) -> Window:
    aside = note.parent.parent / f".{note.stem}.part"
    try:
        window = _encoded(source, span, aside, config)
        _publish(aside, window, note)
    finally:
        aside.unlink(missing_ok=True)
    lost = unseen(window, source.clock)
    if lost:
        text = "%s: %d of %d frames from %d ns on are in no proxy frame: they come faster than %s a second, unevenly"
        whole, rate = len(source.clock.frames_in(span)), Fraction(window.fps_num, window.fps_den)
        log.warning(text, source.path.name, len(lost), whole, span.start_ns, rate)
    return window


def _encoded(source: Source, span: Span, aside: Path, config: ProxyConfig) -> Window:
    """Write a proxy under another name and decode it again; its window."""
    _, video, clock = source
    pace = pace_of(clock, span, Fraction(video.time_base_num, video.time_base_den))
    reel = Reel(rate=pace.rate, size=fitting_size(video, most_high=config.most_high, most_long=config.most_long))
    encode(aside, source, pace.shown(clock), reel, quality=Quality(config.crf, config.preset))
    _verify(aside, pace.frames, reel)
    return Window(
        video_id=video.video_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        proxy_sha256=sha256_file(aside),
        width=reel.size[0],
        height=reel.size[1],
        fps_num=pace.rate.numerator,
        fps_den=pace.rate.denominator,
        frames=pace.frames,
        knots=pace.knots,
    )


def _verify(path: Path, frames: int, reel: Reel) -> None:
    fault = find_fault(path, frames, reel)
    if fault:
        raise UnshownError(path, fault.found, fault.expected, "people would be shown other frames than are meant")


def _publish(aside: Path, window: Window, note: Path) -> None:
    """Gives a proxy its name; a note without a proxy counts for nothing, so it comes first."""
    folder = aside.parent
    target = proxy_path(folder, window)
    if target.exists():
        check_proxy(folder, window)
    write_bytes(note, (window.model_dump_json() + "\n").encode())
    if not target.exists():
        with whole_file(target) as beside:
            aside.replace(beside)
