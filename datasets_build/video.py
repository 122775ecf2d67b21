"""The interface to video: what a file is, its frames in one forward pass, and the frame on screen at any time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.core.records import DecoderTrust, Video
from datasets_build.decoders import decord, pyav, torchcodec
from datasets_build.decoders.frames import Decoder as Decoder
from datasets_build.decoders.frames import Frames as Frames
from datasets_build.decoders.frames import ScanFrame as ScanFrame
from datasets_build.decoders.frames import Size as Size
from datasets_build.decoders.frames import VideoError as VideoError
from datasets_build.decoders.frames import analysis_size as analysis_size
from datasets_build.decoders.frames import shrunk_size as shrunk_size
from datasets_build.decoders.probe import Probe as Probe
from datasets_build.decoders.probe import probe as probe
from datasets_build.decoders.problems import DAMAGE
from datasets_build.decoders.remote import SCAN_DEADLINE_S
from datasets_build.decoders.trust import find_fault
from datasets_build.decoders.verdicts import Verdict, Verdicts

log = logging.getLogger(__name__)
DECODERS: dict[str, Decoder] = {"decord": decord, "pyav": pyav, "torchcodec": torchcodec}
REFERENCE = "pyav"
_VERDICTS = Verdicts()


def _decoder(name: str) -> Decoder:
    if name not in DECODERS:
        raise VideoError("unknown_decoder", f"decoder {name!r} is unknown, expected one of {', '.join(DECODERS)}")
    return DECODERS[name]


def scan(
    path: Path,
    clock: FrameClock,
    *,
    size: Size | None,
    decoder: str | DecoderTrust = REFERENCE,
    cores: int | None = None,
    exact: bool = True,
) -> Iterator[ScanFrame]:
    """One forward pass: every frame of the clock once, in presentation order.

    Args:
        path: the video.
        clock: its frames' times.
        size: `(width, height)` of the small upright image that comes with each frame; None for no image.
        decoder: who reads, as in `read`, but nobody steps in: half a pass is no pass.
        cores: with 1, PyAV decodes in the calling thread; else ahead of it, with threads where they pay. Other decoders
            have threads of their own.
        exact: pictures as `read` gives them. Else PyAV leaves the edges of blocks unsmoothed in frames on which no
            other rests: up to an eighth of the time, for pictures mostly within 55 dB of their own, coarse ones 30.

    Raises:
        VideoError: the file cannot be opened, the decoder is not trusted, or (`frames_lost`, after the pass) frames of
            the clock did not come.
    """
    name = decoder.name if isinstance(decoder, DecoderTrust) else decoder
    chosen = _decoder(name)
    if name != REFERENCE:
        _require_trust(path, clock, decoder, SCAN_DEADLINE_S)
    return chosen.scan(path, clock, size=size, cores=cores, exact=exact)


def read(
    path: Path,
    clock: FrameClock,
    times_ns: Sequence[int] | Int64s,
    *,
    size: Size | None = None,
    decoder: str | DecoderTrust = "decord",
    deadline_s: float = 30.0,
    fallback: bool = True,
) -> Frames:
    """The frame on screen at each time.

    Args:
        path: the video.
        clock: its frames' times.
        times_ns: instants inside `[0, clock.end_ns)`, in any order, repeats allowed.
        size: upright `(width, height)` of the result; None for the video's own.
        decoder: who reads. A name of `DECODERS` is checked on this file first, once per process; a verdict from the
            index (`decoder_for`) is taken as it stands.
        deadline_s: how long the decoder may take for one answer.
        fallback: let PyAV read what the decoder may not or cannot, however long it takes, and log it.

    Raises:
        TimeError: a time lies outside the video.
        VideoError: the file cannot be read; without `fallback` also when the decoder is not trusted
            (`decoder_untrusted`), fails (`decoder_failed`, `decoder_crashed`, `decoder_hung`) or is not there
            (`decoder_unavailable`).
    """
    indices = clock.indices_at(times_ns)
    name = decoder.name if isinstance(decoder, DecoderTrust) else decoder
    chosen = _decoder(name)
    if not len(indices):
        width, height = size or (0, 0)
        return Frames(np.zeros((0, height, width, 3), np.uint8), indices, indices, name)
    distinct, places = np.unique(indices, return_inverse=True)
    try:
        if name != REFERENCE:
            _require_trust(path, clock, decoder, deadline_s)
        data = chosen.read(path, clock, distinct, size=size, deadline_s=deadline_s)
    except VideoError as error:
        if not fallback or name == REFERENCE:
            raise
        log.warning("%s; PyAV reads instead", error)
        name, data = REFERENCE, pyav.read(path, clock, distinct, size=size, deadline_s=float("inf"))
    return Frames(data[places], clock.t_ns[indices], indices, name)


def check_decoder(path: Path, probe: Probe, name: str, *, deadline_s: float = 30.0) -> DecoderTrust:
    """Whether a decoder may read a file: its count, times, size and a few sampled pictures are PyAV's.

    The decoder runs in a worker of the calling process, so a crash or a hang is a refusal like any other.

    Args:
        path: the video.
        probe: what `probe` said about it.
        name: a name of `DECODERS`.
        deadline_s: how long the decoder may take for one answer.

    Raises:
        VideoError: the file itself cannot be read.
    """
    decoder = _decoder(name)
    if name == REFERENCE:
        return DecoderTrust(name=name, trusted=True)
    if any(problem.code in DAMAGE for problem in probe.problems):
        return DecoderTrust(
            name=name, trusted=False, reason="the file is damaged, and each decoder mends it its own way"
        )
    fault = find_fault(path, probe.clock, name, decoder, deadline_s=deadline_s)
    # Records hold no paths.
    said = str(fault).removeprefix(f"{path}: ").removeprefix(f"{name} is not trusted: ") if fault else ""
    reason = said.replace(str(path), path.name)
    return DecoderTrust(name=name, trusted=fault is None, reason=reason)


def decoder_for(video: Video, preferred: str = "decord") -> DecoderTrust:
    """The index's verdict on a decoder for `read`; PyAV where it is refused or was never checked."""
    good = [verdict for verdict in video.decoders if verdict.name == preferred and verdict.trusted]
    return good[0] if good else DecoderTrust(name=REFERENCE, trusted=True)


def _require_trust(path: Path, clock: FrameClock, decoder: str | DecoderTrust, deadline_s: float) -> None:
    if isinstance(decoder, DecoderTrust):
        if not decoder.trusted:
            raise VideoError("decoder_untrusted", f"{path}: {decoder.name} is not trusted: {decoder.reason}")
        return
    known = _VERDICTS.get(decoder, path, clock)
    if known is None or not known.holds_for(deadline_s):
        fault = find_fault(path, clock, decoder, _decoder(decoder), deadline_s=deadline_s)
        known = _VERDICTS.put(decoder, path, clock, Verdict(fault, deadline_s))
    if known.error:
        raise known.error
