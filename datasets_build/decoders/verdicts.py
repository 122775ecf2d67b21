"""What this process has found out about files and decoders, so that a bad file costs its deadline once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.clock import FrameClock
from datasets_build.decoders.frames import VideoError

MAX_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a file fared: `error` is None when all was well; a hang says nothing about longer deadlines."""

    error: VideoError | None
    deadline_s: float

    def holds_for(self, deadline_s: float) -> bool:
        """Whether a call that may take `deadline_s` would end the same way."""
        return self.error is None or self.error.code != "decoder_hung" or deadline_s <= self.deadline_s


@dataclass(frozen=True, slots=True)
class _Key:
    decoder: str
    path: str
    modified_ns: int
    bytes: int
    n_frames: int
    end_ns: int


class Verdicts:
    """The latest verdicts on decoder, file content and clock."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Verdict] = OrderedDict()

    def get(self, decoder: str, path: Path, clock: FrameClock) -> Verdict | None:
        """The verdict, None when there is none. Raises VideoError `no_such_file`."""
        return self._kept.get(_key(decoder, path, clock))

    def put(self, decoder: str, path: Path, clock: FrameClock, verdict: Verdict) -> Verdict:
        """Remember a verdict and return it; the oldest goes when there are too many."""
        self._kept[_key(decoder, path, clock)] = verdict
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return verdict


def _key(decoder: str, path: Path, clock: FrameClock) -> _Key:
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoError("no_such_file", f"{path}: no such file") from error
    return _Key(decoder, str(path.resolve()), stat.st_mtime_ns, stat.st_size, len(clock), clock.end_ns)
