"""A video with all that is said about it, as it was and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from augment.view import View
from datasets_build.core.augmentation import Augmentation, Look
from datasets_build.core.clock import FrameClock
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Annotation, Dialogue, Event, Reject, StreamingQA, Video


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A video with all that is said about it."""

    video: Video
    clock: FrameClock
    events: Sequence[Event]
    questions: Sequence[StreamingQA] = ()
    dialogues: Sequence[Dialogue] = ()
    annotations: Sequence[Annotation] = ()
    signals: Sequence[Signals] = ()
    shots: Sequence[Shot] = ()
    keyframes: Sequence[Keyframe] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Augmented:
    """An augmented video with all that is said about it.

    Attributes:
        view: what it shows.
        clip: its records.
        maps: where each piece of it comes from.
        left: what its parents have and it has not, with the reason.
        looks: how its frames look.
    """

    view: View
    clip: Clip
    maps: tuple[Augmentation, ...]
    left: tuple[Reject, ...]
    looks: tuple[Look, ...] = ()
