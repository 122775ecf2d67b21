"""Keyframes: cheap candidates from every frame, then greedy novelty on embeddings of the candidates alone.

Both steps are causal: whether a frame is taken never depends on a frame that comes more than two frames later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.perception.clip import Embeddings, Picture
from datasets_build.perception.standby import shrink
from datasets_build.video import ScanFrame

Reason = Literal["first", "change", "gap"]
Kept = Literal["first", "novelty", "gap"]
_THUMB = (16, 9)
_MINUTE_NS = 60 * NS_PER_S
# A cut is reported two frames late, so a drifted frame waits that long in case it belongs to the next shot.
_WAIT_FRAMES = 2
# A jump is a mean change of 0..1, and so many times what the last frames changed.
_LEAST_JUMP, _JUMP, _FORGET = 0.05, 4.0, 0.25
_KEPT: dict[Reason, Kept] = {"first": "first", "change": "novelty", "gap": "gap"}


class KeyframesConfig(Config):
    """Which frames become keyframes.

    A candidate is a shot's first frame that has settled (`settle` mean change since the frame before, at most
    `settle_s` after the cut), a frame whose thumbnail drifted from the last candidate's (its most changed tenth by
    `drift` on average), or one `gap_s` after it. A candidate is kept when its embedding is at least `novelty`
    (1 - cosine) away from the last `memory` kept ones, when it is its shot's first, or when nothing was kept for
    `max_gap_s`; no more than `per_minute` in any minute beside the firsts.
    """

    settle: float = Field(default=0.02, gt=0)
    settle_s: float = Field(default=0.4, ge=0)
    drift: float = Field(default=0.2, gt=0)
    min_apart_s: float = Field(default=0.5, ge=0)
    gap_s: float = Field(default=5.0, gt=0)
    max_gap_s: float = Field(default=20.0, gt=0)
    novelty: float = Field(default=0.06, ge=0, le=2)
    memory: int = Field(default=64, ge=1)
    per_minute: int = Field(default=20, ge=1)
    picture_side: int = Field(default=224, ge=32)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may become a keyframe, with its upright RGB picture `(h, w, 3) uint8`, long side limited."""

    frame_index: int
    t_ns: int
    reason: Reason
    picture: Picture


@dataclass(frozen=True, slots=True)
class Choice:
    """A kept candidate with its embedding and its distance from what was kept before."""

    candidate: Candidate
    reason: Kept
    novelty: float
    embedding: npt.NDArray[np.float32]


class CandidateFinder:
    """Listens to a decode pass; `feed` returns the candidates that a frame makes certain, in the order of time."""

    def __init__(self, config: KeyframesConfig) -> None:
        self._config = config
        self._recent: deque[ScanFrame] = deque(maxlen=4)
        self._previous: Picture | None = None
        self._anchor: Picture | None = None
        self._anchor_ns = 0
        self._shot_start: ScanFrame | None = None
        self._drifted: tuple[ScanFrame, Picture] | None = None

    def feed(self, frame: ScanFrame, thumb: Picture, boundary: int | None) -> list[Candidate]:
        """Take a frame with its thumbnail; `boundary` is a shot start (frame index) that it made certain."""
        if self._anchor is None:
            self._shot_start, self._anchor = frame, thumb
        found = self._close_shot(boundary, frame, thumb) if boundary is not None else []
        self._recent.append(frame)
        found += self._settled(frame, thumb) if self._shot_start is not None else self._changed(frame, thumb)
        self._previous = thumb
        return found

    def finish(self) -> list[Candidate]:
        """Say that the video is over: what was still waiting, or a last shot's only candidate."""
        if self._drifted is not None:
            return [self._take(*self._drifted, "change")]
        if self._shot_start is None or self._previous is None:
            return []
        return [self._take(self._recent[-1], self._previous, "first")]

    def _close_shot(self, boundary: int, frame: ScanFrame, thumb: Picture) -> list[Candidate]:
        found = []
        if self._drifted is not None and self._drifted[0].index < boundary:
            found.append(self._take(*self._drifted, "change"))
        self._drifted = None
        if self._shot_start is not None and self._shot_start.index < boundary:
            # The shot before this one ended before it settled: its last frame at hand stands for it.
            late = [seen for seen in self._recent if self._shot_start.index <= seen.index < boundary]
            found.append(self._take(late[-1] if late else self._shot_start, thumb, "first"))
        self._shot_start = next((seen for seen in self._recent if seen.index == boundary), frame)
        return found

    def _settled(self, frame: ScanFrame, thumb: Picture) -> list[Candidate]:
        assert self._shot_start is not None
        change = 1.0 if self._previous is None else cv2.norm(thumb, self._previous, cv2.NORM_L1) / thumb.size / 255
        waited = frame.t_ns - self._shot_start.t_ns >= self._config.settle_s * NS_PER_S
        if change > self._config.settle and not waited:
            return []
        return [self._take(frame, thumb, "first")]

    def _changed(self, frame: ScanFrame, thumb: Picture) -> list[Candidate]:
        if self._drifted is not None:
            waited = frame.index - self._drifted[0].index >= _WAIT_FRAMES
            return [self._take(*self._drifted, "change")] if waited else []
        since = frame.t_ns - self._anchor_ns
        if since >= self._config.gap_s * NS_PER_S:
            return [self._take(frame, thumb, "gap")]
        assert self._anchor is not None
        if since >= self._config.min_apart_s * NS_PER_S and drifted(thumb, self._anchor, by=self._config.drift):
            self._drifted = (frame, thumb)
        return []

    def _take(self, frame: ScanFrame, thumb: Picture, reason: Reason) -> Candidate:
        self._anchor, self._anchor_ns = thumb, frame.t_ns
        self._shot_start = self._drifted = None
        return Candidate(frame.index, frame.t_ns, reason, shrink(frame.full(), self._config.picture_side))


class JumpFinder:
    """Says at once when the picture has jumped: a new shot may have begun, which the shot detector will know later."""

    def __init__(self) -> None:
        self._before: Picture | None = None
        self._usual = 0.0

    def feed(self, thumb: Picture) -> bool:
        """Take the next frame's thumbnail `(9, 16, 3) uint8`."""
        before, self._before = self._before, thumb
        if before is None:
            return False
        change = cv2.norm(thumb, before, cv2.NORM_L1) / thumb.size / 255
        jumped = change > max(_LEAST_JUMP, _JUMP * self._usual)
        self._usual += _FORGET * (change - self._usual)
        return jumped


def thumbnail(image: Picture) -> Picture:
    """The `(9, 16, 3) uint8` thumbnail of an image `(h, w, 3) uint8` that frames are compared by."""
    small: Picture = cv2.resize(image, _THUMB, interpolation=cv2.INTER_AREA)
    return small


def drifted(thumb: Picture, anchor: Picture, *, by: float) -> bool:
    """Whether the most changed tenth of two thumbnails `(9, 16, 3) uint8` differs by at least `by` 0..1 on average.

    A mean over all would miss a hand that enters a still picture.
    """
    # No part of a picture changes more than its most changed pixel: most frames need no more than that.
    if cv2.norm(thumb, anchor, cv2.NORM_INF) < by * 255:
        return False
    change = cv2.absdiff(thumb, anchor).max(axis=2).reshape(-1)
    largest = len(change) // 10
    return float(np.partition(change, -largest)[-largest:].mean()) >= by * 255


class Selector:
    """Greedy choice in the order of time, under a budget; keeps the last embeddings only, so its memory is bounded."""

    def __init__(self, config: KeyframesConfig) -> None:
        self._config = config
        self._kept: deque[npt.NDArray[np.float32]] = deque(maxlen=config.memory)
        self._spent: deque[int] = deque()
        self._last_ns = 0

    def choose(self, candidates: list[Candidate], embeddings: Embeddings) -> list[Choice]:
        """Decide on candidates in order; `embeddings` `(n, dimensions) float32` are theirs, unit length."""
        chosen = []
        for candidate, vector in zip(candidates, embeddings, strict=True):
            likeness = max((float(vector @ old) for old in self._kept), default=-1.0)
            novelty = min(2.0, max(0.0, 1.0 - likeness))
            if self._keep(candidate, novelty):
                self._kept.append(vector)
                self._last_ns = candidate.t_ns
                chosen.append(Choice(candidate, _KEPT[candidate.reason], novelty, vector))
        return chosen

    def _keep(self, candidate: Candidate, novelty: float) -> bool:
        if candidate.reason == "first":
            return True
        while self._spent and self._spent[0] <= candidate.t_ns - _MINUTE_NS:
            self._spent.popleft()
        stale = candidate.t_ns - self._last_ns >= self._config.max_gap_s * NS_PER_S
        if (novelty < self._config.novelty and not stale) or len(self._spent) >= self._config.per_minute:
            return False
        self._spent.append(candidate.t_ns)
        return True


def encode_jpeg(picture: Picture, quality: int = 80) -> bytes:
    """An RGB picture as JPEG bytes."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok, "OpenCV encodes any 8-bit colour picture as JPEG"
    return bytes(data)
