"""Per-frame event data: the events of a video, and views of them on the native grid and at stated rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from pydantic import model_validator

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Event, FrameLabel, Video
from datasets_build.core.views import frame_labels, frames_subset, parse_grid


class FrameEventsConfig(Config):
    """Which views to write: rates as rationals (`"1"`, `"2"`, `"30000/1001"`), beside the native grid."""

    fps: tuple[str, ...] = ("2",)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [frames_subset(rate) for rate in self.grids]
        if len(set(names)) < len(names):
            raise ValueError(f"a rate stands twice, or native is named (it is always written), in {self.fps}")
        return self

    @property
    def grids(self) -> tuple[Fraction | None, ...]:
        """The native grid (None) and the rates."""
        return (None, *(parse_grid(text) for text in self.fps))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEvents:
    """What the views of one video are made of."""

    video: Video
    clock: FrameClock
    events: tuple[Event, ...]
    shots: tuple[Shot, ...]
    keyframes: tuple[Keyframe, ...]


def view_of(source: VideoEvents, fps: Fraction | None) -> Iterator[FrameLabel]:
    """One row per step of the grid, in order; rows are made as they are asked for."""
    chosen = frozenset(keyframe.frame_index for keyframe in source.keyframes)
    return frame_labels(source.video.id, source.clock, source.events, shots=source.shots, keyframes=chosen, fps=fps)
