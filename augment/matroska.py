"""Matroska files of one video track whose times are whole nanoseconds, each frame with how long it stays.

FFmpeg writes Matroska in milliseconds and without durations, and an MP4 frame stays 2^31 ticks at most. The format
itself has neither limit (RFC 9559): its tick may be a nanosecond, and a block says how long it lasts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

# Element ids of RFC 8794 (EBML) and RFC 9559 (Matroska).
_EBML, _SEGMENT, _SEEK_HEAD, _SEEK, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B
_CLUSTER, _CUES, _CUE_POINT = 0x1F43B675, 0x1C53BB6B, 0xBB
_PLACE_BYTES = 8
_NAME = b"streamvl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The video track.

    Attributes:
        codec_id: its Matroska name, such as `V_FFV1`.
        private: the codec's own header.
        width, height: in pixels.
        sar: width of a pixel over its height.
        end_ns: when the last frame leaves the screen.
    """

    codec_id: str
    private: bytes
    width: int
    height: int
    sar: Fraction
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A coded frame: when it comes on, how long it stays, ns, and whether decoding can begin with it."""

    begin_ns: int
    stay_ns: int
    is_key: bool
    data: bytes


class Matroska:
    """Writes a file front to back, each frame in a cluster of its own: times in a cluster reach 2^15 ticks only.

    Args:
        file: empty, seekable; the caller closes it, after `finish`.
        track: what it holds.
    """

    def __init__(self, file: BinaryIO, track: Track) -> None:
        self._file = file
        self._cues: list[bytes] = []
        file.write(_element(_EBML, _header()))
        # The segment's length and the place of the cues are known at the end.
        file.write(_id(_SEGMENT) + _place(0))
        self._begin = file.tell()
        file.write(_seek_head(0))
        file.write(_element(_INFO, _info(track.end_ns)) + _element(_TRACKS, _track(track)))

    def add(self, block: Block) -> None:
        """Writes a frame; frames come in the order of time."""
        if block.is_key:
            where = _number(0xF7, 1) + _number(0xF1, self._file.tell() - self._begin)
            self._cues.append(_element(_CUE_POINT, _number(0xB3, block.begin_ns) + _element(0xB7, where)))
        # Track 1, at the cluster's own time, no flags.
        head = b"\x81\0\0\0"
        # A block that names another before it is no key frame.
        reference = b"" if block.is_key else _element(0xFB, b"\xff")
        group = _element(0xA1, head + block.data) + _number(0x9B, block.stay_ns) + reference
        self._file.write(_element(_CLUSTER, _number(0xE7, block.begin_ns) + _element(0xA0, group)))

    def finish(self) -> None:
        """Writes the index of the key frames, and what is known only now."""
        cues = self._file.tell() - self._begin
        self._file.write(_element(_CUES, b"".join(self._cues)))
        length = self._file.tell() - self._begin
        self._file.seek(self._begin - _PLACE_BYTES)
        self._file.write(_place(length) + _seek_head(cues))


def _id(element: int) -> bytes:
    return element.to_bytes((element.bit_length() + 7) // 8, "big")


def _length(count: int) -> bytes:
    # Seven bits a byte; all ones would mean "unknown".
    size = next(size for size in range(1, 9) if count < (1 << 7 * size) - 1)
    return (count | 1 << 7 * size).to_bytes(size, "big")


def _place(count: int) -> bytes:
    """A length in eight bytes, so that it can be written over."""
    return (count | 1 << 56).to_bytes(_PLACE_BYTES, "big")


def _element(element: int, content: bytes) -> bytes:
    return _id(element) + _length(len(content)) + content


def _number(element: int, value: int) -> bytes:
    return _element(element, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _header() -> bytes:
    versions = _number(0x4286, 1) + _number(0x42F7, 1) + _number(0x42F2, 4) + _number(0x42F3, 8)
    return versions + _element(0x4282, b"matroska") + _number(0x4287, 4) + _number(0x4285, 2)


def _seek_head(cues: int) -> bytes:
    found = _element(0x53AB, _id(_CUES)) + _element(0x53AC, cues.to_bytes(_PLACE_BYTES, "big"))
    return _element(_SEEK_HEAD, _element(_SEEK, found))


def _info(end_ns: int) -> bytes:
    tick_ns = _number(0x2AD7B1, 1)
    return tick_ns + _element(0x4489, struct.pack(">d", end_ns)) + _element(0x4D80, _NAME) + _element(0x5741, _NAME)


def _track(track: Track) -> bytes:
    size = _number(0xB0, track.width) + _number(0xBA, track.height)
    if track.sar != 1:
        size += _number(0x54B0, track.width * track.sar.numerator)
        size += _number(0x54BA, track.height * track.sar.denominator)
    numbered = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1) + _number(0x9C, 0)
    codec = _element(0x86, track.codec_id.encode()) + _element(0x63A2, track.private)
    return _element(0xAE, numbered + codec + _element(0xE0, size))
