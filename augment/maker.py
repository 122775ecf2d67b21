"""A video with its records through a pipeline: a pure function, the same for the same seed, video and copy."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
import numpy.typing as npt

from augment.answers import Rules
from augment.arrival import Arrival, arrive
from augment.boxes import Box, tracked
from augment.clip import Augmented, Clip
from augment.draw import Around, change
from augment.events import PARTABLE, move_events
from augment.latency import draw
from augment.looks import Seen, draw_looks
from augment.making import Making, events_shown, operation_told
from augment.picture_settings import PictureOperation
from augment.settings import TEMPORAL, Delay, Operation, Pipeline
from augment.view import View
from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import (
    derive_id,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maker:
    """Makes augmented videos.

    Attributes:
        pipeline: what is done.
        rules: how questions are asked.
        talk_rules: how is asked in conversations.
        others: what may be put behind a video, by split and size.
    """

    pipeline: Pipeline
    rules: Rules = field(default_factory=Rules)
    talk_rules: Rules = field(default_factory=Rules)
    others: Mapping[tuple[str, int, int], Sequence[Clip]] = field(default_factory=dict)

    def make(self, clip: Clip, copy: int, camera: int = 0) -> Augmented | None:
        """The copy of a video with this number; None where chance does nothing to it, or all as to an earlier view.

        Args:
            clip: the video.
            copy: which copy of it.
            camera: which view of that copy: all have the same changes of time, and each its own looks.

        Raises:
            AugmentError: an operation cannot be done to it.
        """
        seed = int(derive_id("augment", clip.video.id, self.pipeline.seed, copy)[:15], 16)
        rng = random.Random(seed)
        done = [operation for operation in self.pipeline.in_time if rng.random() < operation.p]
        drawn = self._drawn(seed, camera)
        plain = not done or any(not self._drawn(seed, earlier) for earlier in range(camera))
        if not drawn and plain:
            return None
        there = {other.video.id: other for other in (clip, *self._others(clip))}
        view = View.whole(clip.video.id, clip.clock)
        around = _around(there, self._others(clip))
        for operation in done:
            if isinstance(operation, TEMPORAL):
                view = change(view, operation, rng, around)
        arrival = _arrival(view, done, rng)
        looks = draw_looks(
            drawn, Seen(size=clip.video.upright_size, fps=_rate(view), boxes=lambda: _tracked(view, there))
        )
        done += [operation for operation, _ in drawn]
        number = (camera,) if camera else ()
        video_id = derive_id(
            "augmented", clip.video.id, seed, *number, *(operation_told(operation) for operation in done)
        )
        scene_id = derive_id("scene", clip.video.id, seed) if self.pipeline.views > 1 else None
        return Making(
            clip,
            there,
            arrival,
            done,
            video_id,
            seed,
            self.rules,
            self.talk_rules,
            looks=looks,
            scene_id=scene_id,
            gone=self.pipeline.gone,
        ).made()

    def _drawn(self, seed: int, camera: int) -> list[tuple[PictureOperation, random.Random]]:
        """What is done to pixels, each with chance of its own, so that one does not change what another draws."""
        chances = [random.Random(derive_id("look", str(seed), camera, k)) for k in range(len(self.pipeline.on_pixels))]
        both = zip(self.pipeline.on_pixels, chances, strict=True)
        return [(operation, chance) for operation, chance in both if chance.random() < operation.p]

    def _others(self, clip: Clip) -> list[Clip]:
        video = clip.video
        return [
            other for other in self.others.get((video.split, *video.upright_size), ()) if other.video.id != video.id
        ]


def _arrival(view: View, done: Sequence[Operation], rng: random.Random) -> Arrival:
    """How the view comes over a network."""
    for operation in done:
        if isinstance(operation, Delay) and operation.network is not None:
            return arrive(view, draw(operation.network, rng, len(view.clock)))
    return Arrival(view, view)


def _around(there: Mapping[str, Clip], others: Sequence[Clip]) -> Around:
    def busy(view: View) -> list[Span]:
        events = move_events(view, events_shown(view, there), video_id="")
        return [event.span for event in events.there if event.label not in PARTABLE and not event.is_point]

    def motion(view: View) -> npt.NDArray[np.float64] | None:
        moved = [_motion_of(there[piece.source])[piece.frames] for piece in view.pieces]
        return np.concatenate(moved) if all(there[piece.source].signals for piece in view.pieces) else None

    return Around(
        busy=busy, motion=motion, others=[partial(View.whole, other.video.id, other.clock) for other in others]
    )


def _motion_of(clip: Clip) -> npt.NDArray[np.float64]:
    """Float (frames,), what each measured frame differs from the one measured before it; 0 at the others."""
    found = np.zeros(len(clip.clock))
    for part in clip.signals:
        found[clip.clock.indices_at(part.t_ns)] = part.motion
    return found


def _rate(view: View) -> Fraction:
    return Fraction(len(view.clock) * NS_PER_S, view.end_ns)


def _tracked(view: View, there: Mapping[str, Clip]) -> list[Box]:
    """The boxes of all videos that a view shows, whenever they are there."""
    sources = dict.fromkeys(piece.source for piece in view.pieces)
    return [
        box for name in sources for box in tracked(there[name].video.uri, there[name].annotations, there[name].events)
    ]
