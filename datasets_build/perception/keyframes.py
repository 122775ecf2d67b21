"""Candidates for keyframes: frames at which something happens, found in the order of time, under a budget.

Whether a frame is a candidate never depends on a frame that comes more than `look_ahead_s` later (or a fifth of a
second, if that is longer). Which of them are kept is told by `selection`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.perception.activity import LATE_NS, Activity, ActivityMeter
from datasets_build.perception.clip import Picture
from datasets_build.perception.moments import Moment, Reason, Waiting, Worth
from datasets_build.perception.standby import picture_of
from datasets_build.video import ScanFrame

_THUMB = (16, 9)
_MINUTE_NS = 60 * NS_PER_S
# A jump is a mean change of 0..1, and so many times what the last frames changed.
_LEAST_JUMP, _JUMP, _FORGET = 0.05, 4.0, 0.25
# It changes so large a share of the cells by so many levels over three channels.
_MOST, _CELL = 0.6, 12
# Light alone: a gain between these that leaves so little, or so small a share of the change.
_GAINS, _ONLY_LIGHT = (0.85, 1.18), (0.02, 0.35)
# Candidates at hand at the start and at most, and how far into debt shots may go.
_AT_FIRST, _AT_MOST, _CREDIT = 1.0, 20.0, 8.0
# So many are left for moments of much worth; with so many more than wait, nothing waits.
_RESERVE, _AMPLE = 3.0, 6.0
# No more decoded frames than these are held, however fast they follow.
_HELD = 12


class KeyframesConfig(Config):
    """Which frames become keyframes.

    `spend` candidates a minute are embedded, saved up to 20 while little happens. A moment is a frame with which a shot
    may begin, once it has settled (`settle` mean change since the frame before, at most `settle_s` later); where motion
    ends, if the picture has changed by `same` since the last candidate; where motion begins, and, every `drift_s` while
    it lasts, a picture changed by `drift` (the most changed tenth, on average); or one `gap_s` later. While there are
    too few candidates for all, moments wait for `look_ahead_s` for better ones; `min_apart_s` lies between two.

    Of these each shot's first is kept, those at least `threshold` (1 - cosine) away from what was kept, and one after
    `max_gap_s` without any; at most `per_shot` in a shot and, beside the firsts, `per_minute` in any minute. `online`
    decides in the order of time by the last `memory` kept ones, `offline` knows the whole video.
    """

    spend: float = Field(default=20.0, gt=0)
    settle: float = Field(default=0.02, gt=0)
    settle_s: float = Field(default=0.4, ge=0)
    same: float = Field(default=0.08, ge=0)
    drift: float = Field(default=0.2, gt=0)
    drift_s: float = Field(default=1.0, ge=0)
    min_apart_s: float = Field(default=0.2, ge=0)
    gap_s: float = Field(default=20.0, gt=0)
    look_ahead_s: float = Field(default=4.0, ge=0)
    mode: Literal["online", "offline"] = "online"
    threshold: float = Field(default=0.06, ge=0, le=2)
    per_minute: int = Field(default=20, ge=1)
    per_shot: int = Field(default=60, ge=1)
    first_s: float = Field(default=1.0, ge=0)
    max_gap_s: float = Field(default=20.0, gt=0)
    memory: int = Field(default=64, ge=1)
    picture_side: int = Field(default=224, ge=32)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may become a keyframe, with its upright RGB picture `(h, w, 3) uint8`, long side limited."""

    frame_index: int
    t_ns: int
    reason: Reason
    picture: Picture


class CandidateFinder:
    """Listens to a decode pass; `feed` returns the candidates that have become certain, in the order of time.

    The frames of a fifth of a second are held, since where something came to rest is known only then; and a few frames
    for `look_ahead_s`, since what a picture is worth depends on what comes next.
    """

    def __init__(self, config: KeyframesConfig) -> None:
        self._config = config
        self._activity, self._jumps = ActivityMeter(), JumpFinder()
        self._recent: deque[tuple[ScanFrame, Picture]] = deque()
        self._waiting = Waiting()
        # The last moment, and the last picture that was taken.
        self._noted: tuple[int, Picture] | None = None
        self._anchor: tuple[int, Picture] | None = None
        self._shot = self._shown = -1
        self._shot_start: int | None = None
        self._now_ns = 0
        self._left = _AT_FIRST

    @property
    def known(self) -> int:
        """All candidates before this frame have been returned."""
        frames = [moment.frame.index for moment in self._waiting] + [self._recent[0][0].index if self._recent else 0]
        return min(frames)

    def feed(self, frame: ScanFrame, thumb: Picture) -> list[Candidate]:
        """Take a frame with its thumbnail."""
        self._left = min(_AT_MOST, self._left + (frame.t_ns - self._now_ns) * self._config.spend / _MINUTE_NS)
        self._now_ns = frame.t_ns
        # What this frame shows has no say in what is due, however late it comes.
        due = self._told()
        if self._jumps.feed(thumb) or self._shot < 0:
            self._begin_shot(frame)
        self._recent.append((frame, thumb))
        while self._recent[0][0].t_ns < frame.t_ns - LATE_NS or len(self._recent) > _HELD:
            self._recent.popleft()
        activity = self._activity.feed(frame.t_ns, thumb)
        if self._shot_start is not None:
            self._settle()
        else:
            self._happened(activity)
        return due + self._told()

    def finish(self) -> list[Candidate]:
        """Say that the video is over: a last shot that had not settled still gets its candidate."""
        if self._shot_start is not None and self._recent:
            self._note(*self._recent[-1], "first", Worth.SOME)
        return self._told(over=True)

    def spend(self) -> None:
        """Say that a picture was taken by somebody else, on the account of the candidates."""
        self._left -= 1

    def _begin_shot(self, frame: ScanFrame) -> None:
        if self._shot_start is not None:
            # The shot before this one ended before it settled: its last frame stands for it.
            self._note(*self._recent[-1], "first", Worth.SOME)
        self._recent.clear()
        self._activity.reset()
        self._shot_start = frame.t_ns
        self._shot += 1

    def _settle(self) -> None:
        assert self._shot_start is not None
        frame, thumb = self._recent[-1]
        waited = frame.t_ns - self._shot_start >= self._config.settle_s * NS_PER_S
        if waited or (len(self._recent) >= 2 and _change(thumb, self._recent[-2][1]) <= self._config.settle):
            self._note(frame, thumb, "first", Worth.SOME)
            self._shot_start = None

    def _happened(self, activity: Activity) -> None:
        config, (frame, thumb) = self._config, self._recent[-1]
        if activity.ended:
            self._note(*self._recent[0], "change", Worth.MORE if activity.entered else Worth.MUCH, config.same)
        assert self._noted is not None, "a shot that has settled has had a moment"
        since = frame.t_ns - self._noted[0]
        if activity.began:
            # It was believed only now, but the frame before shows it too.
            self._note(
                *self._recent[max(-2, -len(self._recent))], "change", Worth.MUCH if activity.enters else Worth.SOME
            )
        elif activity.moves and since >= config.drift_s * NS_PER_S and drifted(thumb, self._noted[1], by=config.drift):
            self._note(frame, thumb, "change", Worth.LITTLE)
        elif since >= config.gap_s * NS_PER_S:
            self._note(frame, thumb, "gap", Worth.SOME)

    def _note(self, frame: ScanFrame, thumb: Picture, reason: Reason, worth: Worth, must_differ: float = 0.0) -> None:
        last_ns, amount = (0, 0.0) if self._noted is None else (self._noted[0], _change(thumb, self._noted[1]))
        if self._noted is not None and must_differ and drifted(thumb, self._noted[1], by=must_differ):
            must_differ = 0.0
        self._noted = max(last_ns, frame.t_ns), thumb
        moment = Moment(frame, thumb, reason, worth, self._shot, amount, must_differ)
        self._waiting.add(moment, apart_ns=int(self._config.min_apart_s * NS_PER_S))

    def _told(self, *, over: bool = False) -> list[Candidate]:
        found, ahead_ns = [], max(LATE_NS, int(self._config.look_ahead_s * NS_PER_S))
        while self._waiting:
            # Who has enough for all that wait need not know what comes.
            hold_ns = LATE_NS if self._left >= len(self._waiting) + _AMPLE else ahead_ns
            if not over and self._now_ns - self._waiting.oldest.t_ns <= hold_ns:
                break
            moment = self._waiting.pop()
            if self._deserves(moment):
                found.append(self._take(moment))
        return found

    def _deserves(self, moment: Moment) -> bool:
        if self._shown < moment.shot and not self._waiting.shows(moment.shot):
            # Every shot is shown, on credit too. What jumps all the time gets pictures that are kept for real shots.
            return self._left > -_CREDIT
        since_ns = moment.t_ns - self._anchor[0] if self._anchor else moment.t_ns
        if self._left < 1 or since_ns < self._config.min_apart_s * NS_PER_S:
            return False
        if moment.must_differ and self._anchor and not drifted(moment.thumb, self._anchor[1], by=moment.must_differ):
            return False
        worth = self._waiting.worth(moment, since_ns=since_ns)
        coming = self._config.look_ahead_s * self._config.spend / 60
        kept_back = self._waiting.better(moment, worth) + (0 if worth == Worth.MUCH else _RESERVE)
        return self._left - 1 + coming >= kept_back

    def _take(self, moment: Moment) -> Candidate:
        self._anchor = moment.t_ns, moment.thumb
        self._shown = max(self._shown, moment.shot)
        self._left -= 1
        picture = picture_of(moment.frame, self._config.picture_side)
        return Candidate(moment.frame.index, moment.t_ns, moment.reason, picture)


class JumpFinder:
    """Says at once when the whole picture has jumped: a new shot may have begun, which the shots will tell later."""

    def __init__(self) -> None:
        self._before: Picture | None = None
        self._usual: float | None = None

    def feed(self, thumb: Picture) -> bool:
        """Take the next frame's thumbnail `(9, 16, 3) uint8`."""
        before, self._before = self._before, thumb
        if before is None:
            return False
        change = _change(thumb, before)
        # A video that begins in motion does not begin with a jump.
        usual = change if self._usual is None else self._usual
        jumped = change > max(_LEAST_JUMP, _JUMP * usual) and _everywhere(thumb, before, change)
        self._usual = usual + _FORGET * (change - usual)
        return jumped


def _change(thumb: Picture, before: Picture) -> float:
    return float(cv2.norm(thumb, before, cv2.NORM_L1)) / thumb.size / 255


def _everywhere(thumb: Picture, before: Picture, change: float) -> bool:
    """Whether most of the picture changed, and not by light alone: something large that enters is no jump."""
    if np.mean(cv2.absdiff(thumb, before).sum(axis=2) > _CELL) <= _MOST:
        return False
    old, new = before.reshape(-1).astype(np.float32), thumb.reshape(-1).astype(np.float32)
    gain = float(old @ new) / max(1.0, float(old @ old))
    rest = float(np.abs(new - gain * old).mean()) / 255
    return not (_GAINS[0] < gain < _GAINS[1] and rest < max(_ONLY_LIGHT[0], _ONLY_LIGHT[1] * change))


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


def encode_jpeg(picture: Picture, quality: int = 80) -> bytes:
    """An RGB picture as JPEG bytes."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok, "OpenCV encodes any 8-bit colour picture as JPEG"
    return bytes(data)
