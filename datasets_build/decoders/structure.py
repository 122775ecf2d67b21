"""Whether a container holds together from its first byte to its last, where FFmpeg passes over damage without a word.

Its demuxers of Matroska, GIF and transport streams skip what they cannot read and go on behind it, or end there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

UInt8s = npt.NDArray[np.uint8]
# Matroska: what lies in the file itself, its segment, a cluster and a group of blocks; what is gone into, not over.
_SEGMENT, _CLUSTER, _GROUP = 0x18538067, 0x1F43B675, 0xA0
_TRACKS, _TRACK, _NUMBER, _TYPE = 0x1654AE6B, 0xAE, 0xD7, 0x83
_BLOCKS = frozenset({0xA3, 0xA1})
_MASTERS = frozenset({_SEGMENT, _CLUSTER, _GROUP})
_KNOWN = _MASTERS | {
    *(0x1A45DFA3, 0xEC, 0xBF),
    *(0x114D9B74, 0x1549A966, _TRACKS, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
    *_BLOCKS,
    *(0xE7, 0x5854, 0xA7, 0xAB, 0xAF),
    *(0xA2, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8),
}
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
# Transport streams: plain, with a time before each packet, with check bytes behind it.
_PACKET_SIZES, _SYNC, _CHUNK = (188, 192, 204), 0x47, 1 << 14


def broken_at(path: Path, container: str, stream_id: int) -> int | None:
    """The byte at which a file's structure breaks; None where it holds, or the container is one that FFmpeg watches.

    Args:
        path: the file.
        container: FFmpeg's first name for it.
        stream_id: the container's own number of the shown stream; for a transport stream its PID.
    """
    with path.open("rb") as handle:
        size = path.stat().st_size
        if container == "matroska":
            return _matroska(handle, size)
        if container == "gif":
            return _gif(handle, size)
        return _transport(handle, size, stream_id) if container == "mpegts" else None


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of Matroska: where its content begins, and where it ends, None for "when something else begins"."""

    name: int
    begin: int
    end: int | None


def _element(handle: IO[bytes], at: int) -> _Element | None:
    """What begins at a byte, None for nothing of Matroska's."""
    handle.seek(at)
    head = handle.read(12)
    if not head or not head[0]:
        return None
    name_bytes = 9 - head[0].bit_length()
    rest = head[name_bytes:]
    if name_bytes > 4 or not rest or not rest[0]:
        return None
    size_bytes = 9 - rest[0].bit_length()
    if len(rest) < size_bytes:
        return None
    unknown = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(rest[:size_bytes], "big") & unknown
    begin = at + name_bytes + size_bytes
    return _Element(int.from_bytes(head[:name_bytes], "big"), begin, None if size == unknown else begin + size)


def _matroska(handle: IO[bytes], size: int) -> int | None:
    at, ends = 0, [size]
    # Whether a track is one of pictures, by its number.
    tracks: dict[int, bool] = {}
    while at < size:
        element = _element(handle, at)
        if element is None or element.name not in _KNOWN:
            return at
        end = element.end
        # Only a master may leave its end open, as a film does that was written while it was recorded.
        if (end is None and element.name not in _MASTERS) or (end is not None and end > ends[-1]):
            return at
        if element.name == _TRACKS and end is not None:
            tracks = dict(_tracks(handle, element.begin, end))
        if element.name in _BLOCKS and tracks and not _belongs(handle, element.begin, tracks):
            return at
        if element.name in _MASTERS:
            ends.append(ends[-1] if end is None else end)
            at = element.begin
        else:
            assert end is not None
            at = end
        while at == ends[-1] and len(ends) > 1:
            ends.pop()
            if len(ends) == 1:
                # What stands behind the film is nothing to it.
                return None
    return None


def _tracks(handle: IO[bytes], at: int, end: int) -> Iterator[tuple[int, bool]]:
    """Each track's number, and whether it is one of pictures."""
    number, is_video = 0, False
    while at < end and (element := _element(handle, at)) is not None and element.end is not None:
        handle.seek(element.begin)
        if element.name == _TRACK:
            number, is_video = 0, False
        elif element.name == _NUMBER:
            number = int.from_bytes(handle.read(element.end - element.begin), "big")
        elif element.name == _TYPE:
            is_video = handle.read(1) == b"\x01"
        if number:
            yield number, is_video
        at = element.begin if element.name == _TRACK else element.end


def _belongs(handle: IO[bytes], at: int, tracks: Mapping[int, bool]) -> bool:
    """Whether a block is of a track that there is, and one of pictures holds a single picture."""
    handle.seek(at)
    head = handle.read(12)
    length = 9 - head[0].bit_length() if head else 0
    if len(head) < length + 3:
        return False
    number = int.from_bytes(head[:length], "big") & ((1 << 7 * length) - 1)
    return number in tracks and not (tracks[number] and head[length + 2] & 0x06)


def _gif(handle: IO[bytes], size: int) -> int | None:
    head = handle.read(13)
    at = _past_colours(13, head[10:11])
    while True:
        handle.seek(at)
        kind = handle.read(1)
        if kind == bytes([_GIF_END]):
            # What seems to be the end, with more behind it, is a byte that came to stand there.
            return at if any(handle.read()) else None
        is_image = kind == bytes([_GIF_IMAGE])
        if kind == bytes([_GIF_EXTENSION]):
            inside = at + 2
        elif is_image:
            # Its place, size and colours, and how many bits a code begins with.
            inside = _past_colours(at + 10, handle.read(9)[8:9]) + 1
        else:
            return at
        end = _past_blocks(handle, inside, alike=is_image)
        if end is None or end > size:
            return at
        at = end


def _past_colours(at: int, flags: bytes) -> int:
    """Where the table of colours ends that begins at a byte, where the flags before it tell of one."""
    return at + (3 << (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0)


def _past_blocks(handle: IO[bytes], at: int, *, alike: bool) -> int | None:
    """Where a row of blocks ends, each behind its length and an empty one last; None where it is no such row.

    Whoever writes an image fills all blocks `alike` but the last: one that is shorter, or longer, came from elsewhere.
    """
    handle.seek(at)
    lengths: list[int] = []
    while length := handle.read(1):
        at += 1 + length[0]
        if not length[0]:
            return None if alike and any(each != lengths[0] for each in lengths[:-1]) else at
        lengths.append(length[0])
        handle.seek(at)
    return None


def _transport(handle: IO[bytes], size: int, pid: int) -> int | None:
    head = np.frombuffer(handle.read(64 * max(_PACKET_SIZES)), np.uint8)
    first, length = _packets(head)
    count: int | None = None
    for at, packets in _chunks(handle, first, length):
        lost_sync = packets[:, 0] != _SYNC
        ours = ((packets[:, 1].astype(np.int64) & 0x1F) << 8 | packets[:, 2]) == pid
        skips, count = _skips(packets[ours], count)
        bad = [*np.flatnonzero(lost_sync)[:1].tolist(), *np.flatnonzero(ours)[skips][:1].tolist()]
        if bad:
            return at + int(min(bad)) * length
    rest = (size - first) % length
    # The bytes between two packets may be missing behind the last.
    return size - rest if rest not in (0, _PACKET_SIZES[0]) else None


def _packets(head: UInt8s) -> tuple[int, int]:
    """Where the first packet begins, and from one to the next: where most packets begin as they must."""
    best = (-1, 0, _PACKET_SIZES[0])
    for length in _PACKET_SIZES:
        for first in range(min(length, len(head))):
            hits = int((head[first::length] == _SYNC).sum()) * length
            best = max(best, (hits, -first, length))
    return -best[1], best[2]


def _chunks(handle: IO[bytes], first: int, length: int) -> Iterator[tuple[int, UInt8s]]:
    """Where some packets begin, and `(n, length) uint8` of them; a part at the end is left out."""
    at = first
    handle.seek(at)
    while content := handle.read(_CHUNK * length):
        whole = len(content) // length
        yield at, np.frombuffer(content[: whole * length], np.uint8).reshape(whole, length)
        at += whole * length


def _skips(packets: UInt8s, before: int | None) -> tuple[npt.NDArray[np.int64], int | None]:
    """Places of packets of one stream whose count does not follow on the one before, and the last count."""
    if not len(packets):
        return np.zeros(0, np.int64), before
    counts = packets[:, 3].astype(np.int64) & 15
    filled, adapted = packets[:, 3] & 0x10 > 0, packets[:, 3] & 0x20 > 0
    jumps = adapted & (packets[:, 4] > 0) & (packets[:, 5] & 0x80 > 0)
    last = np.concatenate([[counts[0] - filled[0] if before is None else before], counts[:-1]])
    # A packet may come twice.
    follows = (counts == (last + filled) % 16) | (counts == last)
    broken = ~(follows | jumps) | (packets[:, 1] & 0x80 > 0)
    return np.flatnonzero(broken), int(counts[-1])
