"""One file meets its decoders: what runs in a worker process, and how its findings become a Video record and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from datasets_build.core.clock import NS_PER_S, Int64s, round_half_up
from datasets_build.core.files import sha256_file
from datasets_build.core.records import DecoderTrust, Part, Reject, Video, derive_id
from datasets_build.core.worker import Failure, WorkerError
from datasets_build.decoders.remote import FAILURES
from datasets_build.video import Probe, VideoError, check_decoder, probe

DecoderName = Literal["decord", "torchcodec"]
_ENDINGS: dict[Failure, str] = {"crashed": "crashed", "deadline": "hung", "raised": "failed"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that could not be read: a short code and what was found; it names no path of this machine."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes in short: digest and number."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """A video file whose bytes are known; `id` is the id of its Video record."""

    uri: str
    path: Path
    content: Content
    id: str

    @classmethod
    def of(cls, source: str, uri: str, path: Path, content: Content) -> Source:
        """Derive the id: the same bytes at the same place in the same kind of corpus are the same video."""
        return cls(uri, path, content, derive_id("video", source, uri, content.sha256))


@dataclass(frozen=True, slots=True)
class Check:
    """A decoder to be tried on a probed file, with seconds for each of its answers; `pts` is where the times lie."""

    source: Source
    video: Video
    pts: Path
    decoder: DecoderName
    deadline_s: float


class Finding(Part):
    """What probing a file came to: its record, or why there is none."""

    video: Video | None = None
    reject: Reject | None = None


class Verdict(Part):
    """What a decoder's trial came to; a crash or a hang also leaves a reject row."""

    trust: DecoderTrust
    reject: Reject | None = None


def digest(path: Path) -> Content | Refusal:
    """Hash a file; runs in a worker process."""
    try:
        return Content(sha256_file(path), path.stat().st_size)
    except OSError as error:
        return Refusal("unreadable", f"cannot be read ({error.strerror})")


def examine(source: Source) -> Probe | Refusal:
    """Decode a file once; runs in a worker process."""
    try:
        return probe(source.path)
    except VideoError as error:
        return Refusal(error.code, _portable(str(error), source))


def try_decoder(check: Check) -> DecoderTrust:
    """Hold a decoder's frames and times against the index; runs in a worker process."""
    found = probe_of(check.video, np.load(check.pts, allow_pickle=False))
    try:
        trust = check_decoder(check.source.path, found, check.decoder, deadline_s=check.deadline_s)
    except VideoError as error:
        trust = DecoderTrust(name=check.decoder, trusted=False, reason=str(error))
    return trust.model_copy(update={"reason": _portable(trust.reason, check.source)})


def _portable(text: str, source: Source) -> str:
    # The same folder elsewhere, and the same crash again, must give the same bytes.
    return re.sub(r"0x[0-9a-f]+", "0x…", text.replace(str(source.path), source.uri))


def ending(error: WorkerError) -> str:
    """How a call in a worker ended, in words that are the same each time (a decoder's last line may hold addresses)."""
    return error.detail if error.kind == "raised" else error.detail.split(": ", 1)[0]


def lost(source: Source, error: WorkerError) -> Refusal:
    """The refusal of a file that took its worker process down, or that met an error nobody foresaw."""
    word = _ENDINGS[error.kind]
    return Refusal(f"decoder_{word}", f"PyAV {word}: {_portable(ending(error), source)}")


def verdict(check: Check, trust: DecoderTrust | None, error: WorkerError | None) -> Verdict:
    """What a trial came to: an answer, or the loss of a process, the decoder's own or the one that asked it."""
    word = None
    if error is not None:
        word = _ENDINGS[error.kind]
        reason = f"{check.decoder} {word}: {_portable(ending(error), check.source)}"
        trust = DecoderTrust(name=check.decoder, trusted=False, reason=reason)
    assert trust is not None
    kinds: tuple[Failure, ...] = ("crashed", "deadline")
    for kind in kinds:
        if not trust.trusted and trust.reason.startswith(f"{check.decoder} {FAILURES[kind][1]}"):
            word = _ENDINGS[kind]
    return Verdict(trust=trust, reject=_taken_down(check, trust, word) if word else None)


def _taken_down(check: Check, trust: DecoderTrust, word: str) -> Reject:
    return Reject(
        stage="index",
        item=check.source.uri,
        code=f"{check.decoder}_{word}",
        reason=f"{check.source.uri}: {trust.reason}",
        action="nothing: PyAV reads this file instead",
    )


def video_record(source: Source, probe: Probe, *, corpus: str, licence: str) -> Video:
    """The Video record of a probed file, with the split and the decoders still to be filled in by `index`."""
    fps = probe.avg_fps
    return Video(
        id=source.id,
        video_id=source.id,
        source=corpus,
        uri=source.uri,
        sha256=source.content.sha256,
        bytes=source.content.size,
        container=probe.container,
        codec=probe.codec,
        pixel_format=probe.pixel_format,
        width=probe.width,
        height=probe.height,
        sar_num=probe.sar.numerator,
        sar_den=probe.sar.denominator,
        rotation_deg=probe.rotation_deg,
        time_base_num=probe.time_base.numerator,
        time_base_den=probe.time_base.denominator,
        start_pts=probe.start_pts,
        start_offset_ns=probe.start_offset_ns,
        duration_ns=probe.duration_ns,
        n_frames=probe.n_frames,
        header_frames=probe.header_frames,
        avg_fps_num=fps.numerator,
        avg_fps_den=fps.denominator,
        is_vfr=probe.is_vfr,
        max_gap_ns=probe.max_gap_ns,
        max_jitter_ns=probe.max_jitter_ns,
        reorder_depth=probe.reorder_depth,
        audio=probe.audio,
        pts_index=f"pts/{source.id}.npy",
        licence=licence,
        # Identical copies, wherever they lie, never part.
        group=source.content.sha256,
        split="train",
        status=probe.status,
        problems=probe.problems,
    )


def probe_of(video: Video, pts: Int64s) -> Probe:
    """The probe that a record was made from, so that a run which was cut off need not decode again."""
    assert video.status != "quarantined"
    time_base = Fraction(video.time_base_num, video.time_base_den)
    span = round_half_up(Fraction(video.duration_ns, NS_PER_S) / time_base)
    return Probe(
        container=video.container,
        codec=video.codec,
        pixel_format=video.pixel_format,
        width=video.width,
        height=video.height,
        sar=Fraction(video.sar_num, video.sar_den),
        rotation_deg=video.rotation_deg,
        time_base=time_base,
        pts=np.asarray(pts, np.int64),
        last_duration=span - (int(pts[-1]) - int(pts[0])),
        start_offset_ns=video.start_offset_ns,
        header_frames=video.header_frames,
        is_vfr=video.is_vfr,
        max_gap_ns=video.max_gap_ns,
        max_jitter_ns=video.max_jitter_ns,
        reorder_depth=video.reorder_depth,
        audio=video.audio,
        problems=video.problems,
        status=video.status,
    )
