"""Decoders that run in a worker: asked by frame index, and only for files whose count and times they get right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s
from datasets_build.core.worker import Failure, WorkerError
from datasets_build.decoders.frames import ScanFrame, Size, UInt8s, VideoError
from datasets_build.decoders.lanes import LANES, Lane, StartError
from datasets_build.decoders.verdicts import Verdict, Verdicts

P = ParamSpec("P")
R = TypeVar("R")
Float64s = npt.NDArray[np.float64]
TOLERANCE_S = 0.002
SCAN_CHUNK = 32
SCAN_DEADLINE_S = 60.0
FAILURES: dict[Failure, tuple[str, str]] = {
    "deadline": ("decoder_hung", "did not answer"),
    "crashed": ("decoder_crashed", "crashed"),
    "raised": ("decoder_failed", "cannot read it"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What a decoder thinks of a file: how many frames, and where it can tell, `(count,)` seconds from the first."""

    count: int
    times_s: Float64s | None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames `(n, h, w, 3) uint8` RGB upright with the times that the decoder gives them, in seconds from the first."""

    data: UInt8s
    times_s: Float64s


class Remote:
    """One decoder library behind a worker. The functions run in the child, where the library is imported.

    Args:
        name: what the decoder is called.
        ready: imports the library.
        survey: opens a file and tells count and times.
        pictures: frames of a file at increasing indices, scaled to an upright size where one is given.
        environment: variables for the child.
    """

    def __init__(
        self,
        name: str,
        *,
        ready: Callable[[], None],
        survey: Callable[[str], Survey],
        pictures: Callable[[str, list[int], Size | None], Batch],
        environment: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.name = name
        self._ready, self._survey, self._pictures = ready, survey, pictures
        self._environment = environment
        self._verdicts = Verdicts()

    def read(self, path: Path, clock: FrameClock, indices: Int64s, *, size: Size | None, deadline_s: float) -> UInt8s:
        """Frames `(n, h, w, 3) uint8` RGB upright at `(n,)` increasing indices.

        Raises:
            VideoError: `decoder_untrusted` when count or times differ from the clock, `decoder_hung`,
                `decoder_crashed`, `decoder_failed` or `decoder_unavailable`.
        """
        self.check_times(path, clock, deadline_s=deadline_s)
        try:
            batch = self._ask(path, deadline_s, self._pictures, str(path.resolve()), indices.tolist(), size)
            self._hold(path, batch.times_s, clock, indices)
        except VideoError as error:
            if error.code != "decoder_failed":
                self._verdicts.put(self.name, path, clock, Verdict(error, deadline_s))
            raise
        return batch.data

    def scan(
        self,
        path: Path,
        clock: FrameClock,
        *,
        size: Size | None,
        cores: int | None = None,  # noqa: ARG002 - the interface
        exact: bool = True,  # noqa: ARG002 - the interface
    ) -> Iterator[ScanFrame]:
        """Every frame of the clock once, in order. Raises VideoError as `read`."""
        self.check_times(path, clock, deadline_s=SCAN_DEADLINE_S)
        for start in range(0, len(clock), SCAN_CHUNK):
            chunk = np.arange(start, min(start + SCAN_CHUNK, len(clock)), dtype=np.int64)
            images = self.read(path, clock, chunk, size=size, deadline_s=SCAN_DEADLINE_S) if size else None
            for k, index in enumerate(chunk.tolist()):
                image = np.ascontiguousarray(images[k, :, :, ::-1]) if images is not None else None
                yield ScanFrame(index, int(clock.t_ns[index]), image, _Full(self, path, clock, index))

    def check_times(self, path: Path, clock: FrameClock, *, deadline_s: float) -> None:
        """Hold a file's count and times against its clock, once per process and file. Raises VideoError as `read`."""
        known = self._verdicts.get(self.name, path, clock)
        if known is None or not known.holds_for(deadline_s):
            known = Verdict(self._survey_error(path, clock, deadline_s), deadline_s)
            self._verdicts.put(self.name, path, clock, known)
        if known.error:
            raise known.error

    def _survey_error(self, path: Path, clock: FrameClock, deadline_s: float) -> VideoError | None:
        try:
            survey = self._ask(path, deadline_s, self._survey, str(path.resolve()))
            if survey.count != len(clock):
                detail = f"it counts {survey.count} frames, the index {len(clock)}"
                return VideoError("decoder_untrusted", f"{path}: {self.name} is not trusted: {detail}")
            if survey.times_s is not None:
                self._hold(path, survey.times_s, clock, np.arange(len(clock)))
        except VideoError as error:
            if error.code == "decoder_unavailable":
                raise
            return error
        return None

    def _hold(self, path: Path, times_s: Float64s, clock: FrameClock, indices: Int64s) -> None:
        place = first_disagreement(times_s, clock.t_ns[indices])
        if place is None:
            return
        says, right = times_s[place] if place < len(times_s) else float("nan"), clock.time_of(int(indices[place]))
        detail = f"it shows frame {indices[place]} at {says:.6g} s, the index at {right / NS_PER_S:.6f} s"
        raise VideoError("decoder_untrusted", f"{path}: {self.name} is not trusted: {detail}")

    def _ask(self, path: Path, deadline_s: float, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            lane = LANES.get(self.name, lambda: Lane(self._ready, self._environment()))
            return lane.call(deadline_s, function, *args, **kwargs)
        except StartError as error:
            raise VideoError("decoder_unavailable", f"{self.name} cannot be used here: {error}") from error
        except WorkerError as error:
            code, words = FAILURES[error.kind]
            raise VideoError(code, f"{path}: {self.name} {words}: {error.detail}") from error


@dataclass(frozen=True, slots=True)
class _Full:
    remote: Remote
    path: Path
    clock: FrameClock
    index: int

    def __call__(self) -> UInt8s:
        indices = np.array([self.index], np.int64)
        (image,) = self.remote.read(self.path, self.clock, indices, size=None, deadline_s=SCAN_DEADLINE_S)
        return np.asarray(image, np.uint8)


def first_disagreement(times_s: Float64s, t_ns: Int64s) -> int | None:
    """The first place where a decoder's times `(n,)`, in seconds from the first frame, stray from the clock's.

    Two milliseconds are allowed, and what single precision (decord's) cannot hold; a missing time disagrees.
    """
    if len(times_s) != len(t_ns):
        return min(len(times_s), len(t_ns) - 1)
    right = t_ns / NS_PER_S
    allowed = np.maximum(TOLERANCE_S, 2 * np.spacing(right.astype(np.float32)))
    # Written so that nan disagrees.
    wrong = np.flatnonzero(~(np.abs(times_s - right) <= allowed))
    return int(wrong[0]) if len(wrong) else None
