"""Transitions found in a stream of miniatures: numbers, network and decoding in steps, with bounded look-ahead.

Steps begin at the first frame and have one length, so the result is that of the whole video at once, whoever feeds it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datasets_build.core.config import Config
from datasets_build.perception.likeness import (
    AHEAD,
    LAYOUT,
    LIGHT,
    NUMBERS,
    REACH,
    Descriptions,
    Float32s,
    UInt8s,
    describe,
    measure,
)
from datasets_build.perception.transition_net import OUTPUTS, NetStream, TransitionNet
from datasets_build.perception.transitions import Kind, Transition

STEP = 128
# A stretch without a quiet place is decoded all the same, so that memory stays bounded.
_LONGEST = 4096
_QUIET = 12
_CUT, _GRADUAL, _OUT, _IN = range(len(OUTPUTS))
_LIGHT, _SPREAD, _LAYOUT = range(len(OUTPUTS), len(OUTPUTS) + 3)
# A picture whose layout is so like that of the one before it has changed in light alone.
_SAME = 0.93
_DARK = 0.05
# Mean light, 0..1, below which a picture is the black of a fade.
_BLACK = 0.16
# The share of a run's frames that must go out or come in for it to be a fade.
_FADING = 0.4


class LearnedConfig(Config):
    """How chances become transitions.

    `cut` is the least chance of a cut and `gradual` that of a gradual transition, which reaches as far as `edge` and
    lasts `min_gradual` frames at least. A fade out and the fade in behind it are one transition up to `through` frames.
    """

    cut: float = Field(default=0.5, gt=0, lt=1)
    gradual: float = Field(default=0.6, gt=0, lt=1)
    edge: float = Field(default=0.3, gt=0, lt=1)
    min_gradual: int = Field(default=4, ge=2)
    through: int = Field(default=40, ge=0)


class TransitionFinder:
    """Takes miniatures `(27, 48, 3) uint8` in order and returns the transitions that became certain."""

    def __init__(self, config: LearnedConfig, net: TransitionNet) -> None:
        self._config, self._reach, self._stream = config, net.reach, NetStream(net)
        self._pending: list[UInt8s] = []
        self._held = Descriptions.none()
        self._taken = self._measured = 0
        # Of frames whose chances are not certain yet.
        self._numbers = np.zeros((0, NUMBERS), np.float32)
        self._decoded = 0
        self._tracks = np.zeros((0, len(OUTPUTS) + 3), np.float32)

    @property
    def decided(self) -> int:
        """How many frames from the first on have had their say: no transition that is still to come begins before."""
        return self._decoded

    @property
    def longest(self) -> int:
        """How many frames a transition may be told late at most."""
        return _LONGEST + 2 * STEP + AHEAD + self._reach

    def feed(self, small: UInt8s) -> list[Transition]:
        """Take the next frame."""
        self._pending.append(small)
        return self._step(final=False) if len(self._pending) == STEP else []

    def finish(self) -> list[Transition]:
        """Say that the video is over."""
        return self._step(final=True)

    def _step(self, *, final: bool) -> list[Transition]:
        if self._pending:
            self._held = self._held.then(describe(np.stack(self._pending)))
            self._taken += len(self._pending)
            self._pending = []
        self._score(self._measure(self._taken if final else self._taken - AHEAD), final=final)
        return self._decode(final=final)

    def _measure(self, end: int) -> Float32s:
        """The numbers of the frames up to `end` that have none yet."""
        first, start = self._taken - len(self._held), self._measured
        self._measured = max(start, end)
        new = measure(self._held, start - first, end - first) if end > start else np.zeros((0, NUMBERS), np.float32)
        self._held = self._held.last(REACH + self._taken - self._measured)
        return new

    def _score(self, numbers: Float32s, *, final: bool) -> None:
        self._numbers = np.concatenate([self._numbers, numbers])
        chances = self._stream.feed(numbers, final=final)
        seen, self._numbers = self._numbers[: len(chances)], self._numbers[len(chances) :]
        self._tracks = np.concatenate([self._tracks, tracks_of(chances, seen)])

    def _decode(self, *, final: bool) -> list[Transition]:
        """Decode up to the last quiet place: what comes behind it changes nothing before it."""
        end = len(self._tracks) if final else self._quiet_end()
        found = decode(self._tracks[:end], self._config)
        found = [
            Transition(first=t.first + self._decoded, last=t.last + self._decoded, kind=t.kind, score=t.score)
            for t in found
        ]
        self._tracks = self._tracks[end:]
        self._decoded += end
        return found

    def _quiet_end(self) -> int:
        config = self._config
        quiet = (self._tracks[:, _CUT] <= config.cut) & (self._tracks[:, _GRADUAL] <= config.edge)
        need = max(_QUIET, config.through)
        loud = np.flatnonzero(~quiet)
        if len(self._tracks) - (loud[-1] + 1 if len(loud) else 0) >= need:
            # The frame before the first of the next stretch must be known to be no neighbour of a cut.
            return len(self._tracks) - 1
        runs = np.diff(loud)
        wide = np.flatnonzero(runs > need)
        if len(wide):
            return int(loud[wide[-1] + 1]) - 1
        return len(self._tracks) if len(self._tracks) > _LONGEST else 0


def tracks_of(chances: Float32s, numbers: Float32s) -> Float32s:
    """What is decoded, `(n, 7) float32`: chances, mean light 0..1 and its spread, likeness of layout to the last."""
    return np.concatenate([chances, numbers[:, [LIGHT, LIGHT + 1, LAYOUT]]], axis=1)


def decode(tracks: Float32s, config: LearnedConfig) -> list[Transition]:
    """Transitions in order, none inside another, of what `tracks_of` gives."""
    gradual = _through(_graduals(tracks, config), config.through)
    inside = np.zeros(len(tracks) + 1, bool)
    for span in gradual:
        inside[span.first : span.last + 2] = True
    cut = tracks[:, _CUT]
    found = [*gradual]
    found += [
        Transition(first=int(at), last=int(at), kind="cut", score=float(cut[at]))
        for at in np.flatnonzero(cut > config.cut)
        if at > 0 and not inside[at] and cut[at] == cut[at - 1 : at + 2].max() and not _only_light(tracks, int(at))
    ]
    return sorted(found, key=lambda transition: transition.first)


def _only_light(tracks: Float32s, at: int) -> bool:
    """Whether the picture has changed in light alone, or both are plain black."""
    return bool(tracks[at, _LAYOUT] > _SAME or tracks[at - 1 : at + 1, _LIGHT : _SPREAD + 1].max() < _DARK)


def _graduals(tracks: Float32s, config: LearnedConfig) -> list[Transition]:
    found = []
    for first, end in _runs(tracks[:, _GRADUAL] > config.edge):
        ways = _ways(tracks[first:end])
        turns = [0, *(np.flatnonzero(np.diff(ways)) + 1), end - first]
        for start, stop in pairwise(int(turn) + first for turn in turns):
            score = _sureness(tracks[start:stop, _GRADUAL])
            if stop - start >= config.min_gradual and score > config.gradual:
                kind = _kind(int(ways[start - first]), tracks[start:stop, _LIGHT])
                found.append(Transition(first=start, last=stop - 1, kind=kind, score=score))
    return found


def _sureness(chances: Float32s) -> float:
    """The mean over the surest half of a run, so that one frame alone makes no transition."""
    return float(np.sort(chances)[len(chances) // 2 :].mean())


def _ways(tracks: Float32s) -> npt.NDArray[np.int64]:
    """What each frame of a gradual run belongs to: all of it is a mix, or its frames go out or come in.

    Each frame says what its five around it say most; one that says neither says what the nearest that does.
    """
    half = tracks[:, _GRADUAL] / 2
    sure = np.maximum(tracks[:, _OUT], tracks[:, _IN]) >= half
    is_out = tracks[:, _OUT] >= tracks[:, _IN]
    if sure.mean() < _FADING:
        return np.full(len(tracks), _GRADUAL)
    votes = np.convolve(np.where(sure, np.where(is_out, 1, -1), 0), np.ones(5), "same")
    said = np.flatnonzero(votes)
    nearest = said[np.abs(np.arange(len(tracks))[:, None] - said[None]).argmin(axis=1)]
    return np.where(votes[nearest] > 0, _OUT, _IN)


def _kind(way: int, light: Float32s) -> Kind:
    if way == _OUT and light[-1] < _BLACK:
        return "fade_to_black"
    return "fade_from_black" if way == _IN and light[0] < _BLACK else "dissolve"


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _through(found: list[Transition], frames: int) -> list[Transition]:
    """Join a short fade out to the fade in that follows it."""
    joined: list[Transition] = []
    for new in found:
        old = joined[-1] if joined else None
        if old and old.kind == "fade_to_black" and new.kind == "fade_from_black" and new.last - old.first < frames:
            joined[-1] = Transition(
                first=old.first, last=new.last, kind="fade_through", score=max(old.score, new.score)
            )
        else:
            joined.append(new)
    return joined
