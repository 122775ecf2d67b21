"""Shots: the learned detector or PySceneDetect's, fed frame by frame, and their transitions turned into spans."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config, flatten
from datasets_build.core.perceived import Detector, Shot
from datasets_build.core.records import Parameter, Video, derive_id
from datasets_build.perception.likeness import miniature
from datasets_build.perception.transition_finder import LearnedConfig, TransitionFinder
from datasets_build.perception.transition_net import load_net
from datasets_build.perception.transitions import Transition

UInt8s = npt.NDArray[np.uint8]


class ShotsConfig(Config):
    """How transitions are found.

    `detector` is the project's own learned one, with the settings `learned`, or one of PySceneDetect's: `threshold` is
    then the ratio to neighbouring frames (adaptive) or the score (content) that makes a cut, `min_score` the least
    score of an adaptive cut, `min_frames` the shortest shot, `fade_level` the brightness 0..255 below which the picture
    counts as black, and `fade_apart_s` how far a fade must be from a cut to be a boundary of its own.
    """

    detector: Literal["learned", "adaptive", "content"] = "learned"
    learned: LearnedConfig = LearnedConfig()
    threshold: float = Field(default=3.0, gt=0)
    min_score: float = Field(default=15.0, ge=0)
    min_frames: int = Field(default=2, ge=1)
    fade_level: int = Field(default=12, ge=0, le=255)
    fade_apart_s: float = Field(default=1.0, ge=0)


class ShotFinder(Protocol):
    """Listens to a decode pass; frames must come in order, without a gap."""

    def feed(self, index: int, image: UInt8s, thumb: UInt8s) -> list[Transition]:
        """Take a BGR image `(height, width, 3) uint8` with its thumbnail `(9, 16, 3) uint8`; returns what is sure."""
        ...

    def finish(self) -> list[Transition]:
        """Say that the video is over; returns what was still held back."""
        ...


def open_finder(config: ShotsConfig) -> ShotFinder:
    """The finder that a config asks for."""
    if config.detector == "learned":
        return LearnedFinder(config.learned)
    # Loading PySceneDetect takes a tenth of a second of every worker and every command, mostly looking for FFmpeg.
    from datasets_build.perception.pyscenedetect import PySceneFinder

    return PySceneFinder(config)


class LearnedFinder:
    """The learned detector as a listener; it looks some 220 frames ahead at most, and behind a stretch without rest."""

    def __init__(self, config: LearnedConfig) -> None:
        self._finder = TransitionFinder(config, load_net())

    def feed(self, index: int, image: UInt8s, thumb: UInt8s) -> list[Transition]:  # noqa: ARG002
        """Take the next frame."""
        return self._finder.feed(miniature(image))

    def finish(self) -> list[Transition]:
        """Say that the video is over."""
        return self._finder.finish()


def boundary(found: Transition) -> int:
    """The frame at which a new shot begins: of a gradual transition, the middle one."""
    return (found.first + found.last + 1) // 2


def merge_transitions(found: Sequence[Transition], clock: FrameClock, *, apart_ns: int) -> list[Transition]:
    """Sort transitions, one a boundary, inside the video; a fade of unknown span gives way to a cut in `apart_ns`."""
    inside = [each for each in found if 0 < boundary(each) < len(clock)]
    cut_times = [clock.time_of(each.first) for each in inside if each.kind == "cut"]
    kept: dict[int, Transition] = {}
    for each in sorted(inside, key=lambda item: (boundary(item), item.kind)):
        at = clock.time_of(boundary(each))
        unknown = each.kind != "cut" and each.first == each.last
        if not (unknown and any(abs(at - cut) < apart_ns for cut in cut_times)):
            kept.setdefault(boundary(each), each)
    return list(kept.values())


def _described(config: ShotsConfig, decoder: str) -> Detector:
    if config.detector == "learned":
        settings = {name: float(value) for name, value in flatten(config.learned).items()}
        net = load_net()
        name, release = "streamvl/learned", net.digest[:16]
    else:
        names = ("threshold", "min_score", "min_frames", "fade_level", "fade_apart_s")
        settings = {name: float(getattr(config, name)) for name in names}
        name, release = f"scenedetect/{config.detector}+threshold", version("scenedetect-headless")
    parameters = tuple(Parameter(name=key, value=value) for key, value in settings.items())
    return Detector(name=name, version=release, decoder=decoder, parameters=parameters)


def shots_of(
    video: Video, clock: FrameClock, found: Sequence[Transition], *, config: ShotsConfig, decoder: str
) -> list[Shot]:
    """Turn transitions into shots that tile the whole video; every video has at least one."""
    detector = _described(config, decoder)
    merged = merge_transitions(found, clock, apart_ns=int(config.fade_apart_s * 1e9))
    starts = [0, *(boundary(each) for each in merged)]
    ends = [*starts[1:], len(clock)]
    return [
        Shot(
            id=derive_id("shot", video.id, start),
            video_id=video.id,
            start_ns=clock.time_of(start),
            end_ns=clock.time_of(end),
            ordinal=ordinal,
            start_frame=start,
            end_frame=end,
            transition=into.kind if into else "first",
            transition_start_ns=clock.time_of(into.first if into else 0),
            transition_end_ns=clock.time_of(min(len(clock), into.last + (into.first < into.last)) if into else 0),
            score=into.score if into else 1.0,
            detector=detector,
        )
        for ordinal, (start, end, into) in enumerate(zip(starts, ends, [None, *merged], strict=True))
    ]
