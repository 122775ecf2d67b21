"""Scenes: shots in a row that show one continuous scene, joined where their ends look alike.

As Panda-70M stitches its clips (Chen et al., 2024): a shot belongs to the scene of an earlier one when the picture near
its start lies close to that near the earlier one's end. Beside the shot before, some more are looked at, so that shot
and reverse shot (A B A B) are one scene.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import cv2
from pydantic import Field

from datasets_build.core.config import Config
from datasets_build.core.perceived import Detector, Embedder, Scene, Shot
from datasets_build.core.records import Parameter, derive_id
from datasets_build.perception.batches import Batches, Vector
from datasets_build.perception.clip import Picture
from datasets_build.perception.keyframes import thumbnail
from datasets_build.perception.shots import boundary
from datasets_build.perception.standby import Standby, StandbyPictures
from datasets_build.perception.transitions import Transition

STITCHING, VERSION = "streamvl/stitching", "1"
_FARTHEST = 2.0
# Spread of brightness, 0..255, over a thumbnail: titles on black stay below, a lamp in the night does not.
_FLAT = 8.0


class ScenesConfig(Config):
    """Which shots are joined.

    `signature` is the largest distance (1 - cosine, 0..2) of two pictures that still show one scene where the
    perceptual signature compares them, `clip` the same for CLIP; 0 joins nothing, 2 everything. A shot is held against
    the last `memory` shots before it. The pictures lie `inset_s` from a transition, inside their shots.
    """

    signature: float = Field(default=0.1, ge=0, le=2)
    clip: float = Field(default=0.18, ge=0, le=2)
    memory: int = Field(default=3, ge=1)
    inset_s: float = Field(default=0.25, ge=0)

    def threshold(self, embedder: Embedder) -> float:
        """The largest distance of what an embedder compares."""
        return self.clip if embedder.is_semantic else self.signature


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Embeddings of pictures before and behind a transition, unit vectors; None where a shot showed nothing."""

    before: Vector | None = None
    behind: Vector | None = None


class SidesFinder:
    """Embeds a picture on each side of every transition that becomes certain, as long as these are at hand."""

    def __init__(self, pictures: StandbyPictures, batches: Batches, *, inset: int) -> None:
        """Look `inset` frames into both shots."""
        self._pictures, self._batches, self._inset = pictures, batches, inset
        self._spans: list[tuple[int, int]] = []
        # Transitions behind which the picture that is wanted may be still to come.
        self._open: list[tuple[int, int, int]] = []
        self._before: dict[int, Vector] = {}
        self._behind: dict[int, Vector] = {}

    def add(self, found: Sequence[Transition]) -> None:
        """Take the transitions of which a frame made certain, none for most; they may lie before earlier ones."""
        spans = [(each.first, each.last + (each.kind != "cut"), boundary(each)) for each in found]
        for first, end, _ in spans:
            insort(self._spans, (first, end))
        for first, end, at in spans:
            place = bisect_left(self._spans, (first, end))
            low = self._spans[place - 1][1] if place else 0
            self._keep(self._before, at, self._pictures.nearest(first - 1 - self._inset, first=low, end=first))
        self._open += spans
        if self._open:
            self._open = [each for each in self._open if not self._look_behind(*each, final=False)]

    def finish(self) -> None:
        """Say that the video is over."""
        for each in self._open:
            self._look_behind(*each, final=True)

    def sides(self) -> Mapping[int, Sides]:
        """What was found, once all is embedded, by the frame at which the new shot begins."""
        return {at: Sides(self._before.get(at), self._behind.get(at)) for at in {*self._before, *self._behind}}

    def _look_behind(self, first: int, end: int, at: int, *, final: bool) -> bool:
        """Take the picture behind a transition when no better one can come; whether that was done."""
        wanted, place = end + self._inset, bisect_left(self._spans, (first, end)) + 1
        high = self._spans[place][0] if place < len(self._spans) else None
        if not final and high is None and self._pictures.newest < wanted:
            return False
        self._keep(self._behind, at, self._pictures.nearest(wanted, first=end, end=high))
        return True

    def _keep(self, side: dict[int, Vector], at: int, held: Standby | None) -> None:
        if held is not None and not is_flat(held.picture):
            self._batches.add(held.picture, partial(side.__setitem__, at))


def is_flat(picture: Picture) -> bool:
    """Whether a picture `(h, w, 3) uint8` shows next to nothing, as the black of a fade: all such are alike."""
    return float(cv2.cvtColor(thumbnail(picture), cv2.COLOR_RGB2GRAY).std()) < _FLAT


def stitch(sides: Sequence[Sides], *, threshold: float, memory: int) -> list[range]:
    """Join shots to scenes; returns the shots of each, by number, in order.

    Args:
        sides: of each transition between two shots, in order: one less than there are shots.
        threshold: the largest distance (1 - cosine) at which a shot's start continues the end of an earlier one; what
            is unknown is as far as can be, and at 0 nothing is near.
        memory: how many shots before a shot it is held against.
    """
    count = len(sides) + 1
    begins = set(range(count))
    for k in range(1, count):
        for earlier in range(max(0, k - memory), k):
            if 0 < threshold >= distance(sides[earlier].before, sides[k - 1].behind):
                begins -= set(range(earlier + 1, k + 1))
                break
    return [range(start, end) for start, end in pairwise([*sorted(begins), count])]


def distance(one: Vector | None, other: Vector | None) -> float:
    """How far two unit vectors are apart, 1 - cosine; 2 where one is unknown."""
    return _FARTHEST if one is None or other is None else min(_FARTHEST, max(0.0, 1.0 - float(one @ other)))


def scenes_of(
    shots: Sequence[Shot], sides: Mapping[int, Sides], *, config: ScenesConfig, embedder: Embedder
) -> list[Scene]:
    """The scenes of a video, which tile it as its shots do.

    Args:
        shots: of a video, in order.
        sides: of the transitions into them, by a shot's first frame.
        config: which are joined.
        embedder: who made the embeddings.
    """
    threshold = config.threshold(embedder)
    settings = {"threshold": threshold, "memory": float(config.memory), "inset_s": config.inset_s}
    detector = Detector(
        name=STITCHING,
        version=VERSION,
        decoder=shots[0].detector.decoder,
        parameters=tuple(Parameter(name=name, value=value) for name, value in settings.items()),
    )
    known = [sides.get(shot.start_frame, Sides()) for shot in shots[1:]]
    scenes = []
    for ordinal, numbers in enumerate(stitch(known, threshold=threshold, memory=config.memory)):
        first, last = shots[numbers[0]], shots[numbers[-1]]
        scenes.append(
            Scene(
                id=derive_id("scene", first.video_id, first.start_frame),
                video_id=first.video_id,
                start_ns=first.start_ns,
                end_ns=last.end_ns,
                ordinal=ordinal,
                start_frame=first.start_frame,
                end_frame=last.end_frame,
                shot_ids=tuple(shots[k].id for k in numbers),
                embedder=embedder,
                detector=detector,
            )
        )
    return scenes
